// The kernel set in plain C, for machines without another and as a reference in tests; kernels.c chooses.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

#define KERNEL_TARGET
#define KERNEL_SET nephrite_kernels_portable
#define KERNEL_NAME "portable"
#define LANES 4
#define PORTABLE static inline __attribute__((always_inline))

typedef struct {
    float lane[LANES];
} vector;
typedef size_t tail;

PORTABLE tail tail_of(size_t count) { return count; }
PORTABLE vector v_zero(void) { return (vector){{0, 0, 0, 0}}; }
PORTABLE vector v_load(const float *values) { return (vector){{values[0], values[1], values[2], values[3]}}; }
PORTABLE vector v_load_tail(const float *values, tail count) {
    vector result = v_zero();
    memcpy(result.lane, values, count * sizeof(float));
    return result;
}
PORTABLE vector v_add(vector a, vector b) {
    return (vector){{a.lane[0] + b.lane[0], a.lane[1] + b.lane[1], a.lane[2] + b.lane[2], a.lane[3] + b.lane[3]}};
}
PORTABLE vector v_sub(vector a, vector b) {
    return (vector){{a.lane[0] - b.lane[0], a.lane[1] - b.lane[1], a.lane[2] - b.lane[2], a.lane[3] - b.lane[3]}};
}
PORTABLE vector v_fma(vector a, vector b, vector c) {
    const vector product = {
        {a.lane[0] * b.lane[0], a.lane[1] * b.lane[1], a.lane[2] * b.lane[2], a.lane[3] * b.lane[3]}};
    return v_add(product, c);
}
PORTABLE float v_sum(vector a) { return (a.lane[0] + a.lane[2]) + (a.lane[1] + a.lane[3]); }
PORTABLE void v_sum4(const vector *sums, float *out) {
    for (int r = 0; r < 4; r += 1) out[r] = v_sum(sums[r]);
}

#include "kernels_template.h"
