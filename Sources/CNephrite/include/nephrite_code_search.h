// The first two stages of a search by codes, for one query or for several that share a pass: rows are bounded by the
// high plane or by their signs, what reaches the threshold is bounded by both planes (or, in approximate searches of many
// components, by the high plane), and that raises the threshold.
// The cascade of Nephrite calls it for runs of blocks and compares in float32 what it leaves.
#ifndef NEPHRITE_CODE_SEARCH_H
#define NEPHRITE_CODE_SEARCH_H
#include "nephrite_codes.h"

enum {
    /// Rows that wait to be bounded more narrowly, at most.
    nephrite_code_pending_rows = 256,
    /// Queries that one call takes at most.
    nephrite_code_search_queries = 64,
};

/// A row that may be among the nearest.
typedef struct {
    uint32_t slot;
    float upper;
} nephrite_code_candidate;

/// Where rows are that follow one another: the first of them in each plane, and its slot.
typedef struct {
    const void *high, *low;
    /// Null: rows are bounded by the high plane first.
    const void *signs;
    uint32_t first_slot;
} nephrite_code_rows;

/// A query's state on one thread. The caller makes it with nephrite_code_search_init, may raise `threshold` between
/// calls, and takes candidates out.
typedef struct {
    const nephrite_code_query *query;
    /// Rows that cannot reach it are left out.
    float threshold;
    /// Not 0: the codes are likely to be in a cache, so nothing is fetched ahead. The caller's.
    int is_cached;
    /// Rows that the scan has looked at, and how many it will have when the best of those that wait are bounded next.
    size_t seen_count, next_count;
    size_t pending_count;
    /// The largest lower bounds of the rows so far: a heap with the least of them first, room for `limit`. The
    /// caller's.
    float *lowers;
    size_t limit, lower_count;
    /// Rows whose narrower upper bound was not below the threshold. The caller's, as is the room: a call adds
    /// 64 * block_count + nephrite_code_pending_rows at most.
    nephrite_code_candidate *candidates;
    size_t candidate_count;
    /// Rows that have been bounded more narrowly.
    size_t refined_count;
    /// Rows that wait: upper bounds by the first stage, never NaN, and slots; and rows of the memory that all are in.
    float pending_upper[nephrite_code_pending_rows + 16];
    uint32_t pending_slots[nephrite_code_pending_rows + 16];
    nephrite_code_rows pending_rows;
} nephrite_code_search;

/// Makes a search that has seen nothing; `lowers` has room for `limit` floats, 1 or more.
void nephrite_code_search_init(
    nephrite_code_search *search, const nephrite_code_query *query, size_t limit, float *lowers, float threshold,
    nephrite_code_candidate *candidates);
/// Shows a query the rows of blocks of 64 that follow one another; `masks` has those of each block that take part.
void nephrite_code_search_blocks(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows, const uint64_t *masks,
    size_t block_count);
/// Shows a query up to 64 rows by their slots, which are in the memory where `rows` has the first, by the high plane.
void nephrite_code_search_rows(
    const nephrite_code_set *set, nephrite_code_search *search, const nephrite_code_rows *rows, const uint32_t *slots,
    size_t count);
/// Bytes of memory that nephrite_code_search_many needs for `count` queries of a dimension, aligned to 64.
size_t nephrite_code_search_scratch(size_t dimension, size_t count);
/// Gets `scratch` ready for queries that share passes, by signs or by the high plane.
void nephrite_code_search_prepare(
    const nephrite_code_set *set, nephrite_code_search *const *searches, size_t count, int by_signs, void *scratch);
/// As nephrite_code_search_blocks, for several queries of one codec and one metric.
void nephrite_code_search_many(
    const nephrite_code_set *set, nephrite_code_search *const *searches, size_t count, const nephrite_code_rows *rows,
    const uint64_t *masks, size_t block_count, void *scratch);
/// What the kernel for several queries makes of blocks that follow one another, for tests: the rows of each block that reach each
/// query's threshold there, and 64 upper bounds, of the others perhaps by a part of their sums. Returns 0 where there is none.
/// `scratch` as for nephrite_code_search_prepare; the others have `count` thresholds, masks or 64 bounds for each block.
int nephrite_code_pass_bounds(
    const nephrite_code_set *set, const nephrite_code_query *const *queries, size_t count, int by_signs,
    const void *rows, size_t block_count, const float *thresholds, uint64_t *survivors, float *upper, void *scratch);
/// Bounds the rows that still wait.
void nephrite_code_search_settle(const nephrite_code_set *set, nephrite_code_search *search);
#endif
