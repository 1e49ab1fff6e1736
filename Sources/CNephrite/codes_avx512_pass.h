// Several queries over a block of 64 rows for codes_avx512.c: the block is turned over once, so that a lane has a row
// of its own and no sum over lanes is left to take; then four queries at a time go through it.

// The block's nibbles with a byte for each: components by four, of all 64 rows.
AVX512 void unpack_block(const uint8_t *rows, size_t dimension, int8_t *unpacked) {
    const size_t byte_count = nephrite_code_nibble_bytes(dimension);
    const size_t row_bytes = byte_count + nephrite_code_factor_bytes;
    const __m512i mask = _mm512_set1_epi8(15);
    for (size_t start = 0; start < byte_count; start += 64) {
        const size_t block = byte_count - start < 64 ? byte_count - start : 64;
        for (size_t i = 0; i < block; i += 16) {
            int8_t *lower = unpacked + 64 * (2 * start + i), *upper = lower + 64 * block;
            for (size_t g = 0; g < 4; g += 1) {
                __m512i four[4];
                turn_over(NULL, 0, rows + 16 * g * row_bytes + start + i, row_bytes, four);
                UNROLL for (size_t k = 0; k < 4; k += 1) {
                    _mm512_storeu_si512(lower + 256 * k + 64 * g, _mm512_and_si512(four[k], mask));
                    _mm512_storeu_si512(
                        upper + 256 * k + 64 * g, _mm512_and_si512(_mm512_srli_epi16(four[k], 4), mask));
                }
            }
        }
    }
}

// The block's signs with a byte for each four components, of all 64 rows.
AVX512 void unpack_signs(const uint8_t *rows, size_t byte_count, uint8_t *unpacked) {
    const size_t row_bytes = byte_count + nephrite_code_factor_bytes;
    const __m128i mask = _mm_set1_epi8(15);
    for (size_t i = 0; i < byte_count; i += 16) {
        for (size_t g = 0; g < 4; g += 1) {
            __m512i four[4];
            turn_over(NULL, 0, rows + 16 * g * row_bytes + i, row_bytes, four);
            UNROLL for (size_t k = 0; k < 4; k += 1) {
                UNROLL for (size_t b = 0; b < 4; b += 1) {
                    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_srli_epi32(four[k], 8 * b));
                    uint8_t *lower = unpacked + 128 * (i + 4 * k + b) + 16 * g;
                    _mm_storeu_si128((__m128i *)(void *)lower, _mm_and_si128(bytes, mask));
                    _mm_storeu_si128(
                        (__m128i *)(void *)(lower + 64), _mm_and_si128(_mm_srli_epi16(bytes, 4), mask));
                }
            }
        }
    }
}

// What a pass knows of a query before it sees rows: made again when the threshold has changed.
struct pass_note {
    struct line line;
    float threshold;
};
_Static_assert(sizeof(struct pass_note) <= nephrite_code_pass_note_bytes, "a note has its room");

AVX512 struct pass_note *pass_notes(void *scratch) { return (struct pass_note *)nephrite_code_pass_notes(scratch); }

// Whether so few queries take too short for the next block to come meanwhile. Turned over column by column it would be
// waited for line by line, so it is read in order before. (Rows of 400 bytes: 24 queries, of 80: 4.)
AVX512 int are_few(size_t count, size_t row_bytes) { return 16 * count < row_bytes; }

// Reads a block in order, which the hardware prefetcher follows.
AVX512 void stream_block(const uint8_t *rows, size_t byte_count) {
    __m512i any = _mm512_setzero_si512();
    for (size_t i = 0; i + 64 <= byte_count; i += 64) any = _mm512_or_si512(any, load(rows + i));
    __asm__ volatile("" : : "v"(any));
}

