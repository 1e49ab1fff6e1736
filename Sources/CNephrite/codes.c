// Codes: the choice of an implementation, the signs of a rotation, and the loops over rows that all implementations
// share. Nephrite's codec and certified scan call it.
#include <stdatomic.h>
#include <stdlib.h>

#include "codes_internal.h"

size_t nephrite_code_sets(const nephrite_code_set **sets, size_t capacity) {
    const nephrite_code_set *all[5];
    size_t count = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")) {
        if (__builtin_cpu_supports("avx512vpopcntdq")) all[count++] = &nephrite_codes_avx512_vpopcntdq;
        all[count++] = &nephrite_codes_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all[count++] = &nephrite_codes_avx2;
    all[count++] = &nephrite_codes_sse2;
#elif defined(__aarch64__)
    all[count++] = &nephrite_codes_neon;
#endif
    all[count++] = &nephrite_codes_portable;
    for (size_t i = 0; i < count && i < capacity; i += 1) sets[i] = all[i];
    return count;
}

const char *nephrite_code_set_name(const nephrite_code_set *set) { return set->name; }

static _Atomic(const nephrite_code_set *) chosen;

const nephrite_code_set *nephrite_code_set_in_use(void) {
    const nephrite_code_set *set = atomic_load_explicit(&chosen, memory_order_acquire);
    if (__builtin_expect(set != NULL, 1)) return set;
    const nephrite_code_set *sets[5];
    const size_t count = nephrite_code_sets(sets, 5);
    const char *forced = getenv("NEPHRITE_KERNELS");
    set = sets[0];
    for (size_t i = 0; forced != NULL && i < count; i += 1) {
        if (strcmp(sets[i]->name, forced) == 0) set = sets[i];
    }
    atomic_store_explicit(&chosen, set, memory_order_release);
    return set;
}

size_t nephrite_rotation_sign_count(size_t dimension) { return dimension * nephrite_rotation_rounds(dimension); }

// SplitMix64 (Steele et al. 2014): the same signs from the same seed, forever. Components inside a round's window carry
// the factor 1 / sqrt(window), so that the transform needs no pass of its own for it.
void nephrite_rotation_signs(size_t dimension, uint64_t seed, float *signs) {
    const size_t rounds = nephrite_rotation_rounds(dimension), window = nephrite_rotation_window(dimension);
    const float inside = (float)(1 / sqrt((double)window));
    uint64_t state = seed, bits = 0;
    for (size_t i = 0; i < rounds * dimension; i += 1) {
        if (i % 64 == 0) {
            state += 0x9e3779b97f4a7c15u;
            bits = state;
            bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
            bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
            bits ^= bits >> 31;
        }
        const size_t round = i / dimension, component = i % dimension;
        const size_t first = round % 2 == 0 ? 0 : dimension - window;
        const float size = component >= first && component < first + window ? inside : 1;
        signs[i] = (bits >> (i % 64)) & 1 ? -size : size;
    }
}

// Per round: two roundings for the sign and its factor, one for each level of the transform, three for the mixing.
float nephrite_rotation_error(size_t dimension) {
    float levels = 0;
    for (size_t window = nephrite_rotation_window(dimension); window > 1; window /= 2) levels += 1;
    return (float)nephrite_rotation_rounds(dimension) * (levels + 6) + 2;
}

void nephrite_rotate(
    const nephrite_code_set *set, const nephrite_codec *codec, const float *vector, int subtracts, float *rotated) {
    set->rotate(codec, vector, subtracts, rotated);
}

void nephrite_code_measure(
    const nephrite_code_set *set, const float *values, size_t count, double *largest, double *total, double *squares) {
    set->measure(values, count, largest, total, squares);
}

void nephrite_code_weigh(
    const nephrite_code_set *set, const float *values, size_t count, float step, int16_t *weights, double *sum,
    double *squares, double *lost) {
    set->weigh(values, count, step, weights, sum, squares, lost);
}

void nephrite_code_split_weights(const int16_t *weights, size_t count, int8_t *high, int8_t *low) {
    for (size_t i = 0; i < count; i += 1) {
        low[i] = (int8_t)(uint8_t)weights[i];
        high[i] = (int8_t)((weights[i] - low[i]) / 256);
    }
}

