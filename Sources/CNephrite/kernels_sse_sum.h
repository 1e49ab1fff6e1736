// Sums over four lanes, for the x86 kernel sets: one register, and four registers at once with the same shape.
#ifndef NEPHRITE_KERNELS_SSE_SUM_H
#define NEPHRITE_KERNELS_SSE_SUM_H
#include <immintrin.h>

static inline __attribute__((always_inline)) float sse_sum(__m128 a) {
    const __m128 pair = _mm_add_ps(a, _mm_movehl_ps(a, a));  // a0 + a2, a1 + a3
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}

static inline __attribute__((always_inline)) void sse_sum4(__m128 a, __m128 b, __m128 c, __m128 d, float *out) {
    const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));  // a0 + a2, b0 + b2, a1 + a3, b1 + b3
    const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    _mm_storeu_ps(out, _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab)));
}
#endif
