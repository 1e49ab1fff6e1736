/// The rows that every benchmark stores: ids and metadata as the peers' harness defines them, made without formatting.

import Nephrite

/// Row number i as a record: id `doc-%08d`, metadata c100, c10, c2, title and ts.
enum Row {
    /// `doc-` and the number with at least eight digits; short enough to be stored in the string value itself.
    @inline(__always)
    static func id(_ row: Int) -> String {
        guard row < 100_000_000 else { return "doc-\(row)" }
        return unsafe String(unsafeUninitializedCapacity: 12) { buffer in
            unsafe buffer[0] = 0x64
            unsafe buffer[1] = 0x6F
            unsafe buffer[2] = 0x63
            unsafe buffer[3] = 0x2D
            var rest = row
            for position in stride(from: 11, through: 4, by: -1) {
                unsafe buffer[position] = UInt8(0x30 + rest % 10)
                rest /= 10
            }
            return 12
        }
    }

    /// The row number that an id was made from.
    static func number(of id: String) -> Int? {
        Int(id.utf8.dropFirst(4).reduce(0) { $0 * 10 + Int($1) - 0x30 })
    }

    /// The five fields of the harness.
    @inline(__always)
    static func metadata(_ row: Int) -> Metadata {
        let category = Int64(((row &* 2_654_435_761) >> 7) % 100)
        return [
            "c100": .integer(category), "c10": .integer(category % 10), "c2": .integer(category % 2),
            "title": .string(title(row)), "ts": .integer(1_700_000_000 + Int64(row)),
        ]
    }

    /// `Item ` and the number.
    @inline(__always)
    private static func title(_ row: Int) -> String {
        var digitCount = 1
        var limit = 10
        while row >= limit {
            digitCount += 1
            limit *= 10
        }
        guard digitCount <= 10 else { return "Item \(row)" }
        return unsafe String(unsafeUninitializedCapacity: 15) { buffer in
            unsafe buffer[0] = 0x49
            unsafe buffer[1] = 0x74
            unsafe buffer[2] = 0x65
            unsafe buffer[3] = 0x6D
            unsafe buffer[4] = 0x20
            var rest = row
            for position in stride(from: 4 + digitCount, to: 4, by: -1) {
                unsafe buffer[position] = UInt8(0x30 + rest % 10)
                rest /= 10
            }
            return 5 + digitCount
        }
    }

    /// Bytes that a row is made of, as a log without a database would append them: id, vector and metadata.
    static func payloadByteCount(dimension: Int) -> Int {
        12 + dimension * 4 + metadata(50_000).encodedByteCount
    }
}

/// A batch that is filled again and again, so that its arrays are allocated once.
struct RowBatch {
    private(set) var ids: [String] = []
    private(set) var vectors: [Float] = []
    private(set) var metadata: [Metadata] = []

    /// Fills the batch with `rows`, whose vectors are those of `source` from `sourceRow` on.
    mutating func fill(_ rows: Range<Int>, from source: FloatFile, sourceRow: Int) {
        fillNames(rows)
        vectors.removeAll(keepingCapacity: true)
        unsafe vectors.append(contentsOf: source.floats(sourceRow..<(sourceRow + rows.count)))
    }

    /// Fills the batch with `rows` and the vectors given.
    mutating func fill(_ rows: Range<Int>, vectors given: ArraySlice<Float>) {
        fillNames(rows)
        vectors.removeAll(keepingCapacity: true)
        vectors.append(contentsOf: given)
    }

    private mutating func fillNames(_ rows: Range<Int>) {
        ids.removeAll(keepingCapacity: true)
        metadata.removeAll(keepingCapacity: true)
        ids.reserveCapacity(rows.count)
        metadata.reserveCapacity(rows.count)
        for row in rows {
            ids.append(Row.id(row))
            metadata.append(Row.metadata(row))
        }
    }
}

/// Inserts synthetic rows in batches of 10,000.
func fill(_ database: VectorDatabase, rows: Int, dimension: Int) async throws {
    var batch = RowBatch()
    for first in stride(from: 0, to: rows, by: 10_000) {
        let range = first..<min(rows, first + 10_000)
        var vectors: [Float] = []
        SyntheticVectors.append(rows: range.count, dimension: dimension, seed: UInt64(first), to: &vectors)
        batch.fill(range, vectors: vectors[...])
        try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
    }
}
