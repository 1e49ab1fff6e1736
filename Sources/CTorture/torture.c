// Children of nephrite-torture and the signals that interrupt it; plain POSIX.
#include "CTorture.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

extern char **environ;

// Splits `text` at its line ends, in place, into at most `capacity` words; the last entry is NULL.
static void split(char *text, char **words, size_t capacity) {
    size_t count = 0;
    char *rest = text, *word;
    while (count + 1 < capacity && (word = strsep(&rest, "\n")) != NULL) words[count++] = word;
    words[count] = NULL;
}

int torture_spawn(const char *words, const char *errors, int *output) {
    int ends[2];
    if (pipe(ends) != 0) return -errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    char *text = strdup(words);
    char *arguments[64];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    sigaddset(&defaults, SIGPIPE);
    pid_t process = 0;
    int failure = text == NULL ? ENOMEM : posix_spawn_file_actions_init(&actions);
    if (failure == 0) {
        split(text, arguments, sizeof arguments / sizeof *arguments);
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &defaults);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        failure = posix_spawn(&process, arguments[0], &actions, &attributes, arguments, environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
    }
    free(text);
    close(ends[1]);
    if (failure != 0) {
        close(ends[0]);
        return -failure;
    }
    *output = ends[0];
    return process;
}

long torture_read(int descriptor, void *buffer, size_t capacity, int64_t microseconds) {
    struct pollfd entry = {.fd = descriptor, .events = POLLIN};
#ifdef __linux__
    struct timespec limit = {.tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000};
    int ready = ppoll(&entry, 1, microseconds < 0 ? NULL : &limit, NULL);
#else
    int ready = poll(&entry, 1, microseconds < 0 ? -1 : (int)((microseconds + 999) / 1000));
#endif
    if (ready < 0) return -errno;
    if (ready == 0) return -ETIMEDOUT;
    long count = read(descriptor, buffer, capacity);
    return count < 0 ? -errno : count;
}

int torture_wait(int process) {
    int status;
    while (waitpid(process, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

int torture_kill(int process) { return kill(process, SIGKILL) == 0 ? 0 : -errno; }

int torture_die_with_parent(void) {
#ifdef __linux__
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? 0 : -errno;
#else
    return -ENOTSUP;
#endif
}

static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    if (interrupted) _exit(128 + number);
    interrupted = 1;
}

void torture_catch_interrupts(void) {
    struct sigaction action = {.sa_handler = interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int torture_is_interrupted(void) { return interrupted; }

int64_t torture_used_bytes(const char *path) {
    struct statvfs status;
    if (statvfs(path, &status) != 0) return -errno;
    return (int64_t)(status.f_blocks - status.f_bfree) * (int64_t)status.f_frsize;
}
