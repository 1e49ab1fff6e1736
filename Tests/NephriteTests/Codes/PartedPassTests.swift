// Passes of several queries that leave rows out by a part of their sums: against each query by itself, at every implementation
// that has a kernel for several.
import CNephrite
import Testing

@testable import Nephrite

@Suite struct PartedPassTests {
    private static let metrics: [ScanMetric] = [.cosine, .dot, .euclidean]

    /// How the components of vectors are after the rotation: the last rows have nothing where a pass begins, or all.
    enum Shape: CaseIterable {
        case anywhere, atTheEnd, inFront
    }

    @Test(
        "A pass that leaves rows out by a part of their sums keeps those that a search by itself keeps",
        arguments: [512, 600], Shape.allCases)
    func partedPass(_ dimension: Int, _ shape: Shape) throws {
        var values = SeededValues(seed: 81)
        let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
        let axes = (0..<dimension).map { axis in
            codec.rotated((0..<dimension).map { $0 == axis ? 1 : 0 }, subtractingCentre: false)
        }
        /// A vector that is of the shape once it is rotated.
        func vector() -> [Float] {
            let wanted = values.floats(dimension, scale: 1).enumerated().map { index, value -> Float in
                switch shape {
                case .anywhere: value
                case .atTheEnd: index < dimension * 3 / 4 ? 0 : value
                case .inFront: index < dimension / 2 ? value : 0
                }
            }
            return axes.map { axis in zip(axis, wanted).reduce(0) { $0 + $1.0 * $1.1 } }
        }
        let queries = (0..<7).map { _ in vector() }
        // The first groups of 16 rows are unlike all queries, the last ones are near one of them each, or the same.
        let others = (0..<9).map { _ in vector() }
        let rows = (0..<64).map { row -> [Float] in
            let other = zip(others[row % 9], others[(row / 9 + row) % 9]).map { $0 - $1 * 0.7 }
            if row < 40 { return other }
            return zip(queries[row % 7], other).map { $0 + $1 * 0.1 * Float(row % 4) }
        }
        let high = rows.flatMap { EncodedRow(codec, $0).high }
        for metric in Self.metrics {
            for deviations in [nil, 2.33] {
                let codes = try queries.map {
                    try #require(CodeQuery(codec: codec, query: $0, metric: metric, deviations: deviations))
                }
                for set in CodeKernels.all {
                    let whole = codes.map { Self.uppers(set, $0, high, threshold: -.infinity).uppers }
                    var parted: Int? = 0
                    for rank in [0, 2, 5, 20] {
                        let thresholds = whole.map { $0.sorted(by: >)[rank] }
                        let count = Self.expectSameKept(set, codes, high, thresholds, "\(metric) \(rank)")
                        parted = count.flatMap { count in parted.map { $0 + count } }
                    }
                    if let parted, shape == .anywhere { #expect(parted > 100) }
                }
            }
        }
    }

    @Test(
        "A pass leaves no row out by a part of its sum whose bound a larger sum makes smaller",
        arguments: [0.004, 0.02, 0.05] as [Float])
    func steepRows(_ rest: Float) throws {
        let dimension = 512
        let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
        let axes = (0..<dimension).map { axis in
            codec.rotated((0..<dimension).map { $0 == axis ? 1 : 0 }, subtractingCentre: false)
        }
        func turnedBack(_ wanted: [Float]) -> [Float] {
            axes.map { axis in zip(axis, wanted).reduce(0) { $0 + $1.0 * $1.1 } }
        }
        var values = SeededValues(seed: 82)
        let signs = (0..<dimension).map { _ in values.float() < 0 ? Float(-1) : 1 }
        // One component is clipped: much of the row is lost, and what is lost may point anywhere.
        let steep = turnedBack(signs.enumerated().map { $0.offset == 0 ? 1 : $0.element * rest })
        // Nothing is lost of the first row, and the line touches where such a row just reaches the threshold.
        let rowNorm = steep.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let plain = turnedBack(signs.map { $0 * rowNorm / Float(dimension).squareRoot() })
        let high = (0..<64).flatMap { EncodedRow(codec, $0 == 0 ? plain : steep).high }
        // Close to the row's code up to the end of a part, and as far as may be from it behind; among queries that all rows are
        // far from.
        let queries = (0..<5).map { number in
            turnedBack(
                signs.enumerated().map { index, sign in
                    if index == 0 { return number % 4 == 0 ? 15 : -15 }
                    if number % 4 != 0 { return -sign }
                    return index < dimension * 10 / 16 || index % 2 == 0 ? sign : -sign * (1 + Float(number) / 10)
                })
        }
        for metric in Self.metrics {
            let codes = try queries.map { try #require(CodeQuery(codec: codec, query: $0, metric: metric)) }
            for set in CodeKernels.all {
                for share in stride(from: Float(0.98), through: 1.06, by: 0.0005) {
                    let thresholds = queries.enumerated().map { number, query -> Float in
                        let norm = query.reduce(0) { $0 + $1 * $1 }.squareRoot()
                        let share = number % 4 == 0 ? share : 0.6
                        switch metric {
                        case .cosine: return share
                        case .dot: return share * norm * rowNorm
                        case .euclidean: return 2 * share * norm * rowNorm - rowNorm * rowNorm - norm * norm
                        }
                    }
                    _ = Self.expectSameKept(set, codes, high, thresholds, "\(metric) \(share)")
                }
            }
        }
    }

    /// Expects of queries that share a pass over blocks of 64 rows that they keep the rows that each of them keeps by itself.
    /// Returns how many rows have bounds by a part of their sums; nil where there is no kernel for several queries.
    private static func expectSameKept(
        _ set: CodeKernels, _ codes: [CodeQuery], _ high: [UInt8], _ thresholds: [Float], _ name: String
    ) -> Int? {
        guard let found = pass(set, codes, high, thresholds) else { return nil }
        let stride = unsafe nephrite_code_nibble_bytes(codes[0].pointer.pointee.dimension) + 16
        var parted = 0
        for pair in thresholds.indices {
            let (block, query) = pair.quotientAndRemainder(dividingBy: codes.count)
            let rows = Array(high[(64 * block * stride)..<(64 * (block + 1) * stride)])
            let alone = uppers(set, codes[query], rows, threshold: thresholds[pair])
            let uppers = found.uppers[(64 * pair)..<(64 * pair + 64)]
            #expect(found.kept[pair] == alone.kept, "\(set.name) \(name) \(block) \(query)")
            for (row, (upper, own)) in zip(uppers, alone.uppers).enumerated() {
                let isKept = alone.kept >> UInt64(row) & 1 == 1
                if isKept != !(upper < thresholds[pair]) || isKept && upper != own {
                    Issue.record("\(set.name) \(name) \(block) \(query) \(row): \(upper) for \(own)")
                }
                parted += upper != own ? 1 : 0
            }
        }
        return parted
    }

    /// Upper bounds of 64 rows, and which of them reach a threshold, for a query by itself.
    private static func uppers(
        _ set: CodeKernels, _ code: CodeQuery, _ high: [UInt8], threshold: Float
    ) -> (uppers: [Float], kept: UInt64) {
        var upper = [Float](repeating: 0, count: 64)
        let kept = unsafe high.withUnsafeBytes { rows in
            unsafe nephrite_code_scan(set.pointer, code.pointer, rows.baseAddress!, .max, threshold, nil, &upper)
        }
        return (upper, kept)
    }

    /// Upper bounds of the rows of blocks for each of several queries that share a pass, and which of them reach the thresholds;
    /// nil where there is no kernel for that.
    private static func pass(
        _ set: CodeKernels, _ codes: [CodeQuery], _ high: [UInt8], _ thresholds: [Float]
    ) -> (uppers: [Float], kept: [UInt64])? {
        let dimension = unsafe codes[0].pointer.pointee.dimension
        let byteCount = nephrite_code_search_scratch(dimension, codes.count)
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        defer { unsafe scratch.deallocate() }
        let queries = unsafe codes.map { unsafe Optional(UnsafePointer($0.pointer)) }
        var found = [Float](repeating: .nan, count: thresholds.count * 64)
        var survivors = [UInt64](repeating: 0xa5a5_a5a5_a5a5_a5a5, count: thresholds.count)
        let isThere = unsafe high.withUnsafeBytes { rows in
            unsafe nephrite_code_pass_bounds(
                set.pointer, queries, codes.count, 0, rows.baseAddress!, thresholds.count / codes.count, thresholds,
                &survivors, &found, scratch)
        }
        return isThere == 0 ? nil : (found, survivors)
    }

    @Test(
        "Passes in parts go on over many blocks, for any number of queries, while thresholds rise",
        arguments: [5, 17, 64])
    func partedBlocks(_ count: Int) throws {
        let (dimension, blockCount) = (512, 24)
        var values = SeededValues(seed: 83)
        let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
        let queries = (0..<count).map { _ in values.floats(dimension) }
        let high = (0..<64 * blockCount).flatMap { row -> [UInt8] in
            let noise = values.floats(dimension)
            // In places many rows are near some queries, so that a part is not enough for those.
            let isNear = row % 11 == 0 || (64 * 8..<64 * 11).contains(row)
            let near = isNear ? zip(queries[row % min(count, 9)], noise).map { $0 + $1 * 0.5 } : noise
            return EncodedRow(codec, near).high
        }
        let codes = try queries.map { try #require(CodeQuery(codec: codec, query: $0, metric: .cosine)) }
        // As they are in a search: nothing is known before the second block.
        let thresholds = (0..<blockCount * count).map { pair -> Float in
            let (block, query) = pair.quotientAndRemainder(dividingBy: count)
            let rising: Float = 0.5 + 0.015 * Float(block)
            return block == 0 ? -.infinity : rising + 0.01 * Float(query % 7)
        }
        for set in CodeKernels.all {
            guard let parted = Self.expectSameKept(set, codes, high, thresholds, "") else { continue }
            #expect(parted > thresholds.count * 64 / 4)
        }
    }
}
