/// What a search is asked for and what it hands back, inside the engine: the public calls of a snapshot make requests, the
/// searcher answers them.

/// One or several queries over the same rows.
struct SearchRequest: Sendable {
    var queries: [[Float]]
    /// How many rows to find for each.
    var limit: Int
    var mode = SearchMode.exact
    /// Which rows take part: what the caller's filter resolved to on the snapshot.
    var rows = FilterPlan.all
    /// Only rows that it holds for take part. It is asked about rows that would be among the nearest; nil: all.
    var accepts: (@Sendable (UInt32) -> Bool)?
    /// Rows of a lower rank are not wanted.
    var floor = -Float.infinity
    /// Rows up to this place in the order are not wanted.
    var after: SearchPosition?
    var maximumThreads: Int?
    /// Bytes of a plane of codes that caches are taken to hold: there, reading fewer of them spares nothing.
    var cachedByteCount = 8 << 20
    /// Take the times of the stages.
    var isTimed = false
    /// Nanoseconds that resolving the filter took; 0 without one.
    var resolveTime: UInt64 = 0
}

/// A place in the order of a search's results: by rank, and by id where ranks are equal.
struct SearchPosition: Sendable, Hashable {
    let rank: Float
    let id: RecordID
}

/// What the stages of a search did.
struct SearchCounts: Sendable {
    /// Rows estimated by their signs.
    var estimated = 0
    /// Rows bounded by the high plane, at once or once signs had left them; by both planes; and rows compared in float32:
    /// candidates, and rows without a code.
    var bounded = 0
    var refined = 0
    var compared = 0
    var direct = 0
    /// Nanoseconds of the stages, summed over the threads; 0 unless timed.
    var scanTime: UInt64 = 0
    var refineTime: UInt64 = 0
    var compareTime: UInt64 = 0

    static func += (left: inout SearchCounts, right: SearchCounts) {
        left.estimated += right.estimated
        left.bounded += right.bounded
        left.refined += right.refined
        left.compared += right.compared
        left.direct += right.direct
        left.scanTime += right.scanTime
        left.refineTime += right.refineTime
        left.compareTime += right.compareTime
    }
}

/// The answer: for each query its rows, best first.
struct SearchAnswer: Sendable {
    var rows: [[TopK.Entry]]
    var counts = SearchCounts()
    var usedCodes = false
    var threadCount = 1
}
