// System calls behind one calling convention: the result, or -errno, read in the same function as the call. StorageIO
// is the caller.
#include "nephrite_syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <pthread.h>
#else
#include <sys/syscall.h>
#endif

int nephrite_openat(int directory, const char *name, int flags, unsigned mode) {
    int descriptor;
    do {
        descriptor = openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
    } while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) return -errno;
    if (descriptor > STDERR_FILENO) return descriptor;
    // A process whose standard output is closed would print into the store.
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    close(descriptor);
    if (moved >= 0) return moved;
    // No number is free above them.
    return error == EINVAL ? -EMFILE : -error;
}

#if defined(__APPLE__)
int nephrite_allocate(int descriptor, int64_t offset, int64_t length) {
    if (offset < 0 || length <= 0 || offset > INT64_MAX - length) return -EINVAL;
    struct stat status;
    if (fstat(descriptor, &status) != 0) return -errno;
    int64_t end = offset + length;
    if (end <= status.st_size) return 0;
    // F_PEOFPOSMODE allocates past the blocks the file has; the size does not change until ftruncate.
    fstore_t request = {F_ALLOCATEALL, F_PEOFPOSMODE, 0, end - status.st_size, 0};
    if (fcntl(descriptor, F_PREALLOCATE, &request) != 0) return -errno;
    return ftruncate(descriptor, end) == 0 ? 0 : -errno;
}

// F_FULLFSYNC asks the drive too; file systems that lack it say ENOTSUP or EINVAL, and fsync is all they have.
static int full_sync(int descriptor) {
    if (fcntl(descriptor, F_FULLFSYNC) == 0) return 0;
    if (errno != ENOTSUP && errno != EINVAL) return -errno;
    return fsync(descriptor) == 0 ? 0 : -errno;
}

int nephrite_sync_data(int descriptor) { return full_sync(descriptor); }

int nephrite_sync(int descriptor) { return full_sync(descriptor); }

int nephrite_start_writeback(int descriptor, int64_t offset, int64_t length) {
    (void)descriptor, (void)offset, (void)length;
    return 0;
}

uint64_t nephrite_thread_id(void) {
    uint64_t identifier = 0;
    pthread_threadid_np(NULL, &identifier);
    return identifier;
}
#else
int nephrite_allocate(int descriptor, int64_t offset, int64_t length) {
    int result;
    do {
        result = fallocate(descriptor, 0, offset, length);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

// Not retried on EINTR: whether the kernel has reported and forgotten a write error by then is unknown, so the caller
// must see it as a failed sync (O8).
int nephrite_sync_data(int descriptor) { return fdatasync(descriptor) == 0 ? 0 : -errno; }

int nephrite_sync(int descriptor) { return fsync(descriptor) == 0 ? 0 : -errno; }

int nephrite_start_writeback(int descriptor, int64_t offset, int64_t length) {
    if (sync_file_range(descriptor, offset, length, SYNC_FILE_RANGE_WRITE) == 0) return 0;
    // File systems that cannot, and sandboxes that forbid it: the sync that follows does it all.
    return errno == ENOSYS || errno == EINVAL || errno == ESPIPE || errno == EPERM ? 0 : -errno;
}

uint64_t nephrite_thread_id(void) { return (uint64_t)syscall(SYS_gettid); }
#endif

int64_t nephrite_available_bytes(int descriptor) {
    struct statvfs status;
    if (fstatvfs(descriptor, &status) != 0) return -errno;
    return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

int nephrite_lock(int descriptor, int exclusive) {
    return flock(descriptor, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 ? 0 : -errno;
}

void nephrite_discard(void *memory, size_t byte_count) {
#ifdef __APPLE__
    (void)madvise(memory, byte_count, MADV_FREE);
#else
    (void)madvise(memory, byte_count, MADV_DONTNEED);
#endif
}
