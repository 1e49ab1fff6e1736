/// One query in one part of a cascade: it turns bounds into candidates, candidates into fewer by both planes, and those
/// into exact scores. CascadeScan feeds it blocks of rows; the searcher merges what the parts found.
import CNephrite
import StorageIO

/// The state of a query on one thread.
@safe final class CascadeQuery {
    /// A row that may be among the nearest, with an upper bound of its rank.
    struct Candidate {
        var upper: Float
        var slot: UInt32
    }

    /// Candidates kept before they are compared.
    static let candidateLimit = 8_192

    let snapshot: DatabaseSnapshot
    /// Nil if the query cannot be put into integers; then rows are compared directly.
    let code: CodeQuery?
    private let codes: CodeView?
    private let shared: SharedThreshold
    private let accepts: (@Sendable (UInt32) -> Bool)?
    private let after: SearchPosition?
    private let clock: SystemClock?
    private let kernels: OpaquePointer
    /// How many rows are wanted.
    private let limit: Int
    /// Where the kernels keep the query's candidates themselves; nil if rows are to be asked about one by one, or if stages
    /// are to be timed.
    let codeSearch: CodeSearch?
    /// Whether the codes are so few that they are likely to be in a cache: nothing is to be gained by waiting for them.
    private let isCached: Bool
    /// Whether what the high plane leaves is compared, and the low plane not looked at.
    private let comparesBounded: Bool
    /// Then so many times the distance of both bounds is taken from the lower one.
    private let lowerShare: Float
    // SAFETY: of `@exclusivity(unchecked)`: the call of `CascadeScan.run` that made a query is the only one to use
    // it, no method suspends, and what leaves are values. What runs while one of these variables is being changed
    // (`accepts`, the test of a filter, `idPrecedes`) has the plan and the snapshot, and no reference to the query.
    // So no two accesses overlap. With checks, these took 6 to 8 % of the samples of 1,000 queries over 100,000
    // vectors of 128 components on one thread, without below 1 % (`perf record -e cpu-clock`: swift_beginAccess,
    // swift_endAccess and what they call).
    /// Rows that were compared in float32.
    var exact: ExactScanner { unsafe scanner }
    @exclusivity(unchecked) private var scanner: ExactScanner
    /// With a budget of candidates: the best estimates.
    private(set) var budget: TopK?
    @exclusivity(unchecked) private var lowers: BoundHeap
    @exclusivity(unchecked) private var candidates: [Candidate] = []
    @exclusivity(unchecked) private var pending: [Candidate] = []
    /// Rows that were looked at where what the high plane leaves is compared, and at how many that is done: lower bounds are
    /// far below ranks there, and those of the nearest so far raise the threshold for the others.
    @exclusivity(unchecked) private var seenCount = 0
    @exclusivity(unchecked) private var nextComparison = 16_384
    /// No row of a lower rank is wanted.
    var threshold: Float { unsafe least }
    @exclusivity(unchecked) private var least: Float
    var counts: SearchCounts { unsafe tally }
    @exclusivity(unchecked) private var tally = SearchCounts()

    init(_ plan: CascadePlan, query index: Int) {
        let request = plan.request
        snapshot = plan.snapshot
        codes = plan.codes
        code = plan.codeQueries[index]
        lowerShare = code.map { unsafe $0.pointer.pointee.lower_share } ?? 0
        comparesBounded = code.map { unsafe $0.pointer.pointee.high_is_enough != 0 } ?? false
        shared = plan.shared[index]
        after = request.after
        clock = request.isTimed ? SystemClock() : nil
        accepts = plan.accepts
        unsafe kernels = nephrite_code_set_in_use()
        limit = request.limit
        let lowByteCount = plan.rowCount * (plan.codes?.codec.lowStride ?? 0)
        isCached = lowByteCount <= request.cachedByteCount
        // The second cache is smaller than the one that so many codes are taken to be in.
        let isNear = lowByteCount <= request.cachedByteCount / 4
        unsafe scanner = ExactScanner(
            metric: plan.metric, query: request.queries[index], stride: snapshot.identity.stride, limit: request.limit,
            floor: request.floor)
        unsafe scanner.accepts = plan.test
        unsafe lowers = BoundHeap(limit: request.limit)
        unsafe least = request.floor
        if case .approximateCandidates(let count) = request.mode { budget = TopK(limit: max(count, request.limit)) }
        let isPlain = plan.accepts == nil && request.after == nil && !request.isTimed && budget == nil
        codeSearch =
            isPlain
            ? code.map { CodeSearch($0, limit: request.limit, threshold: request.floor, isCached: isNear) } : nil
    }

