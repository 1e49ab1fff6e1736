/// `scan`: how many bytes of vectors a float32 search goes through in a second, against loads of the same bytes.

import Foundation
import Nephrite

/// Alternates searches that compare every record with load loops, on one thread and on all cores: over 1,000,000 × 128
/// made-up vectors, and over the synthetic 768-d set if it is there.
func measureScan(_ options: SuiteOptions) async throws -> [Measurement] {
    let dimension = 128
    let prepared = try await PreparedStore(options, rows: options.count ?? 1_000_000, dimension: dimension)
    let byteCount = prepared.rows * dimension * 4
    var result = try await measure(
        ScanSubject(
            name: "128-d", path: prepared.path, bytesFile: try vectorFile(prepared.path, byteCount),
            byteCount: byteCount,
            queries: SyntheticVectors.pool(count: 8, dimension: dimension, seed: 99)), options)
    if FileManager.default.fileExists(atPath: "\(Dataset.root)/syn768") {
        let dataset = try Dataset("syn768")
        let rows = min(options.count ?? dataset.base.count, dataset.base.count)
        let queries = try dataset.queries()
        let path = try await dataset.keptStore(rows: rows)
        let byteCount = rows * dataset.base.dimension * 4
        result += try await measure(
            ScanSubject(
                name: "768-d", path: path, bytesFile: try vectorFile(path, byteCount), byteCount: byteCount,
                queries: (0..<8).map { queries.row($0) }), options)
    }
    return result
}

/// The file of a store that holds its vectors. The load loop goes through the same memory: how the pages of a file lie in the
/// page cache makes a quarter of the speed of either.
private func vectorFile(_ path: String, _ byteCount: Int) throws -> String {
    let largest = filePaths(below: path).max { fileByteCount($0) < fileByteCount($1) }
    guard let largest, fileByteCount(largest) >= byteCount else {
        throw BenchError("\(path) has no file that holds its vectors")
    }
    return largest
}

/// A store to search, and a file with as many bytes as its vectors have.
private struct ScanSubject: Sendable {
    let name: String
    let path: String
    let bytesFile: String
    let byteCount: Int
    let queries: [[Float]]
}

private func measure(_ subject: ScanSubject, _ options: SuiteOptions) async throws -> [Measurement] {
    let file = try MappedFile(path: subject.bytesFile)
    file.populate(byteCount: subject.byteCount)
    let cores = ProcessInfo.processInfo.activeProcessorCount
    var result: [Measurement] = []
    for threads in Set([1, cores]).sorted() {
        var measurement = Measurement(label: "\(subject.name), \(threads) thread(s)", unit: "GB/s")
        if threads == 1 { measurement.goal = .ratioAtLeast(0.85) }
        var configuration = StoreConfiguration()
        configuration.searchThreadCount = threads
        try await withVectorStore(at: subject.path, configuration: configuration) { store in
            let snapshot = try await store.database(Dataset.databaseName).snapshot()
            var radii: [Float] = []
            for query in subject.queries {
                guard let last = try await snapshot.search(query, k: 10).last else { throw BenchError("no answers") }
                radii.append(last.score)
            }
            for _ in 0..<options.repeatCount {
                let search = try await searchSeconds(snapshot, subject.queries, radii)
                let load = try await loadSeconds(
                    file, byteCount: subject.byteCount, threads: threads, rounds: subject.queries.count)
                measurement.ours.append(Double(subject.byteCount) / search / 1e9)
                measurement.reference.append(Double(subject.byteCount) / load / 1e9)
            }
        }
        result.append(measurement)
    }
    return result
}

/// The median time of a search that compares every record: so many may be found that codes are of no use.
private func searchSeconds(
    _ snapshot: DatabaseSnapshot, _ queries: [[Float]], _ radii: [Float]
) async throws -> Double {
    var times: [Double] = []
    for (query, radius) in zip(queries, radii) {
        let start = nanoseconds()
        let found = try await snapshot.search(query, within: radius, limit: snapshot.count / 8 + 1)
        times.append(seconds(since: start))
        guard found.count >= 9 else { throw BenchError("too few answers") }
    }
    return median(times)
}

/// The median time of going through the first `byteCount` bytes, split between threads.
private func loadSeconds(_ file: MappedFile, byteCount: Int, threads: Int, rounds: Int) async throws -> Double {
    var times: [Double] = []
    let share = byteCount / threads / 4_096 * 4_096
    for _ in 0..<rounds {
        if threads == 1 {
            let start = nanoseconds()
            blackHole(sum(file, 0..<byteCount))
            times.append(seconds(since: start))
        } else {
            let parts = try await onThreads(threads) { index in
                let start = nanoseconds()
                blackHole(sum(file, (index * share)..<((index + 1) * share)))
                return seconds(since: start)
            }
            times.append((parts.max() ?? .nan) * Double(byteCount) / Double(share * threads))
        }
    }
    return median(times)
}

/// Adds up all floats of a range with four accumulators: the fastest that a scan of these bytes can be.
@inline(never)
private func sum(_ file: MappedFile, _ range: Range<Int>) -> Float {
    let start = unsafe file.bytes.baseAddress.unsafelyUnwrapped + range.lowerBound
    let step = 4 * MemoryLayout<SIMD16<Float>>.stride
    var first = SIMD16<Float>.zero
    var second = SIMD16<Float>.zero
    var third = SIMD16<Float>.zero
    var fourth = SIMD16<Float>.zero
    var offset = 0
    let end = range.count / step * step
    while offset < end {
        unsafe first += start.loadUnaligned(fromByteOffset: offset, as: SIMD16<Float>.self)
        unsafe second += start.loadUnaligned(fromByteOffset: offset &+ 64, as: SIMD16<Float>.self)
        unsafe third += start.loadUnaligned(fromByteOffset: offset &+ 128, as: SIMD16<Float>.self)
        unsafe fourth += start.loadUnaligned(fromByteOffset: offset &+ 192, as: SIMD16<Float>.self)
        offset &+= step
    }
    return ((first + second) + (third + fourth)).sum()
}
