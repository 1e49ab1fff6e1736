// The second half of codes_template.h, which includes it: sums over signs, and over both planes where the file of an
// implementation has none of its own, bounds from sums and factors, and the implementation's struct.
typedef uint8_t v16b __attribute__((ext_vector_type(16), aligned(1)));
typedef uint16_t v16h __attribute__((ext_vector_type(16), aligned(2)));

// How many bits of each byte are set.
CODE_INLINE v16b count_bits(v16b bytes) {
#if __has_builtin(__builtin_elementwise_popcount)
    return __builtin_elementwise_popcount(bytes);
#else
    const v16b pairs = bytes - ((bytes >> 1) & 0x55);
    const v16b nibbles = (pairs & 0x33) + ((pairs >> 2) & 0x33);
    return (nibbles + (nibbles >> 4)) & 0x0f;
#endif
}

// Sixteen bytes of a row at a time; they count 8 * 7 each at most, which 16 bits hold up to 149,760 components.
CODE_INLINE int32_t signs1(const uint8_t *planes, const uint8_t *bits, size_t byte_count) {
    v16h sums = {0};
    for (size_t i = 0; i < byte_count; i += 16) {
        const v16b row = *(const v16b *)(const void *)(bits + i);
        v16b counts = {0};
        for (size_t b = nephrite_code_sign_weight_bits; b > 0; b -= 1) {
            const v16b plane = *(const v16b *)(const void *)(planes + (b - 1) * byte_count + i);
            counts = counts + counts + count_bits(row ^ plane);
        }
        sums += __builtin_convertvector(counts, v16h);
    }
    int32_t sum = 0;
    for (int i = 0; i < 16; i += 1) sum += sums[i];
    return sum;
}

CODE_TARGET static void signs4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    const size_t byte_count = nephrite_code_sign_bytes(query->dimension);
    for (int r = 0; r < 4; r += 1) sums[r] = signs1(query->signs, rows[r], byte_count);
}

#ifndef CODE_REFINED
#define CODE_REFINED refined
CODE_TARGET static int32_t refined(const nephrite_code_query *query, const uint8_t *high, const uint8_t *low) {
    const int16_t *weights = query->fine;
    size_t left = nephrite_code_nibble_bytes(query->dimension);
    int32_t sum = 0;
    while (left > 0) {
        const size_t block = left < 64 ? left : 64;
        for (int shift = 0; shift < 8; shift += 4) {
            for (size_t j = 0; j < block; j += 1) {
                const int16_t h = (int16_t)((high[j] >> shift) & 15), l = (int16_t)((low[j] >> shift) & 15);
                const int16_t detail = (int16_t)(h == 15 ? 8 * l - 12 : h == 0 ? 8 * l - 108 : 2 * l - 15);
                const int16_t value = (int16_t)(32 * h - 240 + detail);
                sum += (int32_t)weights[j] * value;
            }
            weights += block;
        }
        high += block;
        low += block;
        left -= block;
    }
    return sum;
}
#endif

#ifndef CODE_KEPT
#define CODE_KEPT kept16
CODE_INLINE uint32_t kept16(const float *upper, float threshold) {
    uint32_t kept = 0;
    for (int i = 0; i < 16; i += 1) kept |= (uint32_t) !(upper[i] < threshold) << i;
    return kept;
}
#endif

