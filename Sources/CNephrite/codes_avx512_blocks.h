// Blocks of 64 rows for codes_avx512.c: an upper bound of 16 rows at a time that needs no root and no branch, and the
// bounds themselves where they are wanted.

// In place of the sine, which the bound has a root for, the line that touches it where rows are that just reach the
// threshold: nowhere is the sine above such a line. (What approximate searches estimate may be a little beyond 1, where
// there is no sine; nor is it certain.) With x = turn * sum * slope / touching cosine, the upper bound is
//     scale * sum * step + residual * (spread - turn * sum * slope) + centred norm * centred + norm * norm + addend
// less the squares of Euclidean data, whose coefficients are twice as large; a cosine's is divided by the norm, and
// `relative` is added. Each coefficient has what rounding can change; see the article.
struct line {
    float step, spread, slope, centred, norm, squares, addend, factor, relative;
};

// What upper bounds take from 16 rows.
struct rows16 {
    __m512 scale, turn, residual, centred_norm, norm;
    /// 1 / norm, within 2^-14 of it.
    __m512 inverse_norm;
};

AVX512 float root(float value) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(value))); }

// The cosine of the angle between the codes of the query and of a row with such factors that just reaches the threshold,
// or what is near it from 0 to 0.95. Whatever it is, the bound holds.
AVX512 float touching_cosine(const nephrite_code_bound *bound, float threshold, const uint8_t *row_factors) {
    struct nephrite_high_factors row;
    memcpy(&row, row_factors, sizeof row);
    const uint32_t residual_bits = (uint32_t)row.residual << 16;
    float residual;
    memcpy(&residual, &residual_bits, sizeof residual);
    const float n = row.centred_norm;
    const float needed = bound->metric == 2   ? 0.5f * (threshold + n * n + bound->squared)
                         : bound->metric == 1 ? threshold - bound->offset
                                              : threshold * row.norm / bound->scale - bound->offset;
    // Both by the norms of the row and of the query.
    const float part = bound->angle / (bound->step * n), error = residual * bound->spread * part;
    const float reached = needed * part < 1 ? needed * part : 1;
    const float cosine = reached * (1 - 0.5f * error * error) - root(1 - reached * reached) * error;
    return cosine > 0 ? (cosine < 0.95f ? cosine : 0.95f) : 0;
}

// `row_factors` are those of any row.
AVX512 struct line make_line(const nephrite_code_bound *bound, float threshold, const uint8_t *row_factors) {
    const float more = 1 + 0x1p-18f, little = 0x1p-19f, twice = bound->metric == 2 ? 2 : 1;
    const float cosine = touching_cosine(bound, threshold, row_factors), largest = 1 + bound->sine_margin;
    const float share = twice * bound->spread / root(largest - cosine * cosine);
    // Where estimates are corrected the cosine is that of the estimate.
    const float angle = bound->correction == 0 ? bound->angle : bound->step * bound->correction;
    struct line line = {
        .step = twice * bound->step,
        .spread = share * largest * more,
        .slope = share * cosine * angle,
        .centred = twice * (bound->per_centred * more + bound->rounding),
        .norm = twice * (bound->per_norm * more + bound->rounding),
        .addend = bound->offset + little * fabsf(bound->offset),
    };
    if (bound->metric == 2) {
        line.squares = (1 - bound->relative) * (1 - little);
        line.addend = -bound->squared * line.squares;
    } else if (bound->metric == 0) {
        line.factor = bound->scale;
        line.relative = bound->relative + line.norm * bound->scale + 2 * little;
    }
    return line;
}

AVX512 __m512 upper16(const struct line *line, const int metric, __m512 sum, const struct rows16 *rows) {
    const __m512 centred = rows->centred_norm;
    __m512 value = _mm512_fmadd_ps(centred, _mm512_set1_ps(line->centred), _mm512_set1_ps(line->addend));
    if (metric != 0) value = _mm512_fmadd_ps(rows->norm, _mm512_set1_ps(line->norm), value);
    const __m512 sine = _mm512_fnmadd_ps(
        rows->turn, _mm512_mul_ps(sum, _mm512_set1_ps(line->slope)), _mm512_set1_ps(line->spread));
    value = _mm512_fmadd_ps(rows->residual, sine, value);
    value = _mm512_fmadd_ps(rows->scale, _mm512_mul_ps(sum, _mm512_set1_ps(line->step)), value);
    if (metric == 2) {
        value = _mm512_fnmadd_ps(_mm512_mul_ps(centred, centred), _mm512_set1_ps(line->squares), value);
    } else if (metric == 0) {
        const __m512 part = _mm512_mul_ps(rows->inverse_norm, value);
        const __m512 low = _mm512_mul_ps(part, _mm512_set1_ps(line->factor * (1 - 0x1p-13f)));
        const __m512 high = _mm512_mul_ps(part, _mm512_set1_ps(line->factor * (1 + 0x1p-13f)));
        value = _mm512_add_ps(_mm512_max_ps(low, high), _mm512_set1_ps(line->relative));
    }
    return value;
}

