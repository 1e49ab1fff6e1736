/// `recovery`: a store whose whole content is still in its log is killed and opened again, in new processes.

import CNephrite
import Foundation

private let dimension = 128

/// Divides the log's bytes by the time to the first read; the reference reads and checksums the log's files.
func measureRecovery(_ options: SuiteOptions) async throws -> [Measurement] {
    let rows = options.count ?? 300_000
    let limit = Double(256 << 20) / 1e6
    var rate = Measurement(label: "replay / read + CRC-32C of the log", unit: "MB/s", goal: .valueAtLeast(300))
    var recordRate = Measurement(label: "  records", unit: "records/s")
    var size = Measurement(label: "  log", unit: "MB")
    var full = Measurement(label: "  time for the default log limit", unit: "s", goal: .valueAtMost(30))
    for _ in 0..<options.repeatCount {
        let path = try options.freshPath("recovery")
        defer { removeTree(path) }
        let filled = try fillAndKill(path, rows: rows)
        let megabytes = Double(filled.logByteCount) / 1e6
        guard megabytes > 0 else { throw BenchError("the store reports an empty log") }
        let reference = checksumSeconds(of: filePaths(below: path + "/wal"), byteCount: filled.logByteCount)
        let reopened = try ProbeRequest(kind: .open, path: path, rows: rows).run()
        guard reopened.recordCount == rows else {
            throw BenchError("\(rows) rows were acknowledged, \(reopened.recordCount) recovered")
        }
        rate.ours.append(megabytes / reopened.firstReadSeconds)
        if let reference { rate.reference.append(megabytes / reference) }
        recordRate.ours.append(Double(rows) / reopened.firstReadSeconds)
        size.ours.append(megabytes)
        full.ours.append(limit / (megabytes / reopened.firstReadSeconds))
    }
    return [rate, recordRate, size, full]
}

/// Starts a child that fills a store, and kills it when it says that all is acknowledged.
private func fillAndKill(_ path: String, rows: Int) throws -> ProbeReport {
    let request = ProbeRequest(kind: .fillLog, path: path, rows: rows, dimension: dimension)
    let child = try ChildProcess(request.arguments())
    var spoken: [UInt8] = []
    while let part = child.read(timeoutMilliseconds: 1_000) {
        spoken += part
        if spoken.last == 0x0A { break }
    }
    child.kill()
    _ = child.finish()
    guard let line = spoken.split(separator: 0x0A).last else { throw BenchError("the filling child failed") }
    return try JSONDecoder().decode(ProbeReport.self, from: Data(line))
}

/// Seconds to read and checksum as many bytes of the log's files; nil without such files.
private func checksumSeconds(of files: [String], byteCount: Int) -> Double? {
    guard !files.isEmpty else { return nil }
    let start = nanoseconds()
    var checksum: UInt32 = 0
    var left = byteCount
    for file in files {
        guard left > 0, let handle = FileHandle(forReadingAtPath: file) else { continue }
        while left > 0, let part = try? handle.read(upToCount: min(left, 1 << 20)), !part.isEmpty {
            unsafe part.withUnsafeBytes { bytes in
                unsafe checksum = nephrite_crc32c(checksum, bytes.baseAddress, bytes.count)
            }
            left -= part.count
        }
    }
    blackHole(checksum)
    return seconds(since: start)
}
