/// One query in one part of a cascade: it turns bounds into candidates, candidates into fewer by both planes, and those
/// into exact scores. CascadeScan feeds it blocks of rows; the searcher merges what the parts found.
import CNephrite
import StorageIO

/// The state of a query on one thread.
final class CascadeQuery {
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
    /// Rows that were compared in float32.
    private(set) var exact: ExactScanner
    /// With a budget of candidates: the best estimates.
    private(set) var budget: TopK?
    private var lowers: BoundHeap
    private var candidates: [Candidate] = []
    private var pending: [Candidate] = []
    /// No row of a lower rank is wanted.
    private(set) var threshold: Float
    private(set) var counts = SearchCounts()

    init(_ plan: CascadePlan, query index: Int) {
        let request = plan.request
        snapshot = plan.snapshot
        codes = plan.codes
        code = plan.codeQueries[index]
        shared = plan.shared[index]
        after = request.after
        clock = request.isTimed ? SystemClock() : nil
        accepts = plan.accepts
        exact = ExactScanner(
            metric: plan.metric, query: request.queries[index], stride: snapshot.identity.stride, limit: request.limit,
            floor: request.floor)
        exact.accepts = plan.test
        lowers = BoundHeap(limit: request.limit)
        threshold = request.floor
        if case .approximateCandidates(let count) = request.mode { budget = TopK(limit: max(count, request.limit)) }
    }

    /// Looks at what other threads have found.
    func refreshThreshold() {
        if budget == nil { threshold = max(threshold, shared.value) }
    }

    /// Compares rows that have no code.
    func compare(_ mask: UInt64, firstSlot: Int) {
        counts.direct += mask.nonzeroBitCount
        compareRows(mask, firstSlot: firstSlot)
        if exact.isFull { raise(to: exact.threshold) }
    }

    /// Takes a block's bounds: `survivors` are the rows whose upper bound was not below the threshold.
    ///
    /// - Parameter bySigns: the bounds are from the plane of signs, not from the high plane, which has not been read.
    func take(
        survivors: UInt64, of mask: UInt64, bySigns: Bool = false, lower: UnsafePointer<Float>,
        upper: UnsafePointer<Float>, slots: BlockSlots
    ) {
        if bySigns { counts.estimated += mask.nonzeroBitCount } else { counts.bounded += mask.nonzeroBitCount }
        guard let codes, survivors != 0 else {
            settle()
            return
        }
        if budget != nil {
            unsafe keepEstimates(survivors, lower: lower, upper: upper, slots: slots)
            return
        }
        let stride = codes.codec.lowStride
        // What the last block left is settled while the low planes of this one are on their way.
        let settledCount = pending.count
        var rest = survivors
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            let slot = slots[index]
            let (chunk, row) = Int(slot).quotientAndRemainder(dividingBy: codes.chunkSlotCount)
            unsafe prefetch(codes.lowRows(chunk: chunk) + row * stride, byteCount: stride)
            if bySigns { unsafe prefetch(codes.highRows(chunk: chunk) + row * stride, byteCount: stride) }
            pending.append(unsafe Candidate(upper: upper[index], slot: slot))
        }
        settle(first: settledCount)
    }

    private func prefetch(_ code: UnsafeRawPointer, byteCount: Int) {
        var line = 0
        while line < byteCount {
            unsafe nephrite_prefetch(code + line)
            line += 64
        }
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
                threshold = budget?.threshold ?? threshold
            }
        }
    }

    /// Bounds all pending candidates by both planes.
    func settle() { settle(first: pending.count) }

    private func settle(first count: Int) {
        guard count > 0, let code, let codes else { return }
        let start = clock?.monotonicNanoseconds() ?? 0
        let kernels = unsafe nephrite_code_set_in_use()
        for index in 0..<count where !(pending[index].upper < threshold) {
            let slot = pending[index].slot
            let (chunk, row) = Int(slot).quotientAndRemainder(dividingBy: codes.chunkSlotCount)
            var lower: Float = 0
            var upper: Float = 0
            unsafe nephrite_code_refine(
                kernels, code.pointer, codes.highRows(chunk: chunk) + row * codes.codec.highStride,
                codes.lowRows(chunk: chunk) + row * codes.codec.lowStride, &lower, &upper)
            counts.refined += 1
            if !(upper < threshold), accepts?(slot) ?? true { keep(slot, lower: lower, upper: upper) }
        }
        pending.removeFirst(count)
        if let clock { counts.refineTime += clock.monotonicNanoseconds() - start }
    }

    private func keep(_ slot: UInt32, lower: Float, upper: Float) {
        if let after {
            // Before the place that was reached already; or, if the bounds do not tell, to be compared at the end.
            if lower > after.rank { return }
            if upper < after.rank { offer(lower) }
        } else {
            offer(lower)
        }
        candidates.append(Candidate(upper: upper, slot: slot))
        if candidates.count >= Self.candidateLimit { shrink() }
    }

    private func offer(_ lower: Float) {
        lowers.offer(lower)
        raise(to: lowers.threshold)
    }

    private func raise(to bound: Float) {
        guard bound > threshold, budget == nil else { return }
        threshold = bound
        shared.raise(to: bound)
    }

    /// Makes room for candidates: those below the threshold go, and if that is not enough, all are compared.
    private func shrink() {
        candidates.removeAll { $0.upper < threshold }
        if candidates.count > Self.candidateLimit / 2 { compareCandidates() }
    }

    /// Compares what is left, the most promising first.
    func finish() {
        settle()
        refreshThreshold()
        compareCandidates()
    }

    private func compareCandidates() {
        let start = clock?.monotonicNanoseconds() ?? 0
        candidates.sort { $0.upper > $1.upper }
        for candidate in candidates {
            if candidate.upper < max(threshold, exact.threshold) { break }
            counts.compared += 1
            compareRows(1, firstSlot: Int(candidate.slot))
        }
        candidates.removeAll(keepingCapacity: true)
        if exact.isFull { raise(to: exact.threshold) }
        if let clock { counts.compareTime += clock.monotonicNanoseconds() - start }
    }

    private func compareRows(_ mask: UInt64, firstSlot: Int) {
        var mask = mask
        unsafe withUnsafePointer(to: &mask) { mask in
            unsafe exact.scan(
                rows: snapshot.vectorAddress(UInt32(firstSlot)), firstSlot: UInt32(firstSlot),
                count: 64 - mask.pointee.leadingZeroBitCount, isLive: mask, precedes: snapshot.idPrecedes)
        }
    }

    /// Compares a run of rows that all take part.
    func compare(run slots: Range<Int>) {
        counts.direct += slots.count
        unsafe exact.scan(
            rows: snapshot.vectorAddress(UInt32(slots.lowerBound)), firstSlot: UInt32(slots.lowerBound),
            count: slots.count, isLive: nil, precedes: snapshot.idPrecedes)
        if exact.isFull { raise(to: exact.threshold) }
    }

    /// Adds the time that the part took to what its stages took.
    func noteScan(nanoseconds: UInt64) { counts.scanTime += nanoseconds }
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
