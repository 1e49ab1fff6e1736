// How soon a search ends that is cancelled while it goes on: by the rows it looks at afterwards.
import StorageFormat
import Synchronization
import Testing

@testable import Nephrite

@Suite struct SearchCancellationTests {
    /// Counts the rows that a search asks about, and cancels its task at one of them.
    private final class Trap: Sendable {
        private let asked = Mutex(0)
        let trigger: Int

        init(at trigger: Int) { self.trigger = trigger }

        var count: Int { asked.withLock { $0 } }

        func ask() {
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            if count == trigger { unsafe withUnsafeCurrentTask { unsafe $0?.cancel() } }
        }
    }

    /// All vectors are the same, so that each row that is looked at is asked about.
    private func rowsAfterCancelling(dimension: Int, count: Int, coded: Bool, queries: Int) async throws -> Int {
        let directory = TestStore()
        let trap = Trap(at: 300)
        try await directory.database(DatabaseOptions(dimension: dimension, metric: .euclidean)) {
            database async throws in
            let vector = testVector(1, dimension)
            for first in stride(from: 0, to: count, by: 1_000) {
                try await database.insert(
                    ids: (first..<first + 1_000).map { "r\($0)" }, vectors: (0..<1_000).flatMap { _ in vector })
            }
            let snapshot = try await database.snapshot()
            let view = coded ? snapshot.heapCodes(chunkSlotCount: 4_096) : nil
            let request = SearchRequest(
                queries: (0..<queries).map { _ in vector }, limit: 10,
                accepts: { _ in
                    trap.ask()
                    return true
                })
            let searcher = Searcher(executor: nil, threadCount: 1)
            let task = Task { try await searcher.search(snapshot, request, codes: view) }
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        return trap.count - trap.trigger
    }

    @Test("By codes: no more than the run of blocks that it is in, and what the one before it left")
    func codes() async throws {
        let rows = try await rowsAfterCancelling(dimension: 8, count: 12_000, coded: true, queries: 1)
        #expect(rows <= 2 * CascadeScan.runWordCount * 64)
    }

    @Test("A batch by codes: no more than two blocks for each query")
    func batch() async throws {
        let rows = try await rowsAfterCancelling(dimension: 8, count: 12_000, coded: true, queries: 5)
        #expect(rows <= 2 * 64 * 5)
    }

    @Test("Without codes: no more than the rows of a step of 4 MiB")
    func direct() async throws {
        let rows = try await rowsAfterCancelling(dimension: 1_024, count: 4_000, coded: false, queries: 1)
        #expect(rows <= (4 << 20) / 4_096)
    }
}
