/// A query as integers, with the constants that turn sums of integers into bounds on scores. A search makes one from the
/// codec and its query and hands it to the code kernels.
import CNephrite

/// A rotated, quantised query and its bounds for one metric.
///
/// The names of the terms are those of the article *How search works*.
// SAFETY: everything is written in init only; the memory is freed in deinit.
@safe final class CodeQuery: @unchecked Sendable {
    /// What the kernels read.
    let pointer: UnsafeMutablePointer<nephrite_code_query>
    private let memory: UnsafeMutableRawPointer

    /// Which terms of the bound are there; tests leave some out to see that each is needed.
    struct Terms: OptionSet {
        let rawValue: Int
        static let residual = Terms(rawValue: 1)
        static let queryRounding = Terms(rawValue: 2)
        static let arithmetic = Terms(rawValue: 4)
        static let all: Terms = [.residual, .queryRounding, .arithmetic]
    }

    /// - Parameters:
    ///   - codec: that of the rows.
    ///   - query: as many finite components as a row has.
    ///   - metric: how rows are compared.
    ///   - deviations: nil for bounds that always hold; a number for bounds from the high plane that are so many standard
    ///     deviations of the residual's projection wide, as if residuals pointed anywhere. By both planes they always hold.
    /// - Returns: nil if the norm of the query, or of its difference from the centre, is zero or beyond what codes are
    ///   made for; then rows are to be compared directly.
    init?(
        codec: VectorCodec, query: [Float], metric: ScanMetric, deviations: Double? = nil, terms: Terms = .all
    ) {
        let rotated = codec.rotated(query, subtractingCentre: metric == .euclidean)
        let queryNorm = norm(query)
        let rotatedNorm = norm(rotated)
        let range = Double(0x1p-49)...Double(0x1p49)
        guard range.contains(queryNorm) || metric == .euclidean, range.contains(rotatedNorm) else { return nil }

        let dimension = Double(codec.dimension)
        let unit = 0x1p-24
        let rotation = Double(nephrite_rotation_error(codec.dimension)) * unit
        let arithmetic = terms.contains(.arithmetic) ? (3 * rotation + (dimension / 4 + 64) * unit) * 1.01 : 0
        var base = nephrite_code_bound()
        switch metric {
        case .cosine: base.metric = 0
        case .dot: base.metric = 1
        case .euclidean: base.metric = 2
        }
        base.per_norm = metric == .euclidean ? 0 : roundedUp(arithmetic * queryNorm)
        base.relative = roundedUp(arithmetic)
        base.scale = Float(1 / queryNorm)
        base.squared = Float(rotatedNorm * rotatedNorm)
        if metric != .euclidean {
            var offset = 0.0
            for (a, b) in zip(query, codec.centre) { offset += Double(a) * Double(b) }
            base.offset = Float(offset)
        }
        let statistical = deviations.map { min(1, $0 / max(1, dimension - 1).squareRoot()) }
        func bound(_ weights: Weights, _ width: Double?) -> nephrite_code_bound {
            var bound = base
            bound.step = weights.step
            let weightNorm = weights.norm
            bound.angle = Float(1 / weightNorm) * (1 - 0x1p-22)
            let spread = weightNorm * Double(weights.step) * (width ?? 1)
            if let width, width < 1 { bound.correction = Float(1 / (weightNorm * Double(weights.step))) }
            bound.spread = terms.contains(.residual) ? roundedUp(spread) : 0
            // As an error of random direction where the residual is one.
            let rounding = terms.contains(.queryRounding) ? weights.error * (width ?? 1) : 0
            bound.per_centred = roundedUp(rounding + arithmetic * rotatedNorm)
            return bound
        }
        /// What signs say, which is never certain: rounding of the query is one more random error.
        func signBound(_ weights: Weights) -> nephrite_code_bound {
            let weightNorm = weights.norm
            let width = (deviations ?? 0) / max(1, dimension - 1).squareRoot()
            var bound = base
            bound.step = weights.step
            bound.angle = Float(1 / weightNorm)
            bound.spread = Float((rotatedNorm * rotatedNorm + weights.error * weights.error).squareRoot() * width)
            bound.per_centred = roundedUp(arithmetic * rotatedNorm)
            return bound
        }

        let fine = Weights(
            rotated, maximum: Double(nephrite_code_weight_max),
            sum: Double(nephrite_code_weight_sum_max))
        let coarse = Weights(rotated, maximum: 127, sum: .infinity)
        // Only approximate searches look at signs.
        let looksAtSigns = codec.signStride > 0 && deviations != nil
        let signs =
            looksAtSigns ? Weights(rotated, maximum: Double(nephrite_code_sign_weight_max), sum: .infinity) : nil
        let count = rotated.count
        let signCount = looksAtSigns ? 8 * nephrite_code_sign_bytes(codec.dimension) : 0
        unsafe memory = UnsafeMutableRawPointer.allocate(byteCount: count * 5 + signCount, alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: count * 5 + signCount)
        let wide = unsafe memory.bindMemory(to: Int16.self, capacity: count)
        let bytes = unsafe (memory + 2 * count).bindMemory(to: Int8.self, capacity: 3 * count + signCount)
        for index in 0..<count {
            let value: Int = Int(fine.values[index])
            let low: Int = Int(Int8(truncatingIfNeeded: value))
            unsafe wide[index] = Int16(value)
            unsafe bytes[index] = Int8((value - low) / 256)
            unsafe bytes[count + index] = Int8(low)
            unsafe bytes[2 * count + index] = Int8(coarse.values[index])
        }
        if let signs {
            for index in 0..<codec.dimension {
                unsafe bytes[3 * count + index] =
                    Int8(signs.values[index]) << (3 - Self.bit(of: index, signCount / 8) % 4)
            }
        }
        unsafe pointer = UnsafeMutablePointer<nephrite_code_query>.allocate(capacity: 1)
        unsafe pointer.initialize(
            to: nephrite_code_query(
                dimension: codec.dimension, fine: wide, fine_high: bytes, fine_low: bytes + count,
                coarse: bytes + 2 * count, signs: bytes + 3 * count, fine_sum: Int32(fine.sum),
                coarse_sum: Int32(coarse.sum), sign_sum: Int32(signs?.sum ?? 0),
                coarse_bound: bound(coarse, statistical), refined_bound: bound(fine, nil),
                sign_bound: signs.map(signBound) ?? nephrite_code_bound()))
    }