    /// Has the kernels go on with the query's state: brings both thresholds to the higher one, and makes room.
    func beginRun(_ search: CodeSearch) {
        refreshThreshold()
        search.raise(to: threshold)
        if search.isFull { takeCandidates(search) }
    }

    /// Takes over what the kernels came to.
    func endRun(_ search: CodeSearch, rowCount: Int, bySigns: Bool) {
        if bySigns { unsafe tally.estimated += rowCount } else { unsafe tally.bounded += rowCount }
        raise(to: search.threshold)
        guard comparesBounded else { return }
        unsafe seenCount += rowCount
        if unsafe seenCount >= nextComparison {
            unsafe nextComparison = 4 * seenCount
            takeCandidates(search)
            compareCandidates()
        }
    }

    private func takeCandidates(_ search: CodeSearch) {
        search.takeCandidates(from: threshold) { candidate in
            unsafe candidates.append(candidate)
            if unsafe candidates.count >= Self.candidateLimit { shrink() }
        }
    }

    /// Looks at what other threads have found.
    func refreshThreshold() {
        if budget == nil { unsafe least = unsafe max(least, shared.value) }
    }

    /// Compares rows that have no code.
    func compare(_ mask: UInt64, firstSlot: Int) {
        unsafe tally.direct += mask.nonzeroBitCount
        compareRows(mask, firstSlot: firstSlot)
        if unsafe scanner.isFull { unsafe raise(to: scanner.threshold) }
    }

