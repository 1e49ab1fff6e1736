/// Turns vectors into codes: the code store hands it rows, it hands back the bytes of the two planes. A plain scalar
/// quantiser with eight bits a component: four in the high plane, four in the low one.

struct VectorCodec: Sendable {
    /// Changes when the bytes of a code change.
    static let version: UInt32 = 0

    let dimension: Int
    let seed: UInt64
    /// What is subtracted from every row; empty for nothing.
    let centre: [Float]

    init(dimension: Int, seed: UInt64, centre: [Float]) {
        precondition(centre.isEmpty || centre.count == dimension, "a centre has the dimension's components")
        self.dimension = dimension
        self.seed = seed
        self.centre = centre
    }

    /// What an encoder needs room for; one for each thread.
    struct Scratch: ~Copyable {
        fileprivate var row: [Float]

        init(dimension: Int) { row = [Float](repeating: 0, count: dimension) }
    }

    private static let factorByteCount = 8

    /// Bytes per row of the high plane.
    var highStride: Int { (Self.factorByteCount + (dimension + 1) / 2 + 15) & ~15 }
    /// Bytes per row of the low plane.
    var lowStride: Int { ((dimension + 1) / 2 + 15) & ~15 }

    /// Encodes rows that are `stride` bytes apart into planes whose bytes are zero.
    func encode(
        _ rows: UnsafeRawPointer, stride: Int, count: Int, high: UnsafeMutableRawPointer,
        low: UnsafeMutableRawPointer, scratch: inout Scratch
    ) {
        for index in 0..<count {
            unsafe encode(
                rows + index * stride, high: high + index * highStride, low: low + index * lowStride, &scratch)
        }
    }

    private func encode(
        _ row: UnsafeRawPointer, high: UnsafeMutableRawPointer, low: UnsafeMutableRawPointer, _ scratch: inout Scratch
    ) {
        var smallest = Float.greatestFiniteMagnitude
        var largest = -Float.greatestFiniteMagnitude
        for component in 0..<dimension {
            var value = unsafe row.load(fromByteOffset: component * 4, as: Float.self)
            if !centre.isEmpty { value -= centre[component] }
            scratch.row[component] = value
            smallest = min(smallest, value)
            largest = max(largest, value)
        }
        let step = (largest - smallest) / 255
        unsafe high.storeBytes(of: smallest, as: Float.self)
        unsafe high.storeBytes(of: step, toByteOffset: 4, as: Float.self)
        let nibbles = unsafe high + Self.factorByteCount
        for component in 0..<dimension {
            let level = step > 0 ? (scratch.row[component] - smallest) / step : 0
            // Not a number where the spread of a row is beyond a float's range.
            let code = level >= 0 ? UInt8(min(level.rounded(), 255)) : 0
            let shift = UInt8(component % 2 * 4)
            let byte = component / 2
            let upper = unsafe nibbles.load(fromByteOffset: byte, as: UInt8.self) | (code >> 4) << shift
            unsafe nibbles.storeBytes(of: upper, toByteOffset: byte, as: UInt8.self)
            let lower = unsafe low.load(fromByteOffset: byte, as: UInt8.self) | (code & 15) << shift
            unsafe low.storeBytes(of: lower, toByteOffset: byte, as: UInt8.self)
        }
    }
}
