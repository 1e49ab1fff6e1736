// The codes' implementation in plain C, for machines without another and as a reference in tests; codes.c chooses.
#include "codes_internal.h"

#define CODE_TARGET
#define CODE_SET nephrite_codes_portable
#define CODE_NAME "portable"
#define STEP 1

typedef int32_t accumulator;
static inline int32_t sum_zero(void) { return 0; }
static inline int32_t sum_total(int32_t sum) { return sum; }

static inline int32_t coarse_step(int32_t sum, const uint8_t *bytes, const int8_t *low, const int8_t *high) {
    return sum + *low * (*bytes & 15) + *high * (*bytes >> 4);
}

#include "codes_single.h"
#include "codes_template.h"
