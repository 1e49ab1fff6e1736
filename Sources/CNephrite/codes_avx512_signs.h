// Blocks of 64 rows of the plane of signs for codes_avx512.c, where a machine counts the bits of 64-bit lanes: three
// planes of a query's weights against the bits of a row, weighted by Horner's scheme. (A multiplication a bit, as in
// the planes of nibbles, takes 1.7 times as long on zen4.)
#define COUNTING                                                                                                  \
    static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,"           \
                                                       "avx512vpopcntdq,avx2,fma")))

enum { sign_planes = nephrite_code_sign_weight_bits, most_sign_steps = 4 };

// What the planes count, in eight lanes.
COUNTING __m512i count_signs(__m512i bits, const __m512i *planes) {
    __m512i counts = _mm512_setzero_si512();
    UNROLL for (int b = sign_planes - 1; b >= 0; b -= 1) {
        const __m512i differing = _mm512_popcnt_epi64(_mm512_xor_si512(bits, planes[b]));
        counts = b == sign_planes - 1 ? differing : _mm512_add_epi64(_mm512_add_epi64(counts, counts), differing);
    }
    return counts;
}

// A query's planes: for each step of 64 bytes, then for the rest, which is there twice if two rows' fit a register.
AVX512 void load_sign_planes(
    const uint8_t *signs, size_t byte_count, const int steps, const int tail_bytes, __m512i *planes) {
    UNROLL for (int s = 0; s < steps; s += 1) {
        UNROLL for (int b = 0; b < sign_planes; b += 1) {
            planes[sign_planes * s + b] = load(signs + (size_t)b * byte_count + 64 * (size_t)s);
        }
    }
    if (tail_bytes > 0) {
        UNROLL for (int b = 0; b < sign_planes; b += 1) {
            const __m512i rest =
                _mm512_maskz_loadu_epi8((1ull << tail_bytes) - 1, signs + (size_t)b * byte_count + 64 * (size_t)steps);
            planes[sign_planes * steps + b] =
                tail_bytes <= 32 ? _mm512_shuffle_i64x2(rest, rest, 0x44) : rest;
        }
    }
    // Or they would be read from memory for each row.
    const int count = sign_planes * (steps + (tail_bytes > 0));
    UNROLL for (int i = 0; i < count; i += 1) __asm__("" : "+v"(planes[i]));
}

// Two rows' sums: in the lanes of each half of a register.
COUNTING __m512i sign_pair(
    const __m512i *planes, const int steps, const int tail_bytes, const uint8_t *row, size_t row_bytes) {
    __m512i first = _mm512_setzero_si512(), second = first;
    UNROLL for (int s = 0; s < steps; s += 1) {
        const __m512i of_first = count_signs(load(row + 64 * s), planes + sign_planes * s);
        const __m512i of_second = count_signs(load(row + row_bytes + 64 * s), planes + sign_planes * s);
        first = s == 0 ? of_first : _mm512_add_epi64(first, of_first);
        second = s == 0 ? of_second : _mm512_add_epi64(second, of_second);
    }
    const __m512i *rest = planes + sign_planes * steps;
    if (tail_bytes > 32) {
        const __mmask64 part = (1ull << tail_bytes) - 1;
        first = _mm512_add_epi64(first, count_signs(_mm512_maskz_loadu_epi8(part, row + 64 * steps), rest));
        second =
            _mm512_add_epi64(second, count_signs(_mm512_maskz_loadu_epi8(part, row + row_bytes + 64 * steps), rest));
    }
    __m512i sums = _mm512_add_epi64(
        _mm512_shuffle_i64x2(first, second, 0x44), _mm512_shuffle_i64x2(first, second, 0xee));
    if (tail_bytes > 0 && tail_bytes <= 32) {
        const __mmask32 part = tail_bytes == 32 ? ~0u : (1u << tail_bytes) - 1;
        const __m512i both = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_maskz_loadu_epi8(part, row + 64 * steps)),
            _mm256_maskz_loadu_epi8(part, row + row_bytes + 64 * steps), 1);
        sums = steps == 0 ? count_signs(both, rest) : _mm512_add_epi64(sums, count_signs(both, rest));
    }
    return sums;
}

