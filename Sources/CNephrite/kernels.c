// The public float kernels: the choice of a kernel set, made once, and what a set alone does not promise about values
// too large or too small for a float. Nephrite's Search calls it.
#include "nephrite_kernels.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { cosine_block = 64 };

size_t nephrite_kernel_sets(const nephrite_kernel_set **sets, size_t capacity) {
    const nephrite_kernel_set *all[4];
    size_t count = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) all[count++] = &nephrite_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all[count++] = &nephrite_kernels_avx2;
    all[count++] = &nephrite_kernels_sse2;
#elif defined(__aarch64__)
    all[count++] = &nephrite_kernels_neon;
#endif
    all[count++] = &nephrite_kernels_portable;
    for (size_t i = 0; i < count && i < capacity; i += 1) sets[i] = all[i];
    return count;
}

const char *nephrite_kernel_set_name(const nephrite_kernel_set *set) { return set->name; }

// The best set of the machine, or the one that NEPHRITE_KERNELS names if the machine has it.
static const nephrite_kernel_set *choose(void) {
    const nephrite_kernel_set *sets[4];
    const size_t count = nephrite_kernel_sets(sets, 4);
    const char *forced = getenv("NEPHRITE_KERNELS");
    for (size_t i = 0; forced != NULL && i < count; i += 1) {
        if (strcmp(sets[i]->name, forced) == 0) return sets[i];
    }
    return sets[0];
}

// Null until the first call. Threads that race to set it all store the same pointer to constant data.
static _Atomic(const nephrite_kernel_set *) chosen;

static const nephrite_kernel_set *current(void) {
    const nephrite_kernel_set *set = atomic_load_explicit(&chosen, memory_order_acquire);
    if (__builtin_expect(set == NULL, 0)) {
        set = choose();
        atomic_store_explicit(&chosen, set, memory_order_release);
    }
    return set;
}

// Squares of floats fit a double with room for 2^700 of them, so nothing here overflows or vanishes.
struct careful_sums {
    double dot, query_squared, row_squared;
};

static struct careful_sums sum_carefully(const float *query, const float *row, size_t dimension) {
    struct careful_sums sums = {0, 0, 0};
    for (size_t i = 0; i < dimension; i += 1) {
        sums.dot += (double)query[i] * row[i];
        sums.query_squared += (double)query[i] * query[i];
        sums.row_squared += (double)row[i] * row[i];
    }
    return sums;
}

