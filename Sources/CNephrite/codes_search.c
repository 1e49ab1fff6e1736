// Searches through runs of blocks: bounds, candidates that wait for their low planes, and the threshold. Nephrite's
// cascade calls it; codes.c and the implementations do the arithmetic.
#include "nephrite_code_search.h"

#include "codes_internal.h"

enum { group_rows = 16 };

void nephrite_code_search_init(
    nephrite_code_search *search, const nephrite_code_query *query, size_t limit, float *lowers, float threshold,
    nephrite_code_candidate *candidates) {
    memset(search, 0, sizeof *search);
    search->query = query;
    search->limit = limit;
    search->lowers = lowers;
    search->threshold = threshold;
    search->candidates = candidates;
}

static void sift_up(float *heap, size_t place) {
    const float bound = heap[place];
    while (place > 0 && heap[(place - 1) / 2] > bound) {
        heap[place] = heap[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    heap[place] = bound;
}

static void sift_down(float *heap, size_t count, float bound) {
    size_t place = 0;
    for (size_t child = 1; child < count; child = 2 * place + 1) {
        if (child + 1 < count && heap[child + 1] < heap[child]) child += 1;
        if (!(heap[child] < bound)) break;
        heap[place] = heap[child];
        place = child;
    }
    heap[place] = bound;
}

// Takes a row's lower bound; NaN, and what is not above the threshold when there are enough, counts for nothing.
static void offer(nephrite_code_search *search, float lower) {
    if (search->lower_count < search->limit) {
        if (lower != lower) return;
        search->lowers[search->lower_count] = lower;
        sift_up(search->lowers, search->lower_count);
        search->lower_count += 1;
    } else if (lower > search->lowers[0]) {
        sift_down(search->lowers, search->lower_count, lower);
    } else {
        return;
    }
    if (search->lower_count == search->limit && search->lowers[0] > search->threshold) {
        search->threshold = search->lowers[0];
    }
}

// Bounds the first waiting rows by both planes, up to 16 of them.
static void refine_group(const nephrite_code_set *set, nephrite_code_search *search) {
    const uint8_t *high[group_rows], *low[group_rows];
    uint32_t slots[group_rows];
    float lower[group_rows], upper[group_rows];
    size_t count = 0, taken = 0;
    for (; taken < search->pending_count && count < group_rows; taken += 1) {
        if (search->pending[taken].upper < search->threshold) continue;
        high[count] = search->pending_high[taken];
        low[count] = search->pending_low[taken];
        slots[count] = search->pending[taken].slot;
        count += 1;
    }
    search->pending_count -= taken;
    memmove(search->pending, search->pending + taken, search->pending_count * sizeof search->pending[0]);
    memmove(search->pending_high, search->pending_high + taken, search->pending_count * sizeof(void *));
    memmove(search->pending_low, search->pending_low + taken, search->pending_count * sizeof(void *));
    if (count == 0) return;
    search->refined_count += count;
    uint32_t left = set->refine16(search->query, high, low, count, search->threshold, lower, upper);
    for (; left != 0; left &= left - 1) {
        const int index = __builtin_ctz(left);
        if (upper[index] < search->threshold) continue;
        offer(search, lower[index]);
        search->candidates[search->candidate_count++] = (nephrite_code_candidate){slots[index], upper[index]};
    }
}

void nephrite_code_search_settle(const nephrite_code_set *set, nephrite_code_search *search) {
    while (search->pending_count > 0) refine_group(set, search);
}

static inline void prefetch_row(const uint8_t *row, size_t byte_count) {
    for (size_t line = 0; line < byte_count; line += 64) __builtin_prefetch(row + line);
}

// Has the survivors of a block wait for their low planes, and goes on with those that have waited longest.
static void wait_for(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows, size_t first_row,
    uint64_t survivors, const float *upper) {
    const size_t stride = nephrite_code_nibble_bytes(search->query->dimension) + nephrite_code_factor_bytes;
    for (; survivors != 0; survivors &= survivors - 1) {
        const size_t place = (size_t)__builtin_ctzll(survivors), row = first_row + place;
        if (upper[place] < search->threshold) continue;
        if (search->pending_count == nephrite_code_pending_rows) refine_group(set, search);
        const uint8_t *high = (const uint8_t *)rows->high + row * stride;
        const uint8_t *low = (const uint8_t *)rows->low + row * stride;
        prefetch_row(low, stride);
        if (rows->signs != NULL) prefetch_row(high, stride);
        const size_t index = search->pending_count++;
        search->pending[index] = (nephrite_code_candidate){rows->first_slot + (uint32_t)row, upper[place]};
        search->pending_high[index] = high;
        search->pending_low[index] = low;
    }
}

void nephrite_code_search_blocks(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows, const uint64_t *masks,
    size_t block_count) {
    const size_t dimension = search->query->dimension;
    const int by_signs = rows->signs != NULL;
    const size_t stride = by_signs ? nephrite_code_sign_stride(dimension)
                                   : nephrite_code_nibble_bytes(dimension) + nephrite_code_factor_bytes;
    const uint8_t *start = by_signs ? rows->signs : rows->high;
    for (size_t b = 0; b < block_count; b += 1) {
        _Alignas(64) float lower[nephrite_code_block_rows], upper[nephrite_code_block_rows];
        const size_t first = b * nephrite_code_block_rows;
        const uint8_t *block = start + first * stride;
        const uint64_t survivors =
            by_signs
                ? nephrite_code_scan_signs(set, search->query, block, masks[b], search->threshold, lower, upper)
                : nephrite_code_scan(set, search->query, block, masks[b], search->threshold, lower, upper);
        if (survivors != 0) wait_for(set, search, rows, first, survivors, upper);
    }
}

int nephrite_code_shares_passes(const nephrite_code_set *set) { return set->pass64 != NULL; }

size_t nephrite_code_search_scratch(size_t dimension, size_t count) {
    return nephrite_code_pass_bytes(dimension, count);
}

void nephrite_code_search_prepare(
    const nephrite_code_set *set, nephrite_code_search *const *searches, size_t count, void *scratch) {
    if (set->prepare_pass == NULL) return;
    const nephrite_code_query *queries[nephrite_code_search_queries];
    for (size_t q = 0; q < count; q += 1) queries[q] = searches[q]->query;
    set->prepare_pass(queries, count, scratch);
}

void nephrite_code_search_many(
    const nephrite_code_set *set, nephrite_code_search *const *searches, size_t count, const nephrite_code_rows *rows,
    const uint64_t *masks, size_t block_count, void *scratch) {
    const nephrite_code_query *queries[nephrite_code_search_queries];
    float thresholds[nephrite_code_search_queries];
    uint64_t survivors[nephrite_code_search_queries];
    _Alignas(64) float lower[16 * nephrite_code_block_rows];
    const size_t stride = nephrite_code_nibble_bytes(searches[0]->query->dimension) + nephrite_code_factor_bytes;
    float *upper = nephrite_code_pass_uppers(scratch);
    for (size_t q = 0; q < count; q += 1) queries[q] = searches[q]->query;
    for (size_t b = 0; b < block_count; b += 1) {
        if (masks[b] == 0) continue;
        const size_t first = b * nephrite_code_block_rows;
        const uint8_t *block = (const uint8_t *)rows->high + first * stride;
        for (size_t q = 0; q < count; q += 1) thresholds[q] = searches[q]->threshold;
        // The next block is turned over column by column, which no hardware prefetcher follows.
        for (size_t line = 0; line < nephrite_code_block_rows * stride; line += 64) {
            __builtin_prefetch(block + nephrite_code_block_rows * stride + line, 0, 2);
        }
        if (set->pass64 != NULL && __builtin_popcountll(masks[b]) >= nephrite_code_dense_rows) {
            set->pass64(queries, count, block, thresholds, survivors, upper, scratch);
            for (size_t q = 0; q < count; q += 1) survivors[q] &= masks[b];
        } else {
            for (size_t q = 0; q < count; q += 16) {
                const size_t group = count - q < 16 ? count - q : 16;
                nephrite_code_scan_many(
                    set, queries + q, group, block, masks[b], thresholds + q, survivors + q, lower,
                    upper + q * nephrite_code_block_rows);
            }
        }
        for (size_t q = 0; q < count; q += 1) {
            if (survivors[q] == 0) continue;
            wait_for(set, searches[q], rows, first, survivors[q], upper + q * nephrite_code_block_rows);
        }
    }
}
