// XXH64, the non-cryptographic hash (Yann Collet, 2014) that ties a commit record to the records of its batch.
#ifndef NEPHRITE_HASH_H
#define NEPHRITE_HASH_H
#include <stddef.h>
#include <stdint.h>

/// XXH64 of `length` bytes with `seed`.
uint64_t nephrite_xxh64(const void *data, size_t length, uint64_t seed);
#endif
