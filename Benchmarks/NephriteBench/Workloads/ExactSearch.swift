/// `exact_search`: single top-10 queries, then a batch, with the answers checked against the true neighbours.

import Nephrite

/// Measures single and batched exact searches and their recall.
func runExactSearch(_ job: Job) async throws {
    let dataset = try Dataset(job.dataset)
    let rows = job.rowCount(in: dataset)
    let path = try await dataset.keptStore(rows: rows)
    let queryFile = try dataset.queries()
    let queries = (0..<min(1_000, queryFile.count)).map { queryFile.row($0) }
    let cap = job.capSeconds ?? 6
    let metrics = try await withVectorStore(at: path, configuration: job.configuration) { store in
        let database = try await store.database(Dataset.databaseName)
        try await encodeAll(database)
        let snapshot = try await database.snapshot()
        guard snapshot.count == rows else { throw BenchError("\(path) has \(snapshot.count) rows, not \(rows)") }
        let (latencies, found) = try await singleSearches(snapshot, queries, capSeconds: cap)
        let (batchRate, batchSize) = try await batchedSearches(snapshot, queries, capSeconds: cap)
        let checker = RecallChecker(dataset: dataset, rows: rows)
        return [
            "single_ms": latencies.summary(unit: 1e6),
            "single_qps": .number(Double(latencies.count) / latencies.totalSeconds),
            "scan_gb_s": .number(Double(rows * dataset.base.dimension * 4) / latencies.percentiles([50])[0]),
            "batch_qps": .number(batchRate), "batch_size": .integer(batchSize),
            "recall": .number(try checker.recall(of: found, queries: queries)), "n": .integer(rows),
        ] as JSONValue
    }
    try emitResult(metrics)
}

private func singleSearches(
    _ snapshot: DatabaseSnapshot, _ queries: [[Float]], capSeconds: Double
) async throws -> (Latencies, [[Int]]) {
    var latencies = Latencies(capacity: 200)
    var found: [[Int]] = []
    _ = try await snapshot.search(queries[0], k: 10)
    let start = nanoseconds()
    for query in queries.prefix(200) {
        let queryStart = nanoseconds()
        let hits = try await snapshot.search(query, k: 10)
        latencies.record(nanoseconds() - queryStart)
        found.append(hits.compactMap { Row.number(of: $0.id) })
        if latencies.count >= 5 && seconds(since: start) > capSeconds { break }
    }
    return (latencies, found)
}

/// A batch of as many queries as fit into the time, 10 at least and all at most.
private func batchedSearches(
    _ snapshot: DatabaseSnapshot, _ queries: [[Float]], capSeconds: Double
) async throws -> (rate: Double, size: Int) {
    let trialStart = nanoseconds()
    _ = try await snapshot.search(Array(queries.prefix(10)), k: 10)
    let each = seconds(since: trialStart) / 10
    let size = min(queries.count, max(10, Int(min(1_000, capSeconds / each))))
    let start = nanoseconds()
    _ = try await snapshot.search(Array(queries.prefix(size)), k: 10)
    return (Double(size) / seconds(since: start), size)
}

/// Counts the answers that are as near as the true ones; ties count, as in the harness.
struct RecallChecker {
    let dataset: Dataset
    /// The rows that are searched: the first of the data set.
    let rows: Int

    /// The share of the ten asked for that is right, over the first answers.
    func recall(of found: [[Int]], queries: [[Float]]) throws -> Double {
        let isWhole = rows == dataset.base.count
        let truth = isWhole ? try dataset.groundTruth() : nil
        let wanted = min(10, rows)
        let checked = min(found.count, isWhole ? 20 : 5)
        var hits = 0
        for index in 0..<checked {
            let bound = truth?.score(query: index, rank: wanted) ?? bruteForceBound(queries[index], rank: wanted)
            let answers = Set(found[index].prefix(10)).filter { $0 < rows }
            let right = answers.count { isAsNear(score(queries[index], row: $0), bound) }
            hits += min(wanted, right)
        }
        return Double(hits) / Double(checked * wanted)
    }

    private func isAsNear(_ score: Float, _ bound: Float) -> Bool {
        dataset.isEuclidean ? score <= bound * (1 + 1e-5) + 1e-6 : score >= bound - 1e-5
    }

    private func score(_ query: [Float], row: Int) -> Float {
        let values = unsafe dataset.base.floats(row..<(row + 1))
        var sum: Float = 0
        for index in 0..<query.count {
            if dataset.isEuclidean {
                let difference = unsafe values[index] - query[index]
                sum += difference * difference
            } else {
                unsafe sum += values[index] * query[index]
            }
        }
        return sum
    }

    /// The score of the row that has a rank among some rows.
    func bound(_ query: [Float], among rows: [Int], rank: Int) -> Float {
        let scores = rows.map { score(query, row: $0) }
        return (dataset.isEuclidean ? scores.sorted(by: <) : scores.sorted(by: >))[rank - 1]
    }

    /// Whether a row is as near to a query as a bound says.
    func isAsNear(_ row: Int, to query: [Float], as bound: Float) -> Bool { isAsNear(score(query, row: row), bound) }

    private func bruteForceBound(_ query: [Float], rank: Int) -> Float {
        let scores = (0..<rows).map { score(query, row: $0) }
        let sorted = dataset.isEuclidean ? scores.sorted(by: <) : scores.sorted(by: >)
        return sorted[rank - 1]
    }
}
