// The codes' implementation of 64-bit ARM machines; codes.c chooses.
#include "codes_internal.h"
#if defined(__aarch64__)
#include <arm_neon.h>

#define CODE_TARGET
#define CODE_SET nephrite_codes_neon
#define CODE_NAME "neon"

// Adds bytes times weights to a sum.
static inline __attribute__((always_inline)) int32x4_t add_products(
    int32x4_t sum, uint8x16_t bytes, int16x8_t low, int16x8_t high) {
    const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
    const int16x8_t second = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(bytes)));
    sum = vmlal_s16(sum, vget_low_s16(first), vget_low_s16(low));
    sum = vmlal_high_s16(sum, first, low);
    sum = vmlal_s16(sum, vget_low_s16(second), vget_low_s16(high));
    return vmlal_high_s16(sum, second, high);
}

static inline __attribute__((always_inline)) int32x4_t add_coarse(
    int32x4_t sum, uint8x16_t bytes, const int8_t *weights) {
    const int8x16_t w = vld1q_s8(weights);
    return add_products(sum, bytes, vmovl_s8(vget_low_s8(w)), vmovl_s8(vget_high_s8(w)));
}

static int32_t coarse1(const nephrite_code_query *query, const uint8_t *row) {
    const int8_t *weights = query->coarse;
    size_t left = nephrite_code_nibble_bytes(query->dimension);
    int32x4_t sum = vdupq_n_s32(0);
    while (left > 0) {
        const size_t block = left < 64 ? left : 64;
        for (size_t j = 0; j < block; j += 16) {
            const uint8x16_t bytes = vld1q_u8(row + j);
            sum = add_coarse(sum, vandq_u8(bytes, vdupq_n_u8(15)), weights + j);
            sum = add_coarse(sum, vshrq_n_u8(bytes, 4), weights + block + j);
        }
        weights += 2 * block;
        row += block;
        left -= block;
    }
    return vaddvq_s32(sum);
}

static void coarse4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    for (int r = 0; r < 4; r += 1) sums[r] = coarse1(query, rows[r]);
}

static void coarse4x4(const nephrite_code_query *const *queries, const uint8_t *const *rows, int32_t *sums) {
    for (int q = 0; q < 4; q += 1) {
        for (int r = 0; r < 4; r += 1) sums[4 * q + r] = coarse1(queries[q], rows[r]);
    }
}

#include "codes_template.h"
#else
typedef int nephrite_codes_neon_is_empty_here;
#endif