void nephrite_code_weigh_signs(
    const float *values, size_t dimension, float step, uint8_t *planes, double *product, double *squares) {
    const size_t byte_count = nephrite_code_sign_bytes(dimension);
    const float inverse = 0.5f / step;
    memset(planes, 0, nephrite_code_sign_weight_bits * byte_count);
    *product = *squares = 0;
    for (size_t start = 0; start < byte_count; start += 64) {
        const size_t block = byte_count - start < 64 ? byte_count - start : 64;
        for (size_t j = 0; j < 8; j += 1) {
            const size_t first = 8 * start + j * block;
            for (size_t i = 0; i < block && first + i < dimension; i += 1) {
                const float place = floorf(values[first + i] * inverse) + 4;
                const int level = place < 0 ? 0 : place > 7 ? 7 : (int)place;
                const double weight = 2 * level - 7;
                *product += weight * (double)values[first + i];
                *squares += weight * weight;
                for (size_t b = 0; b < nephrite_code_sign_weight_bits; b += 1) {
                    planes[b * byte_count + start + i] |= (uint8_t)((((7 - level) >> b) & 1) << j);
                }
            }
        }
    }
}

// Three arrays of floats and one of nibbles' bytes in pairs.
size_t nephrite_encode_scratch(size_t dimension) {
    return nephrite_code_padded(dimension) * (3 * sizeof(float) + 2) + 128;
}

void nephrite_encode_rows(
    const nephrite_code_set *set, const nephrite_codec *codec, const void *rows, size_t stride, size_t count,
    void *high, void *low, void *signs, void *scratch) {
    const size_t row_bytes = nephrite_code_nibble_bytes(codec->dimension) + nephrite_code_factor_bytes;
    const size_t sign_stride = nephrite_code_sign_stride(codec->dimension);
    for (size_t i = 0; i < count; i += 1) {
        const float *row = (const float *)(const void *)((const uint8_t *)rows + i * stride);
        set->encode(
            codec, row, (uint8_t *)high + i * row_bytes, (uint8_t *)low + i * row_bytes,
            sign_stride == 0 ? NULL : (uint8_t *)signs + i * sign_stride, (float *)scratch);
    }
}

// The masked rows of a block, in ascending order; a multiple of four, filled up with the last.
struct block {
    /// Bytes of nibbles or bits in front of the factors, and of the whole row.
    size_t count, code_bytes, row_bytes;
    /// Whether the rows lie anywhere, not behind one another.
    int is_scattered;
    uint8_t places[nephrite_code_block_rows];
    const uint8_t *rows[nephrite_code_block_rows];
    /// 16 bytes a row at its place; zero where there is none.
    _Alignas(64) float factors[nephrite_code_block_rows * 4];
};

static void prepare(struct block *block, size_t code_bytes, uint64_t mask) {
    block->code_bytes = code_bytes;
    block->row_bytes = code_bytes + nephrite_code_factor_bytes;
    block->is_scattered = 0;
    if (mask != UINT64_MAX) memset(block->factors, 0, sizeof block->factors);
}

static void gather(struct block *block, size_t code_bytes, const uint8_t *rows, uint64_t mask) {
    prepare(block, code_bytes, mask);
    size_t count = 0;
    if (mask == UINT64_MAX) {
        for (; count < nephrite_code_block_rows; count += 1) {
            block->places[count] = (uint8_t)count;
            block->rows[count] = rows + count * block->row_bytes;
        }
        block->count = count;
        return;
    }
    for (uint64_t rest = mask; rest != 0; rest &= rest - 1) {
        const int place = __builtin_ctzll(rest);
        const uint8_t *row = rows + (size_t)place * block->row_bytes;
        block->places[count] = (uint8_t)place;
        block->rows[count] = row;
        count += 1;
    }
    block->count = count;
    for (; count % 4 != 0; count += 1) block->rows[count] = block->rows[block->count - 1];
}

