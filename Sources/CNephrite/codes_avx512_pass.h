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

// The weights of four queries side by side: components by four, of each query.
CODE_TARGET static void prepare_pass(const nephrite_code_query *const *queries, size_t count, void *scratch) {
    const size_t dimension = queries[0]->dimension, padded = nephrite_code_padded(dimension);
    int8_t *weights = nephrite_code_pass_weights(scratch, dimension);
    for (size_t first = 0; first < count; first += 4, weights += 4 * padded) {
        for (size_t q = 0; q < 4; q += 1) {
            const int8_t *own = queries[first + q < count ? first + q : count - 1]->coarse;
            for (size_t i = 0; i < padded; i += 4) memcpy(weights + 4 * i + 4 * q, own + i, 4);
        }
    }
}

// Sums of weight * nibble for four queries and 64 rows.
AVX512 void sum_pass(const int8_t *rows, const int8_t *weights, size_t padded, __m512i (*sums)[4]) {
    UNROLL for (int q = 0; q < 4; q += 1) {
        UNROLL for (int g = 0; g < 4; g += 1) sums[q][g] = _mm512_setzero_si512();
    }
    for (size_t i = 0; i < padded; i += 4, rows += 256, weights += 16) {
        __m512i codes[4];
        UNROLL for (int g = 0; g < 4; g += 1) codes[g] = load(rows + 64 * g);
        UNROLL for (int q = 0; q < 4; q += 1) {
            int32_t four;
            memcpy(&four, weights + 4 * q, 4);
            const __m512i w = _mm512_set1_epi32(four);
            UNROLL for (int g = 0; g < 4; g += 1) sums[q][g] = _mm512_dpbusd_epi32(sums[q][g], codes[g], w);
        }
    }
}

// One query's rows that reach its threshold.
AVX512 uint64_t keep_pass(
    const nephrite_code_query *query, const __m512i *sums, const struct factors16 *factors, const __m512 *scales,
    float threshold, float *upper) {
    const struct screen screen = make_screen(&query->coarse_bound, threshold);
    const __m512i all = _mm512_set1_epi32(15 * query->coarse_sum);
    uint64_t kept = 0;
    UNROLL for (int g = 0; g < 4; g += 1) {
        _Alignas(64) float lower[16];
        const __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(sums[g], sums[g]), all));
        kept |= (uint64_t)keep16(
                    &query->coarse_bound, &screen, sum, &factors[g], scales[g], threshold, lower, upper + 16 * g)
                << (16 * g);
    }
    return kept;
}

CODE_TARGET static void pass64(
    const nephrite_code_query *const *queries, size_t count, const uint8_t *rows, const float *thresholds,
    uint64_t *survivors, float *upper, void *scratch) {
    const size_t dimension = queries[0]->dimension, padded = nephrite_code_padded(dimension);
    const size_t byte_count = nephrite_code_nibble_bytes(dimension);
    const size_t row_bytes = byte_count + nephrite_code_factor_bytes;
    int8_t *unpacked = nephrite_code_pass_rows(scratch);
    const int8_t *weights = nephrite_code_pass_weights(scratch, dimension);
    unpack_block(rows, dimension, unpacked);
    struct factors16 factors[4];
    // With the correction of estimates, where there is one: all queries have it or none.
    __m512 scales[4];
    for (size_t g = 0; g < 4; g += 1) {
        load_factors16(NULL, 0, rows + 16 * g * row_bytes + byte_count, row_bytes, &factors[g]);
        scales[g] = queries[0]->coarse_bound.correction == 0 ? (__m512)factors[g].scale : corrected_scale(&factors[g]);
    }
    // The next block is turned over column by column, which no hardware prefetcher follows: so many lines of it after
    // each four queries. All at once they would have to wait for one another, and the queries for them.
    const uint8_t *next = rows + nephrite_code_block_rows * row_bytes;
    const size_t lines = (nephrite_code_block_rows * row_bytes / 64 + (count + 3) / 4 - 1) / ((count + 3) / 4);
    for (size_t first = 0; first < count; first += 4, weights += 4 * padded, next += 64 * lines) {
        __m512i sums[4][4];
        sum_pass(unpacked, weights, padded, sums);
        for (size_t line = 0; line < lines; line += 1) __builtin_prefetch(next + 64 * line, 0, 2);
        for (size_t q = first; q < first + 4 && q < count; q += 1) {
            survivors[q] = keep_pass(
                queries[q], sums[q - first], factors, scales, thresholds[q], upper + nephrite_code_block_rows * q);
        }
    }
}
