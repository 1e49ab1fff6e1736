// The codes' implementation of 64-bit ARM machines; codes.c chooses.
#include "codes_internal.h"
#if defined(__aarch64__)
#include <arm_neon.h>

#define CODE_TARGET
#define CODE_SET nephrite_codes_neon
#define CODE_NAME "neon"
#define STEP 16
#define NEON static inline __attribute__((always_inline))

typedef int32x4_t accumulator;
NEON int32x4_t sum_zero(void) { return vdupq_n_s32(0); }
NEON int32_t sum_total(int32x4_t sum) { return vaddvq_s32(sum); }
NEON uint8x16_t low_nibbles(const uint8_t *bytes) { return vandq_u8(vld1q_u8(bytes), vdupq_n_u8(15)); }
NEON uint8x16_t high_nibbles(const uint8_t *bytes) { return vshrq_n_u8(vld1q_u8(bytes), 4); }

// Adds nibbles times 16-bit weights to a sum.
NEON int32x4_t add_products(int32x4_t sum, uint8x16_t nibbles, int16x8_t low, int16x8_t high) {
    const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(nibbles)));
    const int16x8_t second = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(nibbles)));
    sum = vmlal_s16(sum, vget_low_s16(first), vget_low_s16(low));
    sum = vmlal_high_s16(sum, first, low);
    sum = vmlal_s16(sum, vget_low_s16(second), vget_low_s16(high));
    return vmlal_high_s16(sum, second, high);
}

// The same with 8-bit weights.
NEON int32x4_t add_products8(int32x4_t sum, uint8x16_t nibbles, int8x16_t weights) {
    return add_products(sum, nibbles, vmovl_s8(vget_low_s8(weights)), vmovl_s8(vget_high_s8(weights)));
}

NEON int32x4_t coarse_step(int32x4_t sum, const uint8_t *bytes, const int8_t *low, const int8_t *high) {
    sum = add_products8(sum, low_nibbles(bytes), vld1q_s8(low));
    return add_products8(sum, high_nibbles(bytes), vld1q_s8(high));
}

#include "codes_single.h"
#include "codes_template.h"
#else
typedef int nephrite_codes_neon_is_empty_here;
#endif
