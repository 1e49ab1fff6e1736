/// `churn`: exact searches of a fresh store, after three rows of ten were deleted and inserted again, and what that did to
/// the size on disk. There is no compaction yet, so nothing is said of a compacted store.

import Nephrite

/// Deletes 30 % of the rows, inserts them again, and measures searches before and after.
func runChurn(_ job: Job) async throws {
    let dataset = try Dataset(job.dataset)
    let rows = job.rowCount(in: dataset, default: 50_000)
    let queryFile = try dataset.queries()
    let queries = (0..<min(300, queryFile.count)).map { queryFile.row($0) }
    let path = try Dataset.temporaryPath("churn")
    defer { removeTree(path) }
    let metrics = try await withVectorStore(at: path, configuration: job.configuration) { store in
        let database = try await store.createDatabase(Dataset.databaseName, options: dataset.options)
        let look = Look(database: database, dataset: dataset, rows: rows, queries: queries, path: path)
        var batch = RowBatch()
        for first in stride(from: 0, to: rows, by: 20_000) {
            let range = first..<min(rows, first + 20_000)
            batch.fill(range, from: dataset.base, sourceRow: first)
            try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
        }
        let before = try await look.take()
        let chosen = shuffled(rows).prefix(rows * 3 / 10)
        var start = nanoseconds()
        for batch in batches(of: Array(chosen)) { try await database.delete(batch.map(Row.id)) }
        let deleteSeconds = seconds(since: start)
        let deletedDisk = diskByteCount(path)
        start = nanoseconds()
        for batch in batches(of: Array(chosen)) {
            try await database.insert(
                ids: batch.map(Row.id), vectors: batch.flatMap(dataset.base.row), metadata: batch.map(Row.metadata))
        }
        let insertSeconds = seconds(since: start)
        let after = try await look.take()
        guard try await database.count() == rows else { throw BenchError("rows are missing after the churn") }
        return [
            "before": before, "after": after, "compacted": .null, "compact_s": .null,
            "delete_s": .number(deleteSeconds), "reinsert_s": .number(insertSeconds),
            "delete_vec_s": .number(Double(chosen.count) / deleteSeconds),
            "reinsert_vec_s": .number(Double(chosen.count) / insertSeconds), "after_delete_disk": .integer(deletedDisk),
        ] as JSONValue
    }
    try emitResult(metrics)
}

/// A look at the store: recall, queries a second, bytes on disk.
private struct Look {
    let database: VectorDatabase
    let dataset: Dataset
    let rows: Int
    let queries: [[Float]]
    let path: String

    func take() async throws -> JSONValue {
        try await encodeAll(database)
        var found: [[Int]] = []
        let start = nanoseconds()
        for query in queries {
            found.append(try await database.search(query, k: 10).compactMap { Row.number(of: $0.id) })
            if found.count >= 20, seconds(since: start) > 3 { break }
        }
        let rate = Double(found.count) / seconds(since: start)
        let recall = try RecallChecker(dataset: dataset, rows: rows).recall(of: found, queries: queries)
        return ["recall": .number(recall), "qps_1t": .number(rate), "disk_bytes": .integer(diskByteCount(path))]
    }
}

/// The numbers below a count in an order that is always the same.
private func shuffled(_ count: Int) -> [Int] {
    var numbers = Array(0..<count)
    var state: UInt64 = 3
    for last in stride(from: count - 1, to: 0, by: -1) {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        numbers.swapAt(last, Int((state >> 33) % UInt64(last + 1)))
    }
    return numbers
}

private func batches(of numbers: [Int]) -> [ArraySlice<Int>] {
    stride(from: 0, to: numbers.count, by: 1_000).map { numbers[$0..<min(numbers.count, $0 + 1_000)] }
}
