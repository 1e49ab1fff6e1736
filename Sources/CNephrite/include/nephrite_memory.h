// What Swift has no words for, or none as fast: hints about memory, and comparing it.
#ifndef NEPHRITE_MEMORY_H
#define NEPHRITE_MEMORY_H
#include <stddef.h>

/// Asks the processor to bring the cache line at `address` close; any address is allowed.
static inline void nephrite_prefetch(const void *address) { __builtin_prefetch(address); }

/// Whether two ranges of `length` bytes are equal: 1 or 0.
static inline int nephrite_equal(const void *left, const void *right, size_t length) {
    return __builtin_memcmp(left, right, length) == 0;
}

#endif
