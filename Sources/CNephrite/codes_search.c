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

static inline size_t row_stride(const nephrite_code_search *search) {
    return nephrite_code_nibble_bytes(search->query->dimension) + nephrite_code_factor_bytes;
}

static size_t count_reaching(const float *upper, size_t count, float bound) {
    uint32_t reaching = 0;
    for (size_t i = 0; i < count; i += 1) reaching += upper[i] >= bound;
    return reaching;
}

// Takes up to 16 of the rows that wait and reach `wanted`, the first that do; those below the threshold go, the others
// stay, and their number is returned. Without a branch for a row: which way it went could not be foreseen.
static size_t take_waiting(
    float *upper, uint32_t *slots, size_t waiting, float threshold, float wanted, uint32_t *taken, size_t *taken_count) {
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < waiting; i += 1) {
        const float bound = upper[i];
        const uint32_t slot = slots[i];
        const size_t is_taken = (bound >= wanted) & (count < group_rows);
        taken[count] = slot;
        count += is_taken;
        upper[kept] = bound;
        slots[kept] = slot;
        kept += (bound >= threshold) & (is_taken ^ 1);
    }
    *taken_count = count;
    return kept;
}

// A bound that about 16 of the rows that wait reach, more than 8 where that is easily found: halving takes a few turns.
static float choose_pivot(const nephrite_code_set *set, const nephrite_code_search *search) {
    if (search->pending_count <= group_rows) return -INFINITY;
    float least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < search->pending_count; i += 1) {
        least = search->pending_upper[i] < least ? search->pending_upper[i] : least;
        most = search->pending_upper[i] > most ? search->pending_upper[i] : most;
    }
    if (least < search->threshold) least = search->threshold;
    size_t (*reaching)(const float *, size_t, float) = set->count_reaching != NULL ? set->count_reaching : count_reaching;
    for (int turn = 0; turn < 10; turn += 1) {
        const float middle = least * 0.5f + most * 0.5f;
        const size_t count = reaching(search->pending_upper, search->pending_count, middle);
        if (count > group_rows) {
            least = middle;
        } else if (count <= group_rows / 2) {
            most = middle;
        } else {
            return middle;
        }
    }
    return least;
}

// Takes up to 16 of the rows that wait out, the most promising ones; those below the threshold go.
static size_t take_best(const nephrite_code_set *set, nephrite_code_search *search, uint32_t *slots) {
    const float pivot = choose_pivot(set, search);
    const float wanted = pivot < search->threshold ? search->threshold : pivot;
    size_t count = 0;
    search->pending_count = (set->take_waiting != NULL ? set->take_waiting : take_waiting)(
        search->pending_upper, search->pending_slots, search->pending_count, search->threshold, wanted, slots, &count);
    return count;
}

static inline void prefetch_row(const uint8_t *row, size_t byte_count) {
    for (size_t line = 0; line < byte_count; line += 64) __builtin_prefetch(row + line);
}

// Bounds the most promising of the rows that wait by both planes, or by the high plane where that is as good: they raise the
// threshold, which spares others.
static void refine_best(const nephrite_code_set *set, nephrite_code_search *search) {
    const uint8_t *high[group_rows], *low[group_rows];
    uint32_t slots[2 * group_rows];
    _Alignas(64) float lower[nephrite_code_block_rows], upper[nephrite_code_block_rows];
    const int needs_low = !search->query->high_is_enough;
    const size_t count = take_best(set, search, slots);
    if (count == 0) return;
    const nephrite_code_rows *rows = &search->pending_rows;
    const ptrdiff_t stride = (ptrdiff_t)row_stride(search);
    // Of long rows the hardware fetches the rest. Codes that are not in a cache were asked for when their rows began to wait.
    const size_t fetched_bytes = stride < 1024 ? (size_t)stride : 1024;
    for (size_t i = 0; i < count; i += 1) {
        const ptrdiff_t offset = ((ptrdiff_t)slots[i] - (ptrdiff_t)rows->first_slot) * stride;
        high[i] = (const uint8_t *)rows->high + offset;
        low[i] = (const uint8_t *)rows->low + offset;
        if (!search->is_cached) continue;
        prefetch_row(high[i], fetched_bytes);
        if (needs_low) prefetch_row(low[i], fetched_bytes);
    }
    search->refined_count += count;
    uint32_t left =
        needs_low ? set->refine16(search->query, high, low, count, search->threshold, lower, upper)
                  : (uint32_t)nephrite_code_scan_rows(
                        set, search->query, (const void *const *)high, count, search->threshold, lower, upper);
    for (; left != 0; left &= left - 1) {
        const int index = __builtin_ctz(left);
        if (upper[index] < search->threshold) continue;
        const float spare = needs_low ? 0 : (upper[index] - lower[index]) * search->query->lower_share;
        offer(search, lower[index] - spare);
        search->candidates[search->candidate_count++] = (nephrite_code_candidate){slots[index], upper[index]};
    }
}

