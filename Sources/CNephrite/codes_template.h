// Rotation, encoding (codes_encode.h) and bounds, written once in vectors of 16 floats: the file of an implementation
// sets the compiler's target, defines coarse4 and coarse4x4, then includes this. CODE_TARGET, CODE_SET and CODE_NAME as
// in kernels_template.h.
//
// Every operation is a lane of its own and every sum has one order, with no contraction to fused operations: so all
// implementations give the same bytes.
#include "codes_internal.h"

#pragma STDC FP_CONTRACT OFF

#define CODE_INLINE static inline __attribute__((always_inline)) CODE_TARGET

typedef float v16f __attribute__((ext_vector_type(16), aligned(4)));
typedef float v8f __attribute__((ext_vector_type(8), aligned(4)));
typedef int32_t v16i __attribute__((ext_vector_type(16), aligned(4)));
typedef uint32_t v16u __attribute__((ext_vector_type(16), aligned(4)));

#define V16(pointer) (*(v16f *)(void *)(pointer))
#define CV16(pointer) (*(const v16f *)(const void *)(pointer))

CODE_INLINE float sum16(const v16f *lanes) {
    const v16f v = *lanes;
    const v8f half = v.lo + v.hi;
    return ((half[0] + half[4]) + (half[2] + half[6])) + ((half[1] + half[5]) + (half[3] + half[7]));
}

// The Walsh–Hadamard transform of `count` floats in place, without a scale. Sylvester order.
CODE_INLINE void transform_few(float *values, size_t count) {
    for (size_t step = 1; step < count; step *= 2) {
        for (size_t i = 0; i < count; i += 2 * step) {
            for (size_t j = i; j < i + step; j += 1) {
                const float a = values[j], b = values[j + step];
                values[j] = a + b;
                values[j + step] = a - b;
            }
        }
    }
}

CODE_INLINE void transform(float *values, size_t count) {
    if (count < 16) {
        transform_few(values, count);
        return;
    }
    const v16f odd1 = {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1};
    const v16f odd2 = {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1};
    const v16f odd4 = {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1};
    const v16f odd8 = {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1};
    for (size_t i = 0; i < count; i += 16) {
        v16f v = V16(values + i);
        v = __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14) + v * odd1;
        v = __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13) + v * odd2;
        v = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11) + v * odd4;
        v = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7) + v * odd8;
        V16(values + i) = v;
    }
    size_t step = 16;
    for (; step * 2 < count; step *= 4) {  // Two levels at a time: half the loads and stores.
        for (size_t i = 0; i < count; i += 4 * step) {
            for (size_t j = i; j < i + step; j += 16) {
                const v16f a = V16(values + j), b = V16(values + j + step);
                const v16f c = V16(values + j + 2 * step), d = V16(values + j + 3 * step);
                const v16f ab = a + b, a_b = a - b, cd = c + d, c_d = c - d;
                V16(values + j) = ab + cd;
                V16(values + j + step) = a_b + c_d;
                V16(values + j + 2 * step) = ab - cd;
                V16(values + j + 3 * step) = a_b - c_d;
            }
        }
    }
    for (; step < count; step *= 2) {
        for (size_t i = 0; i < count; i += 2 * step) {
            for (size_t j = i; j < i + step; j += 16) {
                const v16f a = V16(values + j), b = V16(values + j + step);
                V16(values + j) = a + b;
                V16(values + j + step) = a - b;
            }
        }
    }
}

// Rotates every pair (i, dimension - half + i) by 45 degrees, which carries what is at one end to the other.
CODE_INLINE void mix_ends(float *values, size_t dimension) {
    const float root = 0x1.6a09e6p-1f;
    const size_t half = dimension / 2;
    float *front = values, *back = values + (dimension - half);
    size_t i = 0;
    for (; i + 16 <= half; i += 16) {
        const v16f a = V16(front + i), b = V16(back + i);
        V16(front + i) = (a + b) * root;
        V16(back + i) = (a - b) * root;
    }
    for (; i < half; i += 1) {
        const float a = front[i], b = back[i];
        front[i] = (a + b) * root;
        back[i] = (a - b) * root;
    }
}

