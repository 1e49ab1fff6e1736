// Hints about memory that Swift has no words for.
#ifndef NEPHRITE_MEMORY_H
#define NEPHRITE_MEMORY_H

/// Asks the processor to bring the cache line at `address` close; any address is allowed.
static inline void nephrite_prefetch(const void *address) { __builtin_prefetch(address); }

#endif
