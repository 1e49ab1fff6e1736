// The bounds: for any vectors the score of the exact scan lies between them, and without any one of their terms it does
// not.
import CNephrite
import Testing

@testable import Nephrite

@Suite struct CodeBoundTests {
    /// How a row and a query may be related and what they may consist of.
    enum Kind: CaseIterable {
        case random, skewed, near, equal, opposite, oneHot, twoHot, tiny, huge, mixed, denormal, constant, zero

        func pair(_ values: inout SeededValues, _ dimension: Int) -> (row: [Float], query: [Float]) {
            let query = values.floats(dimension)
            func hot(_ count: Int, _ values: inout SeededValues) -> [Float] {
                var row = [Float](repeating: 0, count: dimension)
                for _ in 0..<count { row[values.below(dimension)] = values.float() }
                return row
            }
            switch self {
            case .random: return (values.floats(dimension), query)
            case .skewed: return (values.floats(dimension).enumerated().map { $1 / Float($0 + 1) }, query)
            case .near: return (query.map { $0 + values.float() * 1e-3 }, query)
            case .equal: return (query, query)
            case .opposite: return (query.map { -$0 }, query)
            case .oneHot: return (hot(1, &values), hot(1, &values))
            case .twoHot: return (hot(2, &values), hot(3, &values))
            case .tiny: return (values.floats(dimension, scale: 0x1p-60), values.floats(dimension, scale: 0x1p-30))
            case .huge: return (values.floats(dimension, scale: 0x1p60), values.floats(dimension, scale: 0x1p30))
            case .mixed: return (values.floats(dimension).enumerated().map { $0 % 2 == 0 ? $1 : $1 * 1e-6 }, query)
            case .denormal: return (values.floats(dimension, scale: 0x1p-130), query)
            case .constant: return ([Float](repeating: values.float(), count: dimension), query)
            case .zero: return ([Float](repeating: values.below(2) == 0 ? 0 : -0, count: dimension), query)
            }
        }
    }

    /// A row's rank as the exact scan has it.
    static func rank(_ metric: ScanMetric, _ query: [Float], _ row: [Float]) -> Float {
        var scanner = ExactScanner(metric: metric, query: query, stride: row.count * 4, limit: 1)
        unsafe row.withUnsafeBytes { row in
            unsafe scanner.scan(rows: row.baseAddress!, firstSlot: 0, count: 1, isLive: nil, precedes: <)
        }
        return scanner.ranked(precedes: <)[0].score
    }

    /// The bounds of all three scans.
    private static func bounds(_ code: CodeQuery, _ row: EncodedRow, _ kernels: CodeKernels? = nil) -> [(Float, Float)]
    {
        let set = unsafe kernels?.pointer ?? nephrite_code_set_in_use()
        var lower = [Float](repeating: .nan, count: 64)
        var upper = lower
        var result: [(Float, Float)] = []
        _ = unsafe nephrite_code_scan(set, code.pointer, row.high, 1, -.infinity, &lower, &upper)
        result.append((lower[0], upper[0]))
        var survivors: UInt64 = 0
        var threshold = -Float.infinity
        var pointer = unsafe Optional(UnsafePointer(code.pointer))
        unsafe nephrite_code_scan_many(set, &pointer, 1, row.high, 1, &threshold, &survivors, &lower, &upper)
        result.append((lower[0], upper[0]))
        unsafe nephrite_code_refine(set, code.pointer, row.high, row.low, &lower, &upper)
        result.append((lower[0], upper[0]))
        return result
    }

    @Test(
        "Every score lies between its bounds", .timeLimit(.minutes(20)), arguments: ScanMetric.allCases, Kind.allCases)
    func holds(metric: ScanMetric, kind: Kind) {
        var values = SeededValues(seed: 41)
        let sets = CodeKernels.all
        var violations: [String] = []
        for dimension in [1, 2, 3, 4, 7, 16, 31, 33, 64, 100, 200, 384, 784, 1_100] {
            let centre = values.floats(dimension)
            for centre in [[], centre] {
                let codec = VectorCodec(dimension: dimension, seed: 9, centre: centre)
                for round in 0..<6 {
                    var (row, query) = kind.pair(&values, dimension)
                    if !centre.isEmpty, round % 2 == 1 {
                        // Close to the centre, where differences are all that is left.
                        row = zip(row, centre).map { $0 * 1e-2 + $1 }
                        query = zip(query, centre).map { $0 * 1e-2 + $1 }
                    }
                    guard let code = CodeQuery(codec: codec, query: query, metric: metric) else { continue }
                    let rank = Self.rank(metric, query, row)
                    let encoded = EncodedRow(codec, row)
                    for set in sets {
                        for (stage, bounds) in Self.bounds(code, encoded, set).enumerated() {
                            if !(bounds.0 <= rank && rank <= bounds.1) {
                                violations.append("\(dimension) stage \(stage): \(rank) not in \(bounds)")
                            }
                        }
                    }
                }
            }
        }
        #expect(violations == [])
    }