// Four components of 16 rows from 16 bytes each: register i has bytes 4 i ... 4 i + 3 of every row, in the order of
// the rows. They follow one another, or lie anywhere if `scattered` has their addresses.
AVX512 void turn_over(
    const uint8_t *const *scattered, size_t offset, const uint8_t *bytes, size_t row_bytes, __m512i *four) {
    __m512i rows[4];
    UNROLL for (size_t g = 0; g < 4; g += 1) {
        __m512i lanes = _mm512_setzero_si512();
        UNROLL for (size_t l = 0; l < 4; l += 1) {
            const size_t n = g + 4 * l;
            const uint8_t *start = scattered != NULL ? scattered[n] + offset : bytes + n * row_bytes;
            const __m128i row = _mm_loadu_si128((const __m128i *)(const void *)start);
            lanes = l == 0   ? _mm512_castsi128_si512(row)
                    : l == 1 ? _mm512_inserti32x4(lanes, row, 1)
                    : l == 2 ? _mm512_inserti32x4(lanes, row, 2)
                             : _mm512_inserti32x4(lanes, row, 3);
        }
        rows[g] = lanes;
    }
    const __m512i a = _mm512_unpacklo_epi32(rows[0], rows[1]), b = _mm512_unpacklo_epi32(rows[2], rows[3]);
    const __m512i c = _mm512_unpackhi_epi32(rows[0], rows[1]), d = _mm512_unpackhi_epi32(rows[2], rows[3]);
    four[0] = _mm512_unpacklo_epi64(a, b);
    four[1] = _mm512_unpackhi_epi64(a, b);
    four[2] = _mm512_unpacklo_epi64(c, d);
    four[3] = _mm512_unpackhi_epi64(c, d);
}

// The factors of 16 rows, by where they are or by where the rows are.
AVX512 void load_factors16(
    const uint8_t *const *scattered, size_t offset, const uint8_t *bytes, size_t row_bytes, struct factors16 *factors) {
    __m512i four[4];
    turn_over(scattered, offset, bytes, row_bytes, four);
    factors->scale = (v16f)four[0];
    factors->centred_norm = (v16f)four[1];
    factors->norm = (v16f)four[2];
    factors->residual = (v16f)_mm512_slli_epi32(four[3], 16);
    factors->inverse = (v16f)_mm512_and_si512(four[3], _mm512_set1_epi32((int)0xffff0000u));
}

// The scale where estimates are corrected for what quantisation takes from a row in its own direction.
AVX512 __m512 corrected_scale(const struct factors16 *factors) {
    const __m512 ratio = _mm512_div_ps((__m512)factors->residual, (__m512)factors->centred_norm);
    const __m512 lost = _mm512_mul_ps(ratio, ratio), scale = (__m512)factors->scale;
    return _mm512_fmadd_ps(scale, _mm512_mul_ps(lost, _mm512_add_ps(lost, _mm512_set1_ps(1))), scale);
}

AVX512 struct rows16 make_rows(const nephrite_code_bound *bound, const struct factors16 *factors) {
    const __m512 norm = (__m512)factors->norm, centred = (__m512)factors->centred_norm;
    struct rows16 rows = {
        .scale = (__m512)factors->scale,
        .turn = (__m512)factors->inverse,
        .residual = (__m512)factors->residual,
        .centred_norm = centred,
        .norm = norm,
        .inverse_norm = _mm512_rcp14_ps(norm),
    };
    if (bound->correction != 0) {
        rows.scale = corrected_scale(factors);
        rows.turn = _mm512_div_ps(rows.scale, centred);
    }
    return rows;
}

// What bounds start from: from what was counted, the sums of weight * code.
AVX512 __m512 true_sums(const nephrite_code_bound *bound, const int by_signs, int32_t all, __m512i sums) {
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(sums, sums), _mm512_set1_epi32(all)));
    if (!by_signs) return sum;
    const __mmask16 is_negative = _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_mul_ps(sum, is_negative, sum, _mm512_set1_ps(bound->negative_share));
}

