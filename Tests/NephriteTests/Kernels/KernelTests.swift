// The float kernels of the C target: each set the machine has, every dimension from 1 to 1100.
//
// Error bound, with u = 2⁻²⁴: a chain takes at most ⌈dimension / 16⌉ additions (four chains of at least four lanes), the
// sums over chains and lanes at most six more, and a term carries at most three roundings of its own; so
// |score − exact| ≤ (⌈dimension / 16⌉ + 9) · u · Σ|terms| (N. Higham, "Accuracy and Stability", §4.2), times 1.01 for
// the terms of second order. A cosine has such an error in the product, half of it in the norm, and a few roundings.

import CNephrite
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct KernelTests {
    private static let dimensionMax = 1100

    private func bound(_ dimension: Int) -> Double { Double((dimension + 15) / 16 + 9) * 0x1p-24 * 1.01 }

    private struct Reference {
        var dot = 0.0
        var dotMagnitude = 0.0
        var distance = 0.0
        var querySquares = 0.0
        var rowSquares = 0.0

        init(_ query: ArraySlice<Float>, _ row: ArraySlice<Float>) {
            for (a, b) in zip(query, row) {
                let (a, b) = (Double(a), Double(b))
                dot += a * b
                dotMagnitude += abs(a * b)
                distance += (a - b) * (a - b)
                querySquares += a * a
                rowSquares += b * b
            }
        }
    }

    @Test("Every set stays within its error bound and within its row, at every dimension", .timeLimit(.minutes(20)))
    func accuracy() {
        var values = SeededValues(seed: 5)
        let query = values.floats(Self.dimensionMax)
        let row = values.floats(Self.dimensionMax)
        let (guardedQuery, guardedRow) = (
            GuardedFloats(capacity: Self.dimensionMax), GuardedFloats(capacity: Self.dimensionMax)
        )
        for dimension in 1...Self.dimensionMax {
            let reference = Reference(query[..<dimension], row[..<dimension])
            let (a, b) = unsafe (guardedQuery.last(dimension), guardedRow.last(dimension))
            unsafe a.update(from: query, count: dimension)
            unsafe b.update(from: row, count: dimension)
            let norms = (reference.querySquares * reference.rowSquares).squareRoot()
            let tolerance = bound(dimension)
            for set in KernelSet.all {
                var (dot, distance, cosine): (Float, Float, Float) = (0, 0, 0)
                unsafe nephrite_dot_rows_using(set.pointer, a, b, 0, 1, dimension, &dot)
                unsafe nephrite_squared_distance_rows_using(set.pointer, a, b, 0, 1, dimension, &distance)
                unsafe nephrite_cosine_rows_using(
                    set.pointer, a, Float(reference.querySquares.squareRoot()), b, 0, 1, dimension, &cosine)
                let comment = Comment(rawValue: "\(set.name), dimension \(dimension)")
                #expect(abs(Double(dot) - reference.dot) <= tolerance * reference.dotMagnitude, comment)
                #expect(abs(Double(distance) - reference.distance) <= tolerance * reference.distance, comment)
                #expect(abs(Double(cosine) - reference.dot / norms) <= 2 * tolerance, comment)
                #expect(unsafe nephrite_all_finite_using(set.pointer, b, dimension) == 1, comment)
            }
        }
    }

    /// One row scored alone, and the same row in each place among others, has the same bits.
    @Test("A score does not depend on the row's neighbours or place", .timeLimit(.minutes(20)))
    func bitIdentity() {
        let rowCount = 7
        let stride = 1104
        var values = SeededValues(seed: 6)
        let query = values.floats(stride)
        let rows = values.floats(rowCount * stride)
        var mismatches: [String] = []
        for dimension in Array(1...140) + Array(Swift.stride(from: 141, through: Self.dimensionMax, by: 7)) {
            for set in KernelSet.all {
                for kernel in Kernel.allCases {
                    let together = kernel.score(set, query, rows[...], rowCount, stride, dimension)
                    let alone = (0..<rowCount).flatMap { row in
                        kernel.score(set, query, rows[(row * stride)...], 1, stride, dimension)
                    }
                    if together.map(\.bitPattern) != alone.map(\.bitPattern) {
                        mismatches.append("\(set.name) \(kernel) \(dimension)")
                    }
                }
            }
        }
        #expect(mismatches == [])
    }

    private enum Kernel: CaseIterable {
        case dot, distance, cosine

        func score(
            _ set: KernelSet, _ query: [Float], _ rows: ArraySlice<Float>, _ count: Int, _ stride: Int, _ dimension: Int
        ) -> [Float] {
            var scores = [Float](repeating: .nan, count: count)
            unsafe rows.withUnsafeBytes { rows in
                guard let rows = rows.baseAddress else { return }
                switch self {
                case .dot:
                    unsafe nephrite_dot_rows_using(set.pointer, query, rows, stride * 4, count, dimension, &scores)
                case .distance:
                    unsafe nephrite_squared_distance_rows_using(
                        set.pointer, query, rows, stride * 4, count, dimension, &scores)
                case .cosine:
                    unsafe nephrite_cosine_rows_using(
                        set.pointer, query, 3, rows, stride * 4, count, dimension, &scores)
                }
            }
            return scores
        }
    }

    @Test("The single forms are the set in use", arguments: [1, 5, 16, 63, 64, 65, 200, 768])
    func singleForms(dimension: Int) throws {
        var values = SeededValues(seed: 7)
        let (a, b) = (values.floats(dimension), values.floats(dimension))
        let name = unsafe String(cString: nephrite_kernels_implementation())
        let set = try #require(KernelSet.all.first { $0.name == name })
        var (dot, distance, cosine, norm): (Float, Float, Float, Float) = (0, 0, 0, 0)
        unsafe nephrite_dot_rows_using(set.pointer, a, b, 0, 1, dimension, &dot)
        unsafe nephrite_squared_distance_rows_using(set.pointer, a, b, 0, 1, dimension, &distance)
        unsafe nephrite_cosine_rows_using(set.pointer, a, 2, b, 0, 1, dimension, &cosine)
        #expect(unsafe nephrite_dot(a, b, dimension) == dot)
        #expect(unsafe nephrite_squared_distance(a, b, dimension) == distance)
        #expect(unsafe nephrite_cosine(a, 2, b, dimension) == cosine)
        #expect(unsafe nephrite_dot_and_norm(a, b, dimension, &norm) == dot)
        #expect(unsafe norm == nephrite_dot(b, b, dimension))
    }

    @Test("One value that is not finite is found, in any place", arguments: [Float.infinity, -.infinity, .nan])
    func allFinite(value: Float) {
        for count in Array(1...140) + [1100] {
            var values = [Float](repeating: .greatestFiniteMagnitude, count: count)
            for set in KernelSet.all {
                #expect(unsafe nephrite_all_finite_using(set.pointer, values, count) == 1)
                #expect(unsafe nephrite_all_finite_using(set.pointer, values, 0) == 1)
                for index in 0..<count {
                    values[index] = value
                    if unsafe nephrite_all_finite_using(set.pointer, values, count) != 0 {
                        Issue.record("\(set.name) misses \(index) of \(count)")
                    }
                    values[index] = -.greatestFiniteMagnitude
                }
            }
        }
    }

    @Test("A product whose terms overflow and cancel is still a number")
    func overflow() {
        let query: [Float] = [1e30, 1e30, 1]
        let row: [Float] = [1e30, -1e30, 5]
        for set in KernelSet.all {
            var (dot, cosine): (Float, Float) = (.nan, .nan)
            unsafe nephrite_dot_rows_using(set.pointer, query, row, 0, 1, 3, &dot)
            unsafe nephrite_cosine_rows_using(set.pointer, query, 1.4142e30, row, 0, 1, 3, &cosine)
            #expect(dot == 5 || dot == 0)
            #expect(abs(cosine) < 1e-6)
        }
    }

    @Test(
        "NEPHRITE_KERNELS forces a set the machine has and is ignored otherwise",
        arguments: KernelSet.all.map { $0.name } + ["", "abacus"])
    func forced(name: String) async {
        await #expect(processExitsWith: .success) { [name] in
            _ = unsafe setenv("NEPHRITE_KERNELS", name, 1)
            let sets = KernelSet.all.map { $0.name }
            let expected = sets.contains(name) ? name : sets[0]
            precondition(unsafe String(cString: nephrite_kernels_implementation()) == expected)
        }
    }
}
