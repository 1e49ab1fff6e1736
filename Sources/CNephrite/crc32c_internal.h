// What crc32c.c and the hardware versions share. Each takes and returns the raw register, that is the complement of the
// checksum that callers see.
#ifndef NEPHRITE_CRC32C_INTERNAL_H
#define NEPHRITE_CRC32C_INTERNAL_H
#include <stddef.h>
#include <stdint.h>

typedef uint32_t (*nephrite_crc32c_update)(uint32_t state, const uint8_t *bytes, size_t length);

#if defined(__x86_64__)
int nephrite_crc32c_has_sse42(void);
int nephrite_crc32c_has_vpclmul(void);
uint32_t nephrite_crc32c_update_sse42(uint32_t state, const uint8_t *bytes, size_t length);
uint32_t nephrite_crc32c_update_vpclmul(uint32_t state, const uint8_t *bytes, size_t length);
#elif defined(__aarch64__)
int nephrite_crc32c_has_armv8(void);
uint32_t nephrite_crc32c_update_armv8(uint32_t state, const uint8_t *bytes, size_t length);
#endif
#endif