// Which of 16 rows reach the threshold, from their sums of integers: by the line, or, if `lower` is not null, by the bound
// itself. The bounds of those are stored. `by_signs` is a constant.
AVX512 uint64_t keep16(
    const nephrite_code_bound *bound, const struct line *line, const int by_signs, int32_t all, __m512i sums,
    const struct factors16 *factors, float threshold, float *lower, float *upper) {
    const struct rows16 rows = make_rows(bound, factors);
    const __m512 sum = true_sums(bound, by_signs, all, sums);
    const __m512 most = upper16(line, bound->metric, sum, &rows);
    const uint32_t kept = _mm512_cmp_ps_mask(most, _mm512_set1_ps(threshold), _CMP_NLT_UQ);
    if (lower == NULL) {
        _mm512_storeu_ps(upper, most);
        return kept;
    }
    if (kept == 0) return 0;
    const v16f own_sums = (v16f)sum;
    return bound_rows(bound, &own_sums, factors, threshold, lower, upper);
}

// Sums over signs of 16 rows that follow one another.
AVX512 __m512i sign_sums16(const nephrite_code_query *query, const uint8_t *rows, size_t row_bytes) {
    _Alignas(64) int32_t found[16];
    for (size_t g = 0; g < 4; g += 1) {
        const uint8_t *start = rows + 4 * g * row_bytes;
        const uint8_t *const four[4] = {start, start + row_bytes, start + 2 * row_bytes, start + 3 * row_bytes};
        signs4(query, four, found + 4 * g);
    }
    return load(found);
}

// The weights of a query for rows of `steps` times 64 bytes and a part.
AVX512 void load_weights(
    const int8_t *coarse, const int steps, const int has_tail, size_t tail_bytes, __mmask64 part, __m512i *weights) {
    UNROLL for (int s = 0; s < 2 * steps; s += 1) weights[s] = load(coarse + 64 * s);
    if (has_tail) {
        weights[2 * steps] = _mm512_maskz_loadu_epi8(part, coarse + 128 * steps);
        weights[2 * steps + 1] = _mm512_maskz_loadu_epi8(part, coarse + 128 * steps + tail_bytes);
    }
    // Or they would be read from memory for each row.
    UNROLL for (int s = 0; s < 2 * (steps + has_tail); s += 1) __asm__("" : "+v"(weights[s]));
}

// Steps of 64 bytes whose weights have room in registers, beside those of a tail.
enum { most_steps = 6 };

// `steps` and `has_tail` are constants: rows have so many times 64 bytes, and a part of that; steps below 0: any length.
AVX512 uint64_t block64_of(
    const nephrite_code_query *query, const int by_signs, const int steps, const int has_tail, const uint8_t *rows,
    float threshold, float *lower, float *upper) {
    const size_t code_bytes =
        by_signs ? nephrite_code_sign_bytes(query->dimension) : nephrite_code_nibble_bytes(query->dimension);
    const size_t row_bytes = code_bytes + nephrite_code_factor_bytes;
    const nephrite_code_bound *bound = by_signs ? &query->sign_bound : &query->coarse_bound;
    const int32_t all = by_signs ? query->sign_sum : 15 * query->coarse_sum;
    const struct line line = make_line(bound, threshold, rows + code_bytes);
    const __mmask64 part = (1ull << code_bytes % 64) - 1;
    __m512i weights[2 * most_steps + 2];
    if (steps >= 0) load_weights(query->coarse, steps, has_tail, code_bytes % 64, part, weights);
    uint64_t kept = 0;
    for (int first = 0; first < nephrite_code_block_rows; first += 16, rows += 16 * row_bytes) {
        const __m512i sums = by_signs     ? sign_sums16(query, rows, row_bytes)
                             : steps >= 0 ? fixed_rows16(weights, steps, has_tail, part, NULL, rows, row_bytes)
                                          : coarse_rows16(query->coarse, rows, row_bytes, code_bytes);
        struct factors16 factors;
        load_factors16(NULL, 0, rows + code_bytes, row_bytes, &factors);
        const uint64_t found16 = keep16(
            bound, &line, by_signs, all, sums, &factors, threshold, lower == NULL ? NULL : lower + first,
            upper + first);
        kept |= found16 << first;
    }
    return kept;
}

