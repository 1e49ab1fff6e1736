// CRC-32C: the portable slicing-by-8 version and the choice of implementation, made once. StorageFormat calls it.
#include "nephrite_crc32c.h"

#include <stdatomic.h>
#include <string.h>

#include "crc32c_internal.h"
#include "crc32c_tables.h"

// Eight bytes a step (M. Kounavis, F. Berry: "Novel Table Lookup-Based Algorithms for High-Performance CRC
// Generation", 2008).
static uint32_t update_portable(uint32_t state, const uint8_t *bytes, size_t length) {
    for (; length >= 8; bytes += 8, length -= 8) {
        uint32_t low = state ^ ((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                                (uint32_t)bytes[3] << 24);
        state = crc32c_tables[7][low & 0xff] ^ crc32c_tables[6][low >> 8 & 0xff] ^
                crc32c_tables[5][low >> 16 & 0xff] ^ crc32c_tables[4][low >> 24] ^ crc32c_tables[3][bytes[4]] ^
                crc32c_tables[2][bytes[5]] ^ crc32c_tables[1][bytes[6]] ^ crc32c_tables[0][bytes[7]];
    }
    for (; length > 0; bytes += 1, length -= 1) {
        state = crc32c_tables[0][(state ^ *bytes) & 0xff] ^ state >> 8;
    }
    return state;
}

struct implementation {
    const char *name;
    nephrite_crc32c_update update;
};

static const struct implementation portable = {"portable", update_portable};
#if defined(__x86_64__)
static const struct implementation sse42 = {"sse4.2", nephrite_crc32c_update_sse42};
static const struct implementation vpclmul = {"vpclmul", nephrite_crc32c_update_vpclmul};
#elif defined(__aarch64__)
static const struct implementation armv8 = {"armv8", nephrite_crc32c_update_armv8};
#endif

// The implementations of this machine, best first.
static size_t available(const struct implementation *list[3]) {
    size_t count = 0;
#if defined(__x86_64__)
    if (nephrite_crc32c_has_vpclmul()) list[count++] = &vpclmul;
    if (nephrite_crc32c_has_sse42()) list[count++] = &sse42;
#elif defined(__aarch64__)
    if (nephrite_crc32c_has_armv8()) list[count++] = &armv8;
#endif
    list[count++] = &portable;
    return count;
}

// Null until the first call. Threads that race to set it all store the same pointer to constant data.
static _Atomic(const struct implementation *) chosen;

static const struct implementation *current(void) {
    const struct implementation *implementation = atomic_load_explicit(&chosen, memory_order_acquire);
    if (__builtin_expect(implementation == NULL, 0)) {
        const struct implementation *list[3];
        available(list);
        implementation = list[0];
        atomic_store_explicit(&chosen, implementation, memory_order_release);
    }
    return implementation;
}

uint32_t nephrite_crc32c(uint32_t crc, const void *data, size_t length) {
    return ~current()->update(~crc, data, length);
}

uint32_t nephrite_crc32c_portable(uint32_t crc, const void *data, size_t length) {
    return ~update_portable(~crc, data, length);
}

const char *nephrite_crc32c_implementation(void) { return current()->name; }

int nephrite_crc32c_using(const char *name, uint32_t crc, const void *data, size_t length, uint32_t *result) {
    const struct implementation *list[3];
    size_t count = available(list);
    for (size_t i = 0; i < count; i += 1) {
        if (strcmp(list[i]->name, name) != 0) continue;
        *result = ~list[i]->update(~crc, data, length);
        return 1;
    }
    return 0;
}
