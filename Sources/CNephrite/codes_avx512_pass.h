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

// Of so many components or more, rows are summed in parts: 10 sixteenths of the components, then 2 more, then the rest.
// After each part those that cannot reach the threshold any more are left out.
enum { parted_components = 512, part_count = 2 };
// Where a part was not enough, or a row's line was too steep, four queries sum the next block as a whole, the next time three
// blocks, then seven, before they try again.
enum { longest_pause = 7 };
// Queries of a pass, at most.
enum { pass_queries = 64 };

AVX512 size_t part_end(size_t padded, int part) { return padded * (size_t)(10 + 2 * part) / 256 * 16; }

// What a pass knows of a query before it sees rows. The line is made again when the threshold has changed.
struct pass_note {
    struct line line;
    float threshold;
    /// 15 times the sum of the weights up to the end of a part, and the norm of those behind it, rounded up.
    int32_t part_sum[part_count];
    float rest_norm[part_count];
    /// Of four queries side by side the first one's: how many blocks more they sum as a whole, and how many last time.
    uint8_t pause, last_pause;
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

AVX512 void prepare_parts(const nephrite_code_query *query, struct pass_note *note) {
    const size_t padded = nephrite_code_padded(query->dimension);
    for (int part = 0; part < part_count; part += 1) {
        const size_t end = part_end(padded, part);
        int32_t sum = 0;
        uint64_t squares = 0;
        for (size_t i = 0; i < end; i += 1) sum += query->coarse[i];
        for (size_t i = end; i < padded; i += 1) squares += (uint64_t)(query->coarse[i] * query->coarse[i]);
        note->part_sum[part] = 15 * sum;
        note->rest_norm[part] = (float)sqrt((double)squares) * (1 + 0x1p-22f);
    }
}

CODE_TARGET static void prepare_pass(
    const nephrite_code_query *const *queries, size_t count, int by_signs, void *scratch) {
    if (by_signs) prepare_tables(queries, count, scratch);
    else prepare_weights(queries, count, scratch);
    for (size_t q = 0; q < count; q += 1) {
        struct pass_note *note = pass_notes(scratch) + q;
        // Unlike any threshold.
        note->threshold = NAN;
        note->pause = 0;
        note->last_pause = 0;
        if (!by_signs && queries[q]->dimension >= parted_components) prepare_parts(queries[q], note);
    }
}

AVX512 void clear_sums(__m512i (*sums)[4]) {
    UNROLL for (int q = 0; q < 4; q += 1) {
        UNROLL for (int g = 0; g < 4; g += 1) sums[q][g] = _mm512_setzero_si512();
    }
}

// Adds weight * nibble of so many components, for the first `count` of four queries, a constant, and 64 rows.
AVX512 void sum_pass_of(
    const int count, const int8_t *rows, const int8_t *weights, size_t components, __m512i (*sums)[4]) {
    __m512i own[4][4];
    UNROLL for (int q = 0; q < count; q += 1) {
        UNROLL for (int g = 0; g < 4; g += 1) own[q][g] = sums[q][g];
    }
    for (size_t i = 0; i < components; i += 4, rows += 256, weights += 16) {
        __m512i codes[4];
        UNROLL for (int g = 0; g < 4; g += 1) codes[g] = load(rows + 64 * g);
        UNROLL for (int q = 0; q < count; q += 1) {
            int32_t four;
            memcpy(&four, weights + 4 * q, 4);
            const __m512i w = _mm512_set1_epi32(four);
            UNROLL for (int g = 0; g < 4; g += 1) own[q][g] = _mm512_dpbusd_epi32(own[q][g], codes[g], w);
        }
    }
    UNROLL for (int q = 0; q < count; q += 1) {
        UNROLL for (int g = 0; g < 4; g += 1) sums[q][g] = own[q][g];
    }
}

AVX512 void sum_pass(size_t count, const int8_t *rows, const int8_t *weights, size_t components, __m512i (*sums)[4]) {
    switch (count) {
    case 1: sum_pass_of(1, rows, weights, components, sums); break;
    case 2: sum_pass_of(2, rows, weights, components, sums); break;
    case 3: sum_pass_of(3, rows, weights, components, sums); break;
    default: sum_pass_of(4, rows, weights, components, sums); break;
    }
}

// Adds weight * nibble of the components from `first` to `end`, multiples of 4, for four queries and 16 of 64 rows.
AVX512 void sum_group(const int8_t *rows, const int8_t *const *weights, size_t first, size_t end, __m512i *sums) {
    __m512i own[4];
    UNROLL for (int q = 0; q < 4; q += 1) own[q] = sums[q];
    for (size_t i = first; i < end; i += 4) {
        const __m512i codes = load(rows + 64 * i);
        UNROLL for (int q = 0; q < 4; q += 1) {
            int32_t four;
            memcpy(&four, weights[q] + 4 * i, 4);
            own[q] = _mm512_dpbusd_epi32(own[q], codes, _mm512_set1_epi32(four));
        }
    }
    UNROLL for (int q = 0; q < 4; q += 1) sums[q] = own[q];
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

// Which of 16 rows reach the threshold by the line, and their upper bounds.
AVX512 uint64_t keep_rows(
    const struct pass_note *note, const int metric, __m512 sum, const struct rows16 *rows, float *upper) {
    const __m512 most = upper16(&note->line, metric, sum, rows);
    _mm512_storeu_ps(upper, most);
    return _mm512_cmp_ps_mask(most, _mm512_set1_ps(note->threshold), _CMP_NLT_UQ);
}

// One query's rows that reach its threshold, and upper bounds of all. Without a branch: which way it went could not be
// foreseen, and what it spared would be less than that.
AVX512 uint64_t keep_pass(
    const nephrite_code_bound *bound, const int metric, const int by_signs, int32_t all, const __m512i *sums,
    const struct rows16 *rows, const struct pass_note *note, float *upper) {
    uint64_t kept = 0;
    UNROLL for (int g = 0; g < 4; g += 1) {
        kept |= keep_rows(note, metric, true_sums(bound, by_signs, all, sums[g]), &rows[g], upper + 16 * g) << (16 * g);
    }
    return kept;
}

// What a pass knows of a block.
struct pass_block {
    struct rows16 rows[4];
    /// Norms of the codes' components behind a part, rounded up.
    __m512 rest_norm[part_count][4];
    /// The largest residual * turn / scale of a row: see can_part.
    float steepest;
};

// Norms behind each part, of (2 nibble - 15)^2: an eighth of what that is more than 1 has room in a byte. Padding adds 1 for a
// component, and a larger norm is none too few.
AVX512 void measure_parts(const int8_t *rows, size_t padded, struct pass_block *block) {
    const __m512i eighths =
        _mm512_broadcast_i32x4(_mm_setr_epi8(28, 21, 15, 10, 6, 3, 1, 0, 0, 1, 3, 6, 10, 15, 21, 28));
    __m512i sums[4], behind = _mm512_setzero_si512();
    UNROLL for (int g = 0; g < 4; g += 1) sums[g] = behind;
    for (int part = part_count - 1; part >= 0; part -= 1) {
        const size_t first = part_end(padded, part), end = part == part_count - 1 ? padded : part_end(padded, part + 1);
        for (size_t i = first; i < end; i += 4) {
            UNROLL for (size_t g = 0; g < 4; g += 1) {
                const __m512i squares = _mm512_shuffle_epi8(eighths, load(rows + 64 * i + 64 * g));
                sums[g] = _mm512_dpbusd_epi32(sums[g], squares, _mm512_set1_epi8(1));
            }
        }
        const __m512i ones = _mm512_set1_epi32((int)(padded - first));
        UNROLL for (int g = 0; g < 4; g += 1) {
            const __m512 squares = _mm512_cvt_roundepi32_ps(
                _mm512_add_epi32(_mm512_slli_epi32(sums[g], 3), ones), _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
            block->rest_norm[part][g] = _mm512_sqrt_round_ps(squares, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
        }
    }
    // What is not a number is passed over: a row without a code, which is kept whatever its sum is.
    __m512 steepest = _mm512_setzero_ps();
    UNROLL for (int g = 0; g < 4; g += 1) {
        const struct rows16 *own = &block->rows[g];
        steepest = _mm512_max_ps(_mm512_div_ps(_mm512_mul_ps(own->residual, own->turn), own->scale), steepest);
    }
    block->steepest = _mm512_reduce_max_ps(steepest) * (1 + 0x1p-18f);
}

// Whether no row's bound, but for roundings, would shrink if its sum grew: scale * step is not below residual * turn * slope.
AVX512 int can_part(const struct line *line, const struct pass_block *block) {
    return line->slope * block->steepest <= line->step;
}

// The largest sums that 16 rows can have of which the sums of a part are known (Cauchy-Schwarz): no less in floating point.
AVX512 __m512 largest_sums(const struct pass_note *note, int part, __m512i sums, __m512 rest_norms) {
    const __m512i known = _mm512_sub_epi32(_mm512_add_epi32(sums, sums), _mm512_set1_epi32(note->part_sum[part]));
    return _mm512_fmadd_round_ps(
        _mm512_set1_ps(note->rest_norm[part]), rest_norms,
        _mm512_cvt_roundepi32_ps(known, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC),
        _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}

// The queries for which rows of a group of 16 may reach the threshold by what is known of their sums.
struct open_group {
    size_t count;
    /// With room for what the last four of them are filled up with.
    uint8_t queries[pass_queries + 3];
    __m512i sums[pass_queries + 3];
};

// Goes on with the queries that a group of rows is open for, four at a time, which share its components. `rows`, `upper` and
// `survivors` are those of the group and of all queries.
AVX512 void close_group(
    const nephrite_code_query *const *queries, const int metric, struct open_group *open, const int8_t *rows,
    const int8_t *weights, const struct pass_block *block, int g, uint64_t mask, const struct pass_note *notes,
    uint64_t *survivors, float *upper) {
    const size_t padded = nephrite_code_padded(queries[0]->dimension);
    size_t first = part_end(padded, 0);
    for (int part = 1; part <= part_count && open->count > 0; part += 1) {
        const size_t end = part < part_count ? part_end(padded, part) : padded;
        size_t left = 0;
        for (size_t i = 0; i < 3; i += 1) {
            open->queries[open->count + i] = open->queries[open->count - 1];
            open->sums[open->count + i] = open->sums[open->count - 1];
        }
        for (size_t i = 0; i < open->count; i += 4) {
            const int8_t *own[4];
            UNROLL for (size_t k = 0; k < 4; k += 1) {
                const size_t q = open->queries[i + k];
                own[k] = weights + q / 4 * 4 * padded + q % 4 * 4;
            }
            sum_group(rows, own, first, end, open->sums + i);
            for (size_t k = i; k < i + 4 && k < open->count; k += 1) {
                const size_t q = open->queries[k];
                const __m512 known =
                    part < part_count
                        ? largest_sums(notes + q, part, open->sums[k], block->rest_norm[part][g])
                        : true_sums(&queries[q]->coarse_bound, 0, 15 * queries[q]->coarse_sum, open->sums[k]);
                const uint64_t kept =
                    keep_rows(notes + q, metric, known, &block->rows[g], upper + nephrite_code_block_rows * q) &
                    mask >> (16 * g) & 0xffff;
                if (part == part_count) survivors[q] |= kept << (16 * g);
                open->queries[left] = (uint8_t)q;
                open->sums[left] = open->sums[k];
                left += kept != 0;
            }
        }
        open->count = left;
        first = end;
    }
}

// Bounds a block for up to four queries by the first part of their sums, and leaves groups of rows open where that is not
// enough. Returns 0 where most of them would be, or where it cannot be done; then only the sums are of use.
AVX512 int keep_parts(
    const int metric, size_t first_query, size_t count, const struct pass_block *block, uint64_t mask,
    const struct pass_note *notes, __m512i (*sums)[4], struct open_group *open, uint64_t *survivors, float *upper) {
    uint32_t reaching[4] = {0};
    size_t open_count = 0;
    int can_be_parted = 1;
    for (size_t q = 0; q < count; q += 1) {
        const struct pass_note *note = notes + first_query + q;
        float *own = upper + nephrite_code_block_rows * (first_query + q);
        can_be_parted &= can_part(&note->line, block);
        survivors[first_query + q] = 0;
        UNROLL for (int g = 0; g < 4; g += 1) {
            const __m512 most = largest_sums(note, 0, sums[q][g], block->rest_norm[0][g]);
            const uint64_t kept = keep_rows(note, metric, most, &block->rows[g], own + 16 * g);
            const uint32_t is_open = (kept & mask >> (16 * g) & 0xffff) != 0;
            reaching[q] |= is_open << g;
            open_count += is_open;
        }
    }
    if (!can_be_parted || open_count > 3 * count) return 0;
    for (size_t q = 0; q < count; q += 1) {
        UNROLL for (int g = 0; g < 4; g += 1) {
            open[g].queries[open[g].count] = (uint8_t)(first_query + q);
            open[g].sums[open[g].count] = sums[q][g];
            open[g].count += reaching[q] >> g & 1;
        }
    }
    return 1;
}

// Whether any of the queries sums a block in parts.
AVX512 int has_parted(const struct pass_note *notes, size_t count) {
    int any = 0;
    for (size_t first = 0; first < count; first += 4) any |= notes[first].pause == 0;
    return any;
}

// `metric` and `by_signs` are constants.
AVX512 void pass64_of(
    const nephrite_code_query *const *queries, const int metric, const int by_signs, size_t count, const uint8_t *rows,
    uint64_t mask, const float *thresholds, uint64_t *survivors, float *upper, void *scratch) {
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
    struct pass_block block;
    for (size_t g = 0; g < 4; g += 1) {
        struct factors16 factors;
        load_factors16(NULL, 0, rows + 16 * g * row_bytes + byte_count, row_bytes, &factors);
        block.rows[g] = make_rows(by_signs ? &queries[0]->sign_bound : &queries[0]->coarse_bound, &factors);
    }
    const int has_parts = !by_signs && dimension >= parted_components && has_parted(notes, count);
    struct open_group open[4];
    UNROLL for (int g = 0; g < 4; g += 1) open[g].count = 0;
    if (has_parts) measure_parts(unpacked, padded, &block);
    // The next block is turned over column by column, which no hardware prefetcher follows: so many lines of it after
    // each four queries. All at once they would have to wait for one another, and the queries for them.
    const uint8_t *next = rows + nephrite_code_block_rows * row_bytes;
    const size_t turns = (count + 3) / 4;
    const size_t lines = is_streamed ? 0 : (nephrite_code_block_rows * row_bytes / 64 + turns - 1) / turns;
    for (size_t first = 0; first < count; first += 4, next += 64 * lines) {
        const size_t few = count - first < 4 ? count - first : 4;
        __m512i sums[4][4];
        for (size_t q = first; q < first + few; q += 1) {
            if (notes[q].threshold == thresholds[q]) continue;
            notes[q].line = make_line(
                by_signs ? &queries[q]->sign_bound : &queries[q]->coarse_bound, thresholds[q], rows + byte_count);
            notes[q].threshold = thresholds[q];
        }
        for (size_t line = 0; line < lines; line += 1) __builtin_prefetch(next + 64 * line, 0, 2);
        if (by_signs) {
            sum_tables(few, (const uint8_t *)unpacked, tables, 2 * byte_count, sums);
            tables += 128 * byte_count;
        } else {
            size_t done = 0;
            const int8_t *own = weights;
            weights += 4 * padded;
            clear_sums(sums);
            if (has_parts && notes[first].pause == 0) {
                done = part_end(padded, 0);
                sum_pass(few, unpacked, own, done, sums);
                const int is_enough = keep_parts(
                    metric, first, few, &block, mask, notes, sums, open, survivors, upper);
                const int longer = 2 * notes[first].last_pause + 1;
                notes[first].last_pause = (uint8_t)(is_enough ? 0 : longer < longest_pause ? longer : longest_pause);
                notes[first].pause = notes[first].last_pause;
                if (is_enough) continue;
            } else if (notes[first].pause > 0) {
                notes[first].pause -= 1;
            }
            sum_pass(few, unpacked + 64 * done, own + 4 * done, padded - done, sums);
        }
        for (size_t q = first; q < first + few; q += 1) {
            const nephrite_code_bound *bound = by_signs ? &queries[q]->sign_bound : &queries[q]->coarse_bound;
            survivors[q] = keep_pass(
                bound, metric, by_signs, by_signs ? queries[q]->sign_sum : 15 * queries[q]->coarse_sum, sums[q - first],
                block.rows, notes + q, upper + nephrite_code_block_rows * q) & mask;
        }
    }
    const int8_t *all_weights = nephrite_code_pass_weights(scratch, dimension);
    for (int g = 0; g < 4; g += 1) {
        close_group(
            queries, metric, open + g, unpacked + 64 * g, all_weights, &block, g, mask, notes, survivors,
            upper + 16 * g);
    }
}

CODE_TARGET static void pass64(
    const nephrite_code_query *const *queries, size_t count, int by_signs, const uint8_t *rows, uint64_t mask,
    const float *thresholds, uint64_t *survivors, float *upper, void *scratch) {
    switch (queries[0]->coarse_bound.metric * 2 + (by_signs != 0)) {
    case 0: pass64_of(queries, 0, 0, count, rows, mask, thresholds, survivors, upper, scratch); break;
    case 1: pass64_of(queries, 0, 1, count, rows, mask, thresholds, survivors, upper, scratch); break;
    case 2: pass64_of(queries, 1, 0, count, rows, mask, thresholds, survivors, upper, scratch); break;
    case 3: pass64_of(queries, 1, 1, count, rows, mask, thresholds, survivors, upper, scratch); break;
    case 4: pass64_of(queries, 2, 0, count, rows, mask, thresholds, survivors, upper, scratch); break;
    default: pass64_of(queries, 2, 1, count, rows, mask, thresholds, survivors, upper, scratch); break;
    }
}