void nephrite_code_search_settle(const nephrite_code_set *set, nephrite_code_search *search) {
    while (search->pending_count > 0) refine_best(set, search);
}

// Rows that wait lie in one piece of memory: bounds them before rows of another come.
static void look_at(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows) {
    if (search->pending_count > 0) {
        const uintptr_t ahead = ((uintptr_t)rows->first_slot - search->pending_rows.first_slot) * row_stride(search);
        const int is_same = (uintptr_t)rows->high - (uintptr_t)search->pending_rows.high == ahead &&
                            (uintptr_t)rows->low - (uintptr_t)search->pending_rows.low == ahead;
        if (is_same) return;
        nephrite_code_search_settle(set, search);
    }
    search->pending_rows = *rows;
}

// Has the survivors of a block wait: rows that follow one another from `first_row` on, or those that `slots` has.
static inline void wait_for(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows, const uint32_t *slots,
    size_t first_row, uint64_t survivors, const float *upper) {
    const size_t stride = row_stride(search);
    // Codes that are not in a cache have been fetched, and are not to be fetched again.
    const size_t most = search->is_cached ? nephrite_code_pending_rows : nephrite_code_pending_rows / 4;
    const int needs_low = !search->query->high_is_enough;
    for (; survivors != 0; survivors &= survivors - 1) {
        const size_t place = (size_t)__builtin_ctzll(survivors);
        const size_t row = slots != NULL ? slots[place] - rows->first_slot : first_row + place;
        if (search->pending_count >= most) refine_best(set, search);
        if (!search->is_cached) {
            if (needs_low) prefetch_row((const uint8_t *)rows->low + row * stride, stride);
            if (rows->signs != NULL) prefetch_row((const uint8_t *)rows->high + row * stride, stride);
        }
        const size_t index = search->pending_count;
        // What has no bound is looked at first.
        search->pending_upper[index] = upper[place] == upper[place] ? upper[place] : INFINITY;
        search->pending_slots[index] = rows->first_slot + (uint32_t)row;
        search->pending_count += !(upper[place] < search->threshold);
    }
}

// Counts rows that the scan has seen. The best of the rows that wait are bounded when it has seen twice as many as the last
// time: the more it has seen, the fewer of them are in vain. The first time is when there are enough of them.
static inline void note_seen(const nephrite_code_set *set, nephrite_code_search *search, size_t count) {
    search->seen_count += count;
    if (search->seen_count < search->next_count || search->pending_count < group_rows) return;
    refine_best(set, search);
    search->next_count = 2 * search->seen_count;
}

// Takes what a block of which so many rows take part leaves.
static inline void take_block(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows, size_t first_row,
    size_t row_count, uint64_t survivors, const float *upper) {
    if (survivors != 0) wait_for(set, search, rows, NULL, first_row, survivors, upper);
    note_seen(set, search, row_count);
}

void nephrite_code_search_rows(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows, const uint32_t *slots,
    size_t count) {
    const void *pointers[nephrite_code_block_rows];
    _Alignas(64) float upper[nephrite_code_block_rows];
    const size_t stride = row_stride(search);
    look_at(set, search, rows);
    for (size_t i = 0; i < count; i += 1) {
        pointers[i] = (const uint8_t *)rows->high + (slots[i] - rows->first_slot) * stride;
    }
    const uint64_t survivors =
        nephrite_code_scan_rows(set, search->query, pointers, count, search->threshold, NULL, upper);
    if (survivors != 0) wait_for(set, search, rows, slots, 0, survivors, upper);
    note_seen(set, search, count);
}

void nephrite_code_search_blocks(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows, const uint64_t *masks,
    size_t block_count) {
    const size_t dimension = search->query->dimension;
    const int by_signs = rows->signs != NULL;
    const size_t stride = by_signs ? nephrite_code_sign_stride(dimension)
                                   : nephrite_code_nibble_bytes(dimension) + nephrite_code_factor_bytes;
    const uint8_t *start = by_signs ? rows->signs : rows->high;
    look_at(set, search, rows);
    for (size_t b = 0; b < block_count; b += 1) {
        _Alignas(64) float upper[nephrite_code_block_rows];
        const size_t first = b * nephrite_code_block_rows;
        const uint8_t *block = start + first * stride;
        const uint64_t survivors =
            by_signs
                ? nephrite_code_scan_signs(set, search->query, block, masks[b], search->threshold, NULL, upper)
                : nephrite_code_scan(set, search->query, block, masks[b], search->threshold, NULL, upper);
        take_block(set, search, rows, first, (size_t)__builtin_popcountll(masks[b]), survivors, upper);
    }
}

