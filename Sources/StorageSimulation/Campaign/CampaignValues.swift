/// The records of all campaigns: told apart by one number, from which vector and metadata follow, so that what is read
/// back names the write it came from. Workloads write them, readers and oracles take them apart.
package import Nephrite

/// Records made from numbers.
package enum Values {
    /// Components of a vector; a unit of 64 KiB holds 32 of them, so that small workloads make the file grow.
    package static let dimension = 512

    private static let known = Box<[Int: [Float]]>([:])

    /// The vector of a number.
    package static func vector(_ number: Int) -> [Float] {
        if let vector = known.value[number] { return vector }
        var vector = [Float](repeating: 0, count: dimension)
        for index in 0..<dimension { vector[index] = Float((number &* 31 &+ index &* 7) & 1_023) - 511.5 }
        let made = vector
        known.update { known in
            if known.count > 8_192 { known.removeAll(keepingCapacity: true) }
            known[number] = made
        }
        return vector
    }

    private static func padding(_ number: Int) -> String {
        String(repeating: "p", count: number * 13 % 90)
    }

    /// The record of a number.
    package static func record(id: String, number: Int) -> VectorRecord {
        VectorRecord(
            id: id, vector: vector(number),
            metadata: ["n": .integer(Int64(number)), "pad": .string(padding(number))])
    }

    /// What the model holds for a number.
    package static func model(number: Int) -> ModelRecord {
        ModelRecord(vector: [Float(number)], metadata: Array("\(number) \(padding(number).count)".utf8))
    }

    /// The number and model of a record that was read; a record that nobody can have written has no number.
    package static func model(of record: VectorRecord) -> (Int?, ModelRecord) {
        guard case .integer(let integer)? = record.metadata["n"], case .string(let pad)? = record.metadata["pad"]
        else { return (nil, ModelRecord(vector: [-1], metadata: [])) }
        let number = Int(integer)
        guard isEqual(record.vector, vector(number)), pad == padding(number) else {
            return (nil, ModelRecord(vector: [-2], metadata: []))
        }
        return (number, model(number: number))
    }

    private static func isEqual(_ one: [Float], _ other: [Float]) -> Bool {
        unsafe one.withUnsafeBytes { left in
            unsafe other.withUnsafeBytes { right in
                guard left.count == right.count else { return false }
                for offset in stride(from: 0, to: left.count, by: 64) {
                    let a = unsafe left.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt32>.self)
                    let b = unsafe right.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt32>.self)
                    if a != b { return false }
                }
                return true
            }
        }
    }
}
