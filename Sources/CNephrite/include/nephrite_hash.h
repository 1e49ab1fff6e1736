// XXH64, the 64-bit hash that log commits carry over their batch.
#ifndef NEPHRITE_HASH_H
#define NEPHRITE_HASH_H
#include <stddef.h>
#include <stdint.h>

/// XXH64 of `length` bytes, as specified in https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
uint64_t nephrite_xxh64(const void *data, size_t length, uint64_t seed);
#endif
