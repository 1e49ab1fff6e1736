/// The state that the code kernels keep of a query while they go through runs of blocks: a part of a cascade makes one for
/// each query, shows the kernels runs of rows, and takes the candidates out.
import CNephrite

/// A query's threshold, its candidates, and the rows that wait for their low planes, in memory that the kernels write to.
@safe final class CodeSearch {
    /// Candidates that may be left for the next call.
    private static let keptCount = 1_024
    /// What a call may add to them.
    private static let roomCount =
        CascadeScan.runWordCount * Int(nephrite_code_block_rows) + Int(nephrite_code_pending_rows)

    let pointer: UnsafeMutablePointer<nephrite_code_search>
    private let lowers: UnsafeMutablePointer<Float>
    private let candidates: UnsafeMutablePointer<nephrite_code_candidate>
    private let code: CodeQuery

    /// - Parameters:
    ///   - limit: how many rows are wanted.
    ///   - threshold: no row of a lower rank is.
    ///   - isCached: whether the codes are so few that a cache is likely to hold them.
    init(_ code: CodeQuery, limit: Int, threshold: Float, isCached: Bool = false) {
        self.code = code
        unsafe pointer = .allocate(capacity: 1)
        unsafe lowers = .allocate(capacity: limit)
        unsafe candidates = .allocate(capacity: Self.keptCount + Self.roomCount)
        unsafe nephrite_code_search_init(pointer, code.pointer, limit, lowers, threshold, candidates)
        unsafe pointer.pointee.is_cached = isCached ? 1 : 0
    }

    deinit {
        unsafe pointer.deallocate()
        unsafe lowers.deallocate()
        unsafe candidates.deallocate()
    }

    /// No row of a lower rank can be among the nearest.
    var threshold: Float { unsafe pointer.pointee.threshold }

    /// Rows that were bounded by both planes.
    var refinedCount: Int { unsafe pointer.pointee.refined_count }

    /// Whether there might be no room for what the next call finds.
    var isFull: Bool { unsafe pointer.pointee.candidate_count > Self.keptCount }

    func raise(to threshold: Float) {
        unsafe pointer.pointee.threshold = max(unsafe pointer.pointee.threshold, threshold)
    }

    /// Hands out the candidates that still reach a threshold, and forgets all.
    func takeCandidates(from threshold: Float, _ body: (CascadeQuery.Candidate) -> Void) {
        for index in 0..<(unsafe pointer.pointee.candidate_count) {
            let candidate = unsafe candidates[index]
            if !(candidate.upper < threshold) {
                body(CascadeQuery.Candidate(upper: candidate.upper, slot: candidate.slot))
            }
        }
        unsafe pointer.pointee.candidate_count = 0
    }
}