static float careful_cosine(const float *query, const float *row, size_t dimension) {
    const struct careful_sums sums = sum_carefully(query, row, dimension);
    if (sums.query_squared == 0 || sums.row_squared == 0) return 0;
    const float cosine = (float)(sums.dot / (sqrt(sums.query_squared) * sqrt(sums.row_squared)));
    return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

static inline const float *row_at(const void *rows, size_t stride, size_t index) {
    return (const float *)(const void *)((const uint8_t *)rows + stride * index);
}

void nephrite_dot_rows_using(
    const nephrite_kernel_set *set, const float *query, const void *rows, size_t stride, size_t count,
    size_t dimension, float *scores) {
    set->dot(query, rows, stride, count, dimension, scores);
    if (__builtin_expect(set->all_finite(scores, count), 1)) return;
    for (size_t i = 0; i < count; i += 1) {
        if (isfinite(scores[i])) continue;
        scores[i] = (float)sum_carefully(query, row_at(rows, stride, i), dimension).dot;
    }
}

void nephrite_squared_distance_rows_using(
    const nephrite_kernel_set *set, const float *query, const void *rows, size_t stride, size_t count,
    size_t dimension, float *scores) {
    set->squared_distance(query, rows, stride, count, dimension, scores);
}

// From inner products and squared row norms to cosines, in place. Division and square root are correctly rounded
// everywhere, so four at a time give the same bits as one.
static void finish_cosines(float *scores, const float *norms_squared, size_t count, float query_norm) {
    size_t i = 0;
#if defined(__x86_64__)
    const __m128 one = _mm_set1_ps(1), minus_one = _mm_set1_ps(-1), norm = _mm_set1_ps(query_norm);
    for (; i + 4 <= count; i += 4) {
        const __m128 norms = _mm_mul_ps(norm, _mm_sqrt_ps(_mm_loadu_ps(norms_squared + i)));
        const __m128 cosines = _mm_div_ps(_mm_loadu_ps(scores + i), norms);
        _mm_storeu_ps(scores + i, _mm_max_ps(_mm_min_ps(cosines, one), minus_one));
    }
#elif defined(__aarch64__)
    const float32x4_t one = vdupq_n_f32(1), minus_one = vdupq_n_f32(-1);
    for (; i + 4 <= count; i += 4) {
        const float32x4_t norms = vmulq_n_f32(vsqrtq_f32(vld1q_f32(norms_squared + i)), query_norm);
        const float32x4_t cosines = vdivq_f32(vld1q_f32(scores + i), norms);
        vst1q_f32(scores + i, vmaxq_f32(vminq_f32(cosines, one), minus_one));
    }
#endif
    for (; i < count; i += 1) {
        const float cosine = scores[i] / (query_norm * sqrtf(norms_squared[i]));
        scores[i] = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
    }
}

// Norms in this range neither overflow in the products nor lose bits to denormals.
static const float ordinary_norm_min = 1e-10f, ordinary_norm_max = 1e18f;

static inline int is_ordinary(float norm_squared) {
    return (norm_squared >= ordinary_norm_min * ordinary_norm_min) &
           (norm_squared <= ordinary_norm_max * ordinary_norm_max);
}

void nephrite_cosine_rows_using(
    const nephrite_kernel_set *set, const float *query, float query_norm, const void *rows, size_t stride,
    size_t count, size_t dimension, float *scores) {
    const int query_is_ordinary = query_norm >= ordinary_norm_min && query_norm <= ordinary_norm_max;
    float norms_squared[cosine_block];
    for (size_t first = 0; first < count; first += cosine_block) {
        const size_t block = count - first < cosine_block ? count - first : cosine_block;
        const uint8_t *block_rows = (const uint8_t *)rows + stride * first;
        float *block_scores = scores + first;
        set->dot_and_norm(query, block_rows, stride, block, dimension, block_scores, norms_squared);
        int all_ordinary = query_is_ordinary;
        for (size_t i = 0; i < block; i += 1) all_ordinary &= is_ordinary(norms_squared[i]);
        if (__builtin_expect(all_ordinary, 1)) {
            finish_cosines(block_scores, norms_squared, block, query_norm);
            continue;
        }
        for (size_t i = 0; i < block; i += 1) {
            if (query_is_ordinary && is_ordinary(norms_squared[i])) {
                finish_cosines(block_scores + i, norms_squared + i, 1, query_norm);
            } else {
                block_scores[i] = careful_cosine(query, row_at(block_rows, stride, i), dimension);
            }
        }
    }
}

int nephrite_all_finite_using(const nephrite_kernel_set *set, const float *values, size_t count) {
    return set->all_finite(values, count);
}

void nephrite_dot_rows(
    const float *query, const void *rows, size_t stride, size_t count, size_t dimension, float *scores) {
    nephrite_dot_rows_using(current(), query, rows, stride, count, dimension, scores);
}

void nephrite_squared_distance_rows(
    const float *query, const void *rows, size_t stride, size_t count, size_t dimension, float *scores) {
    nephrite_squared_distance_rows_using(current(), query, rows, stride, count, dimension, scores);
}

void nephrite_cosine_rows(
    const float *query, float query_norm, const void *rows, size_t stride, size_t count, size_t dimension,
    float *scores) {
    nephrite_cosine_rows_using(current(), query, query_norm, rows, stride, count, dimension, scores);
}

float nephrite_dot(const float *a, const float *b, size_t dimension) {
    float score;
    nephrite_dot_rows(a, b, 0, 1, dimension, &score);
    return score;
}

float nephrite_squared_distance(const float *a, const float *b, size_t dimension) {
    float score;
    nephrite_squared_distance_rows(a, b, 0, 1, dimension, &score);
    return score;
}

float nephrite_cosine(const float *a, float norm_of_a, const float *b, size_t dimension) {
    float score;
    nephrite_cosine_rows(a, norm_of_a, b, 0, 1, dimension, &score);
    return score;
}

float nephrite_dot_and_norm(const float *a, const float *b, size_t dimension, float *norm_squared) {
    float score;
    current()->dot_and_norm(a, (const uint8_t *)b, 0, 1, dimension, &score, norm_squared);
    return isfinite(score) ? score : (float)sum_carefully(a, b, dimension).dot;
}

int nephrite_all_finite(const float *values, size_t count) { return current()->all_finite(values, count); }

const char *nephrite_kernels_implementation(void) { return current()->name; }
