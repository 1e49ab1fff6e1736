/// `open`: how long a new process takes to open a cleanly closed store, with one large database and with a thousand.

import Foundation
import Nephrite

private let databaseCount = 1_000
private let rowsInEach = 10

/// Opens each kept store several times, every time in a new process, with a warm page cache.
func measureOpening(_ options: SuiteOptions) async throws -> [Measurement] {
    let rows = options.count ?? 1_000_000
    let prepared = try await PreparedStore(options, rows: rows, dimension: 128)
    let manyPath = try await storeOfManyDatabases(options)
    var open = Measurement(label: "\(rows) records: store open", unit: "ms")
    var read = Measurement(label: "\(rows) records: store open to first read", unit: "ms", goal: .valueAtMost(100))
    var many = Measurement(label: "\(databaseCount) databases: store open", unit: "ms", goal: .valueAtMost(300))
    var manyRead = Measurement(label: "\(databaseCount) databases: store open to first read", unit: "ms")
    let one = ProbeRequest(kind: .open, path: prepared.path, rows: rows)
    var other = ProbeRequest(kind: .open, path: manyPath, rows: rowsInEach)
    other.database = name(databaseCount / 2)
    // The first opening only warms the page cache.
    _ = try (one.run(), other.run())
    for _ in 0..<options.repeatCount {
        let large = try one.run()
        guard large.recordCount == rows else { throw BenchError("\(large.recordCount) records instead of \(rows)") }
        open.ours.append(large.openSeconds * 1e3)
        read.ours.append(large.firstReadSeconds * 1e3)
        let small = try other.run()
        many.ours.append(small.openSeconds * 1e3)
        manyRead.ours.append(small.firstReadSeconds * 1e3)
    }
    return [open, read, many, manyRead]
}

private func name(_ index: Int) -> String { "db-\(index)" }

/// A kept store of many small databases.
private func storeOfManyDatabases(_ options: SuiteOptions) async throws -> String {
    let path = "\(options.directory)/databases-\(databaseCount)"
    let mark = path + ".done"
    if FileManager.default.fileExists(atPath: mark) { return path }
    removeTree(path)
    printError("making \(path) …")
    var vectors: [Float] = []
    SyntheticVectors.append(rows: rowsInEach, dimension: 8, seed: 1, to: &vectors)
    try await withVectorStore(at: path) { store in
        var batch = RowBatch()
        batch.fill(0..<rowsInEach, vectors: vectors[...])
        for index in 0..<databaseCount {
            let database = try await store.createDatabase(name(index), options: DatabaseOptions(dimension: 8))
            try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
        }
    }
    try Data("ok".utf8).write(to: URL(fileURLWithPath: mark))
    return path
}