size_t nephrite_code_search_scratch(size_t dimension, size_t count) {
    return nephrite_code_pass_bytes(dimension, count);
}

void nephrite_code_search_prepare(
    const nephrite_code_set *set, nephrite_code_search *const *searches, size_t count, int by_signs, void *scratch) {
    if (set->prepare_pass == NULL) return;
    const nephrite_code_query *queries[nephrite_code_search_queries];
    for (size_t q = 0; q < count; q += 1) queries[q] = searches[q]->query;
    set->prepare_pass(queries, count, by_signs, scratch);
}

int nephrite_code_pass_bounds(
    const nephrite_code_set *set, const nephrite_code_query *const *queries, size_t count, int by_signs,
    const void *rows, size_t block_count, const float *thresholds, uint64_t *survivors, float *upper, void *scratch) {
    if (set->pass64 == NULL) return 0;
    const size_t dimension = queries[0]->dimension;
    const size_t stride = by_signs ? nephrite_code_sign_stride(dimension)
                                   : nephrite_code_nibble_bytes(dimension) + nephrite_code_factor_bytes;
    set->prepare_pass(queries, count, by_signs, scratch);
    for (size_t b = 0; b < block_count; b += 1) {
        const uint8_t *block = (const uint8_t *)rows + b * nephrite_code_block_rows * stride;
        set->pass64(
            queries, count, by_signs, block, UINT64_MAX, thresholds + b * count, survivors + b * count,
            upper + b * count * nephrite_code_block_rows, scratch);
    }
    return 1;
}

void nephrite_code_search_many(
    const nephrite_code_set *set, nephrite_code_search *const *searches, size_t count, const nephrite_code_rows *rows,
    const uint64_t *masks, size_t block_count, void *scratch) {
    const nephrite_code_query *queries[nephrite_code_search_queries];
    float thresholds[nephrite_code_search_queries];
    uint64_t survivors[nephrite_code_search_queries];
    _Alignas(64) float lower[16 * nephrite_code_block_rows];
    const size_t dimension = searches[0]->query->dimension;
    const int by_signs = rows->signs != NULL;
    const size_t stride = by_signs ? nephrite_code_sign_stride(dimension)
                                   : nephrite_code_nibble_bytes(dimension) + nephrite_code_factor_bytes;
    const uint8_t *start = by_signs ? rows->signs : rows->high;
    float *upper = nephrite_code_pass_uppers(scratch);
    // A block of long rows that a few queries look at one after the other stays in the cache between them, and to turn it
    // over for them all would take longer; for two queries with rows of any length, for four by signs.
    const int take_turns = by_signs ? count <= 4 || dimension > nephrite_code_sign_pass_dimension
                                    : count <= 2 || 48 * count <= stride;
    for (size_t q = 0; q < count; q += 1) {
        queries[q] = searches[q]->query;
        look_at(set, searches[q], rows);
    }
    for (size_t b = 0; b < block_count; b += 1) {
        if (masks[b] == 0) continue;
        const size_t row_count = (size_t)__builtin_popcountll(masks[b]);
        const int is_dense = (int)row_count >= nephrite_code_dense_rows(set);
        const size_t first = b * nephrite_code_block_rows;
        const uint8_t *block = start + first * stride;
        for (size_t q = 0; q < count; q += 1) thresholds[q] = searches[q]->threshold;
        if (set->pass64 != NULL && !take_turns && is_dense) {
            set->pass64(queries, count, by_signs, block, masks[b], thresholds, survivors, upper, scratch);
        } else if (by_signs) {
            for (size_t q = 0; q < count; q += 1) {
                survivors[q] = nephrite_code_scan_signs(
                    set, queries[q], block, masks[b], thresholds[q], NULL, upper + q * nephrite_code_block_rows);
            }
        } else if (set->pass64 != NULL) {
            for (size_t q = 0; q < count; q += 1) {
                survivors[q] = nephrite_code_scan(
                    set, queries[q], block, masks[b], thresholds[q], NULL, upper + q * nephrite_code_block_rows);
            }
        } else {
            for (size_t q = 0; q < count; q += 16) {
                const size_t group = count - q < 16 ? count - q : 16;
                nephrite_code_scan_many(
                    set, queries + q, group, block, masks[b], thresholds + q, survivors + q, lower,
                    upper + q * nephrite_code_block_rows);
            }
        }
        for (size_t q = 0; q < count; q += 1) {
            take_block(
                set, searches[q], rows, first, row_count, survivors[q] & masks[b],
                upper + q * nephrite_code_block_rows);
        }
    }
}