// The same for rows that lie anywhere; the i-th has place i. Returns the mask of their places.
static uint64_t gather_rows(struct block *block, size_t dimension, const void *const *rows, size_t count) {
    const uint64_t mask = count == 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
    prepare(block, nephrite_code_nibble_bytes(dimension), mask);
    block->is_scattered = 1;
    for (size_t i = 0; i < count; i += 1) {
        block->places[i] = (uint8_t)i;
        block->rows[i] = rows[i];
    }
    block->count = count;
    for (size_t i = count; i % 4 != 0; i += 1) block->rows[i] = rows[count - 1];
    return mask;
}

static void gather_factors(struct block *block) {
    for (size_t i = 0; i < block->count; i += 1) {
        memcpy(block->factors + 4 * block->places[i], block->rows[i] + block->code_bytes, 16);
    }
}

static uint64_t bounds(
    const nephrite_code_set *set, const nephrite_code_bound *bound, const float *sums, const struct block *block,
    uint64_t mask, float threshold, float *lower, float *upper) {
    uint64_t survivors = 0;
    for (int first = 0; first < nephrite_code_block_rows; first += 16) {
        if (((mask >> first) & 0xffff) == 0) continue;
        const uint64_t found = set->bounds16(
            bound, sums + first, block->factors + 4 * first, threshold, lower + first, upper + first);
        survivors |= found << first;
    }
    return survivors & mask;
}

// Scattered rows are no stream that a hardware prefetcher follows: they are asked for by name, so many rows ahead.
enum { scattered_distance = 12 };

static inline void prefetch(const uint8_t *start, size_t bytes) {
    // Into the second cache: so many lines on their way would keep the first one's few buffers from the rows at hand.
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(start + line, 0, 2);
}

// Sums of integers become floats: 2 * sum - all, at the rows' places.
static void place_sums(const struct block *block, const int32_t *found, int32_t all, uint64_t mask, float *sums) {
    if (mask == UINT64_MAX) {
        for (size_t i = 0; i < nephrite_code_block_rows; i += 1) sums[i] = (float)(2 * found[i] - all);
        return;
    }
    memset(sums, 0, nephrite_code_block_rows * sizeof *sums);
    for (size_t i = 0; i < block->count; i += 1) sums[block->places[i]] = (float)(2 * found[i] - all);
}

static uint64_t scan(
    const nephrite_code_set *set, const nephrite_code_query *query, struct block *block, uint64_t mask, float threshold,
    float *lower, float *upper) {
    _Alignas(64) float sums[nephrite_code_block_rows];
    _Alignas(64) int32_t found[nephrite_code_block_rows];
    if (block->is_scattered) {
        for (size_t i = 0; i < scattered_distance && i < block->count; i += 1) {
            prefetch(block->rows[i], block->row_bytes);
        }
    }
    for (size_t i = 0; i < block->count; i += 4) {
        if (block->is_scattered) {
            for (size_t r = i + scattered_distance; r < i + scattered_distance + 4 && r < block->count; r += 1) {
                prefetch(block->rows[r], block->row_bytes);
            }
        }
        set->coarse4(query, block->rows + i, found + i);
    }
    place_sums(block, found, 15 * query->coarse_sum, mask, sums);
    gather_factors(block);
    return bounds(set, &query->coarse_bound, sums, block, mask, threshold, lower, upper);
}

int nephrite_code_dense_count(const nephrite_code_set *set) { return nephrite_code_dense_rows(set); }

// Where the implementation has no upper bounds by themselves, lower ones have to go somewhere.
static inline float *lower_or(const nephrite_code_set *set, float *lower, float *spare) {
    return lower != NULL || set->rows64 != NULL ? lower : spare;
}

static inline int is_dense(const nephrite_code_set *set, uint64_t mask) {
    return __builtin_popcountll(mask) >= nephrite_code_dense_rows(set);
}

