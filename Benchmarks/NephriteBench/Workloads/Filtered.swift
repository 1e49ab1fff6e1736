/// `filtered`: single top-10 queries among 1, 10 and 50 % of the rows, with the fields declared as indexed and, on lines
/// of their own, with the same fields evaluated by scan.

import Nephrite

/// A filter of the harness: field, value, and the share of rows in percent.
private struct Selection {
    let field: String
    let value: Int64
    let percent: Int

    static let all = [
        Selection(field: "c100", value: 7, percent: 1), Selection(field: "c10", value: 7, percent: 10),
        Selection(field: "c2", value: 1, percent: 50),
    ]

    var filter: Filter { Filter.field(field) == .integer(value) }

    func holds(_ row: Int) -> Bool { Row.metadata(row)[field] == .integer(value) }
}

/// Measures filtered searches, their recall among the rows that match, and how many answers do not match.
func runFiltered(_ job: Job) async throws {
    let dataset = try Dataset(job.dataset)
    let rows = job.rowCount(in: dataset)
    let queryFile = try dataset.queries()
    let queries = (0..<min(200, queryFile.count)).map { queryFile.row($0) }
    for isIndexed in [true, false] {
        let path = try await dataset.keptStore(
            rows: rows, indexing: isIndexed ? Selection.all.map(\.field) : [])
        try await withVectorStore(at: path, configuration: job.configuration) { store in
            let database = try await store.database(Dataset.databaseName)
            try await encodeAll(database)
            let snapshot = try await database.snapshot()
            guard snapshot.count == rows else { throw BenchError("\(path) has \(snapshot.count) rows, not \(rows)") }
            let unfiltered = try await measure(snapshot, queries, nil, capSeconds: job.capSeconds ?? 4)
            for selection in Selection.all {
                let first = nanoseconds()
                _ = try await snapshot.count(where: selection.filter)
                let resolving = seconds(since: first)
                let (latencies, found) = try await measure(
                    snapshot, queries, selection.filter, capSeconds: job.capSeconds ?? 4)
                let matching = (0..<rows).filter(selection.holds)
                let wrong = found.joined().count { !selection.holds($0) }
                let percentiles = latencies.percentiles([50, 99])
                let curve: JSONValue = [
                    "ef": .integer(0), "wrong": .integer(wrong),
                    "recall": .number(recall(dataset, matching, queries, found)),
                    "qps_1t": .number(Double(latencies.count) / latencies.totalSeconds),
                    "p50_us": .number(percentiles[0] / 1e3), "p99_us": .number(percentiles[1] / 1e3),
                ]
                try emitResult(
                    [
                        "curve": .array([curve]), "first_ms": .number(resolving * 1e3),
                        "unfiltered_p50_us": .number(unfiltered.0.percentiles([50])[0] / 1e3),
                        "of_unfiltered": .number(percentiles[0] / unfiltered.0.percentiles([50])[0]),
                    ],
                    changing: [
                        "selectivity": .integer(selection.percent), "indexed": .bool(isIndexed), "n": .integer(rows),
                    ])
            }
        }
    }
}

/// Single queries until the time is up, twenty at least.
private func measure(
    _ snapshot: DatabaseSnapshot, _ queries: [[Float]], _ filter: Filter?, capSeconds: Double
) async throws -> (Latencies, [[Int]]) {
    let options = SearchOptions(filter: filter)
    _ = try await snapshot.search(queries[0], k: 10, options: options)
    var latencies = Latencies(capacity: 200)
    var found: [[Int]] = []
    let start = nanoseconds()
    for query in queries {
        let queryStart = nanoseconds()
        let hits = try await snapshot.search(query, k: 10, options: options)
        latencies.record(nanoseconds() - queryStart)
        found.append(hits.compactMap { Row.number(of: $0.id) })
        if latencies.count >= 20, seconds(since: start) > capSeconds { break }
    }
    return (latencies, found)
}

/// The share of the ten asked for that is as near as the ten nearest of the matching rows, over the first answers.
private func recall(_ dataset: Dataset, _ matching: [Int], _ queries: [[Float]], _ found: [[Int]]) -> Double {
    let wanted = min(10, matching.count)
    guard wanted > 0 else { return 1 }
    let checker = RecallChecker(dataset: dataset, rows: dataset.base.count)
    let checked = min(found.count, 10)
    var right = 0
    for index in 0..<checked {
        let bound = checker.bound(queries[index], among: matching, rank: wanted)
        right += min(wanted, Set(found[index]).count { checker.isAsNear($0, to: queries[index], as: bound) })
    }
    return Double(right) / Double(checked * wanted)
}
