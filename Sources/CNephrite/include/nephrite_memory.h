// What Swift has no words for, or none as fast: hints to the processor, and comparing memory.
#ifndef NEPHRITE_MEMORY_H
#define NEPHRITE_MEMORY_H
#include <stddef.h>

/// Asks the processor to bring the cache line at `address` close; any address is allowed.
static inline void nephrite_prefetch(const void *address) { __builtin_prefetch(address); }

/// Tells the processor that this thread looks again and again for what another is about to write.
static inline void nephrite_spin_hint(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// Whether two ranges of `length` bytes are equal: 1 or 0.
static inline int nephrite_equal(const void *left, const void *right, size_t length) {
    return __builtin_memcmp(left, right, length) == 0;
}

#endif
