// Float kernels: inner products and squared distances of one query against rows of a slab. Rows are aligned to four
// bytes. The score of a row has the same bits in the single and in the rows form, wherever the row stands.
#ifndef NEPHRITE_KERNELS_H
#define NEPHRITE_KERNELS_H
#include <stddef.h>
#include <stdint.h>

/// Inner product of two float vectors of `dimension` components. Finite vectors never give NaN.
float nephrite_dot(const float *a, const float *b, size_t dimension);
/// Squared Euclidean distance; infinity if it is too large for a float.
float nephrite_squared_distance(const float *a, const float *b, size_t dimension);
/// Cosine similarity, -1 … 1; as nephrite_cosine_rows.
float nephrite_cosine(const float *a, float norm_of_a, const float *b, size_t dimension);
/// Inner product of a and b (returned) and sum of squares of b (stored; infinity if it is too large for a float).
float nephrite_dot_and_norm(const float *a, const float *b, size_t dimension, float *norm_squared);

/// Scores `count` rows that start `stride` bytes apart against `query` into `scores`.
void nephrite_dot_rows(
    const float *query, const void *rows, size_t stride, size_t count, size_t dimension, float *scores);
void nephrite_squared_distance_rows(
    const float *query, const void *rows, size_t stride, size_t count, size_t dimension, float *scores);
/// Cosine similarity, -1 … 1; `query_norm` is the Euclidean norm of the query; a row or query of norm zero scores 0.
/// Right for every finite query and row: norms outside 1e-10 … 1e18 are worked out in double, slowly.
void nephrite_cosine_rows(
    const float *query, float query_norm, const void *rows, size_t stride, size_t count, size_t dimension,
    float *scores);
/// 1 if all `count` floats are finite, else 0.
int nephrite_all_finite(const float *values, size_t count);
/// Name of the kernel set in use: "avx512", "avx2", "sse2", "neon" or "portable".
/// The environment variable NEPHRITE_KERNELS forces one that the machine has.
const char *nephrite_kernels_implementation(void);

/// One implementation of the kernels, so that tests can run each, side by side, without a global switch.
typedef struct nephrite_kernel_set nephrite_kernel_set;
/// Stores up to `capacity` of the sets that this machine has, best first; returns how many it has (at most 4).
size_t nephrite_kernel_sets(const nephrite_kernel_set **sets, size_t capacity);
/// "avx512", "avx2", "sse2", "neon" or "portable".
const char *nephrite_kernel_set_name(const nephrite_kernel_set *set);
/// The kernels above, by `set`.
void nephrite_dot_rows_using(
    const nephrite_kernel_set *set, const float *query, const void *rows, size_t stride, size_t count,
    size_t dimension, float *scores);
void nephrite_squared_distance_rows_using(
    const nephrite_kernel_set *set, const float *query, const void *rows, size_t stride, size_t count,
    size_t dimension, float *scores);
void nephrite_cosine_rows_using(
    const nephrite_kernel_set *set, const float *query, float query_norm, const void *rows, size_t stride,
    size_t count, size_t dimension, float *scores);
int nephrite_all_finite_using(const nephrite_kernel_set *set, const float *values, size_t count);
#endif