// Fast orthogonal transform: random signs, a Walsh–Hadamard window, and a mixing step, some rounds of them (Ailon and
// Chazelle 2006; the windows at both ends as in the rotators of RaBitQ, Gao and Long 2024).
CODE_INLINE void rotate_inline(const nephrite_codec *codec, const float *vector, int subtracts, float *rotated) {
    const size_t dimension = codec->dimension, padded = nephrite_code_padded(dimension);
    if (subtracts && codec->centre != NULL) {
        for (size_t i = 0; i < dimension; i += 1) rotated[i] = vector[i] - codec->centre[i];
    } else {
        memcpy(rotated, vector, dimension * sizeof(float));
    }
    for (size_t i = dimension; i < padded; i += 1) rotated[i] = 0;
    const size_t rounds = nephrite_rotation_rounds(dimension), window = nephrite_rotation_window(dimension);
    for (size_t round = 0; round < rounds; round += 1) {
        const float *signs = codec->signs + round * dimension;
        for (size_t i = 0; i < dimension; i += 1) rotated[i] *= signs[i];
        transform(rotated + (round % 2 == 0 ? 0 : dimension - window), window);
        if (window != dimension) mix_ends(rotated, dimension);
    }
}

CODE_TARGET static void rotate(const nephrite_codec *codec, const float *vector, int subtracts, float *rotated) {
    rotate_inline(codec, vector, subtracts, rotated);
}

CODE_INLINE float sum_of_squares(const float *values, size_t count) {
    v16f sums = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const v16f x = CV16(values + i);
        sums += x * x;
    }
    float rest = 0;
    for (; i < count; i += 1) rest += values[i] * values[i];
    return sum16(&sums) + rest;
}

#include "codes_encode.h"

#ifndef CODE_SIGNS
#define CODE_SIGNS signs4
typedef int8_t v16c __attribute__((ext_vector_type(16), aligned(1)));
typedef int16_t v16s __attribute__((ext_vector_type(16), aligned(2)));

// Sixteen bytes of a block and one bit of each at a time: lanes of ones let weights through.
CODE_INLINE int32_t signs1(const int8_t *weights, const uint8_t *bits, size_t byte_count) {
    v16i sums = {0};
    while (byte_count > 0) {
        const size_t block = byte_count < 64 ? byte_count : 64;
        v16s lanes = {0};
        for (int j = 0; j < 8; j += 1) {
            const v16c bit = (v16c)(int8_t)(uint8_t)(1 << j);
            v16s found = {0};
            for (size_t i = 0; i < block; i += 16) {
                const v16c bytes = *(const v16c *)(const void *)(bits + i);
                const v16c taken = (v16c)((bytes & bit) == bit) & *(const v16c *)(const void *)(weights + i);
                found += __builtin_convertvector(taken, v16s);
            }
            lanes += found * (int16_t)(1 << j % 4);
            weights += block;
        }
        sums += __builtin_convertvector(lanes, v16i);
        bits += block;
        byte_count -= block;
    }
    int32_t sum = 0;
    for (int i = 0; i < 16; i += 1) sum += sums[i];
    return sum / 8;
}

CODE_TARGET static void signs4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    const size_t byte_count = nephrite_code_sign_bytes(query->dimension);
    for (int r = 0; r < 4; r += 1) sums[r] = signs1(query->signs, rows[r], byte_count);
}
#endif

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
        __builtin_shufflevector(f0, f1, n, n + 4, n + 8, n + 12, n + 16, n + 20, n + 24, n + 28),                     \
        __builtin_shufflevector(f2, f3, n, n + 4, n + 8, n + 12, n + 16, n + 20, n + 24, n + 28), 0, 1, 2, 3, 4, 5, 6, \
        7, 8, 9, 10, 11, 12, 13, 14, 15)

CODE_TARGET static uint32_t bounds16(
    const nephrite_code_bound *bound, const float *sums, const float *factors, float threshold, float *lower,
    float *upper) {
    const v16f f0 = CV16(factors), f1 = CV16(factors + 16), f2 = CV16(factors + 32), f3 = CV16(factors + 48);
    const v16f scale = FACTOR(0), centred_norm = FACTOR(1), norm = FACTOR(2), packed = FACTOR(3), sum = CV16(sums);
    const v16f residual = (v16f)((v16u)packed << 16u), inverse = (v16f)((v16u)packed & 0xffff0000u);
    v16f estimate = scale * sum * bound->step;
    v16f cosine = sum * inverse * bound->angle;
    if (bound->correction != 0) {
        const v16f ratio = residual / centred_norm, lost = ratio * ratio;
        estimate += estimate * lost * (lost + 1.0f);
        cosine = estimate * bound->correction / centred_norm;
    }
    const v16f rest = 1.0f - cosine * cosine;
    const v16f sine = __builtin_elementwise_sqrt(
        __builtin_elementwise_max(rest, (v16f)0.0f) + NEPHRITE_SINE_MARGIN);
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

const struct nephrite_code_set CODE_SET = {
    .name = CODE_NAME,
    .rotate = rotate,
    .encode = encode,
    .coarse4 = coarse4,
    .coarse4x4 = coarse4x4,
    .signs4 = CODE_SIGNS,
    .refined = CODE_REFINED,
    .bounds16 = bounds16,
};
