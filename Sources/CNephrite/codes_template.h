// Rotation, encoding (codes_encode.h) and bounds (codes_bounds.h), written once in vectors of 16 floats: the file of an
// implementation sets the compiler's target, defines coarse4 and coarse4x4, then includes this. CODE_TARGET, CODE_SET
// and CODE_NAME as in kernels_template.h.
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

typedef double v8d __attribute__((ext_vector_type(8), aligned(8)));
typedef int32_t v8i __attribute__((ext_vector_type(8), aligned(4)));
typedef int16_t v8s __attribute__((ext_vector_type(8), aligned(2)));

CODE_TARGET static void measure(
    const float *values, size_t count, double *largest, double *total, double *squares) {
    v8f greatest = {0};
    v8d totals = {0}, all_squares = {0};
    for (size_t i = 0; i < count; i += 8) {
        const v8f size = __builtin_elementwise_abs(*(const v8f *)(const void *)(values + i));
        const v8d wide = __builtin_convertvector(size, v8d);
        greatest = __builtin_elementwise_max(greatest, size);
        totals += wide;
        all_squares += wide * wide;
    }
    *largest = *total = *squares = 0;
    for (int i = 0; i < 8; i += 1) {
        *largest = greatest[i] > *largest ? greatest[i] : *largest;
        *total += totals[i];
        *squares += all_squares[i];
    }
}

CODE_TARGET static void weigh(
    const float *values, size_t count, float step, int16_t *weights, double *sum, double *squares, double *lost) {
    const double inverse = 1 / (double)step, rounder = 0x1.8p52;
    v8d sums = {0}, all_squares = {0}, rest = {0};
    for (size_t i = 0; i < count; i += 8) {
        const v8d x = __builtin_convertvector(*(const v8f *)(const void *)(values + i), v8d);
        // Adding and taking away this much rounds to the nearest integer.
        const v8d weight = (x * inverse + rounder) - rounder, missing = x - weight * (double)step;
        sums += weight;
        all_squares += weight * weight;
        rest += missing * missing;
        *(v8s *)(void *)(weights + i) = __builtin_convertvector(__builtin_convertvector(weight, v8i), v8s);
    }
    *sum = *squares = *lost = 0;
    for (int i = 0; i < 8; i += 1) {
        *sum += sums[i];
        *squares += all_squares[i];
        *lost += rest[i];
    }
}

#include "codes_bounds.h"