    /// Takes a block's bounds: `survivors` are the rows whose upper bound was not below the threshold.
    ///
    /// - Parameter bySigns: the bounds are from the plane of signs, not from the high plane, which has not been read.
    func take(
        survivors: UInt64, of mask: UInt64, bySigns: Bool = false, lower: UnsafePointer<Float>,
        upper: UnsafePointer<Float>, slots: BlockSlots
    ) {
        if bySigns {
            unsafe tally.estimated += mask.nonzeroBitCount
        } else {
            unsafe tally.bounded += mask.nonzeroBitCount
        }
        if survivors == 0, unsafe pending.isEmpty { return }
        guard let codes, survivors != 0 else { return settle() }
        if budget != nil {
            unsafe keepEstimates(survivors, lower: lower, upper: upper, slots: slots)
            return
        }
        if comparesBounded, !bySigns {
            unsafe keepBounded(survivors, lower: lower, upper: upper, slots: slots)
            return
        }
        let stride = codes.codec.lowStride
        // What the last block left is settled while the codes of this one are on their way.
        let settledCount = unsafe pending.count
        var rest = survivors
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            let slot = slots[index]
            let (chunk, row) = codes.place(ofSlot: Int(slot))
            if !comparesBounded { unsafe prefetch(codes.lowRows(chunk: chunk) + row * stride, byteCount: stride) }
            if bySigns { unsafe prefetch(codes.highRows(chunk: chunk) + row * stride, byteCount: stride) }
            unsafe pending.append(unsafe Candidate(upper: upper[index], slot: slot))
        }
        settle(first: settledCount)
    }

    /// Takes what a scan of a run of rows left, in the order of the slots.
    ///
    /// - Parameter rowCount: how many rows the scan looked at.
    func take(
        _ survivors: UnsafeBufferPointer<nephrite_code_survivor>, of rowCount: Int, bySigns: Bool, firstSlot: Int
    ) {
        if bySigns { unsafe tally.estimated += rowCount } else { unsafe tally.bounded += rowCount }
        guard let codes else { return }
        if comparesBounded, !bySigns {
            for index in survivors.indices {
                let survivor = unsafe survivors[index]
                keepBounded(UInt32(firstSlot) + survivor.place, lower: survivor.lower, upper: survivor.upper)
            }
            return
        }
        let (chunk, firstRow) = codes.place(ofSlot: firstSlot)
        let stride = codes.codec.lowStride
        let low = unsafe codes.lowRows(chunk: chunk)
        let high = unsafe codes.highRows(chunk: chunk)
        // What the last run left is settled while the codes of this one are on their way.
        let settledCount = unsafe pending.count
        for index in survivors.indices {
            let survivor = unsafe survivors[index]
            let offset = (firstRow + Int(survivor.place)) * stride
            if !comparesBounded { unsafe prefetch(low + offset, byteCount: stride) }
            if bySigns { unsafe prefetch(high + offset, byteCount: stride) }
            unsafe pending.append(Candidate(upper: survivor.upper, slot: UInt32(firstSlot) + survivor.place))
        }
        unsafe settle(first: threshold == -.infinity || isCached ? pending.count : settledCount)
    }

    private func prefetch(_ code: UnsafeRawPointer, byteCount: Int) {
        var line = 0
        while line < byteCount {
            unsafe nephrite_prefetch(code + line)
            line += 64
        }
    }

    /// Keeps rows whose bounds are as narrow as they get before they are compared.
    private func keepBounded(
        _ survivors: UInt64, lower: UnsafePointer<Float>, upper: UnsafePointer<Float>, slots: BlockSlots
    ) {
        var rest = survivors
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            unsafe keepBounded(slots[index], lower: lower[index], upper: upper[index])
        }
    }

    private func keepBounded(_ slot: UInt32, lower: Float, upper: Float) {
        guard !(upper < threshold), accepts?(slot) ?? true else { return }
        keep(slot, lower: lower - (upper - lower) * lowerShare, upper: upper)
    }

    private func keepEstimates(
        _ survivors: UInt64, lower: UnsafePointer<Float>, upper: UnsafePointer<Float>, slots: BlockSlots
    ) {
        var rest = survivors
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            let slot = slots[index]
            // What has no bound has no estimate either: it is compared first.
            let middle = unsafe (lower[index] + upper[index]) / 2
            let estimate = middle.isNaN ? .infinity : middle
            if estimate >= threshold, accepts?(slot) ?? true {
                budget?.offer(estimate, slot: slot, precedes: <)
                unsafe least = unsafe budget?.threshold ?? least
            }
        }
    }

    /// Bounds all pending candidates by both planes, or by the high plane where that is as good.
    func settle() { unsafe settle(first: pending.count) }

    /// Of many pending candidates the most promising go first: they raise the threshold, which spares most of the others.
    private func settle(first count: Int) {
        guard count > 0 else { return }
        let start = clock?.monotonicNanoseconds() ?? 0
        let limit = max(limit, Self.groupSize)
        if count > 2 * limit {
            var best = BoundHeap(limit: limit)
            for index in 0..<count { best.offer(unsafe pending[index].upper) }
            let pivot = best.threshold
            refine(first: count) { !($0 < pivot) }
            refine(first: count) { $0 < pivot }
        } else {
            refine(first: count) { _ in true }
        }
        unsafe pending.removeFirst(count)
        if let clock { unsafe tally.refineTime += clock.monotonicNanoseconds() - start }
    }

    /// Candidates that are bounded in one call, and the room that it wants for their lower bounds.
    fileprivate static let groupSize = 16
    private static let boundCount = nephrite_code_block_rows

    /// Bounds those of the first pending candidates whose upper bound is chosen and not below the threshold.
    @inline(__always)
    private func refine(first count: Int, where isChosen: (Float) -> Bool) {
        guard let code, let codes else { return }
        let size = Self.groupSize
        unsafe withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: 2 * size) { rows in
            unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * Self.boundCount) { bounds in
                unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: size) { slots in
                    var group = unsafe RefinedRows(
                        codes: codes, rows: rows.baseAddress!, bounds: bounds.baseAddress!, slots: slots.baseAddress!)
                    for index in 0..<count {
                        let candidate = unsafe pending[index]
                        guard !(candidate.upper < threshold), isChosen(candidate.upper) else { continue }
                        unsafe group.append(candidate.slot)
                        if unsafe group.count == size { unsafe refine(&group, code) }
                    }
                    unsafe refine(&group, code)
                }
            }
        }
    }

    /// Bounds the rows of a group, keeps those that may be among the nearest, and empties it.
    private func refine(_ group: inout RefinedRows, _ code: CodeQuery) {
        let count = unsafe group.count
        guard count > 0 else { return }
        if comparesBounded { unsafe tally.bounded += count } else { unsafe tally.refined += count }
        let (lower, upper) = unsafe (group.bounds, group.bounds + Self.boundCount)
        var rest: UInt64
        if comparesBounded {
            rest = unsafe nephrite_code_scan_rows(kernels, code.pointer, group.rows, count, threshold, lower, upper)
        } else {
            let low = unsafe group.rows + Self.groupSize
            let left = unsafe nephrite_code_refine_rows(
                kernels, code.pointer, group.rows, low, count, threshold, lower, upper)
            rest = UInt64(left)
        }
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            unsafe keepBounded(group.slots[index], lower: lower[index], upper: upper[index])
        }
        unsafe group.count = 0
    }

    private func keep(_ slot: UInt32, lower: Float, upper: Float) {
        if let after {
            // Before the place that was reached already; or, if the bounds do not tell, to be compared at the end.
            if lower > after.rank { return }
            if upper < after.rank { offer(lower) }
        } else {
            offer(lower)
        }
        unsafe candidates.append(Candidate(upper: upper, slot: slot))
        if unsafe candidates.count >= Self.candidateLimit { shrink() }
    }

    private func offer(_ lower: Float) {
        unsafe lowers.offer(lower)
        unsafe raise(to: lowers.threshold)
    }

    private func raise(to bound: Float) {
        guard bound > threshold, budget == nil else { return }
        unsafe least = bound
        shared.raise(to: bound)
    }

    /// Makes room for candidates: those below the threshold go, and if that is not enough, all are compared.
    private func shrink() {
        unsafe candidates.removeAll { $0.upper < threshold }
        if unsafe candidates.count > Self.candidateLimit / 2 { compareCandidates() }
    }

    /// Compares what is left, the most promising first.
    func finish() {
        settle()
        if let search = codeSearch {
            beginRun(search)
            unsafe nephrite_code_search_settle(kernels, search.pointer)
            raise(to: search.threshold)
            // Rows that an approximate search bounds by the high plane once more are the same ones, if not from signs.
            if !comparesBounded {
                unsafe tally.refined += search.refinedCount
            } else if unsafe tally.estimated > 0 {
                unsafe tally.bounded += search.refinedCount
            }
            takeCandidates(search)
        }
        refreshThreshold()
        compareCandidates()
    }

    private func compareCandidates() {
        let start = clock?.monotonicNanoseconds() ?? 0
        let limit = unsafe max(least, scanner.threshold)
        unsafe candidates.removeAll { $0.upper < limit }
        unsafe candidates.sort { $0.upper > $1.upper }
        let count = unsafe candidates.count
        let comparedCount = unsafe tally.compared
        for index in 0..<min(Self.vectorsAhead, count) { unsafe prefetchVector(candidates[index].slot) }
        for index in 0..<count {
            let candidate = unsafe candidates[index]
            if index + Self.vectorsAhead < count {
                unsafe prefetchVector(candidates[index + Self.vectorsAhead].slot)
            }
            if unsafe candidate.upper < max(threshold, scanner.threshold) { break }
            unsafe tally.compared += 1
            compareRows(1, firstSlot: Int(candidate.slot))
        }
        snapshot.mapping.noteScatteredReads(unsafe tally.compared - comparedCount)
        unsafe candidates.removeAll(keepingCapacity: true)
        if unsafe scanner.isFull { unsafe raise(to: scanner.threshold) }
        if let clock { unsafe tally.compareTime += clock.monotonicNanoseconds() - start }
    }

    /// Vectors that are on their way while one is compared, and bytes of each: what follows, the processor foresees.
    private static let vectorsAhead = 4
    private static let vectorByteCountAhead = 2_048

    private func prefetchVector(_ slot: UInt32) {
        unsafe prefetch(
            snapshot.vectorAddress(slot), byteCount: min(snapshot.identity.stride, Self.vectorByteCountAhead))
    }

    private func compareRows(_ mask: UInt64, firstSlot: Int) {
        var mask = mask
        unsafe withUnsafePointer(to: &mask) { mask in
            unsafe scanner.scan(
                rows: snapshot.vectorAddress(UInt32(firstSlot)), firstSlot: UInt32(firstSlot),
                count: 64 - mask.pointee.leadingZeroBitCount, isLive: mask, precedes: snapshot.idPrecedes)
        }
    }

    /// Compares a run of rows that all take part.
    func compare(run slots: Range<Int>) {
        unsafe tally.direct += slots.count
        unsafe scanner.scan(
            rows: snapshot.vectorAddress(UInt32(slots.lowerBound)), firstSlot: UInt32(slots.lowerBound),
            count: slots.count, isLive: nil, precedes: snapshot.idPrecedes)
        if unsafe scanner.isFull { unsafe raise(to: scanner.threshold) }
    }

    /// Adds the time that the part took to what its stages took.
    func noteScan(nanoseconds: UInt64) { unsafe tally.scanTime += nanoseconds }
}

