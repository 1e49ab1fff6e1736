// ExactScanner against a reference in Double, over metrics, dimensions, deletions, divisions and hard values.

import Testing

@testable import Nephrite

@Suite struct ExactScannerTests {
    private static let dimensions = [
        1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 100, 127, 128, 255, 384, 768, 1024, 1100,
    ]

    /// A slab of rows with a 64-byte stride and the query they are compared with.
    private struct Slab {
        let dimension: Int
        let stride: Int
        let query: [Float]
        var floats: [Float]
        let count: Int

        init(dimension: Int, count: Int, seed: UInt64, scale: Float = 1) {
            var values = SeededValues(seed: seed)
            self.dimension = dimension
            self.count = count
            stride = (dimension * 4 + 63) / 64 * 64
            query = values.floats(dimension, scale: scale)
            floats = [Float](repeating: .nan, count: stride / 4 * count)
            for row in 0..<count { set(row, values.floats(dimension, scale: scale)) }
        }

        mutating func set(_ row: Int, _ vector: [Float]) {
            floats.replaceSubrange(row * stride / 4..<row * stride / 4 + dimension, with: vector)
        }

        func scanner(_ metric: ScanMetric, limit: Int) -> ExactScanner {
            ExactScanner(metric: metric, query: query, stride: stride, limit: limit)
        }

        func scan(_ scanner: inout ExactScanner, _ range: Range<Int>, live: [UInt64]? = nil) {
            unsafe floats.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                let rows = unsafe base + range.lowerBound * stride
                if let live {
                    unsafe scanner.scan(
                        rows: rows, firstSlot: UInt32(range.lowerBound), count: range.count, isLive: live, precedes: >)
                } else {
                    unsafe scanner.scan(
                        rows: rows, firstSlot: UInt32(range.lowerBound), count: range.count, isLive: nil, precedes: >)
                }
            }
        }

