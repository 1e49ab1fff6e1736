// What kernels.c and the kernel sets share: the sets themselves and the macros their template is written in.
#ifndef NEPHRITE_KERNELS_INTERNAL_H
#define NEPHRITE_KERNELS_INTERNAL_H
#include "nephrite_kernels.h"

/// The raw loops of one instruction set. They keep no promise about overflow; kernels.c does.
struct nephrite_kernel_set {
    const char *name;
    void (*dot)(const float *query, const uint8_t *rows, size_t stride, size_t count, size_t dimension, float *dots);
    void (*squared_distance)(
        const float *query, const uint8_t *rows, size_t stride, size_t count, size_t dimension, float *distances);
    void (*dot_and_norm)(
        const float *query, const uint8_t *rows, size_t stride, size_t count, size_t dimension, float *dots,
        float *norms_squared);
    int (*all_finite)(const float *values, size_t count);
};

extern const struct nephrite_kernel_set nephrite_kernels_portable;
#if defined(__x86_64__)
extern const struct nephrite_kernel_set nephrite_kernels_sse2;
extern const struct nephrite_kernel_set nephrite_kernels_avx2;
extern const struct nephrite_kernel_set nephrite_kernels_avx512;
#elif defined(__aarch64__)
extern const struct nephrite_kernel_set nephrite_kernels_neon;
#endif

#define KERNEL_INLINE static inline __attribute__((always_inline)) KERNEL_TARGET
#endif
