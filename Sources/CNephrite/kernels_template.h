// The row loops of every kernel set, written once. The file of a set defines, then includes this:
//   KERNEL_TARGET  its target attribute          KERNEL_SET   the struct to define     KERNEL_NAME  its name
//   vector, LANES  a register of floats          tail, tail_of(n), v_load_tail  how to load 1 … LANES - 1 floats
//   v_zero v_load v_add v_sub v_fma v_sum v_sum4
//
// The order of additions within a row depends on the dimension alone: four chains take registers in turn, and the
// sum over lanes has one shape in v_sum and in v_sum4. So a score has the same bits whatever row stands beside it.
#include "kernels_internal.h"

#define KERNEL_UNROLL _Pragma("clang loop unroll(full)")

/// Independent accumulators of a row: enough to hide the latency of an addition at one row at a time.
enum { chains = 4 };
/// Rows whose sums over lanes are taken together. They are read one after the other, without prefetch instructions: one
/// ascending stream is what the hardware prefetcher follows best (four rows abreast ran at half the bandwidth on zen4,
/// and prefetching 1 … 8 KiB ahead cost a tenth).
enum { group_rows = 4 };

KERNEL_INLINE const float *row_at(const uint8_t *rows, size_t stride, int row) {
    return (const float *)(const void *)(rows + stride * (size_t)row);
}

KERNEL_INLINE vector add_product(vector query, vector row, vector sum) { return v_fma(query, row, sum); }

KERNEL_INLINE vector add_squared_difference(vector query, vector row, vector sum) {
    vector difference = v_sub(query, row);
    return v_fma(difference, difference, sum);
}

KERNEL_INLINE vector add_square(vector query, vector row, vector sum) {
    (void)query;
    return v_fma(row, row, sum);
}

KERNEL_INLINE vector join(const vector *sums) { return v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3])); }

// What is left of a row after full turns of all chains: whole registers into the first chains, the rest into the next.
#define ADD_REST(ADD, query, row, start, dimension, sums)                                                       \
    do {                                                                                                        \
        size_t i = start;                                                                                       \
        KERNEL_UNROLL for (int c = 0; c < chains; c += 1) {                                                     \
            if (i + LANES <= dimension) {                                                                       \
                sums[c] = ADD(v_load(query + i), v_load(row + i), sums[c]);                                     \
                i += LANES;                                                                                     \
            } else if (i < dimension) {                                                                         \
                const tail rest = tail_of(dimension - i);                                                       \
                sums[c] = ADD(v_load_tail(query + i, rest), v_load_tail(row + i, rest), sums[c]);               \
                i = dimension;                                                                                  \
            }                                                                                                   \
        }                                                                                                       \
    } while (0)

// Defines sum_NAME, the lanes' sums of one row, and score_NAME, the loop over rows.
#define DEFINE_SCORE(NAME, ADD)                                                                                 \
    KERNEL_INLINE vector sum_##NAME(const float *query, const float *row, size_t dimension) {                   \
        vector sums[chains] = {v_zero(), v_zero(), v_zero(), v_zero()};                                         \
        size_t start = 0;                                                                                       \
        for (; start + chains * LANES <= dimension; start += chains * LANES) {                                  \
            KERNEL_UNROLL for (int c = 0; c < chains; c += 1) {                                                 \
                const size_t i = start + (size_t)c * LANES;                                                     \
                sums[c] = ADD(v_load(query + i), v_load(row + i), sums[c]);                                     \
            }                                                                                                   \
        }                                                                                                       \
        ADD_REST(ADD, query, row, start, dimension, sums);                                                      \
        return join(sums);                                                                                      \
    }                                                                                                           \
    KERNEL_TARGET static void score_##NAME(                                                                     \
        const float *query, const uint8_t *rows, size_t stride, size_t count, size_t dimension, float *scores) { \
        for (; count >= group_rows; count -= group_rows, rows += group_rows * stride, scores += group_rows) {   \
            vector sums[group_rows];                                                                            \
            KERNEL_UNROLL for (int r = 0; r < group_rows; r += 1) {                                             \
                sums[r] = sum_##NAME(query, row_at(rows, stride, r), dimension);                                \
            }                                                                                                   \
            v_sum4(sums, scores);                                                                               \
        }                                                                                                       \
        for (; count > 0; count -= 1, rows += stride, scores += 1) {                                            \
            *scores = v_sum(sum_##NAME(query, row_at(rows, stride, 0), dimension));                             \
        }                                                                                                       \
    }

DEFINE_SCORE(dot, add_product)
DEFINE_SCORE(squared_distance, add_squared_difference)

// sum_dot, and the row's sum of squares beside it; both with the additions in the order of sum_dot.
KERNEL_INLINE void sum_dot_and_norm(
    const float *query, const float *row, size_t dimension, vector *dot, vector *norm_squared) {
    vector sums[chains] = {v_zero(), v_zero(), v_zero(), v_zero()};
    vector squares[chains] = {v_zero(), v_zero(), v_zero(), v_zero()};
    size_t start = 0;
    for (; start + chains * LANES <= dimension; start += chains * LANES) {
        KERNEL_UNROLL for (int c = 0; c < chains; c += 1) {
            const size_t i = start + (size_t)c * LANES;
            const vector x = v_load(row + i);
            sums[c] = add_product(v_load(query + i), x, sums[c]);
            squares[c] = add_square(x, x, squares[c]);
        }
    }
    ADD_REST(add_product, query, row, start, dimension, sums);
    ADD_REST(add_square, row, row, start, dimension, squares);
    *dot = join(sums);
    *norm_squared = join(squares);
}

KERNEL_TARGET static void score_dot_and_norm(
    const float *query, const uint8_t *rows, size_t stride, size_t count, size_t dimension, float *dots,
    float *norms_squared) {
    for (; count >= group_rows; count -= group_rows, rows += group_rows * stride) {
        vector sums[group_rows], squares[group_rows];
        KERNEL_UNROLL for (int r = 0; r < group_rows; r += 1) {
            sum_dot_and_norm(query, row_at(rows, stride, r), dimension, &sums[r], &squares[r]);
        }
        v_sum4(sums, dots);
        v_sum4(squares, norms_squared);
        dots += group_rows;
        norms_squared += group_rows;
    }
    for (; count > 0; count -= 1, rows += stride, dots += 1, norms_squared += 1) {
        vector sum, square;
        sum_dot_and_norm(query, row_at(rows, stride, 0), dimension, &sum, &square);
        *dots = v_sum(sum);
        *norms_squared = v_sum(square);
    }
}

#undef DEFINE_SCORE
#undef ADD_REST

// x - x is zero for a finite x and NaN for an infinity or a NaN, and a NaN stays in the sum.
KERNEL_TARGET static int all_finite(const float *values, size_t count) {
    vector even = v_zero(), odd = v_zero();
    size_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        const vector x0 = v_load(values + i), x1 = v_load(values + i + LANES);
        even = v_add(even, v_sub(x0, x0));
        odd = v_add(odd, v_sub(x1, x1));
    }
    for (; i < count; i += LANES) {
        const vector x = count - i >= LANES ? v_load(values + i) : v_load_tail(values + i, tail_of(count - i));
        even = v_add(even, v_sub(x, x));
    }
    return v_sum(v_add(even, odd)) == 0;
}

const struct nephrite_kernel_set KERNEL_SET = {
    .name = KERNEL_NAME,
    .dot = score_dot,
    .squared_distance = score_squared_distance,
    .dot_and_norm = score_dot_and_norm,
    .all_finite = all_finite,
};
