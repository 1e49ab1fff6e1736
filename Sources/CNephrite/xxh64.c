// XXH64 after its public specification (see nephrite_hash.h); the log's commit records use it through StorageFormat.
#include "nephrite_hash.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "CNephrite reads words in little-endian order"
#endif

static const uint64_t prime1 = 0x9e3779b185ebca87u;
static const uint64_t prime2 = 0xc2b2ae3d27d4eb4fu;
static const uint64_t prime3 = 0x165667b19e3779f9u;
static const uint64_t prime4 = 0x85ebca77c2b2ae63u;
static const uint64_t prime5 = 0x27d4eb2f165667c5u;

static inline uint64_t read64(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint64_t read32(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint64_t rotate_left(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

static inline uint64_t mix_lane(uint64_t accumulator, uint64_t lane) {
    return rotate_left(accumulator + lane * prime2, 31) * prime1;
}

static inline uint64_t merge(uint64_t hash, uint64_t accumulator) {
    return (hash ^ mix_lane(0, accumulator)) * prime1 + prime4;
}

// The part of at most 31 bytes after the last full stripe, then the avalanche.
static uint64_t finish(uint64_t hash, const uint8_t *bytes, size_t length) {
    for (; length >= 8; bytes += 8, length -= 8) {
        hash = rotate_left(hash ^ mix_lane(0, read64(bytes)), 27) * prime1 + prime4;
    }
    if (length >= 4) {
        hash = rotate_left(hash ^ read32(bytes) * prime1, 23) * prime2 + prime3;
        bytes += 4;
        length -= 4;
    }
    for (; length > 0; bytes += 1, length -= 1) {
        hash = rotate_left(hash ^ *bytes * prime5, 11) * prime1;
    }
    hash = (hash ^ hash >> 33) * prime2;
    hash = (hash ^ hash >> 29) * prime3;
    return hash ^ hash >> 32;
}

uint64_t nephrite_xxh64(const void *data, size_t length, uint64_t seed) {
    const uint8_t *bytes = data;
    if (length < 32) return finish(seed + prime5 + length, bytes, length);

    uint64_t a = seed + prime1 + prime2, b = seed + prime2, c = seed, d = seed - prime1;
    size_t remaining = length;
    for (; remaining >= 32; bytes += 32, remaining -= 32) {
        a = mix_lane(a, read64(bytes));
        b = mix_lane(b, read64(bytes + 8));
        c = mix_lane(c, read64(bytes + 16));
        d = mix_lane(d, read64(bytes + 24));
    }
    uint64_t hash = rotate_left(a, 1) + rotate_left(b, 7) + rotate_left(c, 12) + rotate_left(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
    return finish(hash + length, bytes, remaining);
}