// The weights of four queries side by side: components by four, of each query.
AVX512 void prepare_weights(const nephrite_code_query *const *queries, size_t count, void *scratch) {
    const size_t dimension = queries[0]->dimension, padded = nephrite_code_padded(dimension);
    int8_t *weights = nephrite_code_pass_weights(scratch, dimension);
    for (size_t first = 0; first < count; first += 4, weights += 4 * padded) {
        for (size_t q = 0; q < 4; q += 1) {
            const int8_t *own = queries[first + q < count ? first + q : count - 1]->coarse;
            for (size_t i = 0; i < padded; i += 4) memcpy(weights + 4 * i + 4 * q, own + i, 4);
        }
    }
}

// What the planes of a query count for each of the 16 ways four components' signs may be: a table for each four components,
// of four queries side by side.
AVX512 void prepare_tables(const nephrite_code_query *const *queries, size_t count, void *scratch) {
    const size_t byte_count = nephrite_code_sign_bytes(queries[0]->dimension);
    uint8_t *tables = nephrite_code_pass_tables(scratch, queries[0]->dimension);
    const __m128i counts = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m128i signs = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (size_t first = 0; first < count; first += 4, tables += 128 * byte_count) {
        for (size_t q = 0; q < 4; q += 1) {
            const uint8_t *planes = queries[first + q < count ? first + q : count - 1]->signs;
            for (size_t n = 0; n < 2 * byte_count; n += 1) {
                __m128i table = _mm_setzero_si128();
                for (size_t b = nephrite_code_sign_weight_bits; b > 0; b -= 1) {
                    const int plane = planes[(b - 1) * byte_count + n / 2] >> (n % 2 * 4) & 15;
                    const __m128i differing = _mm_xor_si128(signs, _mm_set1_epi8((char)plane));
                    table = _mm_add_epi8(_mm_add_epi8(table, table), _mm_shuffle_epi8(counts, differing));
                }
                _mm_storeu_si128((__m128i *)(void *)(tables + 64 * n + 16 * q), table);
            }
        }
    }
}

CODE_TARGET static void prepare_pass(
    const nephrite_code_query *const *queries, size_t count, int by_signs, void *scratch) {
    if (by_signs) prepare_tables(queries, count, scratch);
    else prepare_weights(queries, count, scratch);
    // Unlike any threshold.
    for (size_t q = 0; q < count; q += 1) pass_notes(scratch)[q].threshold = NAN;
}

// Sums of weight * nibble for the first `count` of four queries, a constant, and 64 rows.
AVX512 void sum_pass_of(
    const int count, const int8_t *rows, const int8_t *weights, size_t padded, __m512i (*sums)[4]) {
    UNROLL for (int q = 0; q < count; q += 1) {
        UNROLL for (int g = 0; g < 4; g += 1) sums[q][g] = _mm512_setzero_si512();
    }
    for (size_t i = 0; i < padded; i += 4, rows += 256, weights += 16) {
        __m512i codes[4];
        UNROLL for (int g = 0; g < 4; g += 1) codes[g] = load(rows + 64 * g);
        UNROLL for (int q = 0; q < count; q += 1) {
            int32_t four;
            memcpy(&four, weights + 4 * q, 4);
            const __m512i w = _mm512_set1_epi32(four);
            UNROLL for (int g = 0; g < 4; g += 1) sums[q][g] = _mm512_dpbusd_epi32(sums[q][g], codes[g], w);
        }
    }
}

AVX512 void sum_pass(size_t count, const int8_t *rows, const int8_t *weights, size_t padded, __m512i (*sums)[4]) {
    switch (count) {
    case 1: sum_pass_of(1, rows, weights, padded, sums); break;
    case 2: sum_pass_of(2, rows, weights, padded, sums); break;
    case 3: sum_pass_of(3, rows, weights, padded, sums); break;
    default: sum_pass_of(4, rows, weights, padded, sums); break;
    }
}

