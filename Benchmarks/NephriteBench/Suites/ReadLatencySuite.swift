/// `read-latency`: point reads through the async handle while four writers commit and checkpoints run, against idle.

import Nephrite
import Synchronization

private let dimension = 128

/// Alternates idle and busy seconds of one reader.
func measureReadLatency(_ options: SuiteOptions) async throws -> [Measurement] {
    let rows = options.count ?? 100_000
    let path = try options.freshPath("latency")
    defer { removeTree(path) }
    var idle: [[Double]] = []
    var busy: [[Double]] = []
    var commits = Measurement(label: "  commits beside it", unit: "commits/s")
    var checkpoints = Measurement(label: "  checkpoints beside it", unit: "checkpoints")
    try await withVectorStore(at: path) { store in
        let database = try await store.createDatabase("latency", options: DatabaseOptions(dimension: dimension))
        try await fill(database, rows: rows, dimension: dimension)
        let load = WriteLoad(store: store, database: database, rows: rows)
        _ = try await read(database, rows: rows, seed: 0, forSeconds: 0.5)
        for round in 0..<options.repeatCount {
            let seed = UInt64(round * 2 + 1)
            idle.append(try await read(database, rows: rows, seed: seed, forSeconds: 2).percentiles(percents))
            let (latencies, counts) = try await load.run {
                try await read(database, rows: rows, seed: seed + 1, forSeconds: 2)
            }
            busy.append(latencies.percentiles(percents))
            commits.ours.append(Double(counts.commits) / 2)
            checkpoints.ours.append(Double(counts.checkpoints))
        }
    }
    let reads = percents.indices.map { index in
        Measurement(
            label: "p\(percents[index] == 99.9 ? "99.9" : String(Int(percents[index]))) busy / idle", unit: "µs",
            ours: busy.map { $0[index] / 1e3 },
            reference: idle.map { $0[index] / 1e3 }, goal: percents[index] == 99 ? .ratioAtMost(3) : .none)
    }
    return reads + [commits, checkpoints]
}

private let percents = [50.0, 99, 99.9]

/// Reads random rows one after the other and times each.
private func read(
    _ database: VectorDatabase, rows: Int, seed: UInt64, forSeconds duration: Double
) async throws -> Latencies {
    var latencies = Latencies(capacity: 8_000_000)
    var generator = Xoshiro(seed: seed)
    let end = nanoseconds() + UInt64(duration * 1e9)
    while true {
        let id = Row.id(generator.below(rows))
        let start = nanoseconds()
        if start >= end { return latencies }
        guard try await database.vector(for: id) != nil else { throw BenchError("\(id) is missing") }
        latencies.record(nanoseconds() - start)
        // The reader gives way between reads as a service does, and the time until it is back does not count.
        if latencies.count % 64 == 0 { await Task.yield() }
    }
}

/// Four tasks that commit one row at a time and one that has checkpoints made, one after the other.
private struct WriteLoad: Sendable {
    struct Counts: Sendable {
        var commits = 0
        var checkpoints = 0
    }

    let store: VectorStore
    let database: VectorDatabase
    let rows: Int

    /// Runs the body beside the load and stops the load when it returns.
    func run(_ body: () async throws -> Latencies) async throws -> (Latencies, Counts) {
        return try await withThrowingTaskGroup(of: Counts.self) { group in
            let stop = StopFlag()
            for writer in 0..<4 {
                group.addTask { Counts(commits: try await write(writer, until: stop)) }
            }
            group.addTask {
                var count = 0
                while !stop.isSet {
                    try await store.checkpoint()
                    count += 1
                    await Task.yield()
                }
                return Counts(checkpoints: count)
            }
            let result = try await body()
            stop.set()
            var total = Counts()
            for try await counts in group {
                total.commits += counts.commits
                total.checkpoints += counts.checkpoints
            }
            return (result, total)
        }
    }

    private func write(_ writer: Int, until stop: StopFlag) async throws -> Int {
        let vectors = SyntheticVectors.pool(count: 64, dimension: dimension, seed: UInt64(writer))
        var generator = Xoshiro(seed: UInt64(100 + writer))
        var count = 0
        while !stop.isSet {
            let row = generator.below(rows)
            try await database.upsert(
                VectorRecord(id: Row.id(row), vector: vectors[count % 64], metadata: Row.metadata(row)))
            count += 1
            await Task.yield()
        }
        return count
    }
}

/// Told by the reader, heard by the load.
final class StopFlag: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .relaxed) }

    func set() { flag.store(true, ordering: .relaxed) }
}