// Two rows' sums, of any length.
COUNTING __m512i long_sign_pair(const uint8_t *signs, size_t byte_count, const uint8_t *row, size_t row_bytes) {
    __m512i first = _mm512_setzero_si512(), second = first;
    for (size_t i = 0; i < byte_count; i += 64) {
        const __mmask64 part = byte_count - i < 64 ? (1ull << (byte_count - i)) - 1 : ~0ull;
        __m512i planes[sign_planes];
        UNROLL for (size_t b = 0; b < sign_planes; b += 1) {
            planes[b] = _mm512_maskz_loadu_epi8(part, signs + b * byte_count + i);
        }
        first = _mm512_add_epi64(first, count_signs(_mm512_maskz_loadu_epi8(part, row + i), planes));
        second = _mm512_add_epi64(second, count_signs(_mm512_maskz_loadu_epi8(part, row + row_bytes + i), planes));
    }
    return _mm512_add_epi64(_mm512_shuffle_i64x2(first, second, 0x44), _mm512_shuffle_i64x2(first, second, 0xee));
}

// The lanes of eight pairs summed up, in the order of their rows. Sums need less than 32 bits: two share a lane.
AVX512 __m512i sum_sign_pairs(const __m512i *pairs) {
    __m512i twos[4], halves[2];
    UNROLL for (int g = 0; g < 4; g += 1) {
        twos[g] = _mm512_or_si512(pairs[2 * g], _mm512_slli_epi64(pairs[2 * g + 1], 32));
    }
    UNROLL for (int h = 0; h < 2; h += 1) {
        halves[h] = _mm512_add_epi32(
            _mm512_unpacklo_epi64(twos[2 * h], twos[2 * h + 1]), _mm512_unpackhi_epi64(twos[2 * h], twos[2 * h + 1]));
    }
    const __m512i all = _mm512_add_epi32(
        _mm512_shuffle_i32x4(halves[0], halves[1], 0x88), _mm512_shuffle_i32x4(halves[0], halves[1], 0xdd));
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    return _mm512_permutexvar_epi32(order, all);
}

// `steps` and `tail_bytes` are constants: rows have so many times 64 bytes, and so many more; steps below 0: any length.
COUNTING uint64_t signs64_of(
    const nephrite_code_query *query, const int steps, const int tail_bytes, const uint8_t *rows, float threshold,
    float *lower, float *upper) {
    const size_t byte_count = nephrite_code_sign_bytes(query->dimension);
    const size_t row_bytes = byte_count + nephrite_code_factor_bytes;
    const struct line line = make_line(&query->sign_bound, threshold, rows + byte_count);
    __m512i planes[sign_planes * (most_sign_steps + 1)];
    if (steps >= 0) load_sign_planes(query->signs, byte_count, steps, tail_bytes, planes);
    uint64_t kept = 0;
    for (int first = 0; first < nephrite_code_block_rows; first += 16, rows += 16 * row_bytes) {
        __m512i pairs[8];
        const uint8_t *row = rows;
        UNROLL for (int p = 0; p < 8; p += 1) {
            pairs[p] = steps >= 0 ? sign_pair(planes, steps, tail_bytes, row, row_bytes)
                                  : long_sign_pair(query->signs, byte_count, row, row_bytes);
            row += 2 * row_bytes;
            // Pair by pair: for more at a time there are not enough registers.
            __asm__ volatile("" : "+v"(pairs[p]), "+r"(row));
        }
        struct factors16 factors;
        load_factors16(NULL, 0, rows + byte_count, row_bytes, &factors);
        const uint64_t found16 = keep16(
            &query->sign_bound, &line, 1, query->sign_sum, sum_sign_pairs(pairs), &factors, threshold,
            lower == NULL ? NULL : lower + first, upper + first);
        kept |= found16 << first;
    }
    return kept;
}

#define FIXED_SIGNS(steps)                                                                                        \
    case 4 * (steps): return signs64_of(query, steps, 0, rows, threshold, lower, upper);                          \
    case 4 * (steps) + 1: return signs64_of(query, steps, 16, rows, threshold, lower, upper);                     \
    case 4 * (steps) + 2: return signs64_of(query, steps, 32, rows, threshold, lower, upper);                     \
    case 4 * (steps) + 3: return signs64_of(query, steps, 48, rows, threshold, lower, upper);

__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq,avx2,fma")))
static uint64_t block64_counting(
    const nephrite_code_query *query, int by_signs, const uint8_t *rows, float threshold, float *lower, float *upper) {
    if (!by_signs) return block64_by_line(query, 0, rows, threshold, lower, upper);
    switch (nephrite_code_sign_bytes(query->dimension) / 16) {
        FIXED_SIGNS(0)
        FIXED_SIGNS(1)
        FIXED_SIGNS(2)
        FIXED_SIGNS(3)
    default: return signs64_of(query, -1, 0, rows, threshold, lower, upper);
    }
}

#undef FIXED_SIGNS

const struct nephrite_code_set nephrite_codes_avx512_vpopcntdq = CODE_SET_OF("avx512-vpopcntdq", block64_counting);
