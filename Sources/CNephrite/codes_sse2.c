// The codes' implementation of every x86-64 machine; codes.c chooses.
#include "codes_internal.h"
#if defined(__x86_64__)
#include <immintrin.h>

#define CODE_TARGET
#define CODE_SET nephrite_codes_sse2
#define CODE_NAME "sse2"

static inline __attribute__((always_inline)) int32_t sum_lanes(__m128i a) {
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

static inline __attribute__((always_inline)) __m128i load(const void *address) {
    return _mm_loadu_si128((const __m128i *)address);
}

// Bytes times 8-bit weights, added in pairs.
static inline __attribute__((always_inline)) __m128i products8(__m128i bytes, const int8_t *weights) {
    const __m128i zero = _mm_setzero_si128(), w = load(weights);
    const __m128i low = _mm_srai_epi16(_mm_unpacklo_epi8(zero, w), 8);
    const __m128i high = _mm_srai_epi16(_mm_unpackhi_epi8(zero, w), 8);
    return _mm_add_epi32(
        _mm_madd_epi16(_mm_unpacklo_epi8(bytes, zero), low), _mm_madd_epi16(_mm_unpackhi_epi8(bytes, zero), high));
}

static int32_t coarse1(const nephrite_code_query *query, const uint8_t *row) {
    const __m128i mask = _mm_set1_epi8(15);
    const int8_t *weights = query->coarse;
    size_t left = nephrite_code_nibble_bytes(query->dimension);
    __m128i sum = _mm_setzero_si128();
    while (left > 0) {
        const size_t block = left < 64 ? left : 64;
        for (size_t j = 0; j < block; j += 16) {
            const __m128i bytes = load(row + j);
            const __m128i upper = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
            sum = _mm_add_epi32(sum, products8(_mm_and_si128(bytes, mask), weights + j));
            sum = _mm_add_epi32(sum, products8(upper, weights + block + j));
        }
        weights += 2 * block;
        row += block;
        left -= block;
    }
    return sum_lanes(sum);
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
typedef int nephrite_codes_sse2_is_empty_here;
#endif
