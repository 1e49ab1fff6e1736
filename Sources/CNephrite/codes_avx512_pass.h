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
CODE_TARGET static void prepare_pass(const nephrite_code_query *const *queries, size_t count, void *scratch) {
    const size_t dimension = queries[0]->dimension, padded = nephrite_code_padded(dimension);
    int8_t *weights = nephrite_code_pass_weights(scratch, dimension);
    for (size_t first = 0; first < count; first += 4, weights += 4 * padded) {
        for (size_t q = 0; q < 4; q += 1) {
            const int8_t *own = queries[first + q < count ? first + q : count - 1]->coarse;
            for (size_t i = 0; i < padded; i += 4) memcpy(weights + 4 * i + 4 * q, own + i, 4);
        }
    }
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

// One query's rows that reach its threshold, and upper bounds of all. Without a branch: which way it went could not be
// foreseen, and what it spared would be less than that.
AVX512 uint64_t keep_pass(
    const nephrite_code_bound *bound, const int metric, int32_t all, const __m512i *sums, const struct rows16 *rows,
    const uint8_t *row_factors, struct pass_note *note, float threshold, float *upper) {
    if (note->threshold != threshold) {
        note->line = make_line(bound, threshold, row_factors);
        note->threshold = threshold;
    }
    uint64_t kept = 0;
    UNROLL for (int g = 0; g < 4; g += 1) {
        const __m512i sum = _mm512_sub_epi32(_mm512_add_epi32(sums[g], sums[g]), _mm512_set1_epi32(all));
        const __m512 most = upper16(&note->line, metric, _mm512_cvtepi32_ps(sum), &rows[g]);
        _mm512_storeu_ps(upper + 16 * g, most);
        kept |= (uint64_t)_mm512_cmp_ps_mask(most, _mm512_set1_ps(threshold), _CMP_NLT_UQ) << (16 * g);
    }
    return kept;
}

// `metric` is a constant.
AVX512 void pass64_of(
    const nephrite_code_query *const *queries, const int metric, size_t count, const uint8_t *rows,
    const float *thresholds, uint64_t *survivors, float *upper, void *scratch) {
    const size_t dimension = queries[0]->dimension, padded = nephrite_code_padded(dimension);
    const size_t byte_count = nephrite_code_nibble_bytes(dimension);
    const size_t row_bytes = byte_count + nephrite_code_factor_bytes;
    int8_t *unpacked = nephrite_code_pass_rows(scratch);
    const int8_t *weights = nephrite_code_pass_weights(scratch, dimension);
    struct pass_note *notes = pass_notes(scratch);
    const int is_streamed = are_few(count, row_bytes);
    if (is_streamed) stream_block(rows, nephrite_code_block_rows * row_bytes);
    unpack_block(rows, dimension, unpacked);
    // Estimates are corrected for all queries or for none.
    struct rows16 block[4];
    for (size_t g = 0; g < 4; g += 1) {
        struct factors16 factors;
        load_factors16(NULL, 0, rows + 16 * g * row_bytes + byte_count, row_bytes, &factors);
        block[g] = make_rows(&queries[0]->coarse_bound, &factors);
    }
    // The next block is turned over column by column, which no hardware prefetcher follows: so many lines of it after
    // each four queries. All at once they would have to wait for one another, and the queries for them.
    const uint8_t *next = rows + nephrite_code_block_rows * row_bytes;
    const size_t turns = (count + 3) / 4;
    const size_t lines = is_streamed ? 0 : (nephrite_code_block_rows * row_bytes / 64 + turns - 1) / turns;
    for (size_t first = 0; first < count; first += 4, weights += 4 * padded, next += 64 * lines) {
        __m512i sums[4][4];
        sum_pass(count - first, unpacked, weights, padded, sums);
        for (size_t line = 0; line < lines; line += 1) __builtin_prefetch(next + 64 * line, 0, 2);
        for (size_t q = first; q < first + 4 && q < count; q += 1) {
            survivors[q] = keep_pass(
                &queries[q]->coarse_bound, metric, 15 * queries[q]->coarse_sum, sums[q - first], block, rows + byte_count,
                notes + q, thresholds[q], upper + nephrite_code_block_rows * q);
        }
    }
}

CODE_TARGET static void pass64(
    const nephrite_code_query *const *queries, size_t count, const uint8_t *rows, const float *thresholds,
    uint64_t *survivors, float *upper, void *scratch) {
    switch (queries[0]->coarse_bound.metric) {
    case 0: pass64_of(queries, 0, count, rows, thresholds, survivors, upper, scratch); break;
    case 1: pass64_of(queries, 1, count, rows, thresholds, survivors, upper, scratch); break;
    default: pass64_of(queries, 2, count, rows, thresholds, survivors, upper, scratch); break;
    }
}
