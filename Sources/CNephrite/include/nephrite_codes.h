// Codes of vectors: rotation, encoding, and scans that bound scores from codes. VectorCodec and the certified search of
// Nephrite hand it rows and queries; the proof of the bounds is in the article HowSearchWorks.
//
// The code of a row is two planes of nibbles, and from nephrite_code_sign_dimension components on a plane of signs.
// A plane of nibbles has 16 * ceil(dimension / 32) bytes of nibbles and 16 bytes of factors. Blocks of 64 bytes, then
// one block of what is left: byte j of a block of n bytes holds component j in its low nibble and component n + j in
// its high nibble, counted from the block's first component. The plane of signs has 16 * ceil(dimension / 128) bytes
// of bits and 16 bytes of factors: in blocks alike, bit j of byte i is that of component j * n + i, and 1 for what is
// not negative; bits beyond the dimension are zero.
#ifndef NEPHRITE_CODES_H
#define NEPHRITE_CODES_H
#include <stddef.h>
#include <stdint.h>

/// Bytes of nibbles in a plane of a row.
static inline size_t nephrite_code_nibble_bytes(size_t dimension) { return (dimension + 31) / 32 * 16; }
/// Bytes of factors behind the nibbles.
enum { nephrite_code_factor_bytes = 16 };
/// Components in a plane, with padding: the length of every array of a query and of a rotated vector.
static inline size_t nephrite_code_padded(size_t dimension) { return (dimension + 31) / 32 * 32; }
/// Vectors of fewer components have no plane of signs: it would hardly be smaller than the high plane, and say little.
enum { nephrite_code_sign_dimension = 256 };
/// Bytes of bits in the plane of signs of a row; 0 without one.
static inline size_t nephrite_code_sign_bytes(size_t dimension) {
    return dimension < nephrite_code_sign_dimension ? 0 : (dimension + 127) / 128 * 16;
}
/// Bytes of a row of the plane of signs; 0 without one.
static inline size_t nephrite_code_sign_stride(size_t dimension) {
    return dimension < nephrite_code_sign_dimension ? 0 : nephrite_code_sign_bytes(dimension) + nephrite_code_factor_bytes;
}
/// Rows that a scan looks at in one call.
enum { nephrite_code_block_rows = 64 };
/// The largest sum of |weights| of a query, so that no sum overflows 32 bits.
enum { nephrite_code_weight_sum_max = 6000000, nephrite_code_weight_max = 32512 };
/// Bits of a query's weight for a sign.
enum { nephrite_code_sign_weight_bits = 3 };
/// Rows and differences whose Euclidean norm lies outside have no code: their bound is infinite.
#define NEPHRITE_CODE_NORM_MIN 0x1p-50f
#define NEPHRITE_CODE_NORM_MAX 0x1p50f

/// A seeded orthogonal rotation and the centre that is subtracted before it.
typedef struct {
    size_t dimension;
    /// nephrite_rotation_sign_count floats, made by nephrite_rotation_signs.
    const float *signs;
    /// dimension floats, or null.
    const float *centre;
} nephrite_codec;

/// How the inner product of integers becomes a bound on scores. See the article for each term.
typedef struct {
    /// 0 cosine, 1 inner product, 2 Euclidean.
    int metric;
    /// Estimate of the inner product = row scale * sum * step.
    float step;
    /// At most 1 / norm of the weights.
    float angle;
    /// Times the residual norm times the sine of the angle.
    float spread;
    /// Added to the square of that sine: for its rounding, and for signs what rounding the query adds.
    float sine_margin;
    /// For signs: what counts of a sum below zero. Estimates of rows near the query are a little too large; of rows
    /// that point away from it they would be too small, and such a row may be the nearest there is.
    float negative_share;
    /// Not 0: 1 / norm of the weighted query, and the estimate is corrected for what quantisation takes from a row in
    /// its own direction. The bound is then a statistical one.
    float correction;
    /// Added to the estimate: query · centre.
    float offset;
    /// Times the norm of the centred row.
    float per_centred;
    /// Times the norm of the row.
    float per_norm;
    /// Cosine: added to the half width. Euclidean: times the sum of both squared norms.
    float relative;
    /// Cosine: 1 / norm of the query.
    float scale;
    /// Euclidean: squared norm of the centred query.
    float squared;
    /// Times the norms of a row: what rounding can make of a sum of products of a query and a row, for upper bounds that a
    /// line gives.
    float rounding;
} nephrite_code_bound;

