/// `search-memory`: what a process holds in memory that searches the synthetic 768-d set by its codes.

import Foundation
import Nephrite

/// Measures in a new process: anonymous memory, and that with the pages of files that are mapped and resident.
func measureSearchMemory(_ options: SuiteOptions) async throws -> [Measurement] {
    let dataset = try Dataset("syn768")
    let rows = min(options.count ?? dataset.base.count, dataset.base.count)
    let path = try await dataset.keptStore(rows: rows)
    let query = try dataset.queries().row(0)
    try await withVectorStore(at: path) { store in
        try await finishCodes(try await store.database(Dataset.databaseName), query: query)
    }
    var result: [Measurement] = []
    for (name, recall) in [("approximate", 0.99), ("exact", 1.0)] {
        var anonymous = Measurement(label: "\(rows) × 768, \(name): anonymous", unit: "MB")
        var resident = Measurement(label: "\(rows) × 768, \(name): with file pages", unit: "MB")
        if recall < 1 {
            anonymous.goal = .valueAtMost(150)
            resident.goal = .valueAtMost(700)
        }
        for _ in 0..<options.repeatCount {
            var request = ProbeRequest(kind: .search, path: path, rows: rows)
            request.recall = recall
            let report = try request.run()
            anonymous.ours.append(Double(report.anonymousKilobytes) / 1e3)
            resident.ours.append(Double(report.anonymousKilobytes + report.fileKilobytes) / 1e3)
        }
        result += [anonymous, resident]
    }
    return result
}

/// The child's part: searches a hundred times and looks at its own memory, of which what it began with is its program's.
func probeSearching(_ request: ProbeRequest) async throws -> ProbeReport {
    let queries = try Dataset("syn768").queries()
    let file = ProcessMemory.kilobytes("RssFile")
    return try await withVectorStore(at: request.path) { store in
        let database = try await store.database(request.database)
        // The file of codes is there; until it has been checked against its checksums, searches read the vectors.
        for try await _ in database.encodeVectors() {}
        let snapshot = try await database.snapshot()
        let mode = request.recall < 1 ? SearchMode.approximate(recall: request.recall) : .exact
        for index in 0..<100 {
            _ = try await snapshot.search(queries.row(index), k: 10, options: SearchOptions(mode: mode))
        }
        var report = ProbeReport()
        report.recordCount = snapshot.count
        report.anonymousKilobytes = ProcessMemory.kilobytes("RssAnon")
        report.fileKilobytes = ProcessMemory.kilobytes("RssFile") - file
        return report
    }
}
