/// Counters that the engine's parts add to and statistics read.
import Synchronization

/// A counter that any thread may add to.
final class Counter: Sendable {
    private let value = Atomic<UInt64>(0)

    func add(_ amount: UInt64) { value.add(amount, ordering: .relaxed) }

    var current: UInt64 { value.load(ordering: .relaxed) }
}

/// What a store counts over its lifetime.
struct StoreMetrics: Sendable {
    let commits = Counter()
    let syncs = Counter()
    let logBytesWritten = Counter()
    let checkpoints = Counter()
    let opens = Counter()
    let evictions = Counter()
}

/// What a database counts while its store runs.
struct DatabaseMetrics: Sendable {
    let recordsWritten = Counter()
    let recordsDeleted = Counter()
    let commits = Counter()
    let checkpoints = Counter()
    let growths = Counter()
    let searches = Counter()
    let codingFailures = Counter()
    let codesMended = Counter()
}
