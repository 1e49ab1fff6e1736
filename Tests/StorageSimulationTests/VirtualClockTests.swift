// Time in a simulation: sleeping, waking in order, cancellation.
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20))) struct VirtualClockTests {
    let executor = SeededExecutor(seed: 11)

    @Test func `sleepers wake in the order of their deadlines, at exactly that time`() throws {
        let clock = executor.clock
        let woken = try executor.run {
            await withTaskGroup(of: (Int, UInt64).self) { group in
                for delay in [30, 10, 20] {
                    group.addTask {
                        try? await clock.sleep(nanoseconds: UInt64(delay))
                        return (delay, clock.monotonicNanoseconds())
                    }
                }
                var result: [(Int, UInt64)] = []
                for await entry in group { result.append(entry) }
                return result
            }
        }
        #expect(woken.map(\.0) == [10, 20, 30])
        #expect(woken.map(\.1) == [10, 20, 30])
    }

    @Test func `a cancelled sleep throws at once and time stands still`() throws {
        let clock = executor.clock
        let outcome = try executor.run {
            await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do {
                        try await clock.sleep(nanoseconds: 1_000)
                        return false
                    } catch { return error is CancellationError }
                }
                while clock.sleeperCount == 0 { await Task.yield() }
                group.cancelAll()
                return await group.next() ?? false
            }
        }
        #expect(outcome)
        #expect(clock.sleeperCount == 0 && clock.monotonicNanoseconds() == 0)
    }

    @Test func `a task that is cancelled already does not sleep`() throws {
        let clock = executor.clock
        let threw = try executor.run {
            await withTaskGroup(of: Bool.self) { group in
                group.cancelAll()
                group.addTask {
                    do {
                        try await clock.sleep(nanoseconds: 5)
                        return false
                    } catch { return true }
                }
                return await group.next() ?? false
            }
        }
        #expect(threw && clock.monotonicNanoseconds() == 0)
    }

    @Test func `advancing by hand wakes only those whose time has come`() throws {
        let clock = executor.clock
        let early = Shared(false)
        try executor.run {
            try await withThrowingTaskGroup { group in
                group.addTask {
                    try await clock.sleep(nanoseconds: 10)
                    early.update { $0 = true }
                }
                group.addTask { try await clock.sleep(nanoseconds: 100) }
                while clock.sleeperCount < 2 { await Task.yield() }
                clock.advance(by: 50)
                #expect(clock.sleeperCount == 1)
                while !early.value { await Task.yield() }
                #expect(clock.monotonicNanoseconds() == 50)
                try await group.waitForAll()
            }
        }
        #expect(clock.monotonicNanoseconds() == 100)
    }

    @Test func `the wall clock follows and can be stepped, the monotonic one only goes forward`() {
        let clock = VirtualClock(wallStartNanoseconds: 1_000)
        clock.advance(by: 5)
        clock.stepWall(byNanoseconds: -100)
        #expect(clock.wallNanoseconds() == 905)
        #expect(clock.monotonicNanoseconds() == 5)
    }
}

@Suite struct SeededRandomTests {
    @Test func `the generator is xoshiro256** seeded by SplitMix64`() {
        // First value for seed 0: state from SplitMix64(0) is e220a8397b1dcdaf, 6e789e6aa1b965f4, …, and the
        // scrambler is rotl(s1 * 5, 7) * 9.
        var generator = SeededGenerator(seed: 0)
        let product: UInt64 = 0x6E78_9E6A_A1B9_65F4 &* 5
        #expect(generator.next() == ((product << 7) | (product >> 57)) &* 9)
    }

    @Test func `equal seeds give equal numbers, in a source as in a generator`() {
        let source = SeededRandom(seed: 9)
        var generator = SeededGenerator(seed: 9)
        #expect((0..<100).allSatisfy { _ in source.next() == generator.next() })
        #expect(SeededRandom(seed: 1).next() != SeededRandom(seed: 2).next())
    }

    @Test func `bounded numbers reach every value and no other`() {
        var generator = SeededGenerator(seed: 3)
        #expect(Set((0..<500).map { _ in generator.next(below: 7) }) == Set(0..<7))
    }
}
