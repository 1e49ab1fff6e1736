/// The executor for blocking calls: own threads, order, parallelism and every way of ending.
import Foundation
import Synchronization
import Testing

@testable import StorageIO

@Suite(.tags(.concurrency), .timeLimit(.minutes(20))) struct IOExecutorTests {
    /// Lets a fixed number of threads meet.
    private final class Barrier: Sendable {
        private let semaphores: [DispatchSemaphore]
        private let arrived = Atomic(0)

        init(count: Int) {
            semaphores = (0..<count).map { _ in DispatchSemaphore(value: 0) }
        }

        /// Waits until all have come.
        func meet() {
            if arrived.add(1, ordering: .sequentiallyConsistent).newValue == semaphores.count {
                for semaphore in semaphores { semaphore.signal() }
            }
            semaphores[0].wait()
            semaphores[0].signal()
        }
    }

    /// What jobs write down.
    private final class Recorder: Sendable {
        private let recorded = Mutex<[Int]>([])

        var values: [Int] { recorded.withLock { $0 } }

        func append(_ value: Int) { recorded.withLock { $0.append(value) } }
    }

    @Test("Jobs run on the executor's own, named threads")
    func runsOnOwnThreads() async throws {
        let executor = try IOExecutor(name: "own", threadCount: 1)
        let names = await withTaskExecutorPreference(executor) {
            var names: Set<String> = []
            for _ in 0..<100 {
                await Task.yield()
                names.insert(Self.threadName())
            }
            return names
        }
        #if os(Linux)
            #expect(names == ["own-0"])
        #else
            #expect(names.count == 1)
        #endif
        executor.shutdown()
    }

    @Test("Jobs of one thread run in the order of their arrival")
    func runsInOrder() async throws {
        let executor = try IOExecutor(name: "order", threadCount: 1)
        let order = Recorder()
        let gate = DispatchSemaphore(value: 0)
        await withTaskGroup { group in
            // The first job holds the thread until all others are waiting.
            group.addTask(executorPreference: executor) { Self.wait(gate) }
            for index in 0..<3_000 {
                group.addTask(executorPreference: executor) { order.append(index) }
            }
            gate.signal()
        }
        #expect(order.values == Array(0..<3_000))
        executor.shutdown()
    }

    @Test("As many jobs run at once as there are threads", arguments: [2, 4])
    func runsInParallel(threadCount: Int) async throws {
        let executor = try IOExecutor(name: "parallel", threadCount: threadCount)
        // Nobody passes the barrier before all are there: with fewer threads this would hang.
        let barrier = Barrier(count: threadCount)
        let threads = await withTaskGroup(of: UInt64.self) { group in
            for _ in 0..<threadCount {
                group.addTask(executorPreference: executor) {
                    barrier.meet()
                    return ProcessStatistics.currentThreadID()
                }
            }
            return await group.reduce(into: Set<UInt64>()) { $0.insert($1) }
        }
        #expect(threads.count == threadCount)
        executor.shutdown()
    }

    @Test("A shutdown runs what is queued first, and may be repeated")
    func drainsOnShutdown() async throws {
        let executor = try IOExecutor(name: "drain", threadCount: 2)
        let count = Recorder()
        let gates = [DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)]
        await withTaskGroup { group in
            for gate in gates { group.addTask(executorPreference: executor) { Self.wait(gate) } }
            for _ in 0..<500 {
                group.addTask(executorPreference: executor) {
                    await Task.yield()
                    count.append(1)
                }
            }
            for gate in gates { gate.signal() }
            executor.shutdown()
            executor.shutdown()
        }
        #expect(count.values.count == 500)
    }

    @Test("A task that comes back after the shutdown still ends")
    func runsLateJobs() async throws {
        let executor = try IOExecutor(name: "late", threadCount: 1)
        executor.shutdown()
        let sum = await withTaskExecutorPreference(executor) {
            var sum = 0
            for index in 0..<10 {
                await Task.yield()
                sum += index
            }
            return sum
        }
        #expect(sum == 45)
    }

    @Test("The last reference may go away on one of the executor's threads", arguments: 1...3)
    func endsOnItsOwnThread(threadCount: Int) async throws {
        // A deadlock of a thread that waits for itself meets the time limit: the executor never goes away.
        for _ in 0..<20 {
            let observed = try Self.startForgotten(threadCount: threadCount)
            while observed.isAlive { await Task.yield() }
        }
    }

    @Test("A job may shut its own executor down", arguments: 1...3)
    func shutsItselfDown(threadCount: Int) async throws {
        let executor = try IOExecutor(name: "self", threadCount: threadCount)
        let answer = await withTaskExecutorPreference(executor) {
            executor.shutdown()
            await Task.yield()
            return 42
        }
        #expect(answer == 42)
    }

    @Test("Without its first thread there is no executor; with the first, all jobs run", arguments: 0...3)
    func refusedThreads(allowed: Int) async throws {
        let started = Atomic(0)
        let make: ThreadMaker = { (name, queue) throws(Errno) in
            guard started.load(ordering: .relaxed) < allowed else { throw Errno(code: EAGAIN) }
            started.add(1, ordering: .relaxed)
            return try WorkerThread(name: name, queue: queue)
        }
        guard allowed > 0 else {
            #expect(throws: ThreadError(code: EAGAIN, name: "few")) {
                try IOExecutor(name: "few", threadCount: 3, makeThread: make)
            }
            return
        }
        let executor = try IOExecutor(name: "few", threadCount: 3, makeThread: make)
        #expect(started.load(ordering: .relaxed) == allowed)
        let sum = await withTaskGroup { group in
            for index in 0..<100 { group.addTask(executorPreference: executor) { index } }
            return await group.reduce(0, +)
        }
        #expect(sum == 4_950)
        executor.shutdown()
    }

    @Test("A task that comes back after the shutdown ends even if no thread can be started for it")
    func lateJobsWithoutThreads() async throws {
        let mayStart = Atomic(true)
        let executor = try IOExecutor(name: "late", threadCount: 1) { (name, queue) throws(Errno) in
            guard mayStart.load(ordering: .relaxed) else { throw Errno(code: EAGAIN) }
            return try WorkerThread(name: name, queue: queue)
        }
        executor.shutdown()
        mayStart.store(false, ordering: .relaxed)
        let answer = await withTaskExecutorPreference(executor) {
            await Task.yield()
            return 42
        }
        #expect(answer == 42)
    }

    private final class Observed: Sendable {
        private struct Reference {
            weak var executor: IOExecutor?
        }
        private let reference: Mutex<Reference>

        init(_ executor: IOExecutor) { reference = Mutex(Reference(executor: executor)) }

        var isAlive: Bool { reference.withLock { $0.executor != nil } }
    }

    /// Leaves a task as the only owner of an executor.
    private static func startForgotten(threadCount: Int) throws -> Observed {
        let executor = try IOExecutor(name: "last", threadCount: threadCount)
        let observed = Observed(executor)
        Task(executorPreference: executor) { await Task.yield() }
        return observed
    }

    private static func wait(_ semaphore: DispatchSemaphore) { semaphore.wait() }

    private static func threadName() -> String {
        #if os(Linux)
            let text = try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8)
            return text?.trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
        #else
            return "\(ProcessStatistics.currentThreadID())"
        #endif
    }
}
