// Mounts, loop devices and cut powers for nephrite-torture; Linux only.
#include "CTorture.h"
#include <errno.h>
#include <string.h>
#ifdef __linux__
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

int torture_private_mounts(void) {
    if (unshare(CLONE_NEWNS) != 0) return -errno;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 ? 0 : -errno;
}

int torture_mount(const char *source, const char *target, const char *type, const char *options) {
    return mount(source, target, type, 0, options) == 0 ? 0 : -errno;
}

int torture_remount(const char *target, const char *options) {
    return mount("none", target, NULL, MS_REMOUNT, options) == 0 ? 0 : -errno;
}

int torture_unmount(const char *target) { return umount(target) == 0 ? 0 : -errno; }

int torture_attach(const char *image, char *name) {
    int file = open(image, O_RDWR | O_CLOEXEC);
    if (file < 0) return -errno;
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) {
        int failure = errno;
        close(file);
        return -failure;
    }
    int failure = EBUSY;
    // Somebody else may take the free one first.
    for (int attempt = 0; attempt < 64 && failure == EBUSY; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) {
            failure = errno;
            break;
        }
        snprintf(name, 32, "/dev/loop%d", number);
        int device = open(name, O_RDWR | O_CLOEXEC);
        if (device < 0) {
            failure = errno;
            break;
        }
        struct loop_config configuration = {.fd = (unsigned)file, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
        if (ioctl(device, LOOP_CONFIGURE, &configuration) == 0) {
            close(control);
            close(file);
            return device;
        }
        failure = errno;
        close(device);
    }
    close(control);
    close(file);
    return -failure;
}

int torture_cut_power(const char *path) {
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return -errno;
    unsigned flags = 2;  // EXT4_GOING_FLAGS_NOLOGFLUSH
    int failure = ioctl(directory, _IOR('X', 125, unsigned), &flags) == 0 ? 0 : errno;
    close(directory);
    return -failure;
}

int torture_trim(const char *path) {
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return -errno;
    struct fstrim_range range = {.start = 0, .len = UINT64_MAX, .minlen = 0};
    int failure = ioctl(directory, FITRIM, &range) == 0 ? 0 : errno;
    close(directory);
    return -failure;
}
#else
int torture_trim(const char *path) { return -ENOTSUP; }
int torture_private_mounts(void) { return -ENOTSUP; }
int torture_mount(const char *source, const char *target, const char *type, const char *options) { return -ENOTSUP; }
int torture_remount(const char *target, const char *options) { return -ENOTSUP; }
int torture_unmount(const char *target) { return -ENOTSUP; }
int torture_attach(const char *image, char *name) { return -ENOTSUP; }
int torture_cut_power(const char *path) { return -ENOTSUP; }
#endif
