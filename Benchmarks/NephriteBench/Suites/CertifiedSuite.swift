/// `certified`: exact searches as callers make them, by codes where the database has them, against comparing every record
/// in float32 in the same run; a batch against single queries, the approximate mode against the exact one, and two threads
/// against one.

import Foundation
import Nephrite

/// Measures on the data sets that are there: synthetic 768-d, Fashion-MNIST, the WordNet sample, GloVe 50-d, and synthetic 128-d.
func measureCertified(_ options: SuiteOptions) async throws -> [Measurement] {
    try WordNetSample.prepare()
    var result: [Measurement] = []
    for name in ["syn768", "fashion", WordNetSample.name, "glove50", "syn128"]
    where FileManager.default.fileExists(atPath: "\(Dataset.root)/\(name)")
        && (options.datasets.isEmpty || options.datasets.contains(name))
    {
        let dataset = try Dataset(name)
        let rows = min(options.count ?? dataset.base.count, dataset.base.count)
        let path = try await dataset.keptStore(rows: rows)
        let queryFile = try dataset.queries()
        let queries = (0..<64).map { queryFile.row($0) }
        var configuration = options.configuration
        configuration.searchThreadCount = 2
        try await withVectorStore(at: path, configuration: configuration) { store in
            let database = try await store.database(Dataset.databaseName)
            try await finishCodes(database, query: queries[0])
            let snapshot = try await database.snapshot()
            for mode in [SearchMode.exact, .approximate(recall: 0.99)] {
                printError("\(name): \(try await snapshot.explain(queries[0], k: 10, options: oneThread(mode)))")
            }
            result += try await measure(name, snapshot, queries, options)
        }
    }
    return result
}

/// Searches until every record has a code.
func finishCodes(_ database: VectorDatabase, query: [Float]) async throws {
    while true {
        _ = try await database.search(query, k: 10)
        let statistics = try await database.statistics()
        if statistics.codingProgress == 1 { return }
        guard statistics.codingFailures == 0 else { throw BenchError("the codes could not be made") }
        try await Task.sleep(for: .milliseconds(50))
    }
}

private func oneThread(_ mode: SearchMode = .exact) -> SearchOptions {
    SearchOptions(mode: mode, maximumThreads: 1)
}

private func measure(
    _ name: String, _ snapshot: DatabaseSnapshot, _ queries: [[Float]], _ options: SuiteOptions
) async throws -> [Measurement] {
    var single = Measurement(
        label: "\(name), one query / float32 scan", unit: "ms", goal: .ratioAtMost(name == "syn768" ? 0.2 : 0.35))
    var batch = Measurement(label: "\(name), each of 64 / one query", unit: "ms", goal: .ratioAtMost(0.25))
    var near = Measurement(label: "\(name), recall 0.99 / one query", unit: "ms", goal: .ratioAtMost(0.5))
    var recall = Measurement(label: "\(name), recall@10 of recall 0.99", unit: "", goal: .valueAtLeast(0.99))
    var threads = Measurement(label: "\(name), queries/s on two threads / one", unit: "1/s", goal: .ratioAtLeast(1.7))
    for _ in 0..<options.repeatCount {
        let exact = try await searchTimes(queries) { try await snapshot.search($0, k: 10, options: oneThread()) }
        let scan = try await scanTime(snapshot, queries, exact.hits)
        let start = nanoseconds()
        let batched = try await snapshot.search(queries, k: 10, options: oneThread())
        let batchTime = seconds(since: start) / Double(queries.count)
        guard batched == exact.hits else { throw BenchError("\(name): a batch found something else than its queries") }
        let two = try await searchTimes(queries) { try await snapshot.search($0, k: 10) }
        guard two.hits == exact.hits else { throw BenchError("\(name): two threads found something else than one") }
        let approximate = try await searchTimes(queries) {
            try await snapshot.search($0, k: 10, options: oneThread(.approximate(recall: 0.99)))
        }
        let found = zip(approximate.hits, exact.hits).reduce(0) { $0 + Set($1.0).intersection($1.1).count }
        single.ours.append(exact.median * 1e3)
        single.reference.append(scan * 1e3)
        batch.ours.append(batchTime * 1e3)
        batch.reference.append(exact.median * 1e3)
        near.ours.append(approximate.median * 1e3)
        near.reference.append(exact.median * 1e3)
        recall.ours.append(Double(found) / Double(10 * queries.count))
        threads.ours.append(1 / two.median)
        threads.reference.append(1 / exact.median)
    }
    return [single, batch, near, recall, threads]
}

/// The median time of comparing every record: a search within the radius of the tenth answer whose limit is so large that
/// codes could not spare it a record, so that the scan has the best threshold from its first record on.
private func scanTime(
    _ snapshot: DatabaseSnapshot, _ queries: [[Float]], _ hits: [[SearchHit]]
) async throws -> Double {
    var times: [Double] = []
    for (query, hits) in zip(queries, hits).prefix(snapshot.count < 20_000 ? 64 : 8) {
        guard let radius = hits.last?.score else { throw BenchError("a search found nothing") }
        let start = nanoseconds()
        let found = try await snapshot.search(
            query, within: radius, limit: snapshot.count / 8 + 1, options: oneThread())
        times.append(seconds(since: start))
        guard Array(found.prefix(9)) == Array(hits.prefix(9)) else {
            throw BenchError("comparing every record found something else than the codes")
        }
    }
    return median(times)
}

private func searchTimes(
    _ queries: [[Float]], _ search: ([Float]) async throws -> [SearchHit]
) async throws -> (median: Double, hits: [[SearchHit]]) {
    var times: [Double] = []
    var hits: [[SearchHit]] = []
    for query in queries {
        let start = nanoseconds()
        hits.append(try await search(query))
        times.append(seconds(since: start))
    }
    return (median(times), hits)
}