// Returns `SCAN(steps, has_tail)`, which are constants there, or -1 steps for rows of any other length.
#define BY_LENGTH(byte_count, SCAN)                                                                               \
    switch ((byte_count) / 64 * 2 + ((byte_count) % 64 != 0)) {                                                   \
    case 0: return SCAN(0, 0);                                                                                    \
    case 1: return SCAN(0, 1);                                                                                    \
    case 2: return SCAN(1, 0);                                                                                    \
    case 3: return SCAN(1, 1);                                                                                    \
    case 4: return SCAN(2, 0);                                                                                    \
    case 5: return SCAN(2, 1);                                                                                    \
    case 6: return SCAN(3, 0);                                                                                    \
    case 7: return SCAN(3, 1);                                                                                    \
    case 8: return SCAN(4, 0);                                                                                    \
    case 9: return SCAN(4, 1);                                                                                    \
    case 10: return SCAN(5, 0);                                                                                   \
    case 11: return SCAN(5, 1);                                                                                   \
    case 12: return SCAN(6, 0);                                                                                   \
    case 13: return SCAN(6, 1);                                                                                   \
    default: return SCAN(-1, 0);                                                                                  \
    }

CODE_TARGET static uint64_t block64_by_line(
    const nephrite_code_query *query, int by_signs, const uint8_t *rows, float threshold, float *lower, float *upper) {
    if (by_signs) return block64_of(query, 1, -1, 0, rows, threshold, lower, upper);
#define SCAN(steps, has_tail) block64_of(query, 0, steps, has_tail, rows, threshold, lower, upper)
    BY_LENGTH(nephrite_code_nibble_bytes(query->dimension), SCAN)
#undef SCAN
}

// Rows that lie anywhere are no stream that a hardware prefetcher follows: they are asked for by name, a group ahead, and
// into the second cache: so many lines on their way would keep the first one's few buffers from the rows at hand.
AVX512 void prefetch_rows16(const uint8_t *const *rows, size_t row_bytes) {
    for (size_t r = 0; r < 16; r += 1) {
        for (size_t line = 0; line < row_bytes; line += 64) __builtin_prefetch(rows[r] + line, 0, 2);
    }
}

// As block64_of, of rows that lie anywhere. `all_rows` has a multiple of 16.
AVX512 uint64_t rows64_of(
    const nephrite_code_query *query, const int steps, const int has_tail, const uint8_t *const *all_rows, size_t count,
    float threshold, float *lower, float *upper) {
    const size_t code_bytes = nephrite_code_nibble_bytes(query->dimension);
    const size_t row_bytes = code_bytes + nephrite_code_factor_bytes;
    const nephrite_code_bound *bound = &query->coarse_bound;
    const struct line line = make_line(bound, threshold, all_rows[0] + code_bytes);
    const __mmask64 part = (1ull << code_bytes % 64) - 1;
    __m512i weights[2 * most_steps + 2];
    if (steps >= 0) load_weights(query->coarse, steps, has_tail, code_bytes % 64, part, weights);
    uint64_t kept = 0;
    prefetch_rows16(all_rows, row_bytes);
    for (size_t first = 0; first < count; first += 16) {
        const uint8_t *const *rows = all_rows + first;
        if (first + 16 < count) prefetch_rows16(rows + 16, row_bytes);
        const __m512i sums = steps >= 0 ? fixed_rows16(weights, steps, has_tail, part, rows, rows[0], 0)
                                        : scattered_rows16(query->coarse, rows, code_bytes);
        struct factors16 factors;
        load_factors16(rows, code_bytes, rows[0], 0, &factors);
        const uint64_t found16 = keep16(
            bound, &line, 0, 15 * query->coarse_sum, sums, &factors, threshold, lower == NULL ? NULL : lower + first,
            upper + first);
        kept |= found16 << first;
    }
    return kept;
}

CODE_TARGET static uint64_t whole_rows64(
    const nephrite_code_query *query, const uint8_t *const *rows, size_t count, float threshold, float *lower,
    float *upper) {
#define SCAN(steps, has_tail) rows64_of(query, steps, has_tail, rows, count, threshold, lower, upper)
    BY_LENGTH(nephrite_code_nibble_bytes(query->dimension), SCAN)
#undef SCAN
}

// The rows are filled up with the last to groups of 16.
CODE_TARGET static uint64_t rows64_by_line(
    const nephrite_code_query *query, const uint8_t *const *rows, size_t count, float threshold, float *lower,
    float *upper) {
    if (count % 16 == 0) return whole_rows64(query, rows, count, threshold, lower, upper);
    const uint8_t *filled[nephrite_code_block_rows];
    const size_t padded = (count + 15) / 16 * 16;
    memcpy(filled, rows, count * sizeof *rows);
    for (size_t i = count; i < padded; i += 1) filled[i] = rows[count - 1];
    return whole_rows64(query, filled, padded, threshold, lower, upper) & ((1ull << count) - 1);
}

#undef BY_LENGTH
