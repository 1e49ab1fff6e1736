/// `kill9`: a child acknowledges batches through a pipe and is killed; what it acknowledged must be there, bit for bit.

import Foundation
import Nephrite

/// Kills as many children as the job says and prints what became of their rows.
func runKill9(_ job: Job) async throws {
    let dataset = try Dataset(job.dataset)
    if job.stage == "child" { return try await acknowledgeUntilKilled(job, dataset) }
    var tally = KillTally()
    for run in 0..<(job.runs ?? 3) {
        let path = try Dataset.temporaryPath("kill\(run)")
        defer { removeTree(path) }
        let arguments = try job.childArguments(.kill9, stage: "child", path: path)
        let spoken = try killAfter(0.5 + 0.37 * Double(run), child: ChildProcess(arguments))
        let batches = Acknowledgements(parsing: spoken)
        tally.runs += 1
        tally.acknowledged += batches.acknowledged.reduce(0) { $0 + $1.count }
        do {
            try await tally.check(path, batches, dataset, job)
        } catch {
            tally.failedReopens += 1
            tally.error = String("\(error)".prefix(300))
        }
    }
    try emitResult(tally.json)
}

/// The child's part: inserts without end, row i with the data set's vector i modulo its size.
private func acknowledgeUntilKilled(_ job: Job, _ dataset: Dataset) async throws {
    guard let path = job.path else { throw BenchError("a child needs a path") }
    let size = max(1, job.batch ?? 100)
    let sourceRows = min(100_000, dataset.base.count) / size * size
    guard sourceRows > 0 else { throw BenchError("the data set is smaller than a batch") }
    try await withVectorStore(at: path, configuration: job.configuration) { store in
        let database = try await store.createDatabase(Dataset.databaseName, options: dataset.options)
        let output = FileHandle.standardOutput
        var batch = RowBatch()
        var row = 0
        while true {
            try output.write(contentsOf: Data("\(row) \(size) b\n".utf8))
            batch.fill(row..<(row + size), from: dataset.base, sourceRow: row % sourceRows)
            try await database.insert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
            try output.write(contentsOf: Data("\(row) \(size) a\n".utf8))
            row += size
        }
    }
}

/// Reads what the child says until `limit` seconds after its first word, kills it, and reads the rest.
private func killAfter(_ limit: Double, child: ChildProcess) throws -> [UInt8] {
    var spoken: [UInt8] = []
    let start = nanoseconds()
    var first: UInt64?
    while seconds(since: start) < 40 {
        guard let part = child.read(timeoutMilliseconds: 20) else { break }
        spoken += part
        if first == nil && !part.isEmpty { first = nanoseconds() }
        if let first, seconds(since: first) > limit { break }
    }
    child.kill()
    return spoken + child.finish().output
}

/// The batches that a child began and those that it acknowledged, from its complete lines.
private struct Acknowledgements {
    private(set) var acknowledged: [Range<Int>] = []
    private(set) var unacknowledged: [Range<Int>] = []

    init(parsing spoken: [UInt8]) {
        guard let end = spoken.lastIndex(of: 0x0A) else { return }
        var begun: [Int: Range<Int>] = [:]
        for line in String(decoding: spoken[..<end], as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 3, let first = Int(words[0]), let count = Int(words[1]) else { continue }
            if words[2] == "a" {
                acknowledged.append(first..<(first + count))
                begun[first] = nil
            } else {
                begun[first] = first..<(first + count)
            }
        }
        unacknowledged = begun.values.sorted { $0.lowerBound < $1.lowerBound }
    }
}

/// What was found after the kills.
private struct KillTally {
    var runs = 0
    var acknowledged = 0
    var checked = 0
    var lost = 0
    var wrongVectors = 0
    var partialBatches = 0
    var unacknowledgedPresent = 0
    var failedReopens = 0
    var reopenMilliseconds: [Double] = []
    var error: String?

    var json: JSONValue {
        var fields: [String: JSONValue] = [
            "runs": .integer(runs), "acked": .integer(acknowledged), "checked": .integer(checked),
            "lost": .integer(lost), "wrong_vector": .integer(wrongVectors),
            "partial_batches": .integer(partialBatches), "unacked_present": .integer(unacknowledgedPresent),
            "reopen_failed": .integer(failedReopens),
            "reopen_ms": reopenMilliseconds.isEmpty ? .null : .number(median(reopenMilliseconds)),
        ]
        if let error { fields["error"] = .string(error) }
        return .object(fields)
    }

    /// Reopens a killed child's store and looks every acknowledged row up, the newest first, for four seconds at most.
    mutating func check(_ path: String, _ batches: Acknowledgements, _ dataset: Dataset, _ job: Job) async throws {
        let size = max(1, job.batch ?? 100)
        let sourceRows = min(100_000, dataset.base.count) / size * size
        let start = nanoseconds()
        var found = KillTally()
        try await withVectorStore(at: path, configuration: job.configuration) { store in
            let snapshot = try await store.database(Dataset.databaseName).snapshot()
            found.reopenMilliseconds = [seconds(since: start) * 1e3]
            let checkStart = nanoseconds()
            for row in batches.acknowledged.reversed().lazy.flatMap({ $0 }) {
                if seconds(since: checkStart) > 4 { break }
                found.checked += 1
                let vector = try snapshot.vector(for: Row.id(row))
                if vector == nil { found.lost += 1 }
                if let vector, vector != dataset.base.row(row % sourceRows) { found.wrongVectors += 1 }
            }
            for rows in batches.unacknowledged {
                let present = rows.count { snapshot.contains(Row.id($0)) }
                found.unacknowledgedPresent += present
                if present > 0 && present < rows.count { found.partialBatches += 1 }
            }
        }
        checked += found.checked
        lost += found.lost
        wrongVectors += found.wrongVectors
        unacknowledgedPresent += found.unacknowledgedPresent
        partialBatches += found.partialBatches
        reopenMilliseconds += found.reopenMilliseconds
    }
}
