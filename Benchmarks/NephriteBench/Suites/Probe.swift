/// What a suite does in a process of its own: this program started again with `probe` and a request as JSON.

import Foundation
import Nephrite

/// What the child shall do.
struct ProbeRequest: Codable {
    enum Kind: String, Codable {
        /// Open, read one row, read many; times and memory.
        case open
        /// Fill a dictionary with the ids; memory.
        case dictionary
        /// Search by codes; memory.
        case search
        /// Fill a store and wait to be killed.
        case fillLog
    }

    var kind: Kind
    var path = ""
    var database = PreparedStore.databaseName
    var rows: Int
    var dimension = 0
    /// What searches are asked to find; 1 for exact ones.
    var recall = 1.0

    init(kind: Kind, path: String = "", rows: Int, dimension: Int = 0) {
        self.kind = kind
        self.path = path
        self.rows = rows
        self.dimension = dimension
    }

    init(json: String) throws {
        self = try JSONDecoder().decode(ProbeRequest.self, from: Data(json.utf8))
    }

    /// The command line of the child.
    func arguments() throws -> [String] {
        ["probe", String(decoding: try JSONEncoder().encode(self), as: UTF8.self)]
    }

    /// Runs the child to its end.
    func run() throws -> ProbeReport { try ChildProcess.result(arguments(), as: ProbeReport.self) }
}

/// What the child found.
struct ProbeReport: Codable {
    var openSeconds = 0.0
    var firstReadSeconds = 0.0
    var recordCount = 0
    var anonymousKilobytes = 0
    var fileKilobytes = 0
    var logByteCount = 0
}

/// The child's part.
func runProbe(_ request: ProbeRequest) async throws {
    switch request.kind {
    case .open: try write(await probeOpening(request))
    case .search: try write(await probeSearching(request))
    case .dictionary: try write(probeDictionary(request))
    case .fillLog: try await fillLogUntilKilled(request)
    }
}

private func write(_ report: ProbeReport) throws {
    try FileHandle.standardOutput.write(contentsOf: JSONEncoder().encode(report) + Data("\n".utf8))
}

/// Opens the store and its database, reads the middle row and then a share of all rows, so that lazy parts are there.
private func probeOpening(_ request: ProbeRequest) async throws -> ProbeReport {
    let anonymous = ProcessMemory.kilobytes("RssAnon")
    let start = nanoseconds()
    return try await withVectorStore(at: request.path) { store in
        var report = ProbeReport()
        report.openSeconds = seconds(since: start)
        let database = try await store.database(request.database)
        let vector = try await database.vector(for: Row.id(request.rows / 2))
        report.firstReadSeconds = seconds(since: start)
        guard vector != nil else { throw BenchError("a row is missing in \(request.path)") }
        let snapshot = try await database.snapshot()
        report.recordCount = snapshot.count
        var buffer = [Float](repeating: 0, count: database.options.dimension)
        for row in stride(from: 0, to: request.rows, by: max(1, request.rows / 100_000)) {
            guard try snapshot.copyVector(for: Row.id(row), into: &buffer) else {
                throw BenchError("row \(row) is missing in \(request.path)")
            }
        }
        report.anonymousKilobytes = ProcessMemory.kilobytes("RssAnon") - anonymous
        return report
    }
}

/// What a dictionary from the same ids to row numbers takes.
private func probeDictionary(_ request: ProbeRequest) -> ProbeReport {
    let anonymous = ProcessMemory.kilobytes("RssAnon")
    var rows = [String: Int](minimumCapacity: request.rows)
    for row in 0..<request.rows { rows[Row.id(row)] = row }
    var report = ProbeReport()
    report.recordCount = rows.count
    report.anonymousKilobytes = ProcessMemory.kilobytes("RssAnon") - anonymous
    blackHole(rows)
    return report
}

/// Writes durable batches small enough to go through the log whole, with checkpoints out of reach, and says how large
/// the log is.
private func fillLogUntilKilled(_ request: ProbeRequest) async throws {
    var configuration = StoreConfiguration()
    configuration.logByteLimit = 1 << 40
    configuration.checkpointInterval = .seconds(86_400)
    try await withVectorStore(at: request.path, configuration: configuration) { store in
        let database = try await store.createDatabase(
            request.database, options: DatabaseOptions(dimension: request.dimension))
        let perBatch = max(1, (128 << 10) / Row.payloadByteCount(dimension: request.dimension))
        var vectors: [Float] = []
        SyntheticVectors.append(rows: perBatch, dimension: request.dimension, seed: 1, to: &vectors)
        var batch = RowBatch()
        for first in stride(from: 0, to: request.rows, by: perBatch) {
            let range = first..<min(request.rows, first + perBatch)
            batch.fill(range, vectors: vectors[0..<(range.count * request.dimension)])
            try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
        }
        var report = ProbeReport()
        report.recordCount = try await database.count()
        report.logByteCount = Int(try await store.statistics().logByteCount)
        try write(report)
        while true { try await Task.sleep(for: .seconds(3_600)) }
    }
}
