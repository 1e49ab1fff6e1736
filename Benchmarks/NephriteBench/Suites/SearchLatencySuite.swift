/// `search-latency`: searches while two writers commit durably, against the same searches alone.

import Nephrite

private let dimension = 128

/// Alternates idle and busy seconds of one searcher over 100,000 records.
func measureSearchLatency(_ options: SuiteOptions) async throws -> [Measurement] {
    let rows = options.count ?? 100_000
    let path = try options.freshPath("search-latency")
    defer { removeTree(path) }
    var median = Measurement(label: "p50 of searches, busy / idle", unit: "ms")
    var tail = Measurement(label: "p99 of searches, busy / idle", unit: "ms", goal: .ratioAtMost(1.5))
    var commits = Measurement(label: "  commits beside it", unit: "commits/s")
    try await withVectorStore(at: path, configuration: options.configuration) { store in
        let database = try await store.createDatabase("search", options: DatabaseOptions(dimension: dimension))
        try await fill(database, rows: rows, dimension: dimension)
        let queries = SyntheticVectors.pool(count: 64, dimension: dimension, seed: 4_242)
        try await finishCodes(database, query: queries[0])
        for _ in 0..<options.repeatCount {
            let idle = try await search(database, queries, forSeconds: 2).percentiles([50, 99])
            let stop = StopFlag()
            let (busy, count) = try await withThrowingTaskGroup(of: Int.self) { group in
                for writer in 0..<2 {
                    group.addTask { try await write(database, rows: rows, writer: writer, until: stop) }
                }
                let latencies = try await search(database, queries, forSeconds: 2)
                stop.set()
                var count = 0
                for try await written in group { count += written }
                return (latencies.percentiles([50, 99]), count)
            }
            median.ours.append(busy[0] / 1e6)
            median.reference.append(idle[0] / 1e6)
            tail.ours.append(busy[1] / 1e6)
            tail.reference.append(idle[1] / 1e6)
            commits.ours.append(Double(count) / 2)
        }
    }
    return [median, tail, commits]
}

/// Searches the newest state again and again and times each search.
private func search(
    _ database: VectorDatabase, _ queries: [[Float]], forSeconds duration: Double
) async throws -> Latencies {
    var latencies = Latencies(capacity: 100_000)
    let end = nanoseconds() + UInt64(duration * 1e9)
    var index = 0
    while true {
        let start = nanoseconds()
        if start >= end { return latencies }
        guard try await database.search(queries[index % queries.count], k: 10).count == 10 else {
            throw BenchError("too few answers")
        }
        latencies.record(nanoseconds() - start)
        index += 1
    }
}

/// Writes rows over those that are there, one durable commit each.
private func write(_ database: VectorDatabase, rows: Int, writer: Int, until stop: StopFlag) async throws -> Int {
    let vectors = SyntheticVectors.pool(count: 64, dimension: dimension, seed: UInt64(writer))
    var generator = Xoshiro(seed: UInt64(100 + writer))
    var count = 0
    while !stop.isSet {
        let row = generator.below(rows)
        try await database.upsert(VectorRecord(id: Row.id(row), vector: vectors[row % 64], metadata: Row.metadata(row)))
        count += 1
    }
    return count
}