    deinit {
        unsafe pointer.deallocate()
        unsafe memory.deallocate()
    }

    /// The bit of a byte that holds a component's sign: blocks of 64 bytes, then one block of what is left.
    private static func bit(of component: Int, _ byteCount: Int) -> Int {
        let start = component / 512 * 64
        return (component - 8 * start) / min(64, byteCount - start)
    }

    /// A vector as integers times a step.
    private struct Weights {
        let step: Float
        let values: [Double]
        var sum = 0.0
        let norm: Double
        /// The norm of what is lost.
        let error: Double

        /// - Parameters:
        ///   - maximum: the largest absolute value allowed.
        ///   - sum: the largest sum of absolute values allowed.
        init(_ vector: [Float], maximum: Double, sum largestSum: Double) {
            var largest = 0.0
            var total = 0.0
            for component in vector {
                largest = max(largest, Double(component.magnitude))
                total += Double(component.magnitude)
            }
            // Rounded up, so that no weight exceeds its limit; rounding adds a half to each at most.
            let wanted = max(largest / maximum, total / (largestSum - Double(vector.count)))
            step = Double(Float(wanted)) < wanted ? Float(wanted).nextUp : Float(wanted)
            // Adding and taking away this much rounds to the nearest integer, to even ones in between.
            let rounder = 0x1.8p52
            let wide = Double(step)
            var lost = 0.0
            var total8 = SIMD8<Double>.zero
            var lost8 = SIMD8<Double>.zero
            values = unsafe [Double](unsafeUninitializedCapacity: vector.count) { values, count in
                // Rotated vectors have a multiple of 32 components.
                for start in stride(from: 0, to: vector.count, by: 8) {
                    var components = SIMD8<Double>.zero
                    for lane in 0..<8 { components[lane] = Double(vector[start + lane]) }
                    let rounded = (components / wide + rounder) - rounder
                    let rest = components - rounded * wide
                    lost8 += rest * rest
                    total8 += rounded
                    for lane in 0..<8 { unsafe (values.baseAddress! + start + lane).initialize(to: rounded[lane]) }
                }
                count = vector.count
            }
            for lane in 0..<8 {
                lost += lost8[lane]
                sum += total8[lane]
            }
            error = lost.squareRoot()
            norm = rootOfSquares(values)
        }
    }
}

private func norm(_ values: [Float]) -> Double { norm(count: values.count) { Double(values[$0]) } }

private func rootOfSquares(_ values: [Double]) -> Double { norm(count: values.count) { values[$0] } }

/// Four sums at a time: one alone would wait for itself.
@inline(__always)
private func norm(count: Int, _ value: (Int) -> Double) -> Double {
    var sums = SIMD4<Double>.zero
    var index = 0
    while index + 4 <= count {
        let four = SIMD4(value(index), value(index + 1), value(index + 2), value(index + 3))
        sums += four * four
        index += 4
    }
    while index < count {
        sums[0] += value(index) * value(index)
        index += 1
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])).squareRoot()
}

/// A float that is not less, whatever a few roundings before it did.
private func roundedUp(_ value: Double) -> Float { Float(value) * (1 + 0x1p-22) }
