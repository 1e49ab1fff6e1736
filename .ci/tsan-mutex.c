// Lets the thread sanitizer see the contended paths of Swift's Synchronization.Mutex on Linux; .ci/run preloads it.
//
// Mutex takes and releases an uncontended lock by an atomic operation that is inlined into the (instrumented) caller. When
// threads contend it calls _MutexHandle._lockSlow and _unlockSlow in libswiftSynchronization.so, which hand the lock over in
// the kernel (FUTEX_LOCK_PI, FUTEX_UNLOCK_PI) and are not instrumented. Unseen, every contended Mutex looks like a race on
// what it guards. This shim calls the real functions and tells the sanitizer of the release before and of the acquire
// after; it hides nothing else.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))

extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

SWIFT void nephrite_lock_slow(uint32_t thread, SELF void *handle) __asm__(LOCK_SLOW);
SWIFT void nephrite_unlock_slow(SELF void *handle) __asm__(UNLOCK_SLOW);

SWIFT void nephrite_lock_slow(uint32_t thread, SELF void *handle) {
    SWIFT void (*real)(uint32_t, SELF void *) = (SWIFT void (*)(uint32_t, SELF void *))dlsym(RTLD_NEXT, LOCK_SLOW);
    if (!real) abort();
    real(thread, handle);
    if (__tsan_acquire) __tsan_acquire(handle);
}

SWIFT void nephrite_unlock_slow(SELF void *handle) {
    SWIFT void (*real)(SELF void *) = (SWIFT void (*)(SELF void *))dlsym(RTLD_NEXT, UNLOCK_SLOW);
    if (!real) abort();
    if (__tsan_release) __tsan_release(handle);
    real(handle);
}
