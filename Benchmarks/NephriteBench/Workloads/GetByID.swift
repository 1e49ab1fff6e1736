/// `get_by_id`: random reads by id from a snapshot, the vector copied out, in the same loop as the harness's C peers.

import Nephrite

/// Measures single reads on one and on more threads, reads of a hundred ids a call, and the async handle.
func runGetByID(_ job: Job) async throws {
    let dataset = try Dataset(job.dataset)
    let rows = job.rowCount(in: dataset)
    let path = try await dataset.keptStore(rows: rows)
    dataset.base.populate(rows: rows)
    let cap = job.capSeconds ?? 2
    let metrics = try await withVectorStore(at: path, configuration: job.configuration) { store in
        let database = try await store.database(Dataset.databaseName)
        let snapshot = try await database.snapshot()
        guard snapshot.count == rows else { throw BenchError("\(path) has \(snapshot.count) rows, not \(rows)") }
        let reader = SnapshotReader(snapshot: snapshot, source: dataset.base, rows: rows)
        _ = try reader.read(seed: 1, forSeconds: 0.7, sampling: false)
        let start = nanoseconds()
        let (done, latencies) = try reader.read(seed: 2, forSeconds: cap, sampling: true)
        let single = Double(done) / seconds(since: start)
        let threadsStart = nanoseconds()
        let counts = try await onThreads(job.threadCount) { index in
            try reader.read(seed: UInt64(10 + index), forSeconds: cap, sampling: false).count
        }
        let together = Double(counts.reduce(0, +)) / seconds(since: threadsStart)
        let batches = try reader.readHundreds(rounds: 200)
        return [
            "ops_s": .number(single), "get_us": latencies.summary(unit: 1e3), "ops_s_2threads": .number(together),
            "batch100_us": batches.summary(unit: 1e3),
            "batch100_ids_s": .number(Double(100 * batches.count) / batches.totalSeconds),
            "ops_s_async": .number(try await handleReads(database, dataset.base, rows: rows, forSeconds: cap / 2)),
        ] as JSONValue
    }
    try emitResult(metrics)
}

/// Reads of one snapshot, each checked against the data set by its first component.
private struct SnapshotReader: Sendable {
    let snapshot: DatabaseSnapshot
    let source: FloatFile
    let rows: Int

    /// Reads one id after the other until the time is up.
    ///
    /// As in native_kv.c the clock is read once for each read, and once more when its latency is wanted.
    func read(seed: UInt64, forSeconds cap: Double, sampling: Bool) throws -> (count: Int, latencies: Latencies) {
        var latencies = Latencies(capacity: sampling ? 4_000_000 : 0)
        var buffer = [Float](repeating: 0, count: source.dimension)
        var state = PeerSequence(seed: seed)
        var done = 0
        let end = nanoseconds() + UInt64(cap * 1e9)
        while true {
            let start = nanoseconds()
            if start > end { break }
            let row = state.next(below: rows)
            let found = try snapshot.copyVector(for: Row.id(row), into: &buffer)
            if sampling { latencies.record(nanoseconds() - start) }
            guard found, buffer[0] == source.firstComponent(row) else { throw BenchError("wrong vector of row \(row)") }
            done += 1
        }
        return (done, latencies)
    }

    /// Reads a hundred different ids a call.
    func readHundreds(rounds: Int) throws -> Latencies {
        var latencies = Latencies(capacity: rounds)
        var generator = Xoshiro(seed: 5)
        for _ in 0..<rounds {
            var chosen = Set<Int>()
            while chosen.count < min(100, rows) { chosen.insert(generator.below(rows)) }
            let rowNumbers = Array(chosen)
            let start = nanoseconds()
            let vectors = try snapshot.vectors(for: rowNumbers.map { Row.id($0) })
            latencies.record(nanoseconds() - start)
            for (row, vector) in zip(rowNumbers, vectors) where vector?.first != source.firstComponent(row) {
                throw BenchError("wrong vector of row \(row)")
            }
        }
        return latencies
    }
}

/// Reads a second through the async handle, a new array each: what most callers write.
private func handleReads(
    _ database: VectorDatabase, _ source: FloatFile, rows: Int, forSeconds cap: Double
) async throws -> Double {
    var state = PeerSequence(seed: 20)
    var done = 0
    let start = nanoseconds()
    let end = start + UInt64(cap * 1e9)
    while nanoseconds() < end {
        let row = state.next(below: rows)
        guard let vector = try await database.vector(for: Row.id(row)), vector[0] == source.firstComponent(row) else {
            throw BenchError("wrong vector of row \(row)")
        }
        done += 1
    }
    return Double(done) / seconds(since: start)
}

/// The sequence of row numbers that native_kv.c reads: Knuth's MMIX linear congruential generator.
private struct PeerSequence {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 2_654_435_761 &+ 1 }

    @inline(__always)
    mutating func next(below bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(bound))
    }
}
