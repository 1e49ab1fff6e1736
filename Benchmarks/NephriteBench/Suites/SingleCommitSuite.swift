/// `single-commit`: one durable upsert at a time against a plain file that the same bytes are appended to and synced.

import Nephrite

private let dimension = 128

/// Alternates blocks of commits with blocks of both references, so that all three meet the same disk.
func measureSingleCommits(_ options: SuiteOptions) async throws -> [Measurement] {
    let commits = options.count ?? 2_000
    let block = min(commits, 100)
    let path = try options.freshPath("single")
    defer { removeTree(path) }
    let payload = [UInt8](repeating: 0x5A, count: Row.payloadByteCount(dimension: dimension))
    var samples: [SingleCommitSample] = []
    try await withVectorStore(at: path) { store in
        let database = try await store.createDatabase("single", options: DatabaseOptions(dimension: dimension))
        let vectors = SyntheticVectors.pool(count: 256, dimension: dimension, seed: 7)
        var row = 0
        for _ in 0..<options.repeatCount {
            var appending = try ReferenceLog(path: path + ".append")
            var overwriting = try ReferenceLog(
                path: path + ".allocated", preallocated: (commits + block) * payload.count)
            var sample = SingleCommitSample()
            while sample.ours.count < commits {
                for _ in 0..<block {
                    let record = VectorRecord(
                        id: Row.id(row), vector: vectors[row % vectors.count], metadata: Row.metadata(row))
                    let start = nanoseconds()
                    try await database.upsert(record)
                    sample.ours.record(nanoseconds() - start)
                    row += 1
                }
                try time(block, into: &sample.appending) { try appending.append(payload) }
                try time(block, into: &sample.overwriting) { try overwriting.append(payload) }
            }
            samples.append(sample)
        }
    }
    return rows(of: samples)
}

/// The latencies of one repetition.
private struct SingleCommitSample {
    var ours = Latencies()
    var appending = Latencies()
    var overwriting = Latencies()
}

private func time(_ count: Int, into latencies: inout Latencies, _ body: () throws -> Void) rethrows {
    for _ in 0..<count {
        let start = nanoseconds()
        try body()
        latencies.record(nanoseconds() - start)
    }
}

private func rows(of samples: [SingleCommitSample]) -> [Measurement] {
    func microseconds(_ series: KeyPath<SingleCommitSample, Latencies>, _ percent: Double) -> [Double] {
        samples.map { $0[keyPath: series].percentiles([percent])[0] / 1e3 }
    }
    var result = [50.0, 95, 99].map { percent in
        Measurement(
            label: "p\(Int(percent)) / append", unit: "µs", ours: microseconds(\.ours, percent),
            reference: microseconds(\.appending, percent), goal: percent == 50 ? .ratioAtMost(1.5) : .none)
    }
    result.append(
        Measurement(
            label: "p50 / preallocated file", unit: "µs", ours: microseconds(\.ours, 50),
            reference: microseconds(\.overwriting, 50)))
    return result
}
