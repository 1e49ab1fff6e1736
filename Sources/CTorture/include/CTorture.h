// What nephrite-torture asks of the kernel and Swift cannot reach: children, mounts, loop devices, cut powers. Linux only;
// elsewhere everything that needs Linux answers -ENOTSUP. Each function returns -errno on failure.
#ifndef CTORTURE_H
#define CTORTURE_H
#include <stddef.h>
#include <stdint.h>

/// Starts a program: its words one to a line, the first its path. Standard input is empty, standard error goes to the file
/// `errors`, standard output to a pipe whose reading end is stored in `output`. The process id.
int torture_spawn(const char *words, const char *errors, int *output);
/// Reads what there is; waits for it for `microseconds` at most (for ever if negative). The number of bytes, 0 at the
/// end, -ETIMEDOUT when nothing came, -EINTR when a signal did.
long torture_read(int descriptor, void *buffer, size_t capacity, int64_t microseconds);
/// Waits for a child's end: its exit code, or 1000 + the signal that ended it.
int torture_wait(int process);
/// SIGKILL to a child.
int torture_kill(int process);
/// Has the kernel kill this process when its parent dies.
int torture_die_with_parent(void);

/// From now on SIGINT and SIGTERM only set a flag; a second one ends the process at once.
void torture_catch_interrupts(void);
/// Whether SIGINT or SIGTERM has come.
int torture_is_interrupted(void);

/// Moves the calling thread, and threads and children started by it later, to a mount namespace of its own: what they
/// mount is gone with the last of them, however it ends.
int torture_private_mounts(void);
/// mount(2). `options` are those of the file system.
int torture_mount(const char *source, const char *target, const char *type, const char *options);
/// mount(2) with MS_REMOUNT.
int torture_remount(const char *target, const char *options);
/// umount(2).
int torture_unmount(const char *target);
/// Puts a loop device on an image file, detached by itself when nobody uses it any more. The device's descriptor; its
/// path goes to `name`, which has room for 32 bytes.
int torture_attach(const char *image, char *name);
/// The power cut: the file system that `path` is on stops where it stands and writes nothing more, not even its journal
/// (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, the same ioctl as XFS_IOC_GOINGDOWN).
int torture_cut_power(const char *path);
/// Gives the blocks that a file system does not use back to what is below it (FITRIM).
int torture_trim(const char *path);
/// Bytes in use on the file system that `path` is on.
int64_t torture_used_bytes(const char *path);
#endif