// The four quarters of 64 numbers of 16 bits; those at even places are in one register, the others in the other.
AVX512 void widen_sums(__m512i even, __m512i odd, __m512i *sums) {
    const __m512i lower = _mm512_unpacklo_epi16(even, odd), upper = _mm512_unpackhi_epi16(even, odd);
    sums[0] = _mm512_cvtepu16_epi32(
        _mm256_set_m128i(_mm512_extracti32x4_epi32(upper, 0), _mm512_extracti32x4_epi32(lower, 0)));
    sums[1] = _mm512_cvtepu16_epi32(
        _mm256_set_m128i(_mm512_extracti32x4_epi32(upper, 1), _mm512_extracti32x4_epi32(lower, 1)));
    sums[2] = _mm512_cvtepu16_epi32(
        _mm256_set_m128i(_mm512_extracti32x4_epi32(upper, 2), _mm512_extracti32x4_epi32(lower, 2)));
    sums[3] = _mm512_cvtepu16_epi32(
        _mm256_set_m128i(_mm512_extracti32x4_epi32(upper, 3), _mm512_extracti32x4_epi32(lower, 3)));
}

// What the planes of the first `count` of four queries, a constant, count for 64 rows: a look-up for each four components of
// all rows. Eight of them, of 28 at most, have room in a byte.
AVX512 void sum_tables_of(
    const int count, const uint8_t *rows, const uint8_t *tables, size_t table_count, __m512i (*sums)[4]) {
    const __m512i mask = _mm512_set1_epi16(0xff);
    __m512i even[4], odd[4];
    UNROLL for (int q = 0; q < count; q += 1) even[q] = odd[q] = _mm512_setzero_si512();
    for (size_t n = 0; n < table_count; n += 8, rows += 512, tables += 512) {
        __m512i found[4];
        UNROLL for (int i = 0; i < 8; i += 1) {
            const __m512i signs = load(rows + 64 * i);
            UNROLL for (int q = 0; q < count; q += 1) {
                const __m512i table =
                    _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)(tables + 64 * i + 16 * q)));
                const __m512i counts = _mm512_shuffle_epi8(table, signs);
                found[q] = i == 0 ? counts : _mm512_add_epi8(found[q], counts);
            }
        }
        UNROLL for (int q = 0; q < count; q += 1) {
            even[q] = _mm512_add_epi16(even[q], _mm512_and_si512(found[q], mask));
            odd[q] = _mm512_add_epi16(odd[q], _mm512_srli_epi16(found[q], 8));
        }
    }
    UNROLL for (int q = 0; q < count; q += 1) widen_sums(even[q], odd[q], sums[q]);
}

AVX512 void sum_tables(
    size_t count, const uint8_t *rows, const uint8_t *tables, size_t table_count, __m512i (*sums)[4]) {
    switch (count) {
    case 1: sum_tables_of(1, rows, tables, table_count, sums); break;
    case 2: sum_tables_of(2, rows, tables, table_count, sums); break;
    case 3: sum_tables_of(3, rows, tables, table_count, sums); break;
    default: sum_tables_of(4, rows, tables, table_count, sums); break;
    }
}

// One query's rows that reach its threshold, and upper bounds of all. Without a branch: which way it went could not be
// foreseen, and what it spared would be less than that.
AVX512 uint64_t keep_pass(
    const nephrite_code_bound *bound, const int metric, const int by_signs, int32_t all, const __m512i *sums,
    const struct rows16 *rows, const uint8_t *row_factors, struct pass_note *note, float threshold, float *upper) {
    if (note->threshold != threshold) {
        note->line = make_line(bound, threshold, row_factors);
        note->threshold = threshold;
    }
    uint64_t kept = 0;
    UNROLL for (int g = 0; g < 4; g += 1) {
        const __m512 sum = true_sums(bound, by_signs, all, sums[g]);
        const __m512 most = upper16(&note->line, metric, sum, &rows[g]);
        _mm512_storeu_ps(upper + 16 * g, most);
        kept |= (uint64_t)_mm512_cmp_ps_mask(most, _mm512_set1_ps(threshold), _CMP_NLT_UQ) << (16 * g);
    }
    return kept;
}

