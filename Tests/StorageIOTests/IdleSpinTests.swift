/// Threads that look for their next job before they sleep: when they do, and that no job is left to nobody.
import Foundation
import Synchronization
import Testing

@testable import StorageIO

@Suite(.tags(.concurrency), .timeLimit(.minutes(5))) struct IdleSpinTests {
    private final class Count: Sendable {
        private let count = Atomic(0)

        var value: Int { count.load(ordering: .relaxed) }

        func increase() { count.add(1, ordering: .relaxed) }
    }

    @Test("Looking is worth while after four short waits of eight, and no more after five long ones")
    func worthwhile() {
        var spin = IdleSpin(limit: 100)
        #expect(!spin.isWorthwhile)
        for _ in 0..<3 { spin.noteWait(nanoseconds: 99) }
        #expect(!spin.isWorthwhile)
        spin.noteWait(nanoseconds: 0)
        #expect(spin.isWorthwhile)
        for _ in 0..<4 { spin.noteWait(nanoseconds: 100) }
        #expect(spin.isWorthwhile)
        spin.noteWait(nanoseconds: .max)
        #expect(!spin.isWorthwhile)
    }

    @Test("Without a limit nobody looks")
    func never() {
        var spin = IdleSpin(limit: 0)
        for _ in 0..<8 { spin.noteWait(nanoseconds: 0) }
        #expect(!spin.isWorthwhile)
    }

    /// Threads that look for an hour: what only their looking hides would hang.
    @Test("A thread whose jobs come soon does not sleep any more, and a shutdown does not wait for it")
    func stopsSleeping() async throws {
        let executor = try IOExecutor(name: "spin", threadCount: 1, spinning: .seconds(3_600))
        for _ in 0..<200 { await hop(executor) }
        #expect(executor.sleepCount <= 5)
        executor.shutdown()
        await hop(executor)
    }

    @Test("Jobs for which too few look wake the others", arguments: 2...4)
    func wakesSleepers(threadCount: Int) async throws {
        for _ in 0..<20 {
            let executor = try IOExecutor(name: "some", threadCount: threadCount, spinning: .seconds(3_600))
            // One job at a time: at the end some thread looks, and others may never have been needed.
            for _ in 0..<8 { await hop(executor) }
            let arrived = Count()
            await withTaskGroup { group in
                for _ in 0..<threadCount {
                    group.addTask(executorPreference: executor) {
                        arrived.increase()
                        // Blocks its thread, so each job needs one of its own.
                        while arrived.value < threadCount { sched_yield() }
                    }
                }
            }
            executor.shutdown()
        }
    }

    @Test("A shutdown with a job in the queue does not wait for threads that look", arguments: 2...4)
    func stopsBehindJobs(threadCount: Int) async throws {
        for _ in 0..<60 {
            let executor = try IOExecutor(name: "end", threadCount: threadCount, spinning: .seconds(3_600))
            for _ in 0..<6 {
                await withTaskGroup { group in
                    for _ in 0..<threadCount { group.addTask(executorPreference: executor) { usleep(20) } }
                }
            }
            let last = Task.detached(executorPreference: executor) {}
            executor.shutdown()
            await last.value
        }
    }

    @Test("Every job of bursts is run, whether threads sleep or look", arguments: [0, 1, 20, 1_000])
    func bursts(microseconds: Int) async throws {
        let executor = try IOExecutor(name: "burst", threadCount: 3, spinning: .microseconds(microseconds))
        let sum = Count()
        for round in 0..<400 {
            await withTaskGroup { group in
                for index in 0...round % 7 {
                    group.addTask(executorPreference: executor) {
                        if index % 3 == 0 { await Task.yield() }
                        sum.increase()
                    }
                }
            }
            if round % 50 == 0 { try await Task.sleep(for: .milliseconds(2)) }
        }
        #expect(sum.value == (0..<400).reduce(0) { $0 + $1 % 7 + 1 })
        executor.shutdown()
    }

    /// To one of the executor's threads and back.
    private func hop(_ executor: IOExecutor) async {
        await withTaskGroup { group in group.addTask(executorPreference: executor) {} }
    }
}
