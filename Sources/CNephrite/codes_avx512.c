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

// Adds 64 bytes of a row. The upper nibbles are looked at where they lie, as 16 times what they are; so lower sums
// are made 16 times what they are before both are added.
#define COARSE_STEP(lower, upper, bytes, weights, more_weights)                                                   \
    do {                                                                                                          \
        lower = _mm512_dpbusd_epi32(lower, _mm512_and_si512(bytes, mask), weights);                               \
        upper = _mm512_dpbusd_epi32(upper, _mm512_andnot_si512(mask, bytes), more_weights);                       \
    } while (0)
AVX512 __m512i both_sums(__m512i lower, __m512i upper) { return _mm512_add_epi32(_mm512_slli_epi32(lower, 4), upper); }

// One row after the other: an ascending stream is what the hardware prefetcher follows best (four rows of 400 bytes
// abreast took five times as long on zen4), and the sums over lanes are taken for four rows together.
AVX512 __m512i coarse_row(const int8_t *weights, const uint8_t *row, size_t byte_count) {
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i lower = _mm512_setzero_si512(), upper = lower;
    size_t i = 0;
    for (; i + 64 <= byte_count; i += 64) {
        const __m512i bytes = load(row + i);
        COARSE_STEP(lower, upper, bytes, load(weights + 2 * i), load(weights + 2 * i + 64));
    }
    if (i < byte_count) {
        const size_t block = byte_count - i;
        const __mmask64 part = (1ull << block) - 1;
        const __m512i bytes = _mm512_maskz_loadu_epi8(part, row + i);
        const int8_t *w = weights + 2 * i;
        COARSE_STEP(
            lower, upper, bytes, _mm512_maskz_loadu_epi8(part, w), _mm512_maskz_loadu_epi8(part, w + block));
    }
    return both_sums(lower, upper);
}

CODE_TARGET static void coarse4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    const size_t byte_count = nephrite_code_nibble_bytes(query->dimension);
    __m512i found[4];
    UNROLL for (int r = 0; r < 4; r += 1) found[r] = coarse_row(query->coarse, rows[r], byte_count);
    const __m128i four = sum_lanes4(found[0], found[1], found[2], found[3]);
    _mm_storeu_si128((__m128i *)sums, _mm_srai_epi32(four, 4));
}

// Short rows, four abreast: they lie in one stream all the same, and share the loads of the weights.
AVX512 void short_rows4(const int8_t *weights, const uint8_t *row, size_t row_bytes, size_t byte_count, __m512i *sums) {
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i upper[4];
    UNROLL for (int r = 0; r < 4; r += 1) sums[r] = upper[r] = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + 64 <= byte_count; i += 64) {
        const __m512i w = load(weights + 2 * i), v = load(weights + 2 * i + 64);
        UNROLL for (size_t r = 0; r < 4; r += 1) {
            const __m512i bytes = load(row + r * row_bytes + i);
            COARSE_STEP(sums[r], upper[r], bytes, w, v);
        }
    }
    if (i < byte_count) {
        const size_t block = byte_count - i;
        const __mmask64 part = (1ull << block) - 1;
        const __m512i w = _mm512_maskz_loadu_epi8(part, weights + 2 * i);
        const __m512i v = _mm512_maskz_loadu_epi8(part, weights + 2 * i + block);
        UNROLL for (size_t r = 0; r < 4; r += 1) {
            const __m512i bytes = _mm512_maskz_loadu_epi8(part, row + r * row_bytes + i);
            COARSE_STEP(sums[r], upper[r], bytes, w, v);
        }
    }
    UNROLL for (int r = 0; r < 4; r += 1) sums[r] = both_sums(sums[r], upper[r]);
}

enum { short_row_bytes = 256 };