// `metric` and `by_signs` are constants.
AVX512 void pass64_of(
    const nephrite_code_query *const *queries, const int metric, const int by_signs, size_t count, const uint8_t *rows,
    const float *thresholds, uint64_t *survivors, float *upper, void *scratch) {
    const size_t dimension = queries[0]->dimension, padded = nephrite_code_padded(dimension);
    const size_t byte_count = by_signs ? nephrite_code_sign_bytes(dimension) : nephrite_code_nibble_bytes(dimension);
    const size_t row_bytes = byte_count + nephrite_code_factor_bytes;
    int8_t *unpacked = nephrite_code_pass_rows(scratch);
    const int8_t *weights = nephrite_code_pass_weights(scratch, dimension);
    const uint8_t *tables = nephrite_code_pass_tables(scratch, dimension);
    struct pass_note *notes = pass_notes(scratch);
    const int is_streamed = are_few(count, row_bytes);
    if (is_streamed) stream_block(rows, nephrite_code_block_rows * row_bytes);
    if (by_signs) unpack_signs(rows, byte_count, (uint8_t *)unpacked);
    else unpack_block(rows, dimension, unpacked);
    // Estimates are corrected for all queries or for none.
    struct rows16 block[4];
    for (size_t g = 0; g < 4; g += 1) {
        struct factors16 factors;
        load_factors16(NULL, 0, rows + 16 * g * row_bytes + byte_count, row_bytes, &factors);
        block[g] = make_rows(by_signs ? &queries[0]->sign_bound : &queries[0]->coarse_bound, &factors);
    }
    // The next block is turned over column by column, which no hardware prefetcher follows: so many lines of it after
    // each four queries. All at once they would have to wait for one another, and the queries for them.
    const uint8_t *next = rows + nephrite_code_block_rows * row_bytes;
    const size_t turns = (count + 3) / 4;
    const size_t lines = is_streamed ? 0 : (nephrite_code_block_rows * row_bytes / 64 + turns - 1) / turns;
    for (size_t first = 0; first < count; first += 4, next += 64 * lines) {
        __m512i sums[4][4];
        if (by_signs) {
            sum_tables(count - first, (const uint8_t *)unpacked, tables, 2 * byte_count, sums);
            tables += 128 * byte_count;
        } else {
            sum_pass(count - first, unpacked, weights, padded, sums);
            weights += 4 * padded;
        }
        for (size_t line = 0; line < lines; line += 1) __builtin_prefetch(next + 64 * line, 0, 2);
        for (size_t q = first; q < first + 4 && q < count; q += 1) {
            const nephrite_code_bound *bound = by_signs ? &queries[q]->sign_bound : &queries[q]->coarse_bound;
            survivors[q] = keep_pass(
                bound, metric, by_signs, by_signs ? queries[q]->sign_sum : 15 * queries[q]->coarse_sum, sums[q - first],
                block, rows + byte_count, notes + q, thresholds[q], upper + nephrite_code_block_rows * q);
        }
    }
}

CODE_TARGET static void pass64(
    const nephrite_code_query *const *queries, size_t count, int by_signs, const uint8_t *rows, const float *thresholds,
    uint64_t *survivors, float *upper, void *scratch) {
    switch (queries[0]->coarse_bound.metric * 2 + (by_signs != 0)) {
    case 0: pass64_of(queries, 0, 0, count, rows, thresholds, survivors, upper, scratch); break;
    case 1: pass64_of(queries, 0, 1, count, rows, thresholds, survivors, upper, scratch); break;
    case 2: pass64_of(queries, 1, 0, count, rows, thresholds, survivors, upper, scratch); break;
    case 3: pass64_of(queries, 1, 1, count, rows, thresholds, survivors, upper, scratch); break;
    case 4: pass64_of(queries, 2, 0, count, rows, thresholds, survivors, upper, scratch); break;
    default: pass64_of(queries, 2, 1, count, rows, thresholds, survivors, upper, scratch); break;
    }
}
