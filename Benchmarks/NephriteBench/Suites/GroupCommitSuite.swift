/// `group-commit`: many tasks that each wait for their own durable upsert, against one such task in the same run.

import Nephrite

private let dimension = 128

/// Alternates one task with 64 and divides the rates.
func measureGroupCommits(_ options: SuiteOptions) async throws -> [Measurement] {
    let path = try options.freshPath("group")
    defer { removeTree(path) }
    let duration = 2.0
    var measurement = Measurement(label: "64 tasks / 1 task", unit: "commits/s", goal: .ratioAtLeast(12))
    try await withVectorStore(at: path) { store in
        let database = try await store.createDatabase("group", options: DatabaseOptions(dimension: dimension))
        let vectors = SyntheticVectors.pool(count: 256, dimension: dimension, seed: 7)
        var firstRow = 0
        for _ in 0..<options.repeatCount {
            for tasks in [1, 64] {
                let (count, rate) = try await commitRate(
                    database, vectors, tasks: tasks, firstRow: firstRow, forSeconds: duration)
                firstRow += count
                if tasks == 1 { measurement.reference.append(rate) } else { measurement.ours.append(rate) }
            }
        }
        let count = try await database.count()
        guard count == firstRow else { throw BenchError("\(firstRow) rows were acknowledged, \(count) are there") }
    }
    return [measurement]
}

/// Lets tasks commit for some seconds; each takes row numbers of its own residue class.
private func commitRate(
    _ database: VectorDatabase, _ vectors: [[Float]], tasks: Int, firstRow: Int, forSeconds duration: Double
) async throws -> (count: Int, rate: Double) {
    let start = nanoseconds()
    let end = start + UInt64(duration * 1e9)
    let base = (firstRow + 1) * 1_000
    let count = try await withThrowingTaskGroup(of: Int.self) { group in
        for task in 0..<tasks {
            group.addTask {
                var done = 0
                while nanoseconds() < end {
                    let row = base + done * tasks + task
                    try await database.upsert(
                        VectorRecord(
                            id: "task-\(task)-\(row)", vector: vectors[row % vectors.count],
                            metadata: Row.metadata(row)))
                    done += 1
                }
                return done
            }
        }
        var total = 0
        for try await done in group { total += done }
        return total
    }
    return (count, Double(count) / seconds(since: start))
}
