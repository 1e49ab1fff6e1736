// The kernel set of every x86-64 machine; kernels.c chooses.
#if defined(__x86_64__)
#include <stddef.h>
#include <stdint.h>

#include "kernels_sse_sum.h"

#define KERNEL_TARGET
#define KERNEL_SET nephrite_kernels_sse2
#define KERNEL_NAME "sse2"
#define LANES 4
#define SSE2 static inline __attribute__((always_inline))

typedef __m128 vector;
typedef size_t tail;

SSE2 tail tail_of(size_t count) { return count; }
SSE2 vector v_zero(void) { return _mm_setzero_ps(); }
SSE2 vector v_load(const float *values) { return _mm_loadu_ps(values); }
SSE2 vector v_load_tail(const float *values, tail count) {
    if (count == 1) return _mm_load_ss(values);
    const __m128 pair = _mm_castpd_ps(_mm_load_sd((const double *)(const void *)values));
    return count == 2 ? pair : _mm_movelh_ps(pair, _mm_load_ss(values + 2));
}
SSE2 vector v_add(vector a, vector b) { return _mm_add_ps(a, b); }
SSE2 vector v_sub(vector a, vector b) { return _mm_sub_ps(a, b); }
SSE2 vector v_fma(vector a, vector b, vector c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
SSE2 float v_sum(vector a) { return sse_sum(a); }
SSE2 void v_sum4(const vector *sums, float *out) { sse_sum4(sums[0], sums[1], sums[2], sums[3], out); }

#include "kernels_template.h"
#else
typedef int nephrite_kernels_sse2_is_empty_here;
#endif
