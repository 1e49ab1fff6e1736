// The code kernels of the C target: every implementation against the portable one and against plain arithmetic.
import CNephrite
import Testing

@testable import Nephrite

@Suite struct CodeKernelTests {
    /// 1 … 200, then some up to 1,100, and the edges of blocks and windows beyond.
    private static let dimensions =
        Array(1...1_100) + [1_535, 1_536, 2_047, 2_048, 2_049, 4_096, 4_097]

    @Test(
        "All implementations rotate and encode to the same bytes, at every dimension", .timeLimit(.minutes(20)))
    func sameBytes() throws {
        var values = SeededValues(seed: 31)
        let sets = CodeKernels.all
        var mismatches: [String] = []
        for dimension in Self.dimensions {
            let codec = VectorCodec(dimension: dimension, seed: UInt64(dimension), centre: [])
            let row = values.floats(dimension, scale: 3)
            let reference = EncodedRow(codec, row, kernels: sets.last)
            for set in sets.dropLast() {
                let encoded = EncodedRow(codec, row, kernels: set)
                if encoded.high != reference.high || encoded.low != reference.low || encoded.signs != reference.signs {
                    mismatches.append("\(set.name) \(dimension)")
                }
            }
        }
        #expect(mismatches == [])
    }

    @Test("Sums are those of plain arithmetic, at every dimension", .timeLimit(.minutes(20)))
    func sums() throws {
        var values = SeededValues(seed: 32)
        var mismatches: [String] = []
        for dimension in Self.dimensions {
            let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
            var query = values.floats(dimension)
            // Weights at both ends of their range.
            if dimension % 3 == 0 { query = query.map { $0 < 0 ? -1 : 1 } }
            let row = EncodedRow(codec, values.floats(dimension))
            let code = try #require(
                CodeQuery(codec: codec, query: query, metric: .dot, deviations: 1, signDeviations: 1))
            let (high, both) = row.values(dimension)
            let weights = unsafe code.pointer.pointee
            var expected = (coarse: 0, many: 0, refined: 0, signs: 0)
            for index in 0..<dimension {
                expected.coarse += unsafe Int(weights.coarse[index]) * high[index]
                expected.refined += unsafe Int(weights.fine[index]) * both[index]
                // A component's sign is that of its code.
                if codec.signStride > 0 {
                    let byteCount = nephrite_code_sign_bytes(dimension)
                    let start = index / 512 * 64
                    let width = min(64, byteCount - start)
                    let (bit, byte) = (index - 8 * start).quotientAndRemainder(dividingBy: width)
                    let level = (0..<3).reduce(0) { sum, plane in
                        unsafe sum + Int(weights.signs[plane * byteCount + start + byte] >> UInt8(bit) & 1) << plane
                    }
                    expected.signs += (7 - 2 * level) * high[index].signum()
                }
            }
            expected.many = expected.coarse
            for set in CodeKernels.all {
                let coarse = unsafe nephrite_code_sum_coarse(set.pointer, code.pointer, row.high)
                let many = unsafe nephrite_code_sum_coarse_many(set.pointer, code.pointer, row.high)
                let refined = unsafe nephrite_code_sum_refined(set.pointer, code.pointer, row.high, row.low)
                let signs =
                    codec.signStride == 0
                    ? 0 : unsafe nephrite_code_sum_signs(set.pointer, code.pointer, row.signs)
                if (Int(coarse), Int(many), Int(refined), Int(signs)) != expected {
                    mismatches.append("\(set.name) \(dimension)")
                }
            }
        }
        #expect(mismatches == [])
    }

    @Test("A scan bounds the masked rows, whatever the mask, and every implementation bounds them alike")
    func masks() throws {
        var values = SeededValues(seed: 33)
        let dimension = 100
        let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
        let rows = (0..<64).map { _ in EncodedRow(codec, values.floats(dimension)) }
        let plane = rows.flatMap(\.high)
        let codes = try (0..<19).map { _ in
            try #require(CodeQuery(codec: codec, query: values.floats(dimension), metric: .cosine))
        }
        for mask in [UInt64.max, 1, 1 << 63, 0x8000_0000_0000_0001, 0xffff_0000, values.bits(), values.bits()] {
            for set in CodeKernels.all {
                var lower = [Float](repeating: .nan, count: 64)
                var upper = lower
                let all = unsafe nephrite_code_scan(
                    set.pointer, codes[0].pointer, plane, mask, -.infinity, &lower, &upper)
                #expect(all == mask)
                let threshold = upper.indices.filter { mask >> UInt64($0) & 1 != 0 }.map { upper[$0] }.max()!
                let kept = unsafe nephrite_code_scan(
                    set.pointer, codes[0].pointer, plane, mask, threshold, &lower, &upper)
                for row in 0..<64 where mask >> UInt64(row) & 1 != 0 {
                    #expect((kept >> UInt64(row) & 1 != 0) == (upper[row] >= threshold))
                    #expect(lower[row] < upper[row])
                }
                var many = [Float](repeating: .nan, count: 64 * codes.count)
                var manyUpper = many
                var survivors = [UInt64](repeating: 0, count: codes.count)
                let thresholds = [Float](repeating: -.infinity, count: codes.count)
                let pointers = unsafe codes.map { unsafe Optional(UnsafePointer($0.pointer)) }
                unsafe nephrite_code_scan_many(
                    set.pointer, pointers, codes.count, plane, mask, thresholds, &survivors, &many, &manyUpper)
                #expect(survivors.allSatisfy { $0 == mask })
                for (index, code) in codes.enumerated() {
                    for row in 0..<64 where mask >> UInt64(row) & 1 != 0 {
                        var (low, high): (Float, Float) = (0, 0)
                        unsafe nephrite_code_refine(
                            set.pointer, code.pointer, rows[row].high, rows[row].low, &low, &high)
                        // Both planes know better, within what the high plane says.
                        #expect(low > many[index * 64 + row] - 1e-6 && high < manyUpper[index * 64 + row] + 1e-6)
                    }
                }
            }
        }
    }

    @Test(
        "Rows that lie anywhere are bounded as those of a block are", arguments: [1, 3, 4, 16, 31, 63, 64],
        [100, 256, 384, 1_000])
    func scattered(_ count: Int, dimension: Int) throws {
        var values = SeededValues(seed: 36)
        let codec = VectorCodec(dimension: dimension, seed: 3, centre: [])
        let stride = codec.highStride
        let plane = (0..<64).flatMap { _ in EncodedRow(codec, values.floats(dimension)).high }
        let codes = try (0..<19).map { _ in
            try #require(CodeQuery(codec: codec, query: values.floats(dimension), metric: .cosine))
        }
        let pointers = unsafe codes.map { unsafe Optional(UnsafePointer($0.pointer)) }
        // Downwards, each other row where there is room.
        let places = (0..<count).map { (63 - $0 * (count > 31 ? 1 : 2)) % 64 }
        let thresholds = [Float](repeating: -.infinity, count: codes.count)
        for set in CodeKernels.all {
            unsafe plane.withUnsafeBytes { bytes in
                let rows = unsafe places.map { unsafe Optional(bytes.baseAddress! + $0 * stride) }
                var (lower, upper) = ([Float](repeating: .nan, count: 64), [Float](repeating: .nan, count: 64))
                var (found, foundUpper) = (lower, upper)
                _ = unsafe nephrite_code_scan(
                    set.pointer, codes[0].pointer, bytes.baseAddress!, .max, -.infinity, &lower, &upper)
                for threshold in [-.infinity] + places.map({ upper[$0] }) {
                    let kept = unsafe nephrite_code_scan_rows(
                        set.pointer, codes[0].pointer, rows, count, threshold, &found, &foundUpper)
                    #expect(count == 64 || kept >> UInt64(count) == 0)
                    for (index, place) in places.enumerated() {
                        let isKept = kept >> UInt64(index) & 1 != 0
                        #expect(isKept == (upper[place] >= threshold))
                        guard isKept else { continue }
                        #expect(found[index] == lower[place] && foundUpper[index] == upper[place])
                    }
                }
                var (many, manyUpper) = (
                    [Float](repeating: .nan, count: 64 * codes.count), [Float](repeating: .nan, count: 64 * codes.count)
                )
                var (few, fewUpper) = (many, manyUpper)
                var survivors = [UInt64](repeating: 0, count: codes.count)
                unsafe nephrite_code_scan_many(
                    set.pointer, pointers, codes.count, bytes.baseAddress!, .max, thresholds, &survivors, &many,
                    &manyUpper)
                unsafe nephrite_code_scan_rows_many(
                    set.pointer, pointers, codes.count, rows, count, thresholds, &survivors, &few, &fewUpper)
                #expect(survivors.allSatisfy { $0 == (count == 64 ? .max : (1 << UInt64(count)) - 1) })
                for query in codes.indices {
                    for (index, place) in places.enumerated() {
                        #expect(few[query * 64 + index] == many[query * 64 + place])
                        #expect(fewUpper[query * 64 + index] == manyUpper[query * 64 + place])
                    }
                }
            }
        }
    }

    @Test("A rotation keeps inner products, and spreads a vector of one component")
    func rotation() {
        var values = SeededValues(seed: 34)
        for dimension in [1, 2, 3, 5, 16, 17, 50, 64, 100, 384, 768, 1_000, 4_097] {
            let codec = VectorCodec(dimension: dimension, seed: 5, centre: [])
            let (a, b) = (values.floats(dimension), values.floats(dimension))
            let (x, y) = (
                codec.rotated(a, subtractingCentre: true), codec.rotated(b, subtractingCentre: true)
            )
            func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
            let scale = (dot(a, a) * dot(b, b)).squareRoot()
            #expect(abs(dot(x, y) - dot(a, b)) <= 1e-6 * scale, "\(dimension)")
            #expect(abs(dot(x, x) - dot(a, a)) <= 1e-6 * dot(a, a), "\(dimension)")
            guard dimension >= 64 else { continue }
            for place in [0, dimension / 2, dimension - 1] {
                var single = [Float](repeating: 0, count: dimension)
                single[place] = 1
                let largest = codec.rotated(single, subtractingCentre: false).map(\.magnitude).max()!
                #expect(largest < 0.6, "\(dimension), component \(place)")
            }
        }
    }

    @Test("What a code leaves is an eighth of the vector by the high plane, a hundredth by both")
    func residuals() {
        var values = SeededValues(seed: 35)
        for dimension in [128, 384, 768, 1_000] {
            let codec = VectorCodec(dimension: dimension, seed: 5, centre: [])
            let row = EncodedRow(codec, values.floats(dimension))
            func float(_ bytes: [UInt8], _ offset: Int) -> Float {
                unsafe bytes.withUnsafeBytes {
                    unsafe $0.loadUnaligned(fromByteOffset: bytes.count - 16 + offset, as: Float.self)
                }
            }
            let norm = float(row.high, 4)
            let residual = Float(bitPattern: float(row.high, 12).bitPattern << 16)
            #expect(residual > 0.05 * norm && residual < 0.125 * norm)
            #expect(float(row.low, 4) < 0.01 * norm)
        }
    }
}
