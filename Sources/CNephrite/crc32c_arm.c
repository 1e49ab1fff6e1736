// CRC-32C with the ARMv8 CRC instructions; crc32c.c chooses it where the machine has them.
#if defined(__aarch64__)
#include <string.h>

#include "crc32c_internal.h"

#if defined(__linux__)
#include <sys/auxv.h>
#endif

int nephrite_crc32c_has_armv8(void) {
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & (1UL << 7)) != 0;  // HWCAP_CRC32
#elif defined(__APPLE__)
    return 1;  // every 64-bit Mac with Apple silicon
#else
    return 0;
#endif
}

__attribute__((target("crc"))) uint32_t nephrite_crc32c_update_armv8(
    uint32_t state, const uint8_t *bytes, size_t length) {
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        state = __builtin_arm_crc32cd(state, word);
    }
    if (length & 4) {
        uint32_t word;
        memcpy(&word, bytes, 4);
        state = __builtin_arm_crc32cw(state, word);
        bytes += 4;
    }
    for (length &= 3; length > 0; bytes += 1, length -= 1) {
        state = __builtin_arm_crc32cb(state, *bytes);
    }
    return state;
}
#else
typedef int nephrite_crc32c_arm_is_empty_here;
#endif
