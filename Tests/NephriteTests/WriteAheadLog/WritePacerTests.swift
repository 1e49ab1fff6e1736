// Large batches beside searches: when they wait, how long, and when not.
import StorageIO
import Synchronization
import Testing

@testable import Nephrite

@Suite struct WritePacerTests {
    /// A clock whose short sleeps are over at once, and add to the time; what sleeps for long waits for the end of the test.
    private final class SteppingClock: StorageClock {
        private let time = Mutex<(now: UInt64, slept: UInt64)>((1_000_000_000, 0))
        /// Called with each short sleep.
        let atSleep: @Sendable () -> Void

        init(atSleep: @escaping @Sendable () -> Void = {}) { self.atSleep = atSleep }

        /// Nanoseconds of short sleeps.
        var slept: UInt64 { time.withLock { $0.slept } }

        func monotonicNanoseconds() -> UInt64 { time.withLock { $0.now } }
        func wallNanoseconds() -> UInt64 { 1_750_000_000_000_000_000 }

        func sleep(nanoseconds: UInt64) async throws {
            guard nanoseconds <= WritePacer.stepNanoseconds else {
                return try await ContinuousClock().sleep(for: .seconds(86_400))
            }
            time.withLock { time in
                time.now += nanoseconds
                time.slept += nanoseconds
            }
            atSleep()
            try Task.checkCancellation()
        }
    }

    /// Searches that keep both of two cores busy, until told otherwise.
    private func heavyLoad() -> SearchLoad {
        let load = SearchLoad(coreCount: 2, threadCount: 2)
        load.beginParallel(2)
        return load
    }

    private static let large = 100_000

    // MARK: The budget

    @Test("The budget gives what its rate says, and a tenth of a second's worth at once")
    func rate() {
        var budget = WriteBudget(bytesPerSecond: 1_000_000, at: 5)
        var now: UInt64 = 5
        var taken = 0
        while now < 10_000_000_000 {
            let wait = budget.take(10_000, at: now)
            if wait == 0 { taken += 10_000 } else { now += wait }
        }
        #expect(abs(taken - 10_100_000) <= 20_000)
    }

    @Test("A batch of any size leaves a debt of a second at most")
    func debt() {
        var budget = WriteBudget(bytesPerSecond: 1_000, at: 0)
        #expect(budget.take(1 << 40, at: 0) == 0)
        let wait = budget.take(1, at: 0)
        #expect(wait > 999_000_000 && wait <= 1_000_000_001)
        #expect(budget.take(1, at: wait) == 0)
    }

    @Test("A clock that goes back gives nothing, and stops nobody for good")
    func clockGoesBack() {
        var budget = WriteBudget(bytesPerSecond: 1_000, at: 1_000_000_000)
        #expect(budget.take(300, at: 1_000_000_000) == 0)
        #expect(budget.take(300, at: 0) > 0)
        #expect(budget.take(300, at: 1_250_000_000) == 0)
    }

    // MARK: Waiting

    @Test("While searches keep all cores busy, large batches go at the rate for all cores")
    func paced() async throws {
        let clock = SteppingClock()
        let pacer = WritePacer(byteRate: 1_000_000, load: heavyLoad(), clock: clock)
        for _ in 0..<100 { try await pacer.waitForTurn(byteCount: Self.large) }
        // 10 MB at 2 MB a second, less what was in the budget.
        #expect(clock.slept > 4_500_000_000 && clock.slept < 5_100_000_000)
    }

    @Test("Nobody waits for more than a second")
    func longest() async throws {
        let clock = SteppingClock()
        let pacer = WritePacer(byteRate: 1, load: heavyLoad(), clock: clock)
        for round in 0..<5 {
            try await pacer.waitForTurn(byteCount: Self.large)
            #expect(clock.slept <= UInt64(round) * 1_000_000_000)
        }
        #expect(clock.slept > 3_900_000_000)
    }

    @Test("Small batches, batches beside a core without searches, and those of a store without a rate do not wait")
    func unpaced() async throws {
        let clock = SteppingClock()
        let load = heavyLoad()
        let pacer = WritePacer(byteRate: 1, load: load, clock: clock)
        try await pacer.waitForTurn(byteCount: Self.large)
        try await pacer.waitForTurn(byteCount: WritePacer.smallByteCount - 1)
        let unlimited = WritePacer(byteRate: .max, load: load, clock: clock)
        for _ in 0..<10 { try await unlimited.waitForTurn(byteCount: Self.large) }
        load.endParallel()
        for _ in 0..<10 { try await pacer.waitForTurn(byteCount: Self.large) }
        #expect(clock.slept == 0)
    }

