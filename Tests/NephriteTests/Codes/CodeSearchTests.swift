// Searches through runs of blocks inside the C target: against bounds of each row by itself, at every implementation.
import CNephrite
import Testing

@testable import Nephrite

@Suite struct CodeSearchTests {
    private static let rowCount = 192
    private static let metrics: [ScanMetric] = [.cosine, .dot, .euclidean]

    /// Rows of many kinds: some near the query, some tiny, huge, or without a bound.
    private static func rows(_ dimension: Int, near query: [Float]) -> [[Float]] {
        var values = SeededValues(seed: UInt64(dimension))
        return (0..<rowCount).map { index in
            let noise = values.floats(dimension)
            return switch index % 8 {
            case 0: zip(query, noise).map { $0 + 0.3 * $1 }
            case 1: zip(query, noise).map { 1e-3 * $0 + 1e-4 * $1 }
            case 2: noise.map { 1e6 * $0 }
            case 3 where index % 24 == 3: [Float](repeating: 0, count: dimension)
            case 4 where index % 24 == 4: noise.map { 1e-20 * $0 }
            case 5: (0..<dimension).map { $0 == index % dimension ? 1 : 0 }
            default: noise
            }
        }
    }

    /// Planes of rows that follow one another, and a query for each metric and mode.
    private struct Sample {
        let codec: VectorCodec
        let high: [UInt8]
        let low: [UInt8]
        let signs: [UInt8]
        let codes: [CodeQuery]

        init(_ dimension: Int, metric: ScanMetric, deviations: Double?) throws {
            var values = SeededValues(seed: 5)
            let query = values.floats(dimension)
            let centre = metric == .euclidean ? values.floats(dimension, scale: 0.1) : []
            codec = VectorCodec(dimension: dimension, seed: 3, centre: centre)
            let codec = codec
            let rows = rows(dimension, near: query).map { EncodedRow(codec, $0) }
            high = rows.flatMap(\.high)
            low = rows.flatMap(\.low)
            signs = rows.flatMap(\.signs)
            codes = try ([query] + (0..<6).map { _ in values.floats(dimension) }).map {
                try #require(CodeQuery(codec: codec, query: $0, metric: metric, deviations: deviations))
            }
        }
    }

