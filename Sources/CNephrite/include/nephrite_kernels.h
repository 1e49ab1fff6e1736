// Float kernels: inner products and squared distances of one query against rows of a slab.
#ifndef NEPHRITE_KERNELS_H
#define NEPHRITE_KERNELS_H
#include <stddef.h>
#include <stdint.h>

/// Inner product of two float vectors of `dimension` components.
float nephrite_dot(const float *a, const float *b, size_t dimension);
/// Squared Euclidean distance.
float nephrite_squared_distance(const float *a, const float *b, size_t dimension);
/// Inner product of a and b (returned) and sum of squares of b (stored).
float nephrite_dot_and_norm(const float *a, const float *b, size_t dimension, float *norm_squared);

/// Scores `count` rows that start `stride` bytes apart against `query` into `scores`.
void nephrite_dot_rows(const float *query, const void *rows, size_t stride, size_t count, size_t dimension, float *scores);
void nephrite_squared_distance_rows(const float *query, const void *rows, size_t stride, size_t count, size_t dimension, float *scores);
/// Cosine similarity; `query_norm` is the Euclidean norm of the query; a row or query of norm zero scores 0.
void nephrite_cosine_rows(const float *query, float query_norm, const void *rows, size_t stride, size_t count, size_t dimension, float *scores);
/// 1 if all `count` floats are finite, else 0.
int nephrite_all_finite(const float *values, size_t count);
/// Name of the kernel set in use: "avx512", "avx2", "sse2", "neon" or "portable".
/// The environment variable NEPHRITE_KERNELS forces one that the machine has.
const char *nephrite_kernels_implementation(void);
#endif