uint64_t nephrite_code_scan(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *rows, uint64_t mask, float threshold,
    float *lower, float *upper) {
    _Alignas(64) float lowers[nephrite_code_block_rows], uppers[nephrite_code_block_rows];
    if (mask == 0) return 0;
    if (is_dense(set, mask)) {
        return set->block64(
                   query, 0, (const uint8_t *)rows, threshold, lower_or(set, lower, lowers), upper) & mask;
    }
    struct block block;
    gather(&block, nephrite_code_nibble_bytes(query->dimension), (const uint8_t *)rows, mask);
    if (set->rows64 == NULL) {
        return scan(set, query, &block, mask, threshold, lower_or(set, lower, lowers), upper);
    }
    uint64_t rest = set->rows64(query, block.rows, block.count, threshold, lower == NULL ? NULL : lowers, uppers);
    uint64_t survivors = 0;
    for (; rest != 0; rest &= rest - 1) {
        const int found = __builtin_ctzll(rest), place = block.places[found];
        if (lower != NULL) lower[place] = lowers[found];
        upper[place] = uppers[found];
        survivors |= (uint64_t)1 << place;
    }
    return survivors;
}

uint64_t nephrite_code_scan_signs(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *rows, uint64_t mask, float threshold,
    float *lower, float *upper) {
    _Alignas(64) float lowers[nephrite_code_block_rows];
    if (mask == 0) return 0;
    if (is_dense(set, mask)) {
        return set->block64(
                   query, 1, (const uint8_t *)rows, threshold, lower_or(set, lower, lowers), upper) & mask;
    }
    if (lower == NULL) lower = lowers;
    struct block block;
    gather(&block, nephrite_code_sign_bytes(query->dimension), (const uint8_t *)rows, mask);
    _Alignas(64) float sums[nephrite_code_block_rows];
    _Alignas(64) int32_t found[nephrite_code_block_rows];
    for (size_t i = 0; i < block.count; i += 4) set->signs4(query, block.rows + i, found + i);
    place_sums(&block, found, query->sign_sum, mask, sums);
    for (size_t i = 0; i < nephrite_code_block_rows; i += 1) {
        if (sums[i] < 0) sums[i] *= query->sign_bound.negative_share;
    }
    gather_factors(&block);
    return bounds(set, &query->sign_bound, sums, &block, mask, threshold, lower, upper);
}

size_t nephrite_code_scan_blocks(
    const nephrite_code_set *set, const nephrite_code_query *query, int by_signs, const void *rows,
    const uint64_t *masks, size_t block_count, float threshold, nephrite_code_survivor *survivors) {
    const size_t stride = by_signs ? nephrite_code_sign_stride(query->dimension)
                                   : nephrite_code_nibble_bytes(query->dimension) + nephrite_code_factor_bytes;
    size_t count = 0;
    for (size_t b = 0; b < block_count; b += 1) {
        _Alignas(64) float lower[nephrite_code_block_rows], upper[nephrite_code_block_rows];
        const uint8_t *block = (const uint8_t *)rows + b * nephrite_code_block_rows * stride;
        uint64_t rest = by_signs ? nephrite_code_scan_signs(set, query, block, masks[b], threshold, lower, upper)
                                 : nephrite_code_scan(set, query, block, masks[b], threshold, lower, upper);
        for (; rest != 0; rest &= rest - 1) {
            const uint32_t place = (uint32_t)__builtin_ctzll(rest);
            survivors[count].place = (uint32_t)(b * nephrite_code_block_rows) + place;
            survivors[count].lower = lower[place];
            survivors[count].upper = upper[place];
            count += 1;
        }
    }
    return count;
}

uint64_t nephrite_code_scan_rows(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *const *rows, size_t count,
    float threshold, float *lower, float *upper) {
    _Alignas(64) float lowers[nephrite_code_block_rows];
    if (count == 0) return 0;
    if (lower == NULL) lower = lower_or(set, lower, lowers);
    if (set->rows64 != NULL) {
        return set->rows64(query, (const uint8_t *const *)rows, count, threshold, lower, upper);
    }
    struct block block;
    const uint64_t mask = gather_rows(&block, query->dimension, rows, count);
    return scan(set, query, &block, mask, threshold, lower, upper);
}

