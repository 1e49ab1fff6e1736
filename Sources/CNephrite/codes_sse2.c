// The codes' implementation of every x86-64 machine; codes.c chooses.
#include "codes_internal.h"
#if defined(__x86_64__)
#include <immintrin.h>

#define CODE_TARGET
#define CODE_SET nephrite_codes_sse2
#define CODE_NAME "sse2"
#define STEP 16
#define SSE2 static inline __attribute__((always_inline))

SSE2 __m128i load(const void *address) { return _mm_loadu_si128((const __m128i *)address); }

typedef __m128i accumulator;
SSE2 __m128i sum_zero(void) { return _mm_setzero_si128(); }
SSE2 int32_t sum_total(__m128i a) {
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}
SSE2 __m128i low_nibbles(const uint8_t *bytes) { return _mm_and_si128(load(bytes), _mm_set1_epi8(15)); }
SSE2 __m128i high_nibbles(const uint8_t *bytes) {
    return _mm_and_si128(_mm_srli_epi16(load(bytes), 4), _mm_set1_epi8(15));
}

// Nibbles times 16-bit weights, added in pairs.
SSE2 __m128i products(__m128i nibbles, __m128i low, __m128i high) {
    const __m128i zero = _mm_setzero_si128();
    return _mm_add_epi32(
        _mm_madd_epi16(_mm_unpacklo_epi8(nibbles, zero), low), _mm_madd_epi16(_mm_unpackhi_epi8(nibbles, zero), high));
}

// The same with 8-bit weights.
SSE2 __m128i products8(__m128i nibbles, __m128i weights) {
    const __m128i zero = _mm_setzero_si128();
    return products(
        nibbles, _mm_srai_epi16(_mm_unpacklo_epi8(zero, weights), 8),
        _mm_srai_epi16(_mm_unpackhi_epi8(zero, weights), 8));
}

SSE2 __m128i coarse_step(__m128i sum, const uint8_t *bytes, const int8_t *low, const int8_t *high) {
    sum = _mm_add_epi32(sum, products8(low_nibbles(bytes), load(low)));
    return _mm_add_epi32(sum, products8(high_nibbles(bytes), load(high)));
}

#include "codes_single.h"
#include "codes_template.h"
#else
typedef int nephrite_codes_sse2_is_empty_here;
#endif
