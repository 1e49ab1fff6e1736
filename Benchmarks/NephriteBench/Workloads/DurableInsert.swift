/// `durable_insert`: batches of rows, each on the disk when it is acknowledged; ids and metadata are made while timed.

import Nephrite

/// Inserts until the rows or the time run out and prints rate, latencies and disk space.
func runDurableInsert(_ job: Job) async throws {
    let dataset = try Dataset(job.dataset)
    let rowCount = job.rowCount(in: dataset)
    let batchSize = max(1, job.batch ?? 1_000)
    dataset.base.populate(rows: rowCount)
    let path = try Dataset.temporaryPath("insert")
    defer { removeTree(path) }
    let (latencies, inserted, total) = try await withVectorStore(at: path, configuration: job.configuration) { store in
        let database = try await store.createDatabase(Dataset.databaseName, options: dataset.options)
        return try await insertBatches(
            of: batchSize, rows: rowCount, capSeconds: job.capSeconds ?? 4, from: dataset.base, into: database)
    }
    let diskBytes = diskByteCount(path)
    try emitResult([
        "vec_s": .number(Double(inserted) / total), "commit_ms": latencies.summary(unit: 1e6),
        "inserted": .integer(inserted), "disk_bytes": .integer(diskBytes),
        "bytes_per_raw": .number(Double(diskBytes) / Double(inserted * dataset.base.dimension * 4)),
    ])
}

private func insertBatches(
    of size: Int, rows: Int, capSeconds: Double, from source: FloatFile, into database: VectorDatabase
) async throws -> (Latencies, Int, Double) {
    var latencies = Latencies(capacity: rows / size + 1)
    var batch = RowBatch()
    var row = 0
    let start = nanoseconds()
    while row < rows && seconds(since: start) < capSeconds {
        let range = row..<min(rows, row + size)
        let batchStart = nanoseconds()
        if size == 1 {
            let record = VectorRecord(id: Row.id(row), vector: source.row(row), metadata: Row.metadata(row))
            try await database.insert(record)
        } else {
            batch.fill(range, from: source, sourceRow: row)
            try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
        }
        latencies.record(nanoseconds() - batchStart)
        row = range.upperBound
    }
    return (latencies, row, seconds(since: start))
}
