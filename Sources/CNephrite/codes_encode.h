// From rotated components to codes: the resolution, both planes, the signs, and the factors of their bounds, in the
// macros and vectors of codes_template.h, which includes this.
// Clipping at these multiples of the root mean square is tried; the one that leaves the smallest residual is taken.
static const float clips[] = {1.8f, 2.1f, 2.4f, 2.7f, 3.0f, 3.4f};

// Components per unit of the code that leave the smallest residual after the best scale: the largest
// (values · code)^2 / (code · code).
CODE_INLINE float choose_resolution(const float *values, size_t padded, size_t dimension, float norm) {
    const float root_mean_square = norm / sqrtf((float)dimension);
    float best = 0, best_merit = -1;
    for (size_t c = 0; c < sizeof clips / sizeof clips[0]; c += 1) {
        const float resolution = 8 / (clips[c] * root_mean_square);
        v16f products = {0}, squares = {0};
        for (size_t i = 0; i < padded; i += 16) {
            const v16f x = CV16(values + i);
            v16f t = x * resolution + 8.0f;
            t = __builtin_elementwise_max(__builtin_elementwise_min(t, (v16f)15.5f), (v16f)0.0f);
            const v16f code = __builtin_convertvector(__builtin_convertvector(t, v16i), v16f) * 2.0f - 15.0f;
            products += x * code;
            squares += code * code;
        }
        const float product = sum16(&products);
        const float merit = product * (product / (sum16(&squares) - (float)(padded - dimension)));
        if (merit > best_merit) {
            best_merit = merit;
            best = resolution;
        }
    }
    return best;
}

// Nibbles and code values: codes are odd numbers, 2 * nibble - 15 for the high plane. A low nibble divides the cell of
// its high nibble by 16; in the outermost cells, which hold whatever is clipped, its steps are four times as wide.
CODE_INLINE void quantise(
    const float *values, size_t padded, float resolution, float *high, float *both, uint8_t *high_nibbles,
    uint8_t *low_nibbles) {
    for (size_t i = 0; i < padded; i += 1) {
        const float t = values[i] * resolution + 8.0f;
        const float clipped = t < 0 ? 0 : t > 15.5f ? 15.5f : t;
        const int h = (int)clipped;
        const float place = h == 15 ? (t - 15.0f) * 4.0f : h == 0 ? 12.0f + t * 4.0f : (t - (float)h) * 16.0f;
        const int l = (int)(place < 0 ? 0 : place > 15.5f ? 15.5f : place);
        const int detail = h == 15 ? 8 * l - 12 : h == 0 ? 8 * l - 108 : 2 * l - 15;
        high[i] = (float)(2 * h - 15);
        both[i] = (float)(16 * (2 * h - 15) + detail);
        high_nibbles[i] = (uint8_t)h;
        low_nibbles[i] = (uint8_t)l;
    }
}

CODE_INLINE void pack(const uint8_t *nibbles, size_t byte_count, uint8_t *plane) {
    while (byte_count > 0) {
        const size_t block = byte_count < 64 ? byte_count : 64;
        for (size_t j = 0; j < block; j += 1) plane[j] = (uint8_t)(nibbles[j] | nibbles[block + j] << 4);
        nibbles += 2 * block;
        plane += block;
        byte_count -= block;
    }
}

struct fit {
    float scale, residual, inverse;
};

