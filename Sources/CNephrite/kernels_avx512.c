// The kernel set of x86-64 machines with AVX-512F; kernels.c chooses.
#if defined(__x86_64__)
#include <stddef.h>
#include <stdint.h>

#include "kernels_sse_sum.h"

#define KERNEL_TARGET __attribute__((target("avx512f,avx2,fma")))
#define KERNEL_SET nephrite_kernels_avx512
#define KERNEL_NAME "avx512"
#define LANES 16
#define AVX512 static inline __attribute__((always_inline)) KERNEL_TARGET

typedef __m512 vector;
typedef __mmask16 tail;

AVX512 tail tail_of(size_t count) { return (tail)((1u << count) - 1); }
AVX512 vector v_zero(void) { return _mm512_setzero_ps(); }
AVX512 vector v_load(const float *values) { return _mm512_loadu_ps(values); }
AVX512 vector v_load_tail(const float *values, tail rest) { return _mm512_maskz_loadu_ps(rest, values); }
AVX512 vector v_add(vector a, vector b) { return _mm512_add_ps(a, b); }
AVX512 vector v_sub(vector a, vector b) { return _mm512_sub_ps(a, b); }
AVX512 vector v_fma(vector a, vector b, vector c) { return _mm512_fmadd_ps(a, b, c); }
AVX512 __m128 quarters(vector a) {
    const __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), upper);
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
AVX512 float v_sum(vector a) { return sse_sum(quarters(a)); }
AVX512 void v_sum4(const vector *sums, float *out) {
    sse_sum4(quarters(sums[0]), quarters(sums[1]), quarters(sums[2]), quarters(sums[3]), out);
}

#include "kernels_template.h"
#else
typedef int nephrite_kernels_avx512_is_empty_here;
#endif
