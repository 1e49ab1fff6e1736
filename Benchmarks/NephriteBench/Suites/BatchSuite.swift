/// `batches`: durable batches of several sizes against a plain file that gets the same payload bytes and is synced.

import Nephrite

/// For each shape, alternates a store and a file; each starts with clean disks and a store of its own.
func measureBatches(_ options: SuiteOptions) async throws -> [Measurement] {
    var result: [Measurement] = []
    for dimension in [128, 768] {
        let rows = (options.count ?? 100_000) / (dimension == 128 ? 1 : 3)
        var vectors: [Float] = []
        SyntheticVectors.append(rows: min(rows, 10_000), dimension: dimension, seed: 3, to: &vectors)
        for size in [100, 1_000, 10_000] where size <= rows {
            let shape = BatchShape(dimension: dimension, size: size, rows: rows / size * size)
            var measurement = Measurement(
                label: "\(size) × \(dimension)-d", unit: "MB/s",
                goal: size == 100 ? .none : .ratioAtLeast(0.6))
            var rates = Measurement(label: "  rows", unit: "rows/s")
            var whole = Measurement(label: "  with making the rows", unit: "MB/s")
            for _ in 0..<options.repeatCount {
                synchronizeDisks()
                let ours = try await storeSeconds(shape, vectors, options)
                synchronizeDisks()
                let reference = try fileSeconds(shape, options)
                measurement.ours.append(shape.megabytes / ours.inserting)
                measurement.reference.append(shape.megabytes / reference)
                rates.ours.append(Double(shape.rows) / ours.inserting)
                rates.reference.append(Double(shape.rows) / reference)
                whole.ours.append(shape.megabytes / ours.all)
                whole.reference.append(shape.megabytes / reference)
            }
            result += [measurement, rates, whole]
        }
    }
    return result
}

/// Batches of one size and dimension.
private struct BatchShape {
    let dimension: Int
    let size: Int
    let rows: Int

    /// Ids, vectors and metadata of one batch.
    var batchByteCount: Int { size * Row.payloadByteCount(dimension: dimension) }
    /// All payload bytes in millions.
    var megabytes: Double { Double(batchByteCount * (rows / size)) / 1e6 }
}

/// The seconds spent in `insert`, which are compared with the file, whose bytes are there before; and all of them, those in
/// which the benchmark makes ids and metadata included.
private func storeSeconds(
    _ shape: BatchShape, _ vectors: [Float], _ options: SuiteOptions
) async throws -> (inserting: Double, all: Double) {
    let path = try options.freshPath("batches")
    defer { removeTree(path) }
    return try await withVectorStore(at: path) { store in
        let database = try await store.createDatabase("batches", options: DatabaseOptions(dimension: shape.dimension))
        let poolRows = vectors.count / shape.dimension / shape.size * shape.size
        var batch = RowBatch()
        var inserting = 0.0
        let start = nanoseconds()
        for first in stride(from: 0, to: shape.rows, by: shape.size) {
            let from = first % poolRows * shape.dimension
            batch.fill(first..<(first + shape.size), vectors: vectors[from..<(from + shape.size * shape.dimension)])
            let filled = nanoseconds()
            try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
            inserting += seconds(since: filled)
        }
        return (inserting, seconds(since: start))
    }
}

private func fileSeconds(_ shape: BatchShape, _ options: SuiteOptions) throws -> Double {
    let payload = [UInt8](repeating: 0x5A, count: shape.batchByteCount)
    var log = try ReferenceLog(path: options.freshPath("batches-file"))
    let start = nanoseconds()
    for _ in 0..<(shape.rows / shape.size) { try log.append(payload) }
    return seconds(since: start)
}
