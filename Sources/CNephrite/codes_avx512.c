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

// One row after the other: an ascending stream is what the hardware prefetcher follows best. Four chains hide the latency
// of the sums, and the sums over lanes are taken for four rows together.
AVX512 void fine_step(
    __m512i *sums, __m512i bytes, __m512i high, __m512i more_high, __m512i low, __m512i more_low) {
    const __m512i mask = _mm512_set1_epi8(15);
    const __m512i lower = _mm512_and_si512(bytes, mask);
    const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask);
    sums[0] = _mm512_dpbusd_epi32(sums[0], lower, high);
    sums[1] = _mm512_dpbusd_epi32(sums[1], upper, more_high);
    sums[2] = _mm512_dpbusd_epi32(sums[2], lower, low);
    sums[3] = _mm512_dpbusd_epi32(sums[3], upper, more_low);
}

AVX512 __m512i fine_row(const int8_t *high, const int8_t *low, const uint8_t *row, size_t byte_count) {
    __m512i sums[4];
    UNROLL for (int i = 0; i < 4; i += 1) sums[i] = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + 64 <= byte_count; i += 64) {
        const int8_t *h = high + 2 * i, *l = low + 2 * i;
        fine_step(sums, load(row + i), load(h), load(h + 64), load(l), load(l + 64));
    }
    if (i < byte_count) {
        const size_t block = byte_count - i;
        const __mmask64 part = (1ull << block) - 1;
        const int8_t *h = high + 2 * i, *l = low + 2 * i;
        fine_step(
            sums, _mm512_maskz_loadu_epi8(part, row + i), _mm512_maskz_loadu_epi8(part, h),
            _mm512_maskz_loadu_epi8(part, h + block), _mm512_maskz_loadu_epi8(part, l),
            _mm512_maskz_loadu_epi8(part, l + block));
    }
    const __m512i high_sum = _mm512_add_epi32(sums[0], sums[1]), low_sum = _mm512_add_epi32(sums[2], sums[3]);
    return _mm512_add_epi32(_mm512_slli_epi32(high_sum, 8), low_sum);
}

CODE_TARGET static void fine4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    const size_t byte_count = nephrite_code_nibble_bytes(query->dimension);
    __m512i found[4];
    UNROLL for (int r = 0; r < 4; r += 1) {
        found[r] = fine_row(query->fine_high, query->fine_low, rows[r], byte_count);
    }
    _mm_storeu_si128((__m128i *)sums, sum_lanes4(found[0], found[1], found[2], found[3]));
}

// Bits are masks that let weights through, four rows abreast: their rows are so short that they lie in one stream.
AVX512 void signs_step(__m512i *sums, const uint8_t *const *rows, size_t i, int k, __m512i weights) {
    const __m512i ones = _mm512_set1_epi8(1);
    UNROLL for (int r = 0; r < 4; r += 1) {
        uint64_t bits;
        memcpy(&bits, rows[r] + i, 8);
        const __m512i taken = _mm512_maskz_mov_epi8(_cvtu64_mask64(bits), weights);
        sums[2 * r + k] = _mm512_dpbusd_epi32(sums[2 * r + k], ones, taken);
    }
}