#define FACTOR(n)                                                                                                     \
    __builtin_shufflevector(                                                                                          \
        __builtin_shufflevector(four[0], four[1], n, n + 4, n + 8, n + 12, n + 16, n + 20, n + 24, n + 28),            \
        __builtin_shufflevector(four[2], four[3], n, n + 4, n + 8, n + 12, n + 16, n + 20, n + 24, n + 28), 0, 1, 2,   \
        3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

// The factors of 16 rows.
struct factors16 {
    v16f scale, centred_norm, norm, residual, inverse;
};

// From the factors as they are stored, 16 bytes a row.
CODE_INLINE void unpack_factors(const float *factors, struct factors16 *rows) {
    const v16f four[4] = {CV16(factors), CV16(factors + 16), CV16(factors + 32), CV16(factors + 48)};
    const v16f packed = FACTOR(3);
    rows->scale = FACTOR(0);
    rows->centred_norm = FACTOR(1);
    rows->norm = FACTOR(2);
    rows->residual = (v16f)((v16u)packed << 16u);
    rows->inverse = (v16f)((v16u)packed & 0xffff0000u);
}

// Bounds of 16 rows from their sums and factors.
CODE_INLINE uint32_t bound_rows(
    const nephrite_code_bound *bound, const v16f *sums, const struct factors16 *rows, float threshold, float *lower,
    float *upper) {
    const v16f sum = *sums, centred_norm = rows->centred_norm, norm = rows->norm, residual = rows->residual;
    v16f estimate = rows->scale * sum * bound->step;
    v16f cosine = sum * rows->inverse * bound->angle;
    if (bound->correction != 0) {
        const v16f ratio = residual / centred_norm, lost = ratio * ratio;
        estimate += estimate * lost * (lost + 1.0f);
        cosine = estimate * bound->correction / centred_norm;
    }
    const v16f rest = 1.0f - cosine * cosine;
    const v16f sine = __builtin_elementwise_sqrt(
        __builtin_elementwise_max(rest, (v16f)0.0f) + bound->sine_margin);
    v16f half = residual * sine * bound->spread + centred_norm * bound->per_centred + norm * bound->per_norm;
    v16f middle;
    if (bound->metric == 2) {
        const v16f squares = centred_norm * centred_norm + bound->squared;
        middle = estimate * 2.0f - squares;
        half = half * 2.0f + squares * bound->relative;
    } else if (bound->metric == 1) {
        middle = estimate + bound->offset;
    } else {
        const v16f factor = bound->scale / norm;
        middle = (estimate + bound->offset) * factor;
        half = half * factor + bound->relative;
    }
    V16(lower) = middle - half;
    V16(upper) = middle + half;
    return CODE_KEPT(upper, threshold);
}

CODE_TARGET static uint32_t bounds16(
    const nephrite_code_bound *bound, const float *sums, const float *factors, float threshold, float *lower,
    float *upper) {
    struct factors16 rows;
    unpack_factors(factors, &rows);
    const v16f sum = CV16(sums);
    return bound_rows(bound, &sum, &rows, threshold, lower, upper);
}

#ifndef CODE_REFINED16
#define CODE_REFINED16 refined16
CODE_INLINE void refined16(
    const nephrite_code_query *query, const uint8_t *const *high, const uint8_t *const *low, size_t count,
    int32_t *sums) {
    for (size_t i = 0; i < count; i += 1) sums[i] = CODE_REFINED(query, high[i], low[i]);
}
#endif

// Bounds of up to 16 rows by both planes: scale, residual and inverse are those of both, the norms are the row's.
CODE_TARGET static uint32_t refine16(
    const nephrite_code_query *query, const uint8_t *const *high, const uint8_t *const *low, size_t count,
    float threshold, float *lower, float *upper) {
    const size_t code_bytes = nephrite_code_nibble_bytes(query->dimension);
    _Alignas(64) int32_t found[16] = {0};
    _Alignas(64) float norms[64], code[64];
    CODE_REFINED16(query, high, low, count, found);
    for (size_t i = 0; i < 16; i += 1) {
        const size_t row = i < count ? i : count - 1;
        memcpy(norms + 4 * i, high[row] + code_bytes, 16);
        memcpy(code + 4 * i, low[row] + code_bytes, 16);
    }
    struct factors16 rows, of_both;
    unpack_factors(norms, &rows);
    {
        const v16f four[4] = {CV16(code), CV16(code + 16), CV16(code + 32), CV16(code + 48)};
        of_both.scale = FACTOR(0);
        of_both.residual = FACTOR(1);
        of_both.inverse = FACTOR(2);
    }
    of_both.centred_norm = rows.centred_norm;
    of_both.norm = rows.norm;
    const v16f sums = __builtin_convertvector(*(const v16i *)(const void *)found, v16f);
    return bound_rows(&query->refined_bound, &sums, &of_both, threshold, lower, upper) & ((1u << count) - 1);
}

#ifndef CODE_BLOCK64
#define CODE_BLOCK64 block64
CODE_TARGET static uint64_t block64(
    const nephrite_code_query *query, int by_signs, const uint8_t *rows, float threshold, float *lower, float *upper) {
    const size_t code_bytes =
        by_signs ? nephrite_code_sign_bytes(query->dimension) : nephrite_code_nibble_bytes(query->dimension);
    const size_t row_bytes = code_bytes + nephrite_code_factor_bytes;
    const nephrite_code_bound *bound = by_signs ? &query->sign_bound : &query->coarse_bound;
    const int32_t all = by_signs ? query->sign_sum : 15 * query->coarse_sum;
    uint64_t kept = 0;
    for (int first = 0; first < nephrite_code_block_rows; first += 16, rows += 16 * row_bytes) {
        _Alignas(64) int32_t found[16];
        _Alignas(64) float factors[64];
        for (size_t r = 0; r < 16; r += 4) {
            const uint8_t *start = rows + r * row_bytes;
            const uint8_t *const four[4] = {start, start + row_bytes, start + 2 * row_bytes, start + 3 * row_bytes};
            if (by_signs) signs4(query, four, found + r);
            else coarse4(query, four, found + r);
        }
        for (size_t r = 0; r < 16; r += 1) memcpy(factors + 4 * r, rows + r * row_bytes + code_bytes, 16);
        struct factors16 unpacked;
        unpack_factors(factors, &unpacked);
        v16f sums = __builtin_convertvector(*(const v16i *)(const void *)found * 2 - all, v16f);
        for (int r = 0; by_signs && r < 16; r += 1) {
            if (sums[r] < 0) sums[r] *= bound->negative_share;
        }
        kept |= (uint64_t)bound_rows(bound, &sums, &unpacked, threshold, lower + first, upper + first) << first;
    }
    return kept;
}
#endif

#ifndef CODE_PASSES
#define CODE_PASSES .prepare_pass = NULL, .pass64 = NULL,
#endif

#ifndef CODE_WAITING
#define CODE_WAITING .count_reaching = NULL, .take_waiting = NULL,
#endif

#ifndef CODE_ROWS64
#define CODE_ROWS64 NULL
#endif

#define CODE_SET_OF(set_name, block)                                                                              \
    {                                                                                                             \
        .name = set_name, .rotate = rotate, .encode = encode, .measure = measure, .weigh = weigh,                 \
        .coarse4 = coarse4, .coarse4x4 = coarse4x4, .signs4 = signs4, .refined = CODE_REFINED,                    \
        .bounds16 = bounds16, .refine16 = refine16, .block64 = block, .rows64 = CODE_ROWS64, CODE_WAITING         \
        CODE_PASSES                                                                                               \
    }

const struct nephrite_code_set CODE_SET = CODE_SET_OF(CODE_NAME, CODE_BLOCK64);
