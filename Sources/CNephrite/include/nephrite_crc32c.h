// CRC-32C (Castagnoli, RFC 3720 B.4), in hardware where there is some.
#ifndef NEPHRITE_CRC32C_H
#define NEPHRITE_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/// Continues a CRC-32C: pass 0 to start, or an earlier result to go on from it.
/// nephrite_crc32c(nephrite_crc32c(0, a), b) == nephrite_crc32c(0, a ++ b).
uint32_t nephrite_crc32c(uint32_t crc, const void *data, size_t length);
/// The same in portable C, whatever the machine has; the reference in tests.
uint32_t nephrite_crc32c_portable(uint32_t crc, const void *data, size_t length);
/// Name of the implementation in use: "vpclmul", "sse4.2", "armv8" or "portable".
const char *nephrite_crc32c_implementation(void);
/// For tests: the same by the named implementation, into `result`. 1, or 0 if this machine does not have it.
int nephrite_crc32c_using(const char *name, uint32_t crc, const void *data, size_t length, uint32_t *result);
#endif