#define CODE_SIGNS signs4_vnni
CODE_TARGET static void signs4_vnni(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *out) {
    const size_t byte_count = nephrite_code_sign_bytes(query->dimension);
    const int8_t *weights = query->coarse;
    __m512i sums[8];
    UNROLL for (int i = 0; i < 8; i += 1) sums[i] = _mm512_setzero_si512();
    for (size_t i = 0; i < byte_count; i += 16) {
        signs_step(sums, rows, i, 0, load(weights + 8 * i));
        signs_step(sums, rows, i + 8, 1, load(weights + 8 * i + 64));
    }
    __m512i rows_sums[4];
    UNROLL for (int r = 0; r < 4; r += 1) rows_sums[r] = _mm512_add_epi32(sums[2 * r], sums[2 * r + 1]);
    _mm_storeu_si128((__m128i *)out, sum_lanes4(rows_sums[0], rows_sums[1], rows_sums[2], rows_sums[3]));
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

// Weights times 16 * (2 * nibble - 15) + detail, by two sums of bytes: nibbles, and details + 112, which a low nibble has
// by one of three tables. Sums wrap around on their way, and fit in the end.
AVX512 void refined_step(
    __m512i *sums, __m512i high_nibbles, __m512i low_nibbles, __m512i high_weights, __m512i low_weights) {
    const __m512i inner = _mm512_broadcast_i32x4(_mm_setr_epi8(
        97, 99, 101, 103, 105, 107, 109, 111, 113, 115, 117, 119, 121, 123, 125, 127));
    const __m512i first = _mm512_broadcast_i32x4(_mm_setr_epi8(
        4, 12, 20, 28, 36, 44, 52, 60, 68, 76, 84, 92, 100, 108, 116, 124));
    const __m512i last = _mm512_add_epi8(first, _mm512_set1_epi8(96));
    __m512i details = _mm512_shuffle_epi8(inner, low_nibbles);
    const __mmask64 is_first = _mm512_testn_epi8_mask(high_nibbles, high_nibbles);
    const __mmask64 is_last = _mm512_cmpeq_epi8_mask(high_nibbles, _mm512_set1_epi8(15));
    details = _mm512_mask_shuffle_epi8(details, is_first, first, low_nibbles);
    details = _mm512_mask_shuffle_epi8(details, is_last, last, low_nibbles);
    sums[0] = _mm512_dpbusd_epi32(sums[0], high_nibbles, high_weights);
    sums[1] = _mm512_dpbusd_epi32(sums[1], high_nibbles, low_weights);
    sums[2] = _mm512_dpbusd_epi32(sums[2], details, high_weights);
    sums[3] = _mm512_dpbusd_epi32(sums[3], details, low_weights);
}

#define CODE_REFINED refined_vnni
CODE_TARGET static int32_t refined_vnni(const nephrite_code_query *query, const uint8_t *high, const uint8_t *low) {
    const size_t byte_count = nephrite_code_nibble_bytes(query->dimension);
    const int8_t *high_weights = query->fine_high, *low_weights = query->fine_low;
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i sums[4];
    UNROLL for (int i = 0; i < 4; i += 1) sums[i] = _mm512_setzero_si512();
    for (size_t i = 0; i < byte_count; i += 64) {
        const size_t block = byte_count - i < 64 ? byte_count - i : 64;
        const __mmask64 part = block == 64 ? ~0ull : (1ull << block) - 1;
        const __m512i h = _mm512_maskz_loadu_epi8(part, high + i), l = _mm512_maskz_loadu_epi8(part, low + i);
        refined_step(
            sums, _mm512_and_si512(h, mask), _mm512_and_si512(l, mask),
            _mm512_maskz_loadu_epi8(part, high_weights + 2 * i), _mm512_maskz_loadu_epi8(part, low_weights + 2 * i));
        refined_step(
            sums, _mm512_and_si512(_mm512_srli_epi16(h, 4), mask), _mm512_and_si512(_mm512_srli_epi16(l, 4), mask),
            _mm512_maskz_loadu_epi8(part, high_weights + 2 * i + block),
            _mm512_maskz_loadu_epi8(part, low_weights + 2 * i + block));
    }
    int32_t found[4];
    _mm_storeu_si128((__m128i *)found, sum_lanes4(sums[0], sums[1], sums[2], sums[3]));
    const uint32_t nibbles = ((uint32_t)found[0] << 8) + (uint32_t)found[1];
    const uint32_t details = ((uint32_t)found[2] << 8) + (uint32_t)found[3];
    const uint32_t weights = (uint32_t)query->fine_sum;
    return (int32_t)(16 * (2 * nibbles - 15 * weights) + details - 112 * weights);
}

#define CODE_KEPT kept_lanes
AVX512 uint32_t kept_lanes(const float *upper, float threshold) {
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(upper), _mm512_set1_ps(threshold), _CMP_NLT_UQ);
}

#include "codes_template.h"
#else
typedef int nephrite_codes_avx512_is_empty_here;
#endif
