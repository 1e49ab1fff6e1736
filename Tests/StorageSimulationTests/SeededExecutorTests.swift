// One seed, one schedule: tasks, actors, sleeps and faults under the seeded executor.
import StorageIO
import StorageSimulation
import Synchronization
import Testing

private actor Counter {
    var log: [Int] = []
    func add(_ value: Int) async {
        log.append(value)
        await Task.yield()
        log.append(-value)
    }
    func values() -> [Int] { log }
}

private final class Gate: Sendable {
    private let waiting = Mutex<CheckedContinuation<Void, Never>?>(nil)

    /// Waits for somebody who never comes, unless the task is cancelled.
    func waitForever() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in waiting.withLock { $0 = continuation } }
        } onCancel: {
            waiting.withLock { continuation in
                defer { continuation = nil }
                return continuation
            }?.resume()
        }
    }
}

@Suite(.timeLimit(.minutes(20))) struct SeededExecutorTests {
    /// Five tasks that meet in an actor; the order in which they did.
    private func interleaving(seed: UInt64) throws -> [Int] {
        try SeededExecutor(seed: seed).run {
            let counter = Counter()
            await withTaskGroup { group in
                for value in 1...5 { group.addTask { await counter.add(value) } }
            }
            return await counter.values()
        }
    }

    @Test func `one seed gives one interleaving`() throws {
        for seed in 0..<20 as Range<UInt64> {
            let first = try interleaving(seed: seed)
            #expect(try interleaving(seed: seed) == first)
            #expect(first.count == 10 && Set(first).count == 10)
        }
    }

    @Test func `seeds give different interleavings`() throws {
        let seen = Set(try (0..<50 as Range<UInt64>).map { try interleaving(seed: $0) })
        #expect(seen.count > 20)
    }

    /// Writers with sleeps and injected faults on a simulated disk.
    private func diskRun(seed: UInt64) throws -> [UInt64] {
        let executor = SeededExecutor(seed: seed)
        let disk = SimulatedFileSystem(faults: .swarm(seed: seed, rate: 0.2), clock: executor.clock)
        try executor.run {
            await withTaskGroup { group in
                for writer in 0..<4 {
                    group.addTask {
                        for round in 0..<5 {
                            try? await executor.clock.sleep(nanoseconds: UInt64(writer + round) * 10)
                            let file = try? disk.open(StoragePath("\(writer)-\(round)"), .createNew)
                            try? file?.put([UInt8(writer)])
                            await Task.yield()
                            try? file?.synchronizeData()
                        }
                    }
                }
            }
        }
        return [disk.traceHash, executor.scheduleHash, executor.clock.monotonicNanoseconds()]
    }

    @Test func `a run with faults and time replays call by call`() throws {
        for seed in 0..<10 as Range<UInt64> { #expect(try diskRun(seed: seed) == diskRun(seed: seed)) }
        #expect(Set(try (0..<10 as Range<UInt64>).map { try diskRun(seed: $0)[0] }).count == 10)
    }

    /// A producer that wakes a consumer through a bounded stream; when who did what (0 is the consumer).
    private func wakeUps(seed: UInt64) throws -> [Int] {
        let log = Shared<[Int]>([])
        try SeededExecutor(seed: seed).run {
            let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            await withTaskGroup { group in
                group.addTask {
                    for value in 1...10 {
                        log.update { $0.append(value) }
                        continuation.yield()
                        await Task.yield()
                    }
                    continuation.finish()
                }
                group.addTask {
                    for await _ in stream { log.update { $0.append(0) } }
                }
            }
        }
        return log.value
    }

    @Test func `streams wake their consumers in an order that the seed decides`() throws {
        let orders = try (0..<30 as Range<UInt64>).map { try wakeUps(seed: $0) }
        #expect(try (0..<30 as Range<UInt64>).map { try wakeUps(seed: $0) } == orders)
        #expect(Set(orders).count > 10)
        #expect(orders.allSatisfy { $0.filter { $0 != 0 } == Array(1...10) && $0.contains(0) })
    }

    @Test func `everything runs on the calling thread`() throws {
        // Jobs that ran beside each other would sometimes see two of themselves.
        let running = Shared(0)
        let overlaps = Shared(0)
        try SeededExecutor(seed: 1).run {
            await withTaskGroup { group in
                for _ in 0..<50 {
                    group.addTask {
                        for _ in 0..<20 {
                            if running.update({
                                $0 += 1; return $0
                            }) > 1 {
                                overlaps.update { $0 += 1 }
                            }
                            running.update { $0 -= 1 }
                            await Task.yield()
                        }
                    }
                }
            }
        }
        #expect(overlaps.value == 0)
    }

    @Test func `errors and results of the operation come back`() throws {
        let executor = SeededExecutor(seed: 1)
        #expect(try executor.run { 42 } == 42)
        #expect(throws: FileSystemError.self) {
            try executor.run { throw FileSystemError(code: 5, call: .read, path: "a") }
        }
    }

    @Test func `waiting for nobody is a deadlock, and the operation still unwinds`() throws {
        let gate = Gate()
        let unwound = Shared(false)
        let error = #expect(throws: SimulationError.self) {
            try SeededExecutor(seed: 7).run {
                await gate.waitForever()
                unwound.update { $0 = true }
            }
        }
        guard case .deadlock(seed: 7, _) = error else {
            Issue.record("expected a deadlock, found \(String(describing: error))")
            return
        }
        #expect(unwound.value)
    }

    @Test func `a sleeper is no deadlock`() throws {
        let executor = SeededExecutor(seed: 1)
        try executor.run { try await executor.clock.sleep(nanoseconds: 3_600_000_000_000) }
        #expect(executor.clock.monotonicNanoseconds() == 3_600_000_000_000)
    }

    @Test func `an operation that never ends meets the step limit`() throws {
        let error = #expect(throws: SimulationError.self) {
            try SeededExecutor(seed: 1, stepLimit: 100).run {
                while !Task.isCancelled { await Task.yield() }
            }
        }
        guard case .stepLimitExceeded = error else {
            Issue.record("expected the step limit, found \(String(describing: error))")
            return
        }
    }
}
