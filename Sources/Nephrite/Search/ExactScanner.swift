// The exact scan: a search hands it stretches of the mapped vector slab, it keeps the nearest rows and hands them back.

import CNephrite

/// Compares one query with every live row it is shown and keeps the `limit` nearest.
///
/// A scanner is a value: parallel scans give each task its own and merge them. The score of a row depends on the query
/// and the row alone, so the result does not depend on how the rows were divided or in which order they were merged.
struct ExactScanner: Sendable {
    /// Rows scored at a time; their scores stay on the stack.
    static let blockRowCount = 128

    let metric: ScanMetric
    /// Bytes from one row to the next.
    let stride: Int

    private let query: [Float]
    private let queryNorm: Float
    /// Turns a kernel's result into a rank where higher is better: −1 for squared distances.
    private let sign: Float
    private var best: TopK
    /// Asked about a row that would be kept, with its rank; nil: all are.
    var accepts: (@Sendable (_ slot: UInt32, _ rank: Float) -> Bool)?

    /// - Parameters:
    ///   - query: as many finite components as a row has.
    ///   - stride: bytes from one row to the next, a multiple of 4 and no less than a row.
    ///   - limit: how many rows to keep; may exceed the number of rows.
    ///   - floor: rows of a lower rank are not kept.
    init(metric: ScanMetric, query: [Float], stride: Int, limit: Int, floor: Float = -.infinity) {
        precondition(!query.isEmpty, "a query has at least one component")
        precondition(stride >= query.count * 4 && stride % 4 == 0, "rows would overlap or lie unaligned")
        self.metric = metric
        self.stride = stride
        self.query = query
        sign = metric == .euclidean ? -1 : 1
        best = TopK(limit: limit, floor: floor)
        // In double: a square of any float fits, so no norm but that of the zero vector is zero. Cosines alone want it.
        var squares = 0.0
        if metric == .cosine { for component in query { squares += Double(component) * Double(component) } }
        queryNorm = Float(squares.squareRoot())
    }

    /// Compares the query with `count` rows.
    ///
    /// - Parameters:
    ///   - rows: the first row, aligned to 4 bytes.
    ///   - firstSlot: the slot of the first row; the others follow it.
    ///   - isLive: bit `i` of the words (bit `i % 64` of word `i / 64`) says whether row `i` of *this call* takes part;
    ///     rows that do not are not read. `nil`: all do.
    ///   - precedes: whether the id of one slot sorts before that of another, as for ``TopK``.
    /// - Complexity: O(count · dimension) at the bandwidth of memory.
    mutating func scan(
        rows: UnsafeRawPointer, firstSlot: UInt32, count: Int, isLive: UnsafePointer<UInt64>?,
        precedes: (UInt32, UInt32) -> Bool
    ) {
        precondition(count >= 0 && count <= Int(UInt32.max) - Int(firstSlot), "slots beyond 32 bits")
        let query = query
        unsafe query.withUnsafeBufferPointer { query in
            unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: Self.blockRowCount) { scores in
                guard let query = query.baseAddress, let scores = scores.baseAddress else { return }
                let block = unsafe Block(query: query, rows: rows, scores: scores, firstSlot: firstSlot)
                if let isLive = unsafe isLive {
                    unsafe scan(block, count: count, isLive: isLive, precedes: precedes)
                } else {
                    unsafe scan(block, range: 0..<count, precedes: precedes)
                }
            }
        }
    }

    /// Takes over what another scanner of the same query found in other rows.
    mutating func merge(_ other: ExactScanner, precedes: (UInt32, UInt32) -> Bool) {
        best.merge(other.best, precedes: precedes)
    }

    /// The nearest rows, best first, with scores as users see them: similarity, inner product or distance.
    func finish(precedes: (UInt32, UInt32) -> Bool) -> [(slot: UInt32, score: Float)] {
        ranked(precedes: precedes).map { ($0.slot, metric.score(ofRank: $0.score)) }
    }

    /// The nearest rows, best first, with their ranks.
    func ranked(precedes: (UInt32, UInt32) -> Bool) -> [TopK.Entry] { best.sorted(precedes: precedes) }

    /// A row of a lower rank cannot be kept any more; minus infinity while there is room.
    var threshold: Float { best.threshold }

    /// Whether as many rows are kept as may be.
    var isFull: Bool { best.isFull }
}

extension ExactScanner {
    /// The pointers of one call to `scan`, valid while it runs.
    @unsafe private struct Block {
        let query: UnsafePointer<Float>
        let rows: UnsafeRawPointer
        let scores: UnsafeMutablePointer<Float>
        let firstSlot: UInt32
    }

    /// Scans the runs of set bits, so that what lies in a dead slot is never read: it may be in the course of reuse.
    private mutating func scan(
        _ block: Block, count: Int, isLive: UnsafePointer<UInt64>, precedes: (UInt32, UInt32) -> Bool
    ) {
        var first = 0
        while first < count {
            var word = unsafe isLive[first / 64]
            if count - first < 64 {
                word &= (1 << UInt64(count - first)) - 1
            }
            while word != 0 {
                let start = word.trailingZeroBitCount
                let length = (~(word >> UInt64(start))).trailingZeroBitCount
                unsafe scan(block, range: first + start..<first + start + length, precedes: precedes)
                word &= UInt64.max << UInt64(start + length)
            }
            first += 64
        }
    }

    private mutating func scan(_ block: Block, range: Range<Int>, precedes: (UInt32, UInt32) -> Bool) {
        var first = range.lowerBound
        while first < range.upperBound {
            let count = min(Self.blockRowCount, range.upperBound - first)
            unsafe score(block, first: first, count: count)
            unsafe keep(block.scores, count: count, firstSlot: block.firstSlot + UInt32(first), precedes: precedes)
            first += count
        }
    }

    @inline(__always)
    private func score(_ block: Block, first: Int, count: Int) {
        let rows = unsafe block.rows + first * stride
        switch metric {
        case .cosine:
            unsafe nephrite_cosine_rows(block.query, queryNorm, rows, stride, count, query.count, block.scores)
        case .dot:
            unsafe nephrite_dot_rows(block.query, rows, stride, count, query.count, block.scores)
        case .euclidean:
            unsafe nephrite_squared_distance_rows(block.query, rows, stride, count, query.count, block.scores)
        }
    }

    /// Offers a block's scores; almost all of them end at the comparison with the threshold.
    @inline(__always)
    private mutating func keep(
        _ scores: UnsafePointer<Float>, count: Int, firstSlot: UInt32, precedes: (UInt32, UInt32) -> Bool
    ) {
        var threshold = best.threshold
        for row in 0..<count {
            let rank = unsafe scores[row] * sign
            if rank >= threshold, accepts?(firstSlot + UInt32(row), rank) ?? true {
                best.offer(rank, slot: firstSlot + UInt32(row), precedes: precedes)
                threshold = best.threshold
            }
        }
    }
}
