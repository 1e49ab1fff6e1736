/// The records of all campaigns: told apart by one number, from which vector and metadata follow, so that what is read
/// back names the write it came from. Workloads write them, readers and oracles take them apart.
package import Nephrite

/// Records made from numbers.
package enum Values {
    /// Components of a vector; a unit of 64 KiB holds 32 of them, so that small workloads make the file grow.
    package static let dimension = 512

    /// The vector of a number.
    package static func vector(_ number: Int) -> [Float] {
        unsafe [Float](unsafeUninitializedCapacity: dimension) { buffer, count in
            for index in 0..<dimension { unsafe buffer[index] = component(number, index) }
            count = dimension
        }
    }

    private static func component(_ number: Int, _ index: Int) -> Float {
        Float(Int32(truncatingIfNeeded: number &* 31 &+ index &* 7) & 1_023) - 511.5
    }

    private static let paddings = (0..<90).map { String(repeating: "p", count: $0) }

    private static func padding(_ number: Int) -> String { paddings[number * 13 % 90] }

    /// The record of a number.
    package static func record(id: String, number: Int) -> VectorRecord {
        VectorRecord(
            id: id, vector: vector(number),
            metadata: ["n": .integer(Int64(number)), "pad": .string(padding(number))])
    }

    /// What the model holds for a number: the number itself, as everything else follows from it.
    package static func model(number: Int) -> ModelRecord {
        let bytes = unsafe withUnsafeBytes(of: number.littleEndian) { unsafe [UInt8]($0) }
        return ModelRecord(vector: [Float(number)], metadata: bytes)
    }

    /// The number and model of a record that was read; a record that nobody can have written has no number.
    package static func model(of record: VectorRecord) -> (Int?, ModelRecord) {
        guard case .integer(let integer)? = record.metadata["n"], case .string(let pad)? = record.metadata["pad"],
            integer >= 0
        else { return (nil, ModelRecord(vector: [-1], metadata: [])) }
        let number = Int(integer)
        guard isVector(record.vector, of: number), pad == padding(number) else {
            return (nil, ModelRecord(vector: [-2], metadata: []))
        }
        return (number, model(number: number))
    }

    private static func isVector(_ vector: [Float], of number: Int) -> Bool {
        guard vector.count == dimension else { return false }
        var differences: UInt32 = 0
        for index in 0..<dimension { differences |= vector[index].bitPattern ^ component(number, index).bitPattern }
        return differences == 0
    }
}
