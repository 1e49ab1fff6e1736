// The kernel set of 64-bit ARM machines; kernels.c chooses.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_TARGET
#define KERNEL_SET nephrite_kernels_neon
#define KERNEL_NAME "neon"
#define LANES 4
#define NEON static inline __attribute__((always_inline))

typedef float32x4_t vector;
typedef size_t tail;

NEON tail tail_of(size_t count) { return count; }
NEON vector v_zero(void) { return vdupq_n_f32(0); }
NEON vector v_load(const float *values) { return vld1q_f32(values); }
NEON vector v_load_tail(const float *values, tail count) {
    vector result = vld1q_lane_f32(values, v_zero(), 0);
    if (count > 1) result = vld1q_lane_f32(values + 1, result, 1);
    if (count > 2) result = vld1q_lane_f32(values + 2, result, 2);
    return result;
}
NEON vector v_add(vector a, vector b) { return vaddq_f32(a, b); }
NEON vector v_sub(vector a, vector b) { return vsubq_f32(a, b); }
NEON vector v_fma(vector a, vector b, vector c) { return vfmaq_f32(c, a, b); }
NEON float v_sum(vector a) { return vaddvq_f32(a); }
NEON void v_sum4(const vector *sums, float *out) {
    for (int r = 0; r < 4; r += 1) out[r] = v_sum(sums[r]);
}

#include "kernels_template.h"
#else
typedef int nephrite_kernels_neon_is_empty_here;
#endif