    @Test("Rows beyond what codes are made for have infinite bounds; such queries have no code")
    func uncodable() throws {
        var values = SeededValues(seed: 42)
        for dimension in [1, 5, 64, 100] {
            let codec = VectorCodec(dimension: dimension, seed: 9, centre: [])
            let query = values.floats(dimension)
            let code = try #require(CodeQuery(codec: codec, query: query, metric: .dot))
            for scale in [0, 0x1p-149, 0x1p-80, 0x1p80, 3e38] as [Float] {
                let row = EncodedRow(codec, query.map { $0 * scale })
                for bounds in Self.bounds(code, row) {
                    #expect(bounds == (-.infinity, .infinity), "\(dimension) \(scale)")
                }
                for metric in ScanMetric.allCases {
                    #expect(CodeQuery(codec: codec, query: query.map { $0 * scale }, metric: metric) == nil)
                }
            }
        }
    }

    /// Turns rotations back.
    private struct Inverse {
        let codec: VectorCodec
        private let images: [[Float]]

        init(_ codec: VectorCodec) {
            self.codec = codec
            images = (0..<codec.dimension).map { component in
                var basis = [Float](repeating: 0, count: codec.dimension)
                basis[component] = 1
                return codec.rotated(basis, subtractingCentre: false)
            }
        }

        /// The vector that the rotation takes to `target`, as near as floats can.
        func vector(_ target: [Float]) -> [Float] {
            images.map { image in Float(zip(image, target).reduce(0) { $0 + Double($1.0) * Double($1.1) }) }
        }
    }

    private func violations(
        without term: CodeQuery.Terms, _ metric: ScanMetric, _ pairs: [(row: [Float], query: [Float])],
        _ codec: VectorCodec
    ) -> (with: Int, without: Int) {
        var count = (with: 0, without: 0)
        for (row, query) in pairs {
            let encoded = EncodedRow(codec, row)
            let rank = Self.rank(metric, query, row)
            func broken(_ terms: CodeQuery.Terms) -> Bool {
                guard let code = CodeQuery(codec: codec, query: query, metric: metric, terms: terms) else {
                    return false
                }
                return Self.bounds(code, encoded).contains {
                    !($0.0 <= rank && rank <= $0.1)
                }
            }
            if broken(.all) { count.with += 1 }
            if broken(.all.subtracting(term)) { count.without += 1 }
        }
        return count
    }

    @Test("Without the residual the bound does not hold", arguments: ScanMetric.allCases)
    func needsResidual(metric: ScanMetric) {
        var values = SeededValues(seed: 43)
        let codec = VectorCodec(dimension: 100, seed: 9, centre: [])
        let pairs = (0..<50).map { _ in (row: values.floats(100), query: values.floats(100)) }
        let count = violations(without: .residual, metric, pairs, codec)
        #expect(count.with == 0 && count.without > 0)
    }

    @Test("Without what rounding the query loses the bound does not hold", arguments: ScanMetric.allCases)
    func needsQueryRounding(metric: ScanMetric) {
        var values = SeededValues(seed: 44)
        let codec = VectorCodec(dimension: 64, seed: 9, centre: [])
        let inverse = Inverse(codec)
        let pairs = (0..<20).map { _ in
            let query = values.floats(64)
            let rotated = codec.rotated(query, subtractingCentre: false)
            let step = rotated.map(\.magnitude).max()! / 127
            // Odd numbers, which a code keeps, with the signs of what 8-bit weights lose.
            let target: [Float] = rotated.map { component in
                let lost = component - (component / step).rounded() * step
                return (lost < 0 ? -1 : 1) * Float(2 * values.below(8) + 1)
            }
            return (row: inverse.vector(target), query: query)
        }
        let count = violations(without: .queryRounding, metric, pairs, codec)
        #expect(count.with == 0 && count.without > 0)
    }

    @Test("Without the rounding of arithmetic the bound does not hold", arguments: ScanMetric.allCases)
    func needsArithmetic(metric: ScanMetric) {
        var values = SeededValues(seed: 45)
        let codec = VectorCodec(dimension: 64, seed: 9, centre: [])
        let inverse = Inverse(codec)
        // Rows that are the query, with rotated components all of one size: nothing is left but rounding.
        let pairs = (0..<300).map { _ in
            let corner = inverse.vector((0..<64).map { _ in values.below(2) == 0 ? -1 : 1 })
            return (row: corner, query: corner)
        }
        // A single component has no angle and nearly no residual.
        let single = VectorCodec(dimension: 1, seed: 9, centre: [])
        let singles = (0..<1_000).map { _ in (row: values.floats(1), query: values.floats(1)) }
        let corners = violations(without: .arithmetic, metric, pairs, codec)
        let others = violations(without: .arithmetic, metric, singles, single)
        #expect(corners.with == 0 && others.with == 0)
        #expect(corners.without + others.without > 0)
    }

    @Test("The quantile of the normal distribution")
    func quantile() {
        for (probability, value) in [(0.5, 0), (0.9, 1.2815515655), (0.99, 2.3263478740), (0.999, 3.0902323062)] {
            #expect(abs(normalQuantile(probability) - value) < 1e-7)
        }
    }
}