static void scan_many(
    const nephrite_code_set *set, const nephrite_code_query *const *queries, size_t count, struct block *block,
    uint64_t mask, const float *thresholds, uint64_t *survivors, float *lower, float *upper) {
    if (block->is_scattered) {
        for (size_t i = 0; i < block->count; i += 1) prefetch(block->rows[i], block->row_bytes);
    }
    gather_factors(block);
    for (size_t first = 0; first < count; first += 4) {
        const nephrite_code_query *four[4];
        for (size_t q = 0; q < 4; q += 1) four[q] = queries[first + q < count ? first + q : count - 1];
        _Alignas(64) int32_t found[4][nephrite_code_block_rows];
        for (size_t i = 0; i < block->count; i += 4) {
            int32_t each[16];
            set->coarse4x4(four, block->rows + i, each);
            for (size_t q = 0; q < 4; q += 1) memcpy(&found[q][i], each + 4 * q, 16);
        }
        _Alignas(64) float sums[nephrite_code_block_rows];
        for (size_t q = first; q < first + 4 && q < count; q += 1) {
            place_sums(block, found[q - first], 15 * queries[q]->coarse_sum, mask, sums);
            survivors[q] = bounds(
                set, &queries[q]->coarse_bound, sums, block, mask, thresholds[q],
                lower + q * nephrite_code_block_rows, upper + q * nephrite_code_block_rows);
        }
    }
}

void nephrite_code_scan_many(
    const nephrite_code_set *set, const nephrite_code_query *const *queries, size_t count, const void *rows,
    uint64_t mask, const float *thresholds, uint64_t *survivors, float *lower, float *upper) {
    for (size_t q = 0; q < count; q += 1) survivors[q] = 0;
    if (mask == 0 || count == 0) return;
    struct block block;
    gather(&block, nephrite_code_nibble_bytes(queries[0]->dimension), (const uint8_t *)rows, mask);
    scan_many(set, queries, count, &block, mask, thresholds, survivors, lower, upper);
}

void nephrite_code_scan_rows_many(
    const nephrite_code_set *set, const nephrite_code_query *const *queries, size_t count, const void *const *rows,
    size_t row_count, const float *thresholds, uint64_t *survivors, float *lower, float *upper) {
    for (size_t q = 0; q < count; q += 1) survivors[q] = 0;
    if (row_count == 0 || count == 0) return;
    struct block block;
    const uint64_t mask = gather_rows(&block, queries[0]->dimension, rows, row_count);
    scan_many(set, queries, count, &block, mask, thresholds, survivors, lower, upper);
}

void nephrite_code_refine(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *high, const void *low, float *lower,
    float *upper) {
    const uint8_t *high_row = high, *low_row = low;
    float lowers[16], uppers[16];
    set->refine16(query, &high_row, &low_row, 1, -INFINITY, lowers, uppers);
    *lower = lowers[0];
    *upper = uppers[0];
}

uint32_t nephrite_code_refine_rows(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *const *high, const void *const *low,
    size_t count, float threshold, float *lower, float *upper) {
    if (count == 0) return 0;
    return set->refine16(
        query, (const uint8_t *const *)high, (const uint8_t *const *)low, count, threshold, lower, upper);
}

int32_t nephrite_code_sum_coarse(const nephrite_code_set *set, const nephrite_code_query *query, const void *high) {
    const uint8_t *const rows[4] = {high, high, high, high};
    int32_t sums[4];
    set->coarse4(query, rows, sums);
    return 2 * sums[0] - 15 * query->coarse_sum;
}

int32_t nephrite_code_sum_coarse_many(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *high) {
    const uint8_t *const rows[4] = {high, high, high, high};
    const nephrite_code_query *const queries[4] = {query, query, query, query};
    int32_t sums[16];
    set->coarse4x4(queries, rows, sums);
    return 2 * sums[15] - 15 * query->coarse_sum;
}

int32_t nephrite_code_sum_signs(const nephrite_code_set *set, const nephrite_code_query *query, const void *signs) {
    const uint8_t *const rows[4] = {signs, signs, signs, signs};
    int32_t sums[4];
    set->signs4(query, rows, sums);
    return 2 * sums[0] - query->sign_sum;
}

int32_t nephrite_code_sum_refined(
    const nephrite_code_set *set, const nephrite_code_query *query, const void *high, const void *low) {
    return set->refined(query, (const uint8_t *)high, (const uint8_t *)low);
}
