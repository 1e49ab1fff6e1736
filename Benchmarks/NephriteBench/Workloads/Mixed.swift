/// `mixed`: two searching tasks alone, then together with a task that inserts durable batches of a hundred, then alone
/// again on what has become of the database; once with a writer that does what it can, once with one of a fixed rate.

import Foundation
import Nephrite

/// Rows a second of the writer of the second result.
private let steadyRowsPerSecond = 5_000

/// Measures searches without and with a writer beside them, on copies of the kept store.
func runMixed(_ job: Job) async throws {
    try emitResult(try await mixedMetrics(job))
    guard job.writeRowsPerSecond == nil else { return }
    var steady = job
    steady.writeRowsPerSecond = steadyRowsPerSecond
    try emitResult(try await mixedMetrics(steady), changing: ["write_rows_s": .integer(steadyRowsPerSecond)])
}

private func mixedMetrics(_ job: Job) async throws -> JSONValue {
    let dataset = try Dataset(job.dataset)
    let rows = job.rowCount(in: dataset)
    let kept = try await dataset.keptStore(rows: rows)
    let path = try Dataset.temporaryPath("mixed")
    defer { removeTree(path) }
    try FileManager.default.copyItem(atPath: kept, toPath: path)
    let queryFile = try dataset.queries()
    let queries = (0..<min(500, queryFile.count)).map { queryFile.row($0) }
    let duration = job.seconds ?? 5
    return try await withVectorStore(at: path, configuration: job.configuration) { store in
        let database = try await store.database(Dataset.databaseName)
        let load = MixedLoad(
            database: database, queries: queries, source: dataset.base, firstNewRow: rows + 1_000_000,
            rowsPerSecond: job.writeRowsPerSecond)
        try await encodeAll(database)
        _ = try await database.search(queries[0], k: 10)
        let alone = try await load.run(forSeconds: duration, writing: false)
        let together = try await load.run(forSeconds: duration, writing: true)
        try await encodeAll(database)
        // What is left of the difference now is the rows that there are more.
        let grown = try await load.run(forSeconds: duration, writing: false)
        return [
            "alone": ["qps": .number(alone.rate), "search_us": alone.searches.summary(unit: 1e3)],
            "together": [
                "qps": .number(together.rate), "search_us": together.searches.summary(unit: 1e3),
                "write_vec_s": .number(Double(100 * together.commits.count) / together.seconds),
                "commit_ms": together.commits.summary(unit: 1e6),
            ],
            "grown": [
                "qps": .number(grown.rate), "search_us": grown.searches.summary(unit: 1e3),
                "rows": .integer(rows + 100 * together.commits.count),
            ],
        ]
    }
}

/// What a phase measured.
private struct MixedPhase {
    var searches = Latencies()
    var commits = Latencies()
    var seconds = 0.0

    var rate: Double { Double(searches.count) / seconds }
}

/// The searching and writing tasks.
private struct MixedLoad {
    let database: VectorDatabase
    let queries: [[Float]]
    let source: FloatFile
    let firstNewRow: Int
    /// Nil: as many as can be.
    let rowsPerSecond: Int?

    func run(forSeconds duration: Double, writing: Bool) async throws -> MixedPhase {
        let start = nanoseconds()
        let end = start + UInt64(duration * 1e9)
        return try await withThrowingTaskGroup(of: (isWriter: Bool, Latencies).self) { group in
            for reader in 0..<2 {
                group.addTask { (false, try await search(first: reader, until: end)) }
            }
            if writing { group.addTask { (true, try await write(until: end)) } }
            var phase = MixedPhase()
            for try await (isWriter, latencies) in group {
                if isWriter { phase.commits.merge(latencies) } else { phase.searches.merge(latencies) }
            }
            phase.seconds = seconds(since: start)
            return phase
        }
    }

    private func search(first: Int, until end: UInt64) async throws -> Latencies {
        var latencies = Latencies(capacity: 100_000)
        var index = first
        while true {
            let start = nanoseconds()
            if start >= end { return latencies }
            _ = try await database.search(queries[index % queries.count], k: 10)
            latencies.record(nanoseconds() - start)
            index += 1
            // Between requests a service waits for the next one; without that, two tasks would keep both threads.
            await Task.yield()
        }
    }

    private func write(until end: UInt64) async throws -> Latencies {
        var latencies = Latencies(capacity: 100_000)
        var batch = RowBatch()
        var done = 0
        let sources = max(1, min(20_000, source.count) - 100)
        let beginning = nanoseconds()
        while true {
            let start = nanoseconds()
            if start >= end { return latencies }
            let first = firstNewRow + done
            batch.fill(first..<(first + 100), from: source, sourceRow: done % sources)
            try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
            latencies.record(nanoseconds() - start)
            done += 100
            if let rowsPerSecond {
                let due = beginning + UInt64(done) * 1_000_000_000 / UInt64(rowsPerSecond)
                let now = nanoseconds()
                if due > now { try await Task.sleep(nanoseconds: min(due, end) &- min(now, end)) }
            }
        }
    }
}
