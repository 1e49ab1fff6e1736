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
    ///   - signDeviations: the same for the plane of signs, if rows have one and it is to be looked at.
    /// - Returns: nil if the norm of the query, or of its difference from the centre, is zero or beyond what codes are
    ///   made for; then rows are to be compared directly.
    init?(
        codec: VectorCodec, query: [Float], metric: ScanMetric, deviations: Double? = nil,
        signDeviations: Double? = nil, terms: Terms = .all
    ) {
        let rotated = codec.rotated(query, subtractingCentre: metric == .euclidean)
        let queryNorm = norm(query)
        let size = Size(rotated)
        let rotatedNorm = size.norm
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
        base.rounding = roundedUp(32 * unit * max(rotatedNorm, queryNorm))
        if metric != .euclidean {
            base.offset = Float(innerProduct(query, codec.centre))
        }
        let statistical = deviations.map { min(1, $0 / max(1, dimension - 1).squareRoot()) }
        func bound(_ weights: Weights, _ width: Double?) -> nephrite_code_bound {
            var bound = base
            bound.step = weights.step
            let weightNorm = weights.norm
            bound.angle = Float(1 / weightNorm) * (1 - 0x1p-22)
            bound.sine_margin = 0x1p-19
            let spread = weightNorm * Double(weights.step) * (width ?? 1)
            if let width, width < 1 { bound.correction = Float(1 / (weightNorm * Double(weights.step))) }
            bound.spread = terms.contains(.residual) ? roundedUp(spread) : 0
            // As an error of random direction where the residual is one.
            let rounding = terms.contains(.queryRounding) ? weights.error * (width ?? 1) : 0
            bound.per_centred = roundedUp(rounding + arithmetic * rotatedNorm)
            return bound
        }
        /// What signs say, which is never certain: rounding of the query is one more random error.
        func signBound(_ weights: SignWeights) -> nephrite_code_bound {
            let width = (signDeviations ?? 0) / max(1, dimension - 1).squareRoot()
            var bound = base
            bound.step = Float(weights.step)
            bound.angle = Float(weights.step / rotatedNorm)
            bound.spread = Float(rotatedNorm * width)
            bound.sine_margin = 0x1p-19 + Float(weights.error / (1 - 2 / Double.pi))
            // The estimate of a row in the query's own direction is 5 % too large.
            bound.negative_share = 0.95
            bound.per_centred = roundedUp(arithmetic * rotatedNorm)
            return bound
        }

        let looksAtSigns = signDeviations != nil && codec.signStride > 0
        let count = rotated.count
        let signCount =
            looksAtSigns ? Int(nephrite_code_sign_weight_bits) * nephrite_code_sign_bytes(codec.dimension) : 0
        let byteCount = count * 7 + signCount
        unsafe memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        let wide = unsafe memory.bindMemory(to: Int16.self, capacity: count)
        let spare = unsafe (memory + 2 * count).bindMemory(to: Int16.self, capacity: count)
        let bytes = unsafe (memory + 4 * count).bindMemory(to: Int8.self, capacity: 3 * count)
        let fine = unsafe Weights(
            rotated, size, maximum: Double(nephrite_code_weight_max), sum: Double(nephrite_code_weight_sum_max), wide)
        unsafe nephrite_code_split_weights(wide, count, bytes, bytes + count)
        let planes = unsafe (memory + 7 * count).bindMemory(to: UInt8.self, capacity: signCount)
        let signs = looksAtSigns ? unsafe SignWeights(rotated, size, dimension: codec.dimension, planes) : nil
        let coarse = unsafe Weights(rotated, size, maximum: 127, sum: .infinity, spare)
        for index in 0..<count { unsafe bytes[2 * count + index] = Int8(truncatingIfNeeded: spare[index]) }
        let lowerShare = Self.lowerShare(deviations: deviations, width: statistical)
        unsafe pointer = UnsafeMutablePointer<nephrite_code_query>.allocate(capacity: 1)
        unsafe pointer.initialize(
            to: nephrite_code_query(
                dimension: codec.dimension, fine: wide, fine_high: bytes, fine_low: bytes + count,
                coarse: bytes + 2 * count, signs: planes, fine_sum: Int32(fine.sum), coarse_sum: Int32(coarse.sum),
                sign_sum: 7 * Int32(codec.dimension), high_is_enough: lowerShare == nil ? 0 : 1,
                lower_share: lowerShare ?? 0,
                coarse_bound: bound(coarse, statistical), refined_bound: bound(fine, nil),
                sign_bound: signs.map(signBound) ?? nephrite_code_bound()))
    }

    deinit {
        unsafe pointer.deallocate()
        unsafe memory.deallocate()
    }

    /// Deviations below its estimate where hardly one row of a million is.
    private static let certainDeviations = 5.0

    /// What `lower_share` is if bounds by the high plane that are so many deviations wide are at most twice as wide as the
    /// certain ones by both planes, whose residuals are a fifteenth: then to compare a few more rows takes less than to look
    /// at the low plane of all. Nil for wider ones, and where they are so narrow that much is lost anyway.
    private static func lowerShare(deviations: Double?, width: Double?) -> Float? {
        guard let deviations, let width, deviations >= 1, 15 * width <= 2 else { return nil }
        return Float(max(0, certainDeviations / deviations - 1) / 2)
    }

    /// How large the components of a vector are: the largest of them, the sum of their absolute values, and their norm.
    private struct Size {
        var largest = 0.0
        var total = 0.0
        var norm = 0.0

        /// - Parameter vector: a rotated vector, which has a multiple of 32 components.
        init(_ vector: [Float]) {
            var squares = 0.0
            unsafe nephrite_code_measure(
                nephrite_code_set_in_use(), vector, vector.count, &largest, &total, &squares)
            norm = squares.squareRoot()
        }
    }

    /// A vector as a few odd integers times a step, for signs.
    private struct SignWeights {
        /// So much larger than what the integers were rounded with that what is lost is orthogonal to the vector.
        let step: Double
        /// The square of the norm of what is lost, as a part of the vector's.
        let error: Double

        /// - Parameter planes: room for the integers' bits.
        init(_ vector: [Float], _ size: Size, dimension: Int, _ planes: UnsafeMutablePointer<UInt8>) {
            // Of normally distributed components, which rotation makes, 0.29 would lose least (Max 1960). But then rows
            // near the query would be estimated two hundredths too near; so it is half a hundredth at a cosine of 0.95.
            let wanted = 0.37 * size.norm / Double(dimension).squareRoot()
            var (product, squares) = (0.0, 0.0)
            unsafe nephrite_code_weigh_signs(vector, dimension, Float(wanted), planes, &product, &squares)
            step = size.norm * size.norm / product
            error = max(0, squares * step * step / (size.norm * size.norm) - 1)
        }
    }

    /// A vector as integers times a step.
    private struct Weights {
        let step: Float
        let sum: Double
        let norm: Double
        /// The norm of what is lost.
        let error: Double

        /// - Parameters:
        ///   - maximum: the largest absolute value allowed.
        ///   - sum: the largest sum of absolute values allowed.
        ///   - weights: room for the integers.
        init(
            _ vector: [Float], _ size: Size, maximum: Double, sum largestSum: Double,
            _ weights: UnsafeMutablePointer<Int16>
        ) {
            // Rounded up, so that no weight exceeds its limit; rounding adds a half to each at most.
            let wanted = max(size.largest / maximum, size.total / (largestSum - Double(vector.count)))
            step = Double(Float(wanted)) < wanted ? Float(wanted).nextUp : Float(wanted)
            var (sum, squares, lost) = (0.0, 0.0, 0.0)
            unsafe nephrite_code_weigh(
                nephrite_code_set_in_use(), vector, vector.count, step, weights, &sum, &squares, &lost)
            self.sum = sum
            norm = squares.squareRoot()
            error = lost.squareRoot()
        }
    }
}

private func norm(_ values: [Float]) -> Double { innerProduct(values, values).squareRoot() }

/// Of as many components as both have. Four sums at a time: one alone would wait for itself.
private func innerProduct(_ a: [Float], _ b: [Float]) -> Double {
    let count = min(a.count, b.count)
    var sums = SIMD4<Double>.zero
    unsafe a.withUnsafeBufferPointer { a in
        unsafe b.withUnsafeBufferPointer { b in
            let whole = count & ~3
            for first in stride(from: 0, to: whole, by: 4) {
                for lane in 0..<4 { unsafe sums[lane] += Double(a[first + lane]) * Double(b[first + lane]) }
            }
            for index in whole..<count { unsafe sums[0] += Double(a[index]) * Double(b[index]) }
        }
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// A float that is not less, whatever a few roundings before it did.
private func roundedUp(_ value: Double) -> Float { Float(value) * (1 + 0x1p-22) }