        func reference(_ metric: ScanMetric, _ row: Int) -> Double {
            var (dot, distance, querySquares, rowSquares) = (0.0, 0.0, 0.0, 0.0)
            for index in 0..<dimension {
                let (a, b) = (Double(query[index]), Double(floats[row * stride / 4 + index]))
                dot += a * b
                distance += (a - b) * (a - b)
                querySquares += a * a
                rowSquares += b * b
            }
            switch metric {
            case .dot: return dot
            case .euclidean: return distance.squareRoot()
            case .cosine:
                let norms = querySquares.squareRoot() * rowSquares.squareRoot()
                return norms == 0 ? 0 : dot / norms
            }
        }
    }

    private typealias Hit = (slot: UInt32, score: Float)

    private func same(_ a: [Hit], _ b: [Hit]) -> Bool {
        a.count == b.count && zip(a, b).allSatisfy { $0.slot == $1.slot && $0.score.bitPattern == $1.score.bitPattern }
    }

    @Test("Scores and order agree with a Double reference", arguments: ScanMetric.allCases, dimensions)
    func againstReference(metric: ScanMetric, dimension: Int) {
        let slab = Slab(dimension: dimension, count: 150, seed: UInt64(dimension))
        var scanner = slab.scanner(metric, limit: 20)
        slab.scan(&scanner, 0..<150)
        let hits = scanner.finish(precedes: >)
        let better: (Double, Double) -> Bool = metric == .euclidean ? { $0 < $1 } : { $0 > $1 }
        let expected = (0..<150).map { slab.reference(metric, $0) }.sorted(by: better)
        let tolerance = 1e-5 * max(1, Double(dimension) / 16)
        #expect(hits.count == 20)
        #expect(Set(hits.map(\.slot)).count == 20)
        for (rank, hit) in hits.enumerated() {
            #expect(abs(Double(hit.score) - slab.reference(metric, Int(hit.slot))) <= tolerance)
            #expect(abs(Double(hit.score) - expected[rank]) <= tolerance)
        }
    }

    @Test("A limit beyond the rows returns every row", arguments: ScanMetric.allCases)
    func limitBeyondRows(metric: ScanMetric) {
        let slab = Slab(dimension: 5, count: 300, seed: 1)
        var scanner = slab.scanner(metric, limit: 1000)
        slab.scan(&scanner, 0..<300)
        #expect(scanner.finish(precedes: >).map(\.slot).sorted() == Array(0..<300))
    }

    @Test(
        "However the rows are divided and merged, the result is the same to the bit",
        arguments: ScanMetric.allCases, [3, 64, 100, 384])
    func divisions(metric: ScanMetric, dimension: Int) {
        var slab = Slab(dimension: dimension, count: 400, seed: 2)
        let twin = Array(slab.floats[0..<dimension])
        for row in stride(from: 0, to: 400, by: 9) { slab.set(row, twin) }
        var whole = slab.scanner(metric, limit: 50)
        slab.scan(&whole, 0..<400)
        let expected = whole.finish(precedes: >)
        for cuts in [[0, 1, 400], [0, 129, 130, 333, 400], [0, 64, 128, 192, 256, 320, 384, 400]] {
            var parts: [ExactScanner] = []
            for (start, end) in zip(cuts, cuts.dropFirst()) {
                var part = slab.scanner(metric, limit: 50)
                slab.scan(&part, start..<end)
                parts.append(part)
            }
            for order in [Array(parts.indices), parts.indices.reversed()] {
                var merged = slab.scanner(metric, limit: 50)
                for index in order { merged.merge(parts[index], precedes: >) }
                #expect(same(merged.finish(precedes: >), expected))
            }
        }
    }

    @Test("Only live rows take part", arguments: [0, 1, 50, 99, 100], [1, 63, 64, 65, 128, 200, 331])
    func deletions(livePercent: Int, count: Int) {
        var slab = Slab(dimension: 10, count: count, seed: 3)
        var values = SeededValues(seed: UInt64(livePercent))
        var live = [UInt64](repeating: 0, count: (count + 63) / 64)
        var liveSlots: [UInt32] = []
        for row in 0..<live.count * 64 {
            let isLive = values.below(100) < livePercent
            // Bits past the last row are set: they must not matter.
            if isLive || row >= count { live[row / 64] |= 1 << UInt64(row % 64) }
            if row < count, isLive { liveSlots.append(UInt32(row)) }
            if row < count, !isLive { slab.set(row, slab.query) }
        }
        var masked = slab.scanner(.euclidean, limit: 1000)
        slab.scan(&masked, 0..<count, live: live)
        #expect(masked.finish(precedes: >).map(\.slot).sorted() == liveSlots)
        var single = slab.scanner(.euclidean, limit: 1000)
        for slot in liveSlots { slab.scan(&single, Int(slot)..<Int(slot) + 1) }
        #expect(same(masked.finish(precedes: >), single.finish(precedes: >)))
    }

    @Test("Zero vectors score zero, and equal scores rank by id", arguments: ScanMetric.allCases)
    func zeroVectors(metric: ScanMetric) {
        var slab = Slab(dimension: 20, count: 200, seed: 4, scale: 0)
        for row in 0..<200 { slab.set(row, [Float](repeating: row % 2 == 0 ? 0 : -0.0, count: 20)) }
        var scanner = slab.scanner(metric, limit: 10)
        slab.scan(&scanner, 0..<200)
        let hits = scanner.finish(precedes: >)
        #expect(hits.map(\.slot) == (190..<200).reversed())
        #expect(hits.allSatisfy { $0.score == 0 })
    }

    @Test(
        "Huge, tiny and denormal values keep their cosines",
        arguments: [0x1p-149, 0x1p-140, 0x1p-127, 1e-30, 1e-20, 1e15, 1e20, 1e30, 3e38] as [Float], [1, 7, 64, 130])
    func extremeCosines(scale: Float, dimension: Int) {
        let slab = Slab(dimension: dimension, count: 40, seed: 5, scale: scale)
        var scanner = slab.scanner(.cosine, limit: 40)
        slab.scan(&scanner, 0..<40)
        let hits = scanner.finish(precedes: >)
        #expect(hits.count == 40)
        for hit in hits {
            #expect(abs(Double(hit.score) - slab.reference(.cosine, Int(hit.slot))) < 1e-4)
            #expect(abs(hit.score) <= 1)
        }
    }

    @Test(
        "No finite row is lost to overflow: products and distances saturate at most",
        arguments: [ScanMetric.dot, .euclidean], [0x1p-149, 1e-30, 1e18, 1e20, 3e38] as [Float])
    func extremeProducts(metric: ScanMetric, scale: Float) {
        let slab = Slab(dimension: 70, count: 40, seed: 6, scale: scale)
        var scanner = slab.scanner(metric, limit: 40)
        slab.scan(&scanner, 0..<40)
        let hits = scanner.finish(precedes: >)
        #expect(hits.count == 40)
        for hit in hits {
            let reference = slab.reference(metric, Int(hit.slot))
            let squared = metric == .euclidean ? reference * reference : abs(reference)
            if squared > 0x1p128 {
                #expect(hit.score == (reference > 0 ? .infinity : -.infinity))
            } else {
                // Squares below the smallest float vanish: 70 of them, each below 2⁻¹⁴⁹.
                let vanished = metric == .euclidean ? (70 * 0x1p-149).squareRoot() : 70 * 0x1p-149
                #expect(abs(Double(hit.score) - reference) <= abs(reference) * 1e-3 + vanished)
            }
        }
    }
}
