// System calls that Swift's Glibc import lacks or that are variadic. Each returns -errno on failure.
#ifndef NEPHRITE_SYSCALLS_H
#define NEPHRITE_SYSCALLS_H
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/// openat(2) with a mode; O_CLOEXEC and O_NOFOLLOW are always added. The descriptor, or -errno. The numbers of standard input,
/// output and error are never used, be they free.
int nephrite_openat(int directory, const char *name, int flags, unsigned mode);
/// fallocate(2) on Linux, F_PREALLOCATE + ftruncate on Darwin: real blocks, size extended. 0 or -errno.
int nephrite_allocate(int descriptor, int64_t offset, int64_t length);
/// fdatasync(2) on Linux, F_FULLFSYNC on Darwin. 0 or -errno.
int nephrite_sync_data(int descriptor);
/// sync_file_range(2) with SYNC_FILE_RANGE_WRITE on Linux, nothing on Darwin: begins to write a range to the disk and
/// waits for nothing. 0 or -errno.
int nephrite_start_writeback(int descriptor, int64_t offset, int64_t length);
/// fsync(2) on Linux, F_FULLFSYNC on Darwin. 0 or -errno.
int nephrite_sync(int descriptor);
/// Bytes free for unprivileged processes on the file system of a descriptor (fstatvfs(3)), or -errno.
int64_t nephrite_available_bytes(int descriptor);
/// flock(2) LOCK_NB, exclusive or shared. 0 or -errno.
int nephrite_lock(int descriptor, int exclusive);
/// madvise(2): the memory's contents are lost and its pages go back to the system until it is used again. Whole pages.
void nephrite_discard(void *memory, size_t byte_count);
/// Kernel thread id.
uint64_t nephrite_thread_id(void);
#endif
