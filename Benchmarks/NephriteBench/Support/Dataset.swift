/// Where the harness keeps things: its data sets and the databases that we make of them.

import Foundation
import Nephrite

/// A data set of the harness below `$BENCH_DATA`.
struct Dataset {
    let name: String
    let base: FloatFile
    /// True when nearer means a smaller squared distance, false when it means a larger inner product.
    let isEuclidean: Bool

    /// `$BENCH_DATA`, or its default.
    static var root: String { ProcessInfo.processInfo.environment["BENCH_DATA"] ?? "/tmp/benchdata" }

    init(_ name: String) throws {
        struct Description: Decodable { let metric: String }
        self.name = name
        base = try FloatFile(path: "\(Self.root)/\(name)/base.fbin")
        let text = try Data(contentsOf: URL(fileURLWithPath: "\(Self.root)/\(name)/meta.json"))
        isEuclidean = try JSONDecoder().decode(Description.self, from: text).metric == "l2"
    }

    /// The queries that belong to it.
    func queries() throws -> FloatFile { try FloatFile(path: "\(Self.root)/\(name)/query.fbin") }

    /// The right answers for all rows.
    func groundTruth() throws -> GroundTruth { try GroundTruth(path: "\(Self.root)/\(name)/gt.ibin") }

    /// What a database of it is created with.
    var options: DatabaseOptions {
        DatabaseOptions(dimension: base.dimension, metric: isEuclidean ? .euclidean : .dotProduct)
    }

    /// The name of the database inside every benchmark store.
    static let databaseName = "bench"

    /// A path for a store that is thrown away.
    static func temporaryPath(_ tag: String) throws -> String {
        let folder = root + "/dbs/tmp"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = "\(folder)/ours-\(tag)-\(ProcessInfo.processInfo.processIdentifier)"
        removeTree(path)
        return path
    }

    /// The store of the first n rows, made once and kept; how long that took is a result line of its own.
    func keptStore(rows: Int, indexing fields: [String] = []) async throws -> String {
        let path = "\(Self.root)/dbs/ours/\(name)-\(rows)\(fields.isEmpty ? "" : "-indexed")"
        let mark = path + ".done"
        if FileManager.default.fileExists(atPath: mark) { return path }
        removeTree(path)
        try FileManager.default.createDirectory(
            atPath: Self.root + "/dbs/ours", withIntermediateDirectories: true)
        let start = nanoseconds()
        let insertSeconds = try await withVectorStore(at: path) { store in
            var options = options
            options.indexedFields = fields
            let database = try await store.createDatabase(Self.databaseName, options: options)
            var batch = RowBatch()
            for first in stride(from: 0, to: rows, by: 20_000) {
                let range = first..<min(rows, first + 20_000)
                batch.fill(range, from: base, sourceRow: first)
                try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
            }
            return seconds(since: start)
        }
        let total = seconds(since: start)
        try Data("ok".utf8).write(to: URL(fileURLWithPath: mark))
        try emitResult(
            [
                "vec_s": .number(Double(rows) / total), "seconds": .number(total),
                "insert_seconds": .number(insertSeconds), "disk_bytes": .integer(diskByteCount(path)),
            ], changing: ["workload": "bulk_load", "n": .integer(rows)])
        return path
    }
}

/// Waits until every vector has a code, so that a search job measures searches and not the encoder.
///
/// - Throws: an error if that cannot be; a database too small for codes is as it should be.
func encodeAll(_ database: VectorDatabase) async throws {
    var last: CodingStatus?
    for try await status in database.encodeVectors() { last = status }
    guard let state = last?.state, [.complete, .idle].contains(state) else {
        throw BenchError("the vectors could not be encoded: \(last.map { "\($0)" } ?? "no status")")
    }
}

extension JSONValue: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self = .string(value) }
}
