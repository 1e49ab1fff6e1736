/// `point-reads`: random ids read from a snapshot, against a dictionary in memory with the vector copied out of an array.

import Nephrite

/// Alternates the two on one and two threads, and compares the async handle with the snapshot.
func measurePointReads(_ options: SuiteOptions) async throws -> [Measurement] {
    let prepared = try await PreparedStore(options, rows: options.count ?? 1_000_000, dimension: 128)
    let table = MemoryTable(prepared)
    let ids = RandomIDs(rows: prepared.rows)
    var single = Measurement(label: "1 thread", unit: "ns/read", goal: .ratioAtMost(2))
    var double = Measurement(label: "2 threads", unit: "ns/read", goal: .ratioAtMost(2))
    var arrays = Measurement(label: "new array each / copied into a buffer", unit: "ns/read")
    var handle = Measurement(label: "async handle / snapshot, new array each", unit: "ns/read")
    var extra = Measurement(label: "  the handle's extra cost", unit: "ns/read", goal: .valueAtMost(300))
    try await withVectorStore(at: prepared.path) { store in
        let database = try await store.database(PreparedStore.databaseName)
        let snapshot = try await database.snapshot()
        guard snapshot.count == prepared.rows else { throw BenchError("\(prepared.path) is not complete") }
        _ = try ids.time { try snapshot.copyVector(for: $0, into: &$1) ? $1[0] : nil }
        for _ in 0..<options.repeatCount {
            single.ours.append(try ids.time { try snapshot.copyVector(for: $0, into: &$1) ? $1[0] : nil })
            single.reference.append(try ids.time { table.copyVector(for: $0, into: &$1) })
            double.ours.append(
                median(
                    try await onThreads(2) { _ in
                        try ids.time { try snapshot.copyVector(for: $0, into: &$1) ? $1[0] : nil }
                    }))
            double.reference.append(
                median(
                    try await onThreads(2) { _ in
                        try ids.time { table.copyVector(for: $0, into: &$1) }
                    }))
            let newArrays = try ids.time { id, _ in try snapshot.vector(for: id)?[0] }
            arrays.ours.append(newArrays)
            let asynchronous = try await handleReads(database, ids)
            handle.ours.append(asynchronous)
            handle.reference.append(newArrays)
            extra.ours.append(asynchronous - newArrays)
        }
        arrays.reference = single.ours
        try verify(snapshot, against: table, ids)
    }
    return [single, double, arrays, handle, extra]
}

/// The ids to be read, made before anything is timed.
private struct RandomIDs: Sendable {
    let ids: [String]

    init(rows: Int) {
        var generator = Xoshiro(seed: 5)
        ids = (0..<1_000_000).map { _ in Row.id(generator.below(rows)) }
    }

    /// Nanoseconds a read; every read gives the vector's first component, so that it has to happen.
    func time(_ read: (String, inout [Float]) throws -> Float?) throws -> Double {
        var buffer = [Float](repeating: 0, count: 128)
        var sum: Float = 0
        let start = nanoseconds()
        for id in ids {
            guard let first = try read(id, &buffer) else { throw BenchError("\(id) is missing") }
            sum += first
        }
        let elapsed = seconds(since: start)
        blackHole(sum)
        return elapsed * 1e9 / Double(ids.count)
    }
}

private func handleReads(_ database: VectorDatabase, _ ids: RandomIDs) async throws -> Double {
    var sum: Float = 0
    let start = nanoseconds()
    for id in ids.ids {
        guard let vector = try await database.vector(for: id) else { throw BenchError("\(id) is missing") }
        sum += vector[0]
    }
    let elapsed = seconds(since: start)
    blackHole(sum)
    return elapsed * 1e9 / Double(ids.ids.count)
}

/// The same records in memory: the floor for a lookup by string id.
private final class MemoryTable: Sendable {
    private let rows: [String: Int]
    private let vectors: [Float]
    private let dimension: Int

    init(_ prepared: PreparedStore) {
        vectors = prepared.allVectors()
        dimension = prepared.dimension
        var rows = [String: Int](minimumCapacity: prepared.rows)
        for row in 0..<prepared.rows { rows[Row.id(row)] = row }
        self.rows = rows
    }

    @inline(__always)
    func copyVector(for id: String, into buffer: inout [Float]) -> Float? {
        guard let row = rows[id] else { return nil }
        unsafe buffer.withUnsafeMutableBufferPointer { target in
            unsafe vectors.withUnsafeBufferPointer { source in
                unsafe target.baseAddress.unsafelyUnwrapped.update(
                    from: source.baseAddress.unsafelyUnwrapped + row * dimension, count: dimension)
            }
        }
        return buffer[0]
    }
}

private func verify(_ snapshot: DatabaseSnapshot, against table: MemoryTable, _ ids: RandomIDs) throws {
    var expected = [Float](repeating: 0, count: 128)
    for id in ids.ids.prefix(10_000) {
        _ = table.copyVector(for: id, into: &expected)
        guard try snapshot.vector(for: id) == expected else { throw BenchError("wrong vector of \(id)") }
    }
}
