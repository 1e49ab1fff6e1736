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
    void (*measure)(const float *values, size_t count, double *largest, double *total, double *squares);
    void (*weigh)(
        const float *values, size_t count, float step, int16_t *weights, double *sum, double *squares, double *lost);
    /// Sums of coarse weight * nibble of four rows, for one query and for four.
    void (*coarse4)(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums);
    void (*coarse4x4)(const nephrite_code_query *const *queries, const uint8_t *const *rows, int32_t *sums);
    /// What the planes of the weights for signs count, of four rows: (7 * dimension + sum of weight * sign) / 2.
    void (*signs4)(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums);
    int32_t (*refined)(const nephrite_code_query *query, const uint8_t *high, const uint8_t *low);
    /// Bounds of 16 rows from sums and factors; returns the rows whose upper bound is not below the threshold.
    uint32_t (*bounds16)(
        const nephrite_code_bound *bound, const float *sums, const float *factors, float threshold, float *lower,
        float *upper);
    /// Bounds of 1 ... 16 rows by both planes; returns as bounds16 does.
    uint32_t (*refine16)(
        const nephrite_code_query *query, const uint8_t *const *high, const uint8_t *const *low, size_t count,
        float threshold, float *lower, float *upper);
    /// Bounds all 64 rows of a block, which follow one another, of the plane of signs or else of the high plane;
    /// those that it returns have their bounds stored, the others may have. Where there is `rows64`, `lower` may be null
    /// in both: then upper bounds may be a little larger.
    uint64_t (*block64)(
        const nephrite_code_query *query, int by_signs, const uint8_t *rows, float threshold, float *lower,
        float *upper);
    /// The same for 1 … 64 rows of the high plane that lie anywhere; the i-th has the place i. Null: codes.c does it.
    uint64_t (*rows64)(
        const nephrite_code_query *query, const uint8_t *const *rows, size_t count, float threshold, float *lower,
        float *upper);
    /// How many of the rows that wait reach a bound; and the step that takes the most promising of them out (see
    /// take_waiting in codes_search.c). `slots` and `upper` have room for 16 more, `taken` for 32. Null: plain loops do it.
    size_t (*count_reaching)(const float *upper, size_t count, float bound);
    size_t (*take_waiting)(
        float *upper, uint32_t *slots, size_t count, float threshold, float wanted, uint32_t *taken,
        size_t *taken_count);
    /// The pass of several queries over blocks that they share; null where an implementation has no kernel for that.
    /// `scratch` has nephrite_code_pass_bytes, the queries in a form of the implementation's own once they are
    /// prepared, by signs for passes by signs.
    void (*prepare_pass)(const nephrite_code_query *const *queries, size_t count, int by_signs, void *scratch);
    /// Bounds all 64 rows of a block, which follow one another, of the plane of signs (of nephrite_code_sign_pass_dimension
    /// components at most) or else of the high plane, for up to 64 queries. Stores for each query which rows of `mask`
    /// have an upper bound that is not below its threshold, and upper bounds, 64 floats a query: of the other rows they may
    /// be those by a part of their sums, which are below the threshold, too, or of no use where `mask` has not the row.
    void (*pass64)(
        const nephrite_code_query *const *queries, size_t count, int by_signs, const uint8_t *rows, uint64_t mask,
        const float *thresholds, uint64_t *survivors, float *upper, void *scratch);
};

/// Blocks of which so many rows take part are bounded as a whole. What bytes the others have, which may change
/// meanwhile, makes no difference: their bounds are left out.
static inline int nephrite_code_dense_rows(const struct nephrite_code_set *set) { return set->rows64 != NULL ? 28 : 48; }

/// Scratch memory of a pass: upper bounds, what an implementation notes of each query, then the block's rows with a byte for
/// each component, then the queries' weights in groups of four. Of signs the rows have a byte for each four components, and
/// the queries tables of 16 bytes for those.
enum { nephrite_code_pass_note_bytes = 64 };
/// A row's sum over signs, 7 for a component at most, has 16 bits in a pass.
enum { nephrite_code_sign_pass_dimension = 65535 / 7 };
static inline float *nephrite_code_pass_uppers(void *scratch) { return (float *)scratch; }
static inline void *nephrite_code_pass_notes(void *scratch) {
    return (uint8_t *)scratch + sizeof(float) * nephrite_code_block_rows * 64;
}
static inline int8_t *nephrite_code_pass_rows(void *scratch) {
    return (int8_t *)nephrite_code_pass_notes(scratch) + nephrite_code_pass_note_bytes * 64;
}
static inline int8_t *nephrite_code_pass_weights(void *scratch, size_t dimension) {
    return nephrite_code_pass_rows(scratch) + nephrite_code_block_rows * nephrite_code_padded(dimension);
}
static inline size_t nephrite_code_pass_bytes(size_t dimension, size_t count) {
    const size_t padded = nephrite_code_padded(dimension), queries = (count + 3) / 4 * 4;
    const size_t nibbles = (nephrite_code_block_rows + queries) * padded;
    const size_t signs = 2 * nephrite_code_sign_bytes(dimension) * (nephrite_code_block_rows + 16 * queries);
    return (sizeof(float) * nephrite_code_block_rows + nephrite_code_pass_note_bytes) * 64 +
           (nibbles > signs ? nibbles : signs);
}
static inline uint8_t *nephrite_code_pass_tables(void *scratch, size_t dimension) {
    return (uint8_t *)nephrite_code_pass_rows(scratch) +
           nephrite_code_block_rows * 2 * nephrite_code_sign_bytes(dimension);
}

extern const struct nephrite_code_set nephrite_codes_portable;
#if defined(__x86_64__)
extern const struct nephrite_code_set nephrite_codes_sse2;
extern const struct nephrite_code_set nephrite_codes_avx2;
extern const struct nephrite_code_set nephrite_codes_avx512;
extern const struct nephrite_code_set nephrite_codes_avx512_vpopcntdq;
#elif defined(__aarch64__)
extern const struct nephrite_code_set nephrite_codes_neon;
#endif

/// Rounds of a rotation: full windows for powers of two, else windows at both ends by turns with a mixing step after
/// each.
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

#endif
