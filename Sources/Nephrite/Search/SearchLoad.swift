/// How many scans are under way: the searcher counts them, the write pacer asks whether they take all cores.
import Synchronization

final class SearchLoad: Sendable {
    let coreCount: Int
    /// Scans that can run at once on threads of the store.
    private let threadCount: Int
    /// Scans on the store's threads, or waiting for one.
    private let parallel = Atomic<Int>(0)
    /// Scans on their callers' threads.
    private let inline = Atomic<Int>(0)

    init(coreCount: Int, threadCount: Int) {
        self.coreCount = max(1, coreCount)
        self.threadCount = threadCount
    }

    /// Whether searches keep every core busy. Where fewer search threads were asked for than there are cores, large searches
    /// never do: the others were left for something else.
    var isHeavy: Bool {
        min(parallel.load(ordering: .relaxed), threadCount) + inline.load(ordering: .relaxed) >= coreCount
    }

    func beginParallel(_ count: Int) { parallel.add(count, ordering: .relaxed) }

    func endParallel(_ count: Int = 1) { parallel.subtract(count, ordering: .relaxed) }

    /// Counts a scan on the caller's thread while it goes on.
    func inline<R>(_ scan: () throws -> R) rethrows -> R {
        inline.add(1, ordering: .relaxed)
        defer { inline.subtract(1, ordering: .relaxed) }
        return try scan()
    }
}
