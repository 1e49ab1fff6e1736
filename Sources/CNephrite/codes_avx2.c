// The codes' implementation of x86-64 machines with AVX2; codes.c chooses.
#include "codes_internal.h"
#if defined(__x86_64__)
#include <immintrin.h>

#define CODE_TARGET __attribute__((target("avx2,fma")))
#define CODE_SET nephrite_codes_avx2
#define CODE_NAME "avx2"
#define AVX2 static inline __attribute__((always_inline)) CODE_TARGET

AVX2 int32_t sum_lanes(__m256i lanes) {
    __m128i a = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

AVX2 __m256i load(const void *address) { return _mm256_loadu_si256((const __m256i *)address); }
AVX2 __m256i load_half(const void *address) {
    return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)address));
}

// Nibbles times signed bytes: two products of at most 15 * 128 in 16 bits, four in each 32-bit lane.
AVX2 __m256i products(__m256i nibbles, __m256i more_nibbles, __m256i weights, __m256i more_weights) {
    const __m256i pairs = _mm256_add_epi16(
        _mm256_maddubs_epi16(nibbles, weights), _mm256_maddubs_epi16(more_nibbles, more_weights));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// `load_bytes` reads 32 bytes, or 16 in the last step of a block.
#define STEP(load_bytes, j)                                                                                       \
    do {                                                                                                          \
        const __m256i bytes = load_bytes(row + (j));                                                              \
        const __m256i lower = _mm256_and_si256(bytes, mask);                                                      \
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask);                                \
        sum = _mm256_add_epi32(                                                                                   \
            sum, products(lower, upper, load_bytes(weights + (j)), load_bytes(weights + block + (j))));           \
    } while (0)

// Sum of nibble * weight.
AVX2 int32_t sum_row(const int8_t *weights, const uint8_t *row, size_t byte_count) {
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i sum = _mm256_setzero_si256();
    while (byte_count > 0) {
        const size_t block = byte_count < 64 ? byte_count : 64;
        size_t j = 0;
        for (; j + 32 <= block; j += 32) STEP(load, j);
        if (j < block) STEP(load_half, j);
        weights += 2 * block;
        row += block;
        byte_count -= block;
    }
    return sum_lanes(sum);
}

CODE_TARGET static void coarse4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    const size_t byte_count = nephrite_code_nibble_bytes(query->dimension);
    for (int r = 0; r < 4; r += 1) sums[r] = sum_row(query->coarse, rows[r], byte_count);
}

CODE_TARGET static void coarse4x4(
    const nephrite_code_query *const *queries, const uint8_t *const *rows, int32_t *sums) {
    const size_t byte_count = nephrite_code_nibble_bytes(queries[0]->dimension);
    for (int r = 0; r < 4; r += 1) {
        for (int q = 0; q < 4; q += 1) sums[4 * q + r] = sum_row(queries[q]->coarse, rows[r], byte_count);
    }
}

#include "codes_template.h"
#else
typedef int nephrite_codes_avx2_is_empty_here;
#endif
