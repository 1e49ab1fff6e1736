// What codes.c and the implementations share: the struct of an implementation, the factors of a row, the bound of one.
#ifndef NEPHRITE_CODES_INTERNAL_H
#define NEPHRITE_CODES_INTERNAL_H
#include <math.h>
#include <string.h>

#include "nephrite_codes.h"

struct nephrite_code_set {
    const char *name;
    void (*rotate)(const nephrite_codec *codec, const float *vector, int subtracts, float *rotated);
    /// `signs` is not used where the dimension has no plane of signs.
    void (*encode)(
        const nephrite_codec *codec, const float *row, uint8_t *high, uint8_t *low, uint8_t *signs, float *scratch);
    /// Sums of coarse weight * nibble of four rows, for one query and for four.
    void (*coarse4)(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums);
    void (*coarse4x4)(const nephrite_code_query *const *queries, const uint8_t *const *rows, int32_t *sums);
    /// Sums of the weights for signs whose bit is set, of four rows.
    void (*signs4)(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums);
    int32_t (*refined)(const nephrite_code_query *query, const uint8_t *high, const uint8_t *low);
    /// Bounds of 16 rows from sums and factors; returns the rows whose upper bound is not below the threshold.
    uint32_t (*bounds16)(
        const nephrite_code_bound *bound, const float *sums, const float *factors, float threshold, float *lower,
        float *upper);
};

extern const struct nephrite_code_set nephrite_codes_portable;
#if defined(__x86_64__)
extern const struct nephrite_code_set nephrite_codes_sse2;
extern const struct nephrite_code_set nephrite_codes_avx2;
extern const struct nephrite_code_set nephrite_codes_avx512;
#elif defined(__aarch64__)
extern const struct nephrite_code_set nephrite_codes_neon;
#endif

/// Rounds of a rotation: full windows for powers of two, else windows at both ends by turns with a mixing step after each.
static inline int nephrite_is_power_of_two(size_t n) { return (n & (n - 1)) == 0; }
static inline size_t nephrite_rotation_rounds(size_t dimension) { return nephrite_is_power_of_two(dimension) ? 3 : 4; }
static inline size_t nephrite_rotation_window(size_t dimension) {
    size_t window = 1;
    while (window * 2 <= dimension) window *= 2;
    return window;
}

/// The factors behind the nibbles of the high plane, and behind the bits of the plane of signs. There `scale` has the
/// correction for what is lost in the row's own direction, `residual` is the norm of the error of that estimate, and
/// `inverse` is scale / centred norm; neither is rounded to a side.
struct nephrite_high_factors {
    float scale;
    /// Norms of the centred row and of the row itself.
    float centred_norm, norm;
    /// Upper halves of floats: residual norm rounded up, 1 / norm of the code rounded down.
    uint16_t residual, inverse;
};

struct nephrite_low_factors {
    float scale, residual, inverse, zero;
};

/// Of the square of a sine computed in floats: covers the rounding of the cosine.
#define NEPHRITE_SINE_MARGIN 0x1p-19f
#endif
