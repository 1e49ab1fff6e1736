/// `scan`: how many bytes of vectors an exact search goes through in a second, against loads of the same file's bytes.

import Foundation
import Nephrite

private let dimension = 128

/// Alternates searches with load loops, on one thread and on all cores.
func measureScan(_ options: SuiteOptions) async throws -> [Measurement] {
    let prepared = try await PreparedStore(options, rows: options.count ?? 1_000_000, dimension: dimension)
    let byteCount = prepared.rows * dimension * 4
    let largest = filePaths(below: prepared.path).max { fileByteCount($0) < fileByteCount($1) }
    guard let largest, fileByteCount(largest) >= byteCount else {
        throw BenchError("\(prepared.path) has no file that holds \(byteCount) bytes of vectors")
    }
    let file = try MappedFile(path: largest)
    file.populate(byteCount: Int.max)
    let queries = SyntheticVectors.pool(count: 8, dimension: dimension, seed: 99)
    let cores = ProcessInfo.processInfo.activeProcessorCount
    var result: [Measurement] = []
    for threads in Set([1, cores]).sorted() {
        var measurement = Measurement(label: "\(threads) thread(s), top 10", unit: "GB/s")
        var configuration = StoreConfiguration()
        configuration.searchThreadCount = threads
        try await withVectorStore(at: prepared.path, configuration: configuration) { store in
            let snapshot = try await store.database(PreparedStore.databaseName).snapshot()
            _ = try await snapshot.search(queries[0], k: 10)
            for _ in 0..<options.repeatCount {
                let search = try await searchSeconds(snapshot, queries)
                let load = try await loadSeconds(file, byteCount: byteCount, threads: threads, rounds: queries.count)
                measurement.ours.append(Double(byteCount) / search / 1e9)
                measurement.reference.append(Double(byteCount) / load / 1e9)
            }
        }
        result.append(measurement)
    }
    return result
}

/// The median time of a search.
private func searchSeconds(_ snapshot: DatabaseSnapshot, _ queries: [[Float]]) async throws -> Double {
    var times: [Double] = []
    for query in queries {
        let start = nanoseconds()
        guard try await snapshot.search(query, k: 10).count == 10 else { throw BenchError("too few answers") }
        times.append(seconds(since: start))
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