/// A rotated query as integers. Every array but `signs` has nephrite_code_padded(dimension) elements, zero beyond the
/// dimension.
typedef struct {
    size_t dimension;
    /// fine = 256 * fine_high + fine_low.
    const int16_t *fine;
    const int8_t *fine_high, *fine_low;
    const int8_t *coarse;
    /// Weights for signs, odd numbers from -7 to 7, as three planes of nephrite_code_sign_bytes(dimension) bytes: plane
    /// b has bit b of (7 - weight) / 2 where a row has the component's sign, and zeros elsewhere. What it differs in
    /// from a row counts 2^b.
    const uint8_t *signs;
    /// Sums of weights.
    int32_t fine_sum, coarse_sum;
    /// 7 * dimension: sum of weight * sign = 2 * (what the planes count) - this.
    int32_t sign_sum;
    /// Not 0: what the coarse bound leaves is compared, for bounds by both planes are hardly narrower. From the lower one
    /// so many times the distance of both is taken before it counts: of many rows none is to be above its rank.
    int high_is_enough;
    float lower_share;
    /// For coarse sums over the high plane, for fine sums over both planes, for sums over signs.
    nephrite_code_bound coarse_bound, refined_bound, sign_bound;
} nephrite_code_query;

/// One implementation; all give the same bytes and the same sums.
typedef struct nephrite_code_set nephrite_code_set;
/// Stores up to `capacity` of the sets that this machine has, best first; returns how many it has (at most 5).
size_t nephrite_code_sets(const nephrite_code_set **sets, size_t capacity);
/// The set in use: the best, or the one that NEPHRITE_KERNELS names.
const nephrite_code_set *nephrite_code_set_in_use(void);
/// "avx512-vpopcntdq", "avx512", "avx2", "sse2", "neon" or "portable".
const char *nephrite_code_set_name(const nephrite_code_set *set);

/// Floats in the signs of a rotation.
size_t nephrite_rotation_sign_count(size_t dimension);
/// Fills them from a seed.
void nephrite_rotation_signs(size_t dimension, uint64_t seed, float *signs);
/// A bound on the rotation's relative error, in units of 2^-24.
float nephrite_rotation_error(size_t dimension);
/// rotated = rotation of (vector - centre), or of vector when `subtracts` is 0; padded with zeros.
void nephrite_rotate(
    const nephrite_code_set *set, const nephrite_codec *codec, const float *vector, int subtracts, float *rotated);

/// The largest absolute value, the sum of absolute values, and the sum of squares of floats, a multiple of 8 of them,
/// in double precision.
void nephrite_code_measure(
    const nephrite_code_set *set, const float *values, size_t count, double *largest, double *total, double *squares);
/// Rounds floats, a multiple of 8 of them, to integers times `step`. Gives the sum of the integers, the sum of their
/// squares, and the squared norm of what is lost, all in double precision.
void nephrite_code_weigh(
    const nephrite_code_set *set, const float *values, size_t count, float step, int16_t *weights, double *sum,
    double *squares, double *lost);
/// Takes weights of 16 bits apart: weight = 256 * high + low.
void nephrite_code_split_weights(const int16_t *weights, size_t count, int8_t *high, int8_t *low);
/// Rounds the components of a rotated query to odd multiples of `step`, -7 … 7 of them, and lays them out as
/// `nephrite_code_query` wants those for signs. Gives the sum of their products with the components, and of squares.
void nephrite_code_weigh_signs(
    const float *values, size_t dimension, float step, uint8_t *planes, double *product, double *squares);

