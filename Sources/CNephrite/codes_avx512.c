// The codes' implementation of x86-64 machines with AVX-512 and VNNI; codes.c chooses.
#include "codes_internal.h"
#if defined(__x86_64__)
#include <immintrin.h>

#define CODE_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")))
#define CODE_SET nephrite_codes_avx512
#define CODE_NAME "avx512"
#define AVX512 static inline __attribute__((always_inline)) CODE_TARGET
#define UNROLL _Pragma("clang loop unroll(full)")

// The sums of the lanes of four registers.
AVX512 __m128i sum_lanes4(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

AVX512 __m512i load(const void *address) { return _mm512_loadu_si512(address); }

// Four rows by one query with both bytes of its weights: the weights are loaded once for all rows.
AVX512 void fine_step(
    __m512i *high_sums, __m512i *low_sums, const __m512i *bytes, __m512i high, __m512i more_high, __m512i low,
    __m512i more_low) {
    const __m512i mask = _mm512_set1_epi8(15);
    UNROLL for (int r = 0; r < 4; r += 1) {
        const __m512i lower = _mm512_and_si512(bytes[r], mask);
        const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(bytes[r], 4), mask);
        high_sums[r] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(high_sums[r], lower, high), upper, more_high);
        low_sums[r] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(low_sums[r], lower, low), upper, more_low);
    }
}

CODE_TARGET static void fine4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    const size_t byte_count = nephrite_code_nibble_bytes(query->dimension);
    const int8_t *high = query->fine_high, *low = query->fine_low;
    __m512i high_sums[4], low_sums[4], bytes[4];
    UNROLL for (int r = 0; r < 4; r += 1) high_sums[r] = low_sums[r] = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + 64 <= byte_count; i += 64, high += 128, low += 128) {
        UNROLL for (int r = 0; r < 4; r += 1) bytes[r] = load(rows[r] + i);
        fine_step(high_sums, low_sums, bytes, load(high), load(high + 64), load(low), load(low + 64));
    }
    if (i < byte_count) {
        const size_t block = byte_count - i;
        const __mmask64 part = (1ull << block) - 1;
        UNROLL for (int r = 0; r < 4; r += 1) bytes[r] = _mm512_maskz_loadu_epi8(part, rows[r] + i);
        fine_step(
            high_sums, low_sums, bytes, _mm512_maskz_loadu_epi8(part, high), _mm512_maskz_loadu_epi8(part, high + block),
            _mm512_maskz_loadu_epi8(part, low), _mm512_maskz_loadu_epi8(part, low + block));
    }
    UNROLL for (int r = 0; r < 4; r += 1) {
        high_sums[r] = _mm512_add_epi32(_mm512_slli_epi32(high_sums[r], 8), low_sums[r]);
    }
    _mm_storeu_si128((__m128i *)sums, sum_lanes4(high_sums[0], high_sums[1], high_sums[2], high_sums[3]));
}

// Four rows by four queries: 16 sums in registers, each row's bytes unpacked once, each weight loaded once.
AVX512 void coarse_step(__m512i (*sums)[4], const __m512i *bytes, const __m512i *weights, const __m512i *more_weights) {
    const __m512i mask = _mm512_set1_epi8(15);
    UNROLL for (int r = 0; r < 4; r += 1) {
        const __m512i lower = _mm512_and_si512(bytes[r], mask);
        const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(bytes[r], 4), mask);
        UNROLL for (int q = 0; q < 4; q += 1) {
            sums[q][r] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sums[q][r], lower, weights[q]), upper, more_weights[q]);
        }
    }
}

CODE_TARGET static void coarse4x4(
    const nephrite_code_query *const *queries, const uint8_t *const *rows, int32_t *out) {
    const size_t byte_count = nephrite_code_nibble_bytes(queries[0]->dimension);
    const int8_t *const w[4] = {queries[0]->coarse, queries[1]->coarse, queries[2]->coarse, queries[3]->coarse};
    __m512i sums[4][4], bytes[4], weights[4], more[4];
    UNROLL for (int q = 0; q < 4; q += 1) {
        UNROLL for (int r = 0; r < 4; r += 1) sums[q][r] = _mm512_setzero_si512();
    }
    size_t i = 0;
    for (; i + 64 <= byte_count; i += 64) {
        UNROLL for (int k = 0; k < 4; k += 1) {
            bytes[k] = load(rows[k] + i);
            weights[k] = load(w[k] + 2 * i);
            more[k] = load(w[k] + 2 * i + 64);
        }
        coarse_step(sums, bytes, weights, more);
    }
    if (i < byte_count) {
        const size_t block = byte_count - i;
        const __mmask64 part = (1ull << block) - 1;
        UNROLL for (int k = 0; k < 4; k += 1) {
            bytes[k] = _mm512_maskz_loadu_epi8(part, rows[k] + i);
            weights[k] = _mm512_maskz_loadu_epi8(part, w[k] + 2 * i);
            more[k] = _mm512_maskz_loadu_epi8(part, w[k] + 2 * i + block);
        }
        coarse_step(sums, bytes, weights, more);
    }
    UNROLL for (int q = 0; q < 4; q += 1) {
        const __m128i four = sum_lanes4(sums[q][0], sums[q][1], sums[q][2], sums[q][3]);
        _mm_storeu_si128((__m128i *)(out + 4 * q), four);
    }
}

#define CODE_KEPT kept_lanes
AVX512 uint32_t kept_lanes(const float *upper, float threshold) {
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(upper), _mm512_set1_ps(threshold), _CMP_NLT_UQ);
}

#include "codes_template.h"
#else
typedef int nephrite_codes_avx512_is_empty_here;
#endif
