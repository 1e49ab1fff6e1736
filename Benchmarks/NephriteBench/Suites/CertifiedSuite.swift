/// `certified`: exact searches as callers make them, by codes where the database has them, against comparing every record
/// in float32 in the same run; a batch against single queries, and the approximate modes against the exact one.

import Foundation
import Nephrite

/// Measures on the data sets that are there: synthetic 768-d, Fashion-MNIST, and synthetic 128-d.
func measureCertified(_ options: SuiteOptions) async throws -> [Measurement] {
    var result: [Measurement] = []
    for name in ["syn768", "fashion", "syn128"] where FileManager.default.fileExists(atPath: "\(Dataset.root)/\(name)")
    {
        let dataset = try Dataset(name)
        let rows = min(options.count ?? dataset.base.count, dataset.base.count)
        let path = try await dataset.keptStore(rows: rows)
        let queryFile = try dataset.queries()
        let queries = (0..<64).map { queryFile.row($0) }
        var configuration = StoreConfiguration()
        configuration.searchThreadCount = 1
        try await withVectorStore(at: path, configuration: configuration) { store in
            let snapshot = try await store.database(Dataset.databaseName).snapshot()
            let plan = try await snapshot.explain(queries[0], k: 10)
            printError("\(name): \(plan)")
            result += try await measure(name, snapshot, queries, options)
        }
    }
    return result
}

private func measure(
    _ name: String, _ snapshot: DatabaseSnapshot, _ queries: [[Float]], _ options: SuiteOptions
) async throws -> [Measurement] {
    var single = Measurement(label: "\(name), one query / float32 scan", unit: "ms", goal: .ratioAtMost(0.35))
    if name == "syn768" { single.goal = .ratioAtMost(0.2) }
    var batch = Measurement(label: "\(name), each of 64 / one query", unit: "ms", goal: .ratioAtMost(0.25))
    var near = Measurement(label: "\(name), recall 0.99 / one query", unit: "ms", goal: .ratioAtMost(0.5))
    var recall = Measurement(label: "\(name), recall@10 of recall 0.99", unit: "", goal: .valueAtLeast(0.99))
    // So many that no bound can spare the scan a record.
    let everything = snapshot.count
    for _ in 0..<options.repeatCount {
        let exact = try await searchTimes(snapshot, queries, k: 10, SearchOptions())
        let scan = try await searchTimes(snapshot, Array(queries.prefix(4)), k: everything / 8 + 1, SearchOptions())
        let start = nanoseconds()
        let batched = try await snapshot.search(queries, k: 10)
        let batchTime = seconds(since: start) / Double(queries.count)
        guard batched == exact.hits else { throw BenchError("\(name): a batch found something else than its queries") }
        let approximate = try await searchTimes(
            snapshot, queries, k: 10, SearchOptions(mode: .approximate(recall: 0.99)))
        let found = zip(approximate.hits, exact.hits).reduce(0) { $0 + Set($1.0).intersection($1.1).count }
        single.ours.append(exact.median * 1e3)
        single.reference.append(scan.median * 1e3)
        batch.ours.append(batchTime * 1e3)
        batch.reference.append(exact.median * 1e3)
        near.ours.append(approximate.median * 1e3)
        near.reference.append(exact.median * 1e3)
        recall.ours.append(Double(found) / Double(10 * queries.count))
    }
    return [single, batch, near, recall]
}

private func searchTimes(
    _ snapshot: DatabaseSnapshot, _ queries: [[Float]], k: Int, _ options: SearchOptions
) async throws -> (median: Double, hits: [[SearchHit]]) {
    var times: [Double] = []
    var hits: [[SearchHit]] = []
    for query in queries {
        let start = nanoseconds()
        hits.append(try await snapshot.search(query, k: k, options: options))
        times.append(seconds(since: start))
    }
    return (median(times), hits)
}
