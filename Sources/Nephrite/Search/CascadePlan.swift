/// What all parts of a search share: the request, the codes, the queries as integers and the shared thresholds. The
/// searcher makes it once; each part reads it.
import CNephrite

struct CascadePlan: Sendable {
    let snapshot: DatabaseSnapshot
    let request: SearchRequest
    let metric: ScanMetric
    /// Nil: rows are compared directly.
    let codes: CodeView?
    /// Whether rows in a row are looked at by their signs before anything else.
    let usesSigns: Bool
    /// For each query; nil if it has no form as integers.
    let codeQueries: [CodeQuery?]
    let shared: [SharedThreshold]
    /// How many rows take part at most.
    let rowCount: Int
    /// The filter and the request's own test in one, asked about rows that may be among the nearest; nil: all take part.
    let accepts: (@Sendable (UInt32) -> Bool)?
    /// What the filter met that cannot be read.
    private let failure: FilterFailure?
    /// Asked about every row that would be kept, with its rank; nil: all are.
    let test: (@Sendable (UInt32, Float) -> Bool)?

    private static let fewRows = 128
    /// Of the rows that an approximate search may lose, the part that the stage after the signs may.
    private static let secondShare = 1.0 / 8

    init(_ snapshot: DatabaseSnapshot, _ request: SearchRequest, codes: CodeView?) {
        self.snapshot = snapshot
        self.request = request
        let metric = ScanMetric(snapshot.options.metric)
        self.metric = metric
        rowCount = request.rows.rowCount(in: snapshot)
        var usable = codes
        // Bounds cannot exclude much when an eighth of all rows is wanted.
        if request.limit >= max(1, rowCount / 8) { usable = nil }
        // A few rows are compared sooner than the query is put into integers.
        if case .list(let slots) = request.rows, slots.count < Self.fewRows { usable = nil }
        self.codes = usable
        let usesSigns = Self.usesSigns(request, usable?.codec, rowCount: rowCount)
        self.usesSigns = usesSigns
        // Where signs leave rows to the high plane, both may lose one: most of that is left to the signs.
        let whole = Self.deviations(request.mode)
        let ofSigns = Self.deviations(request.mode, share: 1 - Self.secondShare)
        let ofCodes = usesSigns ? Self.deviations(request.mode, share: Self.secondShare) : whole
        codeQueries = request.queries.map { query in
            usable.flatMap { codes in
                CodeQuery(
                    codec: codes.codec, query: query, metric: metric, deviations: ofCodes,
                    signDeviations: usesSigns ? ofSigns : nil)
            }
        }
        shared = request.queries.map { _ in SharedThreshold() }
        failure = if case .predicate = request.rows { FilterFailure() } else { nil }
        accepts = Self.accepts(snapshot, request, failure)
        test = Self.test(snapshot, request, accepts)
    }

    /// Signs spare an approximate search bytes and additions, and leave more rows to the next stage: that is worth it over more
    /// codes than a cache holds.
    private static func usesSigns(_ request: SearchRequest, _ codec: VectorCodec?, rowCount: Int) -> Bool {
        guard case .approximate = request.mode, let codec, codec.signStride > 0 else { return false }
        return rowCount * codec.highStride > request.cachedByteCount
    }

    /// Throws what the filter met that cannot be read: it may have left out a row that it holds for.
    func check() throws(StoreError) { try failure?.check() }

    /// The half width of the interval that holds a normal variable's value from one side with the asked probability, or
    /// misses it with a share of what is left to certainty.
    private static func deviations(_ mode: SearchMode, share: Double = 1) -> Double? {
        switch mode {
        case .exact: nil
        case .approximate(let recall): normalQuantile(1 - (1 - min(max(recall, 0.5), 0.9999)) * share)
        case .approximateCandidates: 0
        }
    }

    private static func accepts(
        _ snapshot: DatabaseSnapshot, _ request: SearchRequest, _ failure: FilterFailure?
    ) -> (@Sendable (UInt32) -> Bool)? {
        guard let failure, case .predicate(let filter) = request.rows else { return request.accepts }
        guard let own = request.accepts else { return { slot in failure.matches(filter, slot: slot, in: snapshot) } }
        return { slot in own(slot) && failure.matches(filter, slot: slot, in: snapshot) }
    }

    private static func test(
        _ snapshot: DatabaseSnapshot, _ request: SearchRequest, _ accepts: (@Sendable (UInt32) -> Bool)?
    ) -> (@Sendable (UInt32, Float) -> Bool)? {
        guard let after = request.after else {
            guard let accepts else { return nil }
            return { slot, _ in accepts(slot) }
        }
        return { slot, rank in
            if rank > after.rank { return false }
            if rank == after.rank, !after.id.precedes(RecordID(snapshot.id(of: snapshot.records[Int(slot)]))) {
                return false
            }
            return accepts?(slot) ?? true
        }
    }
}

/// The value that a standard normal variable stays below with probability `p` (Acklam 2003, relative error below 1.2e-9).
func normalQuantile(_ p: Double) -> Double {
    func ratio(_ numerator: [Double], _ denominator: [Double], _ x: Double) -> Double {
        numerator.reduce(0) { $0 * x + $1 } / denominator.reduce(0) { $0 * x + $1 }
    }
    let tail = 0.02425
    if p > 1 - tail {
        // By symmetry with the lower tail.
        return -normalQuantile(1 - p)
    }
    if p < tail {
        let q = (-2 * logarithm(p)).squareRoot()
        return ratio(
            [
                -7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00, -2.549732539343734e+00,
                4.374664141464968e+00, 2.938163982698783e+00,
            ],
            [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1], q)
    }
    let q = p - 0.5
    return q
        * ratio(
            [
                -3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02, 1.383577518672690e+02,
                -3.066479806614716e+01, 2.506628277459239e+00,
            ],
            [
                -5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01,
                -1.328068155288572e+01, 1,
            ], q * q)
}

/// The natural logarithm of a number above zero, by halving until the series of the area tangent converges fast. Only the
/// C library has a faster one, and this is called once a search.
private func logarithm(_ value: Double) -> Double {
    let mantissa = value.significand
    let ratio = (mantissa - 1) / (mantissa + 1)
    var term = ratio
    var sum = 0.0
    for odd in stride(from: 1.0, through: 61, by: 2) {
        sum += term / odd
        term *= ratio * ratio
    }
    return 2 * sum + Double(value.exponent) * 0.6931471805599453
}
