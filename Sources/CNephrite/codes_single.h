// Sums for implementations whose kernels take one row at a time: the loop over a row's blocks, and groups of rows and
// queries in turn. The file of an implementation defines, then includes this before codes_template.h:
//   accumulator, sum_zero(), sum_total(sum)   what products are added up in
//   STEP                                      how many bytes of nibbles a step takes, a divisor of 16
//   coarse_step                               (sum, bytes, low weights, high weights): adds the products of a step
static inline int32_t coarse1(const nephrite_code_query *query, const uint8_t *row) {
    const int8_t *weights = query->coarse;
    accumulator sum = sum_zero();
    for (size_t left = nephrite_code_nibble_bytes(query->dimension); left > 0;) {
        const size_t block = left < 64 ? left : 64;
        for (size_t j = 0; j < block; j += STEP) {
            sum = coarse_step(sum, row + j, weights + j, weights + block + j);
        }
        weights += 2 * block;
        row += block;
        left -= block;
    }
    return sum_total(sum);
}

static void coarse4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    for (int r = 0; r < 4; r += 1) sums[r] = coarse1(query, rows[r]);
}

static void coarse4x4(const nephrite_code_query *const *queries, const uint8_t *const *rows, int32_t *sums) {
    for (int q = 0; q < 4; q += 1) {
        for (int r = 0; r < 4; r += 1) sums[4 * q + r] = coarse1(queries[q], rows[r]);
    }
}
