// The codes' implementation in plain C, for machines without another and as a reference in tests; codes.c chooses.
#include "codes_internal.h"

#define CODE_TARGET
#define CODE_SET nephrite_codes_portable
#define CODE_NAME "portable"

static int32_t coarse1(const nephrite_code_query *query, const uint8_t *row) {
    const int8_t *weights = query->coarse;
    size_t left = nephrite_code_nibble_bytes(query->dimension);
    int32_t sum = 0;
    for (; left > 0;) {
        const size_t block = left < 64 ? left : 64;
        for (size_t j = 0; j < block; j += 1) {
            sum += weights[j] * (row[j] & 15) + weights[block + j] * (row[j] >> 4);
        }
        weights += 2 * block;
        row += block;
        left -= block;
    }
    return sum;
}

static void coarse4(const nephrite_code_query *query, const uint8_t *const *rows, int32_t *sums) {
    for (int r = 0; r < 4; r += 1) sums[r] = coarse1(query, rows[r]);
}

static void coarse4x4(const nephrite_code_query *const *queries, const uint8_t *const *rows, int32_t *sums) {
    for (int q = 0; q < 4; q += 1) {
        for (int r = 0; r < 4; r += 1) sums[4 * q + r] = coarse1(queries[q], rows[r]);
    }
}

#include "codes_template.h"
