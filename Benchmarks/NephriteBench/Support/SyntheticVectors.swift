/// Made-up data: a seeded generator of unit vectors that the suites store, fast enough not to be what is measured.

/// xoshiro256++ (Blackman and Vigna 2019), seeded by SplitMix64.
struct Xoshiro: RandomNumberGenerator {
    private var state: SIMD4<UInt64>

    /// A generator whose whole sequence follows from `seed`.
    init(seed: UInt64) {
        var mixer = seed
        func mixed() -> UInt64 {
            mixer &+= 0x9E37_79B9_7F4A_7C15
            var value = mixer
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return value ^ (value >> 31)
        }
        state = SIMD4(mixed(), mixed(), mixed(), mixed())
    }

    /// The next 64 bits.
    @inline(__always)
    mutating func next() -> UInt64 {
        let sum = state[0] &+ state[3]
        let result = ((sum << 23) | (sum >> 41)) &+ state[0]
        let shifted = state[1] << 17
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= shifted
        state[3] = (state[3] << 45) | (state[3] >> 19)
        return result
    }

    /// A number below `bound`, by multiplication; the bias is far below what a benchmark sees.
    @inline(__always)
    mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// A nearly normal number: the sum of four uniform 16-bit parts (Irwin–Hall), mean 0.
    @inline(__always)
    mutating func nearlyNormal() -> Float {
        let bits = next()
        let sum = (bits & 0xFFFF) &+ ((bits >> 16) & 0xFFFF) &+ ((bits >> 32) & 0xFFFF) &+ (bits >> 48)
        return Float(sum) - 131_070
    }
}

/// Unit vectors that follow from a seed and the number of their block.
enum SyntheticVectors {
    /// Rows in a block; blocks are made independently of each other.
    static let blockRowCount = 10_000

    /// Appends `rows` unit vectors to `vectors`, row after row.
    static func append(rows: Int, dimension: Int, seed: UInt64, to vectors: inout [Float]) {
        var generator = Xoshiro(seed: seed)
        var row = [Float](repeating: 0, count: dimension)
        vectors.reserveCapacity(vectors.count + rows * dimension)
        for _ in 0..<rows {
            var squares: Float = 0
            for index in 0..<dimension {
                let value = generator.nearlyNormal()
                row[index] = value
                squares += value * value
            }
            let scale = 1 / squares.squareRoot()
            for index in 0..<dimension { row[index] *= scale }
            vectors.append(contentsOf: row)
        }
    }

    /// `count` vectors of their own, for loops that store one at a time.
    static func pool(count: Int, dimension: Int, seed: UInt64) -> [[Float]] {
        var flat: [Float] = []
        append(rows: count, dimension: dimension, seed: seed, to: &flat)
        return (0..<count).map { Array(flat[($0 * dimension)..<(($0 + 1) * dimension)]) }
    }
}
