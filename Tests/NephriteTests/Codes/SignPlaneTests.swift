// The plane of signs: its estimates are right on average and as uncertain as they say; scans of several blocks give what
// scans of each give.
import CNephrite
import Testing

@testable import Nephrite

@Suite struct SignPlaneTests {
    /// A vector at a random angle to `query`, between orthogonal and near.
    private static func related(_ query: [Float], _ values: inout SeededValues) -> [Float] {
        let noise = values.floats(query.count)
        let share = abs(values.float()) * 2
        return zip(query, noise).map { $0 * share + $1 }
    }

    @Test(
        "As many scores exceed their bound as the deviations say", arguments: ScanMetric.allCases,
        [256, 784])
    func coverage(_ metric: ScanMetric, _ dimension: Int) throws {
        var values = SeededValues(seed: UInt64(dimension))
        let centre = metric == .euclidean ? values.floats(dimension, scale: 0.3) : []
        let codec = VectorCodec(dimension: dimension, seed: 11, centre: centre)
        for (deviations, expected) in [(0.0, 0.5...0.5), (1.0, 0.159...0.159), (2.326, 0.01...0.01)] {
            var (above, total) = (0, 0)
            for _ in 0..<24 {
                let query = values.floats(dimension)
                let code = try #require(
                    CodeQuery(codec: codec, query: query, metric: metric, signDeviations: deviations))
                for _ in 0..<25 {
                    let row = Self.related(query, &values)
                    let encoded = EncodedRow(codec, row)
                    var (lower, upper) = ([Float](repeating: .nan, count: 64), [Float](repeating: .nan, count: 64))
                    _ = unsafe nephrite_code_scan_signs(
                        nephrite_code_set_in_use(), code.pointer, encoded.signs, 1, -.infinity, &lower, &upper)
                    #expect(lower[0] <= upper[0])
                    var scanner = ExactScanner(metric: metric, query: query, stride: dimension * 4, limit: 1)
                    unsafe row.withUnsafeBytes { row in
                        unsafe scanner.scan(
                            rows: row.baseAddress!, firstSlot: 0, count: 1, isLive: nil, precedes: <)
                    }
                    if scanner.ranked(precedes: <)[0].score > upper[0] { above += 1 }
                    total += 1
                }
            }
            let rate = Double(above) / Double(total)
            let slack = 4 * (expected.lowerBound * (1 - expected.lowerBound) / Double(total)).squareRoot() + 0.01
            #expect(abs(rate - expected.lowerBound) <= slack, "\(deviations) deviations: \(rate)")
        }
    }

    // What rounding the query adds to an estimate grows with the cosine, of either sign.
    @Test(
        "No more scores exceed their bound where rows are near the query, or point away from it",
        arguments: [256, 768, 1_536], [-1, -0.999, -0.99, -0.97, -0.9, -0.7, 0.7, 0.9, 0.99, 1] as [Float])
    func extremeAngles(_ dimension: Int, _ cosine: Float) throws {
        var values = SeededValues(seed: UInt64(dimension))
        let codec = VectorCodec(dimension: dimension, seed: 11, centre: [])
        var (above, total) = (0, 0)
        for _ in 0..<20 {
            let query = values.floats(dimension)
            let code = try #require(CodeQuery(codec: codec, query: query, metric: .dot, signDeviations: 2.326))
            let squares = query.reduce(0) { $0 + $1 * $1 }
            for _ in 0..<20 {
                let noise = values.floats(dimension)
                let along = zip(query, noise).reduce(0) { $0 + $1.0 * $1.1 } / squares
                let rest = zip(query, noise).map { $1 - along * $0 }
                let size = (squares / rest.reduce(0) { $0 + $1 * $1 }).squareRoot() * (1 - cosine * cosine).squareRoot()
                let row = zip(query, rest).map { cosine * $0 + size * $1 }
                let encoded = EncodedRow(codec, row)
                var (lower, upper) = ([Float](repeating: .nan, count: 64), [Float](repeating: .nan, count: 64))
                _ = unsafe nephrite_code_scan_signs(
                    nephrite_code_set_in_use(), code.pointer, encoded.signs, 1, -.infinity, &lower, &upper)
                if zip(query, row).reduce(0, { $0 + $1.0 * $1.1 }) > upper[0] { above += 1 }
                total += 1
            }
        }
        // 1 %, and what 400 tries may be off by; the last sum is not exact.
        #expect(Double(above) / Double(total) <= (abs(cosine) == 1 ? 0.05 : 0.03))
    }

    /// The cosine of a vector and its signs, from what is stored of it: the factor and the norm.
    private static func cosine(_ codec: VectorCodec, _ row: [Float]) -> Float? {
        let encoded = EncodedRow(codec, row)
        let factors = encoded.signs.count - 16
        func float(_ offset: Int) -> Float {
            unsafe encoded.signs.withUnsafeBytes {
                unsafe $0.loadUnaligned(fromByteOffset: factors + offset, as: Float.self)
            }
        }
        let (scale, norm) = (float(0), float(4))
        guard scale > 0 else { return nil }
        return (norm / scale) / Float(codec.dimension).squareRoot()
    }

    @Test(
        "After the rotation a vector of any kind is at nearly the same angle to its signs",
        arguments: CodeBoundTests.Kind.allCases)
    func angles(_ kind: CodeBoundTests.Kind) {
        var values = SeededValues(seed: 3)
        for dimension in [256, 784, 1_536] {
            let codec = VectorCodec(dimension: dimension, seed: 11, centre: [])
            let cosines = (0..<40).compactMap { _ in
                Self.cosine(codec, kind.pair(&values, dimension).row)
            }
            // Around the square root of 2 / π, which it would be for normally distributed components.
            #expect(cosines.allSatisfy { 0.74 < $0 && $0 < 0.85 })
        }
    }

    @Test("A row that codes cannot bound is always left, whatever the threshold")
    func uncodable() throws {
        let codec = VectorCodec(dimension: 256, seed: 11, centre: [])
        var values = SeededValues(seed: 5)
        let query = values.floats(256)
        for row in [[Float](repeating: 0, count: 256), values.floats(256, scale: 0x1p-70)] {
            let encoded = EncodedRow(codec, row)
            for metric in ScanMetric.allCases {
                let code = try #require(CodeQuery(codec: codec, query: query, metric: metric, signDeviations: 2))
                for set in CodeKernels.all {
                    var (lower, upper) = ([Float](repeating: 0, count: 64), [Float](repeating: 0, count: 64))
                    let left = unsafe nephrite_code_scan_signs(
                        set.pointer, code.pointer, encoded.signs, 1, .greatestFiniteMagnitude, &lower, &upper)
                    #expect(left == 1)
                }
            }
        }
    }

    @Test(
        "A block of signs is bounded as its rows are one by one, by every implementation",
        arguments: [256, 300, 384, 500, 600, 700, 784, 1_000, 1_100, 1_536, 1_800, 2_000, 2_100])
    func wholeBlocks(_ dimension: Int) throws {
        var values = SeededValues(seed: UInt64(dimension))
        let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
        let query = values.floats(dimension)
        let plane = (0..<64).flatMap { _ in EncodedRow(codec, Self.related(query, &values)).signs }
        for metric in ScanMetric.allCases {
            let code = try #require(
                CodeQuery(codec: codec, query: query, metric: metric, deviations: 2.3, signDeviations: 2.3))
            func scan(_ set: CodeKernels, _ mask: UInt64, _ threshold: Float) -> (left: UInt64, bounds: [Float]) {
                var (lower, upper) = ([Float](repeating: 0, count: 64), [Float](repeating: 0, count: 64))
                let left = unsafe nephrite_code_scan_signs(
                    set.pointer, code.pointer, plane, mask, threshold, &lower, &upper)
                return (left, lower + upper)
            }
            let portable = try #require(CodeKernels.all.last)
            var expected = [Float](repeating: 0, count: 128)
            for row in 0..<64 {
                let one = scan(portable, 1 << UInt64(row), -.infinity)
                for index in [row, 64 + row] { expected[index] = one.bounds[index] }
            }
            for set in CodeKernels.all {
                let all = scan(set, .max, -.infinity)
                #expect(all.left == .max)
                #expect(all.bounds == expected, "\(set.name)")
                for threshold in expected[64...] {
                    let reaching = (0..<64).reduce(into: 0 as UInt64) { mask, row in
                        if expected[64 + row] >= threshold { mask |= 1 << UInt64(row) }
                    }
                    #expect(scan(set, .max, threshold).left == reaching, "\(set.name)")
                }
            }
        }
    }

    @Test("A scan of blocks leaves what scans of each leave, of both planes", arguments: [100, 256, 700])
    func blocks(_ dimension: Int) throws {
        var values = SeededValues(seed: 37)
        let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
        let rows = (0..<192).map { _ in EncodedRow(codec, values.floats(dimension)) }
        let code = try #require(
            CodeQuery(codec: codec, query: values.floats(dimension), metric: .cosine, deviations: 1, signDeviations: 1))
        let masks: [UInt64] = [.max, 0x8000_0000_0000_0101, values.bits()]
        for bySigns in [false, true] where !bySigns || codec.signStride > 0 {
            let plane = rows.flatMap { bySigns ? $0.signs : $0.high }
            let stride = bySigns ? codec.signStride : codec.highStride
            for set in CodeKernels.all {
                for threshold in [-Float.infinity, 0, 0.1] {
                    var expected: [(Int, Float, Float)] = []
                    for (block, mask) in masks.enumerated() {
                        var (lower, upper) = ([Float](repeating: 0, count: 64), [Float](repeating: 0, count: 64))
                        let left = unsafe plane.withUnsafeBytes { bytes in
                            let start = unsafe bytes.baseAddress! + block * 64 * stride
                            return bySigns
                                ? unsafe nephrite_code_scan_signs(
                                    set.pointer, code.pointer, start, mask, threshold, &lower, &upper)
                                : unsafe nephrite_code_scan(
                                    set.pointer, code.pointer, start, mask, threshold, &lower, &upper)
                        }
                        for row in 0..<64 where left >> UInt64(row) & 1 != 0 {
                            expected.append((block * 64 + row, lower[row], upper[row]))
                        }
                    }
                    var found = [nephrite_code_survivor](repeating: nephrite_code_survivor(), count: 192)
                    let count = unsafe nephrite_code_scan_blocks(
                        set.pointer, code.pointer, bySigns ? 1 : 0, plane, masks, masks.count, threshold, &found)
                    try #require(count == expected.count)
                    for (survivor, row) in zip(found, expected) {
                        #expect((Int(survivor.place), survivor.lower, survivor.upper) == row)
                    }
                    if threshold == -.infinity {
                        #expect(count == masks.reduce(0) { $0 + $1.nonzeroBitCount })
                    }
                }
            }
        }
    }
}