/// Rows that wait to be bounded by both planes, valid while they do.
@unsafe private struct RefinedRows {
    let codes: CodeView
    /// Those of the high plane, and behind them those of the low plane.
    let rows: UnsafeMutablePointer<UnsafeRawPointer?>
    /// Lower bounds, and behind them upper bounds.
    let bounds: UnsafeMutablePointer<Float>
    let slots: UnsafeMutablePointer<UInt32>
    var count = 0
    /// The chunk of the last row, and where its planes begin.
    private var chunk = -1
    private var high: UnsafeRawPointer
    private var low: UnsafeRawPointer

    init(
        codes: CodeView, rows: UnsafeMutablePointer<UnsafeRawPointer?>, bounds: UnsafeMutablePointer<Float>,
        slots: UnsafeMutablePointer<UInt32>
    ) {
        unsafe self.codes = codes
        unsafe self.rows = rows
        unsafe self.bounds = bounds
        unsafe self.slots = slots
        unsafe high = UnsafeRawPointer(rows)
        unsafe low = UnsafeRawPointer(rows)
    }

    mutating func append(_ slot: UInt32) {
        let (chunk, row) = unsafe codes.place(ofSlot: Int(slot))
        if unsafe chunk != self.chunk {
            unsafe self.chunk = chunk
            unsafe high = codes.highRows(chunk: chunk)
            unsafe low = codes.lowRows(chunk: chunk)
        }
        unsafe (rows + count).initialize(to: high + row * codes.codec.highStride)
        unsafe (rows + CascadeQuery.groupSize + count).initialize(to: low + row * codes.codec.lowStride)
        unsafe (slots + count).initialize(to: slot)
        unsafe count += 1
    }
}

/// The slots of the rows of a block: one behind the other, or listed.
@safe struct BlockSlots {
    private let first: UInt32
    private let listed: UnsafePointer<UInt32>?

    init(from first: Int) {
        self.first = UInt32(first)
        unsafe listed = nil
    }

    /// - Parameter listed: stays valid while the block is looked at.
    init(_ listed: UnsafePointer<UInt32>) {
        first = 0
        unsafe self.listed = listed
    }

    subscript(index: Int) -> UInt32 {
        @inline(__always) get {
            if let listed = unsafe listed { return unsafe listed[index] }
            return first + UInt32(index)
        }
    }
}