// The best scale of a code, the norm of what is left, rounded up, and 1 / norm of the code, rounded down.
CODE_INLINE struct fit fit_code(const float *values, const float *code, size_t padded, size_t dimension) {
    v16f products = {0}, squares = {0}, residuals = {0};
    for (size_t i = 0; i < padded; i += 16) {
        const v16f c = CV16(code + i);
        products += CV16(values + i) * c;
        squares += c * c;
    }
    const float norm_squared = sum16(&squares);
    struct fit fit;
    fit.scale = sum16(&products) / norm_squared;
    for (size_t i = 0; i < padded; i += 16) {
        const v16f r = CV16(values + i) - CV16(code + i) * fit.scale;
        residuals += r * r;
    }
    const float margin = ((float)dimension / 16 + 24) * 0x1p-24f;
    fit.residual = sqrtf(sum16(&residuals)) * (1 + margin);
    fit.inverse = 1 / sqrtf(norm_squared) * (1 - margin);
    return fit;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

// Bit j of byte i of a block of n bytes is the sign of component j * n + i, counted from the block's first; `signs` is zero.
CODE_INLINE void pack_signs(const uint8_t *nibbles, size_t dimension, size_t byte_count, uint8_t *signs) {
    size_t first = 0;
    while (byte_count > 0) {
        const size_t block = byte_count < 64 ? byte_count : 64;
        for (int j = 0; j < 8 && first < dimension; j += 1) {
            const size_t count = dimension - first < block ? dimension - first : block;
            for (size_t i = 0; i < count; i += 1) signs[i] |= (uint8_t)((nibbles[first + i] >> 3) << j);
            first += count;
        }
        signs += block;
        byte_count -= block;
    }
}

// Signs, the estimate's factor N^2 / <y, s>, and the norm of its error for a query orthogonal to y: N sqrt(1 / c^2 - 1),
// c the cosine of y and its signs (the estimator of RaBitQ, Gao and Long 2024).
CODE_INLINE void encode_signs(
    const float *values, const uint8_t *nibbles, size_t padded, size_t dimension, struct nephrite_high_factors factors,
    int codable, float *code, uint8_t *signs) {
    const size_t sign_bytes = nephrite_code_sign_bytes(dimension);
    memset(signs, 0, sign_bytes);
    if (codable) {
        for (size_t i = 0; i < dimension; i += 1) code[i] = nibbles[i] < 8 ? -1 : 1;
        for (size_t i = dimension; i < padded; i += 1) code[i] = 0;
        pack_signs(nibbles, dimension, sign_bytes, signs);
        v16f products = {0};
        for (size_t i = 0; i < padded; i += 16) products += CV16(values + i) * CV16(code + i);
        const float product = sum16(&products), norm = factors.centred_norm;
        const float cosine = product / (norm * sqrtf((float)dimension));
        const float lost = 1 / (cosine * cosine) - 1;
        factors.scale = norm * (norm / product);
        factors.residual = (uint16_t)((bits_of(norm * sqrtf(lost > 0 ? lost : 0)) + 0xffff) >> 16);
        factors.inverse = (uint16_t)(bits_of(factors.scale / norm) >> 16);
    }
    memcpy(signs + sign_bytes, &factors, sizeof factors);
}

CODE_TARGET static void encode(
    const nephrite_codec *codec, const float *row, uint8_t *high, uint8_t *low, uint8_t *signs, float *scratch) {
    const size_t dimension = codec->dimension, padded = nephrite_code_padded(dimension);
    const size_t nibble_bytes = nephrite_code_nibble_bytes(dimension);
    float *values = scratch, *high_code = values + padded, *both_code = high_code + padded;
    uint8_t *high_nibbles = (uint8_t *)(both_code + padded), *low_nibbles = high_nibbles + padded;
    struct nephrite_high_factors row_factors = {0, 0, 1, 0x7f80, 0};
    struct nephrite_low_factors code_factors = {0, INFINITY, 0, 0};
    rotate_inline(codec, row, 1, values);
    const float norm = sqrtf(sum_of_squares(row, dimension));
    const float centred_norm = codec->centre == NULL ? norm : sqrtf(sum_of_squares(values, padded));
    const int codable = norm >= NEPHRITE_CODE_NORM_MIN && norm <= NEPHRITE_CODE_NORM_MAX &&
                        centred_norm >= NEPHRITE_CODE_NORM_MIN && centred_norm <= NEPHRITE_CODE_NORM_MAX;
    if (codable) {
        const float resolution = choose_resolution(values, padded, dimension, centred_norm);
        quantise(values, padded, resolution, high_code, both_code, high_nibbles, low_nibbles);
        // Padding has a code, as every nibble does, but is no part of the vector.
        for (size_t i = dimension; i < padded; i += 1) high_code[i] = both_code[i] = 0;
        pack(high_nibbles, nibble_bytes, high);
        pack(low_nibbles, nibble_bytes, low);
        const struct fit coarse = fit_code(values, high_code, padded, dimension);
        const struct fit fine = fit_code(values, both_code, padded, dimension);
        row_factors.scale = coarse.scale;
        row_factors.centred_norm = centred_norm;
        row_factors.norm = norm;
        row_factors.residual = (uint16_t)((bits_of(coarse.residual) + 0xffff) >> 16);
        row_factors.inverse = (uint16_t)(bits_of(coarse.inverse) >> 16);
        code_factors.scale = fine.scale;
        code_factors.residual = fine.residual;
        code_factors.inverse = fine.inverse;
    } else {
        memset(high, 0, nibble_bytes);
        memset(low, 0, nibble_bytes);
    }
    memcpy(high + nibble_bytes, &row_factors, sizeof row_factors);
    memcpy(low + nibble_bytes, &code_factors, sizeof code_factors);
    if (nephrite_code_sign_bytes(dimension) > 0) {
        encode_signs(values, high_nibbles, padded, dimension, row_factors, codable, high_code, signs);
    }
}