// In each quarter of a register the sums of its lanes of four others, in their order.
AVX512 __m512i sum_quarters4(const __m512i *v) {
    const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

// What is left of the sums over lanes of 16 registers after sum_quarters4 of each four.
AVX512 __m512i sum_quarters(const __m512i *fours) {
    __m512i halves[2];
    UNROLL for (int i = 0; i < 2; i += 1) {
        const __m512i a = fours[2 * i], b = fours[2 * i + 1];
        halves[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
    }
    return _mm512_add_epi32(
        _mm512_shuffle_i32x4(halves[0], halves[1], 0x88), _mm512_shuffle_i32x4(halves[0], halves[1], 0xdd));
}

// 16 rows of `steps` times 64 bytes and, if there is a tail, a part of that; all but which part are constants. They
// follow one another, or lie anywhere if `scattered` has their addresses. The weights are in registers, and the compiler
// is kept from going through all rows at once, for which it has not enough of them.
AVX512 __m512i fixed_rows16(
    const __m512i *weights, const int steps, const int has_tail, __mmask64 part, const uint8_t *const *scattered,
    const uint8_t *rows, size_t row_bytes) {
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i fours[4];
    UNROLL for (int g = 0; g < 4; g += 1) {
        __m512i found[4];
        UNROLL for (int r = 0; r < 4; r += 1) {
            if (scattered != NULL) rows = scattered[4 * g + r];
            __m512i lower = _mm512_setzero_si512(), upper = lower;
            UNROLL for (int s = 0; s < steps + has_tail; s += 1) {
                const __m512i bytes =
                    s < steps ? load(rows + 64 * s) : _mm512_maskz_loadu_epi8(part, rows + 64 * s);
                COARSE_STEP(lower, upper, bytes, weights[2 * s], weights[2 * s + 1]);
            }
            found[r] = both_sums(lower, upper);
            rows += row_bytes;
            __asm__ volatile("" : "+v"(found[r]), "+r"(rows));
        }
        fours[g] = sum_quarters4(found);
    }
    return _mm512_srai_epi32(sum_quarters(fours), 4);
}

// Sums of 16 rows that lie anywhere, of any length.
AVX512 __m512i scattered_rows16(const int8_t *weights, const uint8_t *const *rows, size_t byte_count) {
    __m512i fours[4];
    for (int g = 0; g < 4; g += 1) {
        __m512i found[4];
        UNROLL for (int r = 0; r < 4; r += 1) found[r] = coarse_row(weights, rows[4 * g + r], byte_count);
        fours[g] = sum_quarters4(found);
    }
    return _mm512_srai_epi32(sum_quarters(fours), 4);
}

// Sums of 16 rows that follow one another.
AVX512 __m512i coarse_rows16(const int8_t *weights, const uint8_t *rows, size_t row_bytes, size_t byte_count) {
    __m512i fours[4];
    for (int g = 0; g < 4; g += 1, rows += 4 * row_bytes) {
        __m512i found[4];
        if (byte_count <= short_row_bytes) {
            short_rows4(weights, rows, row_bytes, byte_count, found);
        } else {
            UNROLL for (size_t r = 0; r < 4; r += 1) found[r] = coarse_row(weights, rows + r * row_bytes, byte_count);
        }
        fours[g] = sum_quarters4(found);
    }
    return _mm512_srai_epi32(sum_quarters(fours), 4);
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

// Weights times 16 * (2 * nibble - 15) + detail, by two sums of bytes: nibbles, and details + 112, which a low nibble
// has by one of three tables. Sums wrap around on their way, and fit in the end.
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

#define CODE_WAITING .count_reaching = count_reaching, .take_waiting = take_waiting,
CODE_TARGET static size_t count_reaching(const float *upper, size_t count, float bound) {
    size_t reaching = 0;
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 part = count - i < 16 ? (__mmask16)((1u << (count - i)) - 1) : (__mmask16)0xffff;
        const __m512 bounds = _mm512_maskz_loadu_ps(part, upper + i);
        reaching += (size_t)__builtin_popcount(
            _mm512_mask_cmp_ps_mask(part, bounds, _mm512_set1_ps(bound), _CMP_GE_OQ));
    }
    return reaching;
}

// What stays moves to a place that has been read; what is stored behind it is read over or has no meaning.
CODE_TARGET static size_t take_waiting(
    float *upper, uint32_t *slots, size_t count, float threshold, float wanted, uint32_t *taken,
    size_t *taken_count) {
    const __m512 least = _mm512_set1_ps(threshold), most = _mm512_set1_ps(wanted);
    size_t found = 0, kept = 0;
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 part = count - i < 16 ? (__mmask16)((1u << (count - i)) - 1) : (__mmask16)0xffff;
        const __m512 bounds = _mm512_maskz_loadu_ps(part, upper + i);
        const __m512i places = _mm512_maskz_loadu_epi32(part, slots + i);
        uint32_t out = _mm512_mask_cmp_ps_mask(part, bounds, most, _CMP_GE_OQ);
        while (found + (size_t)__builtin_popcount(out) > 16) out &= ~(1u << (31 - __builtin_clz(out)));
        const __mmask16 staying =
            _mm512_mask_cmp_ps_mask((__mmask16)(part & ~out), bounds, least, _CMP_GE_OQ);
        _mm512_storeu_si512(taken + found, _mm512_maskz_compress_epi32((__mmask16)out, places));
        found += (size_t)__builtin_popcount(out);
        _mm512_storeu_ps(upper + kept, _mm512_maskz_compress_ps(staying, bounds));
        _mm512_storeu_si512(slots + kept, _mm512_maskz_compress_epi32(staying, places));
        kept += (size_t)__builtin_popcount(staying);
    }
    *taken_count = found;
    return kept;
}

#define CODE_BLOCK64 block64_by_line
CODE_TARGET static uint64_t block64_by_line(
    const nephrite_code_query *query, int by_signs, const uint8_t *rows, float threshold, float *lower, float *upper);
#define CODE_ROWS64 rows64_by_line
CODE_TARGET static uint64_t rows64_by_line(
    const nephrite_code_query *query, const uint8_t *const *rows, size_t count, float threshold, float *lower,
    float *upper);
#define CODE_PASSES .prepare_pass = prepare_pass, .pass64 = pass64,
CODE_TARGET static void prepare_pass(
    const nephrite_code_query *const *queries, size_t count, int by_signs, void *scratch);
CODE_TARGET static void pass64(
    const nephrite_code_query *const *queries, size_t count, int by_signs, const uint8_t *rows, uint64_t mask,
    const float *thresholds, uint64_t *survivors, float *upper, void *scratch);
#include "codes_template.h"
#include "codes_avx512_blocks.h"
#include "codes_avx512_pass.h"
#include "codes_avx512_signs.h"
#else
typedef int nephrite_codes_avx512_is_empty_here;
#endif
