// The kernel set of x86-64 machines with AVX2 and FMA; kernels.c chooses.
#if defined(__x86_64__)
#include <stddef.h>
#include <stdint.h>

#include "kernels_sse_sum.h"

#define KERNEL_TARGET __attribute__((target("avx2,fma")))
#define KERNEL_SET nephrite_kernels_avx2
#define KERNEL_NAME "avx2"
#define LANES 8
#define AVX2 static inline __attribute__((always_inline)) KERNEL_TARGET

typedef __m256 vector;
typedef __m256i tail;

AVX2 tail tail_of(size_t count) {
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}
AVX2 vector v_zero(void) { return _mm256_setzero_ps(); }
AVX2 vector v_load(const float *values) { return _mm256_loadu_ps(values); }
AVX2 vector v_load_tail(const float *values, tail rest) { return _mm256_maskload_ps(values, rest); }
AVX2 vector v_add(vector a, vector b) { return _mm256_add_ps(a, b); }
AVX2 vector v_sub(vector a, vector b) { return _mm256_sub_ps(a, b); }
AVX2 vector v_fma(vector a, vector b, vector c) { return _mm256_fmadd_ps(a, b, c); }
AVX2 __m128 halves(vector a) { return _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)); }
AVX2 float v_sum(vector a) { return sse_sum(halves(a)); }
AVX2 void v_sum4(const vector *sums, float *out) {
    sse_sum4(halves(sums[0]), halves(sums[1]), halves(sums[2]), halves(sums[3]), out);
}

#include "kernels_template.h"
#else
typedef int nephrite_kernels_avx2_is_empty_here;
#endif