/// Bytes of scratch memory that encoding needs, aligned to 64.
size_t nephrite_encode_scratch(size_t dimension);
/// Encodes `count` rows that start `stride` bytes apart into both planes; a plane's row has
/// nephrite_code_nibble_bytes + nephrite_code_factor_bytes bytes. `signs` has nephrite_code_sign_stride bytes a row.
void nephrite_encode_rows(
    const nephrite_code_set *set, const nephrite_codec *codec, const void *rows, size_t stride, size_t count,
    void *high, void *low, void *signs, void *scratch);

/// So many rows of a block are looked at as soon as the whole block is.
int nephrite_code_dense_count(const nephrite_code_set *set);
/// Bounds the scores of the rows of a block that `mask` has: 64 rows of the high plane from `rows` on.
/// Returns the mask of rows whose upper bound is not below the threshold, and stores those rows' lower and upper bounds
/// of their ranks (higher is nearer) at their places, of 64; what is at the other places is of no use. If `lower` is null,
/// upper bounds may be a little larger, by the implementation, and a few more rows reach the threshold.
uint64_t nephrite_code_scan(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *rows, uint64_t mask, float threshold,
    float *lower, float *upper);
/// The same for several queries; `lower` and `upper` have 64 floats for each query.
void nephrite_code_scan_many(
    const nephrite_code_set *set, const nephrite_code_query *const *queries, size_t count, const void *rows,
    uint64_t mask, const float *thresholds, uint64_t *survivors, float *lower, float *upper);
/// As nephrite_code_scan, of 64 rows of the plane of signs, with the bound for signs.
uint64_t nephrite_code_scan_signs(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *rows, uint64_t mask, float threshold,
    float *lower, float *upper);
/// A row that a scan of several blocks leaves: its place, counted from the first block's first row, and its bounds.
typedef struct {
    uint32_t place;
    float lower, upper;
} nephrite_code_survivor;
/// Scans blocks of 64 rows that follow one another, of the plane of signs if `by_signs`, else of the high plane;
/// `masks` has the rows of each block that take part. Stores the rows whose upper bound is not below the threshold,
/// up to 64 of a block, and returns how many.
size_t nephrite_code_scan_blocks(
    const nephrite_code_set *set, const nephrite_code_query *query, int by_signs, const void *rows,
    const uint64_t *masks, size_t block_count, float threshold, nephrite_code_survivor *survivors);
/// As nephrite_code_scan and nephrite_code_scan_many, of up to 64 rows of the high plane that lie anywhere; the i-th has
/// the place i. However few they are, `lower` and `upper` have 64 floats (for each query). Those for several queries want
/// `lower`.
uint64_t nephrite_code_scan_rows(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *const *rows, size_t count,
    float threshold, float *lower, float *upper);
void nephrite_code_scan_rows_many(
    const nephrite_code_set *set, const nephrite_code_query *const *queries, size_t count, const void *const *rows,
    size_t row_count, const float *thresholds, uint64_t *survivors, float *lower, float *upper);
/// Bounds the scores of up to 16 rows by both planes, which lie anywhere; the i-th has the place i. Returns the mask
/// of rows whose upper bound is not below the threshold; `lower` and `upper` have 16 floats.
uint32_t nephrite_code_refine_rows(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *const *high, const void *const *low,
    size_t count, float threshold, float *lower, float *upper);
/// Bounds the score of one row by both planes.
void nephrite_code_refine(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *high, const void *low, float *lower,
    float *upper);

/// The integer sums behind the bounds, for tests: sum of weight * (2 * nibble - 15) over the high plane.
/// By the kernel for one query, and by that for several.
int32_t nephrite_code_sum_coarse(const nephrite_code_set *set, const nephrite_code_query *query, const void *high);
int32_t nephrite_code_sum_coarse_many(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *high);
/// Sum of weight * sign over the plane of signs.
int32_t nephrite_code_sum_signs(const nephrite_code_set *set, const nephrite_code_query *query, const void *signs);
/// Sum of weight * value over both planes.
int32_t nephrite_code_sum_refined(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *high, const void *low);
#endif