    @Test(
        "A block leaves the rows that are left one by one, whatever the threshold",
        // Rows of 0 … 6 times 64 bytes of nibbles, with and without a part of that, and longer ones.
        arguments: [50, 128, 200, 256, 300, 384, 400, 512, 600, 640, 700, 768, 784, 1_000], [nil, 2.33])
    func blocks(_ dimension: Int, _ deviations: Double?) throws {
        for metric in Self.metrics {
            let sample = try Sample(dimension, metric: metric, deviations: deviations)
            let stride = sample.codec.highStride
            for set in CodeKernels.all {
                for code in sample.codes.prefix(2) {
                    for first in Swift.stride(from: 0, to: Self.rowCount, by: 64) {
                        try unsafe sample.high.withUnsafeBytes { bytes in
                            let start = unsafe bytes.baseAddress! + first * stride
                            let rows = unsafe (0..<64).map { unsafe Optional(start + $0 * stride) }
                            var (lower, upper) = ([Float](repeating: 0, count: 64), [Float](repeating: 0, count: 64))
                            var (found, foundUpper) = (lower, upper)
                            _ = unsafe nephrite_code_scan_rows(
                                set.pointer, code.pointer, rows, 64, -.infinity, &lower, &upper)
                            let thresholds = upper.filter(\.isFinite) + [-.infinity, .infinity, 0]
                            try #require(thresholds.count > 30)
                            for threshold in thresholds.flatMap({ [$0, $0.nextUp, $0.nextDown] }) {
                                var expected: UInt64 = 0
                                for row in 0..<64 where !(upper[row] < threshold) { expected |= 1 << UInt64(row) }
                                let left = unsafe nephrite_code_scan(
                                    set.pointer, code.pointer, start, .max, threshold, &found, &foundUpper)
                                #expect(left == expected, "\(set.name) \(metric) \(threshold)")
                                for row in 0..<64 where left >> UInt64(row) & 1 != 0 && upper[row].isFinite {
                                    #expect(found[row] == lower[row] && foundUpper[row] == upper[row])
                                }
                                // Upper bounds by themselves lose none of these rows, and are hardly larger at the threshold.
                                for mask in [.max, 0x0110_0000_f000_0003] as [UInt64] {
                                    let reaching = unsafe nephrite_code_scan(
                                        set.pointer, code.pointer, start, mask, threshold, nil, &foundUpper)
                                    #expect(reaching & expected == expected & mask)
                                    for row in 0..<64 where reaching >> UInt64(row) & 1 != 0 && upper[row].isFinite {
                                        #expect(
                                            !(foundUpper[row] < upper[row]),
                                            "\(set.name) \(metric) \(threshold) \(row) of \(mask)")
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    @Test(
        "The threshold is the k-th best lower bound, and all that reach it are candidates",
        arguments: [50, 128, 300, 784], [1, 10, 60, 100])
    func searches(_ dimension: Int, _ limit: Int) throws {
        for metric in Self.metrics {
            let sample = try Sample(dimension, metric: metric, deviations: nil)
            // Blocks with all, most and a few of their rows.
            let masks: [UInt64] = [.max, ~0x8100_0040_0000_0001, 0x0110_0000_f000_0003]
            let taken: [Int] = (0..<Self.rowCount).filter { (row: Int) -> Bool in
                let bit: UInt64 = 1 << UInt64(row % 64)
                return masks[row / 64] & bit != 0
            }
            for set in CodeKernels.all {
                let expected: [[RowBounds]] = sample.codes.map { Self.bounds(set, sample, $0, taken) }
                // Few queries over long rows take turns, many share the work.
                for (isShared, isCached, copies) in [
                    (false, false, 1), (true, false, 1), (false, true, 1), (true, true, 1), (true, false, 4),
                ] {
                    let searches = (0..<copies).flatMap { _ in
                        sample.codes.map { CodeSearch($0, limit: limit, threshold: -.infinity, isCached: isCached) }
                    }
                    Self.search(set, sample, searches, masks, isShared: isShared)
                    for (index, search) in searches.enumerated() {
                        let bounds = expected[index % expected.count]
                        let best = bounds.map(\.lower).filter { !$0.isNaN }.sorted(by: >)
                        let threshold = best[limit - 1]
                        #expect(search.threshold == threshold, "\(set.name) \(metric) shared: \(isShared)")
                        var found: Set<UInt32> = []
                        search.takeCandidates(from: threshold) { found.insert($0.slot) }
                        let wanted = bounds.filter { !($0.upper < threshold) }.map(\.slot)
                        #expect(found == Set(wanted), "\(set.name) \(metric) shared: \(isShared)")
                    }
                }
            }
        }
    }

    @Test(
        "A pass bounds no row below its bound, be its components as unlike as may be, and the first row of another kind",
        arguments: [129, 448, 608])
    func heavyTails(_ dimension: Int) throws {
        var values = SeededValues(seed: 77)
        let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
        // Where axes go: what a vector has to be so that it is `wanted` once it is rotated.
        let axes = (0..<dimension).map { axis in
            codec.rotated((0..<dimension).map { $0 == axis ? 1 : 0 }, subtractingCentre: false)
        }
        func turnedBack(_ wanted: [Float]) -> [Float] {
            axes.map { axis in zip(axis, wanted).reduce(0) { $0 + $1.0 * $1.1 } }
        }
        let first = axes.map { $0[0] }
        for round in 0..<6 {
            // One component is much larger than the others, in the rows and in the query.
            let rest = turnedBack((0..<dimension).map { $0 == 0 ? 0 : values.float() < 0 ? -1 : 1 })
            let tail = Float(round % 3) * 0.02
            let query = zip(first, rest).map { 127 * $0 + 4 * $1 }
            let rows = (0..<64).map { index -> [Float] in
                if index % 7 == 0 {
                    // About as long as those that it is unlike.
                    return values.floats(dimension, scale: (3 / Float(dimension)).squareRoot() * (1 + Float(round) / 8))
                }
                let scale = 1 + values.float() / 2
                return zip(first, rest).map { scale * ($0 + tail * $1) }
            }
            for metric in Self.metrics {
                let code = try #require(CodeQuery(codec: codec, query: query, metric: metric))
                let high = rows.flatMap { EncodedRow(codec, $0).high }
                let byteCount = nephrite_code_search_scratch(dimension, 5)
                let scratch = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
                defer { unsafe scratch.deallocate() }
                for set in CodeKernels.all {
                    unsafe high.withUnsafeBytes { high in
                        let start = high.baseAddress!
                        var (lower, upper) = ([Float](repeating: 0, count: 64), [Float](repeating: 0, count: 64))
                        let places = unsafe (0..<64).map { unsafe Optional(start + $0 * codec.highStride) }
                        _ = unsafe nephrite_code_scan_rows(
                            set.pointer, code.pointer, places, 64, -.infinity, &lower, &upper)
                        let queries = unsafe Array(repeating: Optional(UnsafePointer(code.pointer)), count: 5)
                        for threshold in upper {
                            var found = [Float](repeating: 0, count: 5 * 64)
                            var survivors = [UInt64](repeating: 0, count: 5)
                            let isThere = unsafe nephrite_code_pass_bounds(
                                set.pointer, queries, 5, 0, start, 1, Array(repeating: threshold, count: 5), &survivors,
                                &found, scratch)
                            guard isThere != 0 else { break }
                            for row in 0..<5 * 64 where found[row] < upper[row % 64] {
                                Issue.record("\(set.name) \(metric) \(round): \(found[row]) < \(upper[row % 64])")
                            }
                        }
                    }
                }
            }
        }
    }

    @Test("Each query of a pass has its own bounds, however many share it", arguments: [33, 128, 300])
    func sharedPass(_ dimension: Int) throws {
        var values = SeededValues(seed: 78)
        let codec = VectorCodec(dimension: dimension, seed: 5, centre: [])
        let high = (0..<64).flatMap { _ in EncodedRow(codec, values.floats(dimension, scale: 1)).high }
        let codes = try (0..<11).map { _ in
            try #require(CodeQuery(codec: codec, query: values.floats(dimension, scale: 1), metric: .dot))
        }
        /// The bounds of all rows for each of the queries.
        func bounds(_ set: CodeKernels, _ codes: [CodeQuery]) -> [[Float]]? {
            let count = codes.count
            let byteCount = nephrite_code_search_scratch(dimension, count)
            let scratch = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
            defer { unsafe scratch.deallocate() }
            let queries = unsafe codes.map { unsafe Optional(UnsafePointer($0.pointer)) }
            var found = [Float](repeating: 0, count: count * 64)
            var survivors = [UInt64](repeating: 0, count: count)
            let isThere = unsafe high.withUnsafeBytes { rows in
                unsafe nephrite_code_pass_bounds(
                    set.pointer, queries, count, 0, rows.baseAddress!, 1, Array(repeating: 0.1, count: count),
                    &survivors, &found, scratch)
            }
            return isThere == 0 ? nil : (0..<count).map { Array(found[$0 * 64..<($0 + 1) * 64]) }
        }
        for set in CodeKernels.all {
            guard let alone = bounds(set, codes[...3].map { $0 }) else { continue }
            let own = codes.map { bounds(set, [$0, $0, $0, $0])![0] }
            #expect(alone == Array(own[...3]) && Set(own).count == codes.count)
            for count in 1...codes.count {
                #expect(bounds(set, Array(codes[..<count])) == Array(own[..<count]), "\(set.name) \(count)")
            }
        }
    }

    @Test(
        "A pass by signs bounds rows as each of its queries does by itself, to the bit",
        arguments: [256, 300, 768, 1_000, 65_535 / 7])
    func signPass(_ dimension: Int) throws {
        for metric in Self.metrics {
            var values = SeededValues(seed: 79)
            let centre = metric == .euclidean ? values.floats(dimension, scale: 0.1) : []
            let codec = VectorCodec(dimension: dimension, seed: 5, centre: centre)
            let query = values.floats(dimension)
            // Among them the query itself, whose signs count most, and its opposite.
            var rows = Self.rows(dimension, near: query)[..<64].map { $0 }
            rows[10] = query
            rows[63] = query.map { -$0 }
            let signs = rows.flatMap { EncodedRow(codec, $0).signs }
            let codes = try ([query] + (0..<9).map { _ in values.floats(dimension) }).map { query in
                try #require(
                    CodeQuery(codec: codec, query: query, metric: metric, deviations: 3.02, signDeviations: 2.38))
            }
            for set in CodeKernels.all {
                let thresholds = codes.indices.map { Float($0) * 0.02 }
                let alone = zip(codes, thresholds).map { code, threshold in
                    var upper = [Float](repeating: 0, count: 64)
                    _ = unsafe signs.withUnsafeBytes { signs in
                        unsafe nephrite_code_scan_signs(
                            set.pointer, code.pointer, signs.baseAddress!, .max, threshold, nil, &upper)
                    }
                    return upper
                }
                for count in 1...codes.count {
                    let byteCount = nephrite_code_search_scratch(dimension, count)
                    let scratch = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
                    defer { unsafe scratch.deallocate() }
                    let queries = unsafe codes[..<count].map { unsafe Optional(UnsafePointer($0.pointer)) }
                    var found = [Float](repeating: 0, count: count * 64)
                    var survivors = [UInt64](repeating: 0, count: count)
                    let isThere = unsafe signs.withUnsafeBytes { signs in
                        unsafe nephrite_code_pass_bounds(
                            set.pointer, queries, count, 1, signs.baseAddress!, 1, thresholds, &survivors, &found,
                            scratch)
                    }
                    if isThere == 0 { break }
                    #expect(
                        found.map(\.bitPattern) == alone[..<count].flatMap { $0 }.map(\.bitPattern),
                        "\(set.name) \(metric) \(count)")
                }
            }
        }
    }

    @Test("Rows that wait are bounded where they are, also after rows of other memory have come", arguments: [50, 300])
    func twoPieces(_ dimension: Int) throws {
        let sample = try Sample(dimension, metric: .dot, deviations: nil)
        let code = sample.codes[0], limit = 10, stride = sample.codec.highStride
        for set in CodeKernels.all {
            let best = Self.bounds(set, sample, code, Array(0..<Self.rowCount)).map(\.lower)
            let search = CodeSearch(code, limit: limit, threshold: -.infinity)
            // A copy of the last block lies elsewhere, and comes first; few of its rows take part, so that they wait.
            let (high, low) = (Array(sample.high[(128 * stride)...]), Array(sample.low[(128 * stride)...]))
            let some: UInt64 = 0x101
            unsafe high.withUnsafeBytes { high in
                unsafe low.withUnsafeBytes { low in
                    var rows = unsafe nephrite_code_rows(
                        high: high.baseAddress!, low: low.baseAddress!, signs: nil, first_slot: 1_128)
                    unsafe nephrite_code_search_blocks(set.pointer, search.pointer, &rows, [some], 1)
                }
            }
            Self.search(set, sample, [search], [.max, .max, .max ^ some], isShared: false)
            let threshold = best.filter { !$0.isNaN }.sorted(by: >)[limit - 1]
            #expect(search.threshold == threshold, "\(set.name)")
        }
    }

    private struct RowBounds {
        let slot: UInt32
        let lower: Float
        let upper: Float
    }

    /// Bounds of rows by both planes, one by one.
    private static func bounds(
        _ set: CodeKernels, _ sample: Sample, _ code: CodeQuery, _ rows: [Int]
    ) -> [RowBounds] {
        let stride = sample.codec.highStride
        return unsafe sample.high.withUnsafeBytes { high in
            unsafe sample.low.withUnsafeBytes { low in
                rows.map { row in
                    var (lower, upper): (Float, Float) = (0, 0)
                    unsafe nephrite_code_refine(
                        set.pointer, code.pointer, high.baseAddress! + row * stride, low.baseAddress! + row * stride,
                        &lower, &upper)
                    return RowBounds(slot: UInt32(1_000 + row), lower: lower, upper: upper)
                }
            }
        }
    }

    private static func search(
        _ set: CodeKernels, _ sample: Sample, _ searches: [CodeSearch], _ masks: [UInt64], isShared: Bool
    ) {
        search(set, sample.codec.dimension, sample.high, sample.low, searches, masks, isShared: isShared)
    }

    private static func search(
        _ set: CodeKernels, _ dimension: Int, _ high: [UInt8], _ low: [UInt8], _ searches: [CodeSearch],
        _ masks: [UInt64], isShared: Bool
    ) {
        let pointers = unsafe searches.map { unsafe Optional($0.pointer) }
        let byteCount = nephrite_code_search_scratch(dimension, searches.count)
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        defer { unsafe scratch.deallocate() }
        unsafe high.withUnsafeBytes { high in
            unsafe low.withUnsafeBytes { low in
                var rows = unsafe nephrite_code_rows(
                    high: high.baseAddress!, low: low.baseAddress!, signs: nil, first_slot: 1_000)
                if isShared {
                    unsafe nephrite_code_search_prepare(set.pointer, pointers, pointers.count, 0, scratch)
                    unsafe nephrite_code_search_many(
                        set.pointer, pointers, pointers.count, &rows, masks, masks.count, scratch)
                } else {
                    for search in searches {
                        unsafe nephrite_code_search_blocks(set.pointer, search.pointer, &rows, masks, masks.count)
                    }
                }
                for search in searches { unsafe nephrite_code_search_settle(set.pointer, search.pointer) }
            }
        }
    }
}
