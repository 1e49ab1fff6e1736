// A process that may start no more threads: opening a store trapped when the first thread of one of its executors was
// refused.
import StorageIO
import Synchronization
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(5)))
struct ThreadRefusalTests {
    private struct Started {
        weak var executor: IOExecutor?
    }

    @Test("A store whose threads are refused does not open, says why, and ends the threads it has", arguments: 0..<3)
    func refused(allowed: Int) async throws {
        let directory = TestStore()
        let configuration = directory.configuration
        let started = Mutex<[Started]>([])
        directory.configuration.environment.startThreads = { (name, count, spinning) throws(ThreadError) in
            guard started.withLock({ $0.count }) < allowed else { throw ThreadError(code: 11, name: name) }
            let executor = try IOExecutor(name: name, threadCount: count, spinning: spinning)
            started.withLock { $0.append(Started(executor: executor)) }
            return executor
        }
        let error = await #expect(throws: StoreError.self) { try await directory.open { _ in } }
        #expect(error?.code == .tooManyThreads && error?.errorNumber == 11)
        #expect(error?.remedy.isEmpty == false)
        // An executor waits for its threads before it goes away.
        #expect(started.withLock { $0.map { $0.executor == nil } } == Array(repeating: true, count: allowed))
        directory.configuration = configuration
        try await directory.open { store async throws in #expect(try await store.databases().isEmpty) }
    }
}
