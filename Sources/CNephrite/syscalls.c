// The system calls that Swift cannot reach by itself: StorageIO calls them, the kernel answers, errors are -errno.
#include "nephrite_syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

int nephrite_openat(int directory, const char *name, int flags, unsigned mode) {
    int descriptor = openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    return descriptor < 0 ? -errno : descriptor;
}

int nephrite_allocate(int descriptor, int64_t offset, int64_t length) {
#if defined(__linux__)
    return fallocate(descriptor, 0, (off_t)offset, (off_t)length) == 0 ? 0 : -errno;
#elif defined(__APPLE__)
    struct stat status;
    if (fstat(descriptor, &status) != 0) return -errno;
    int64_t end = offset + length;
    if (end <= status.st_size) return 0;
    fstore_t store = {.fst_flags = F_ALLOCATEALL, .fst_posmode = F_PEOFPOSMODE, .fst_offset = 0,
                      .fst_length = (off_t)(end - status.st_size), .fst_bytesalloc = 0};
    if (fcntl(descriptor, F_PREALLOCATE, &store) == -1) return errno == ENOTSUP ? -EOPNOTSUPP : -errno;
    return ftruncate(descriptor, (off_t)end) == 0 ? 0 : -errno;
#else
    (void)descriptor, (void)offset, (void)length;
    return -EOPNOTSUPP;
#endif
}

int nephrite_sync_data(int descriptor) {
#if defined(__APPLE__)
    return nephrite_sync(descriptor);
#else
    return fdatasync(descriptor) == 0 ? 0 : -errno;
#endif
}

int nephrite_sync(int descriptor) {
#if defined(__APPLE__)
    if (fcntl(descriptor, F_FULLFSYNC) != -1) return 0;
    // Only a file system that has no such flush may fall back; an I/O error must be reported.
    if (errno != ENOTSUP && errno != ENOTTY && errno != EINVAL) return -errno;
#endif
    return fsync(descriptor) == 0 ? 0 : -errno;
}

int nephrite_lock(int descriptor, int exclusive) {
    return flock(descriptor, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 ? 0 : -errno;
}

uint64_t nephrite_thread_id(void) {
#if defined(__linux__)
    return (uint64_t)syscall(SYS_gettid);
#else
    uint64_t identifier = 0;
    pthread_threadid_np(NULL, &identifier);
    return identifier;
#endif
}
