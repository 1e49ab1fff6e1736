/// Stores of made-up records that several suites need: made once, closed cleanly, and kept in the suites' directory.

import Foundation
import Nephrite

/// A kept store with `rows` unit vectors in one database.
struct PreparedStore: Sendable {
    let path: String
    let rows: Int
    let dimension: Int

    /// The name of its database.
    static let databaseName = Dataset.databaseName

    /// The kept store, or a new one.
    init(_ options: SuiteOptions, rows: Int, dimension: Int) async throws {
        self.rows = rows
        self.dimension = dimension
        path = "\(options.directory)/records-\(rows)x\(dimension)"
        let mark = path + ".done"
        if FileManager.default.fileExists(atPath: mark) { return }
        removeTree(path)
        try FileManager.default.createDirectory(atPath: options.directory, withIntermediateDirectories: true)
        printError("making \(path) …")
        try await fill()
        try Data("ok".utf8).write(to: URL(fileURLWithPath: mark))
    }

    private func fill() async throws {
        try await withVectorStore(at: path) { store in
            let database = try await store.createDatabase(
                Self.databaseName, options: DatabaseOptions(dimension: dimension))
            var batch = RowBatch()
            for first in stride(from: 0, to: rows, by: SyntheticVectors.blockRowCount) {
                let range = first..<min(rows, first + SyntheticVectors.blockRowCount)
                batch.fill(range, vectors: vectors(of: range)[...])
                try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
            }
        }
    }

    /// The vectors of a block that begins at a multiple of the block's size.
    private func vectors(of range: Range<Int>) -> [Float] {
        var vectors: [Float] = []
        SyntheticVectors.append(
            rows: range.count, dimension: dimension, seed: UInt64(range.lowerBound), to: &vectors)
        return vectors
    }

    /// All vectors, row after row, made again.
    func allVectors() -> [Float] {
        var all: [Float] = []
        all.reserveCapacity(rows * dimension)
        for first in stride(from: 0, to: rows, by: SyntheticVectors.blockRowCount) {
            all += vectors(of: first..<min(rows, first + SyntheticVectors.blockRowCount))
        }
        return all
    }
}