    @Test("Who waits goes on when a search ends")
    func searchesEnd() async throws {
        let load = heavyLoad()
        let clock = SteppingClock { load.endParallel() }
        let pacer = WritePacer(byteRate: 1, load: load, clock: clock)
        try await pacer.waitForTurn(byteCount: Self.large)
        try await pacer.waitForTurn(byteCount: Self.large)
        #expect(clock.slept == WritePacer.stepNanoseconds)
    }

    // MARK: In a store

    @Test("Batches and transactions wait before they are staged; a batch that is cancelled then is not written")
    func store() async throws {
        let directory = TestStore()
        let cancels = Atomic<Bool>(false)
        let clock = SteppingClock {
            if cancels.load(ordering: .relaxed) { unsafe withUnsafeCurrentTask { unsafe $0?.cancel() } }
        }
        directory.configuration.environment.clock = clock
        directory.configuration.searchThreadCount = ProcessStatistics.activeProcessorCount
        directory.configuration.writeByteRateBesideSearches = 1
        let ids = (0..<100).map { "r\($0)" }
        let vectors = (0..<100).flatMap { testVector($0, 128) }
        try await directory.open { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 128))
            try await store.createDatabase("b", options: DatabaseOptions(dimension: 128))
            let load = database.store.context.searcher.load
            try await database.upsert(ids: ids, vectors: vectors)
            #expect(clock.slept == 0)
            load.beginParallel(1_000)
            // The first finds something in the budget, the others have to wait for what it took.
            try await database.upsert(ids: ids, vectors: vectors)
            try await database.upsert(VectorRecord(id: "small", vector: testVector(1, 128)))
            #expect(clock.slept == 0)
            try await database.upsert(ids: ids, vectors: vectors)
            let before = clock.slept
            #expect(before > 900_000_000)
            try await store.transaction { transaction in
                for id in ids {
                    try await transaction.upsert(VectorRecord(id: id, vector: testVector(2, 128)), into: "a")
                }
                try await transaction.upsert(VectorRecord(id: "x", vector: testVector(2, 128)), into: "b")
            }
            #expect(clock.slept - before > 900_000_000)
            cancels.store(true, ordering: .relaxed)
            let task = Task { try await database.upsert(ids: ids.map { "new-" + $0 }, vectors: vectors) }
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(try await database.count() == 101)
            load.endParallel(1_000)
        }
    }
}

@Suite struct SearchLoadTests {
    @Test("It is heavy when all cores are busy with searches, and never for large ones if they may not take all cores")
    func heavy() {
        let load = SearchLoad(coreCount: 4, threadCount: 4)
        load.beginParallel(3)
        #expect(!load.isHeavy)
        load.inline { #expect(load.isHeavy) }
        #expect(!load.isHeavy)
        load.beginParallel(1)
        #expect(load.isHeavy)
        load.endParallel()
        #expect(!load.isHeavy)
        let reserved = SearchLoad(coreCount: 4, threadCount: 3)
        reserved.beginParallel(100)
        #expect(!reserved.isHeavy)
        reserved.inline { #expect(reserved.isHeavy) }
    }

    @Test("Searches count while they go on, on the caller's thread or on others", arguments: [false, true])
    func searches(_ parallel: Bool) async throws {
        let directory = TestStore()
        try await directory.database(DatabaseOptions(dimension: 512)) { database async throws in
            let count = 1_000
            try await database.insert(
                ids: (0..<count).map { "r\($0)" }, vectors: (0..<count).flatMap { testVector($0, 512) })
            let executor = parallel ? try IOExecutor(name: "scan", threadCount: 2) : nil
            defer { executor?.shutdown() }
            let searcher = Searcher(executor: executor, threadCount: 2, coreCount: 1)
            let load = searcher.load
            let askedCount = Atomic<Int>(0)
            let lightCount = Atomic<Int>(0)
            let request = SearchRequest(
                queries: [testVector(7, 512)], limit: 10,
                accepts: { _ in
                    askedCount.add(1, ordering: .relaxed)
                    if !load.isHeavy { lightCount.add(1, ordering: .relaxed) }
                    return true
                })
            #expect(!load.isHeavy)
            let answer = try await searcher.search(try await database.snapshot(), request, codes: nil)
            #expect(answer.threadCount == (parallel ? 2 : 1))
            #expect(askedCount.load(ordering: .relaxed) > 0)
            #expect(lightCount.load(ordering: .relaxed) == 0)
            #expect(!load.isHeavy)
        }
    }
}
