// Writes that are judged while others wait for the log. A gate in front of the log's sync keeps commits staged and not
// applied for as long as a test needs.
import Foundation
import StorageIO
import Synchronization
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct StagingTests {
    /// Runs `body` with two databases; the first commit after `gate.shut()` stays at the gate, and what follows it
    /// stays in the queue.
    private func withGate(
        bulkByteThreshold: Int = 1 << 20,
        _ body: (VectorStore, VectorDatabase, VectorDatabase, Gate) async throws -> Void
    ) async throws {
        try await GatedStore.open({ $0.bulkByteThreshold = bulkByteThreshold }) { store, gate in
            let a = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            let b = try await store.createDatabase("b", options: DatabaseOptions(dimension: 3))
            // Files grow when they are first written to, which must not meet the gate.
            try await a.upsert(testRecord("first", 0))
            try await b.upsert(testRecord("first", 0))
            try await body(store, a, b, gate)
        }
    }

    /// Starts a write and returns once it is staged: the queue has given out its version.
    private func start(
        _ group: inout ThrowingTaskGroup<Void, any Error>, _ store: VectorStore,
        _ write: @escaping @Sendable () async throws -> Void
    ) async throws {
        let before = try await store.statistics().lastVersion
        group.addTask { try await write() }
        while try await store.statistics().lastVersion == before { await Task.yield() }
    }

    /// Runs `body` while an insert of `x` waits for the log's sync, which then succeeds.
    private func whileInsertWaits(
        _ store: VectorStore, _ a: VectorDatabase, _ gate: Gate, _ body: () async throws -> Void
    ) async throws {
        gate.shut()
        try await withThrowingTaskGroup(of: Void.self) { group in
            try await start(&group, store) { try await a.insert(testRecord("x", 1)) }
            await gate.reached()
            try await body()
            gate.open()
            try await group.waitForAll()
        }
    }

    /// Starts a transaction that stores `x` in both databases, and returns once it is staged.
    private func startTransaction(
        _ group: inout ThrowingTaskGroup<Void, any Error>, _ store: VectorStore
    ) async throws {
        try await start(&group, store) {
            try await store.transaction { tx in
                try await tx.upsert(testRecord("x", 1), into: "a")
                try await tx.upsert(testRecord("x", 1), into: "b")
            }
        }
    }

    @Test("A refused batch does not hide the pending commit it was judged against")
    func refusedOnTopOfPending() async throws {
        // `update([new, missing])` met the insert of `new`, which was waiting for the log, and was refused because of
        // `missing`. Taking it back took the pending insert out of sight too: the next insert of `new` was let through,
        // and the database held the id twice.
        try await withGate { store, a, _, gate in
            gate.shut()
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await start(&group, store) { try await a.insert(testRecord("new", 1)) }
                await gate.reached()
                await expectError(.recordNotFound) {
                    try await a.update([testRecord("new", 2), testRecord("missing", 2)])
                }
                await expectError(.recordExists) { try await a.insert(testRecord("new", 3)) }
                gate.open()
                try await group.waitForAll()
            }
            #expect(try await a.record(for: "new")?.content == testRecord("new", 1))
            #expect(try await a.count() == 2)
            try await store.expectSound()
        }
    }

    @Test("A commit on top of one that a full disk kept out is refused, and all space comes back")
    func orphanOnAFullDisk() async throws {
        // Such a commit is in the queue already when the one below it is undone; its slots and payload were lost.
        let directory = TestStore()
        let gate = Gate()
        let isArmed = Atomic(false)
        let writeCount = Atomic(0)
        /// Returns when the log task has written the notes that nobody waits for.
        @Sendable func untilLogIsIdle() async {
            var seen = -1
            while case let count = writeCount.load(ordering: .relaxed), count != seen {
                seen = count
                for _ in 0..<2_000 { await Task.yield() }
            }
        }
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await database.insert((0..<20).map { testRecord("r\($0)", 1) })
            try await store.checkpoint()
            hooked.set { (call, path) throws(FileSystemError) in
                guard call == .write, path.description.hasPrefix("wal/") else { return }
                writeCount.add(1, ordering: .relaxed)
                guard isArmed.exchange(false, ordering: .sequentiallyConsistent) else { return }
                gate.pass()
                throw FileSystemError(code: ENOSPC, call: call, path: path.description)
            }
            let before = try await Self.usedSpace(of: database)
            for round in 2...4 {
                await untilLogIsIdle()
                gate.shut()
                isArmed.store(true, ordering: .sequentiallyConsistent)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    try await start(&group, store) {
                        await expectError(.diskFull) {
                            try await database.upsert((0..<20).map { testRecord("r\($0)", round) })
                        }
                    }
                    while !gate.isReached { await Task.yield() }
                    // Staged while the log task is about to learn that the first one does not fit.
                    try await start(&group, store) {
                        await expectError(.diskFull) {
                            try await database.upsert((5..<25).map { testRecord("r\($0)", round) })
                        }
                    }
                    gate.open()
                    try await group.waitForAll()
                }
                #expect(try await Self.usedSpace(of: database) == before)
                #expect(try await database.count() == 20)
            }
            hooked.set(nil)
            try await database.upsert(testRecord("r5", 9))
            #expect(try await database.record(for: "r5")?.content == testRecord("r5", 9))
            try await store.expectSound()
        }
        try await directory.open { try await $0.expectSound() }
    }

    /// Slots and payload units that are handed out.
    private static func usedSpace(of database: VectorDatabase) async throws -> [Int] {
        try await database.withFile { file in
            let slots = await file.slots
            let payload = await file.payload
            return [slots.highWater - slots.freeCount, payload.highWater - payload.freeCount]
        }
    }

    @Test("Writes on the same ids pile up in the queue and are applied in order")
    func pileUp() async throws {
        try await withGate { store, a, _, gate in
            gate.shut()
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await start(&group, store) { try await a.insert([testRecord("x", 1), testRecord("y", 1)]) }
                await gate.reached()
                try await start(&group, store) { try await a.update(testRecord("x", 2)) }
                try await start(&group, store) { () async throws in #expect(try await a.delete(["x", "y", "z"]) == 2) }
                try await start(&group, store) { try await a.insert(testRecord("x", 3)) }
                await expectError(.recordNotFound) { try await a.update(testRecord("y", 4)) }
                try await start(&group, store) { () async throws in #expect(try await a.delete("x")) }
                try await start(&group, store) { try await a.upsert(testRecord("x", 5)) }
                #expect(try await a.contains("x") == false, "nothing is visible before it is durable")
                #expect(try await a.count() == 1)
                gate.open()
                try await group.waitForAll()
            }
            #expect(try await a.allContents() == ["first": testRecord("first", 0), "x": testRecord("x", 5)])
            try await store.expectSound()
        }
    }

    @Test("A batch that meets its own id among pending ones is still refused for the duplicate")
    func duplicateOverPending() async throws {
        try await withGate { store, a, _, gate in
            try await whileInsertWaits(store, a, gate) { () async throws in
                await expectError(.duplicateID) { try await a.upsert([testRecord("x", 2), testRecord("x", 3)]) }
                await expectError(.recordExists) { try await a.insert(testRecord("x", 4)) }
            }
            #expect(try await a.record(for: "x")?.content == testRecord("x", 1))
        }
    }

    @Test("A writer that meets a transaction over two databases waits for it and goes on", .timeLimit(.minutes(20)))
    func writerBehindTransaction() async throws {
        // Nobody told the writer that the transaction it waited for had been applied: it waited for ever.
        try await withGate { store, a, b, gate in
            gate.shut()
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await startTransaction(&group, store)
                await gate.reached()
                group.addTask { try await a.upsert(testRecord("x", 2)) }
                group.addTask { () async throws in #expect(try await b.delete("x")) }
                for _ in 0..<100 { await Task.yield() }
                gate.open()
                try await group.waitForAll()
            }
            #expect(try await a.record(for: "x")?.content == testRecord("x", 2))
            #expect(try await b.contains("x") == false)
        }
    }

    @Test("Of two transactions over two databases that meet at one record, the second is in conflict")
    func transactionBehindTransaction() async throws {
        try await withGate { store, a, _, gate in
            gate.shut()
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await startTransaction(&group, store)
                await gate.reached()
                await expectError(.conflict) {
                    try await store.transaction { tx in
                        try await tx.upsert(testRecord("y", 2), into: "a")
                        try await tx.upsert(testRecord("x", 2), into: "b")
                    }
                }
                gate.open()
                try await group.waitForAll()
            }
            #expect(try await a.allIDs().sorted() == ["first", "x"])
        }
    }

    @Test("Bulk batches that arrive together do not overfill the id directory", arguments: [true, false])
    func bulkTogether(_ isBulk: Bool) async throws {
        // Each batch made room for itself; their ids together were more than the directory holds, which trapped.
        try await withGate(bulkByteThreshold: isBulk ? 1 : 1 << 30) { store, a, _, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<8 {
                    group.addTask {
                        let ids = (0..<3_000).map { "w\(writer)-\($0)" }
                        try await a.insert(ids: ids, vectors: [Float](repeating: 1, count: 9_000))
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await a.count() == 24_001)
        }
    }

    @Test(
        "Whoever writes an id of a bulk batch that is on its way to the disk goes behind it", arguments: [true, false])
    func writerBehindBulk(_ succeeds: Bool) async throws {
        let directory = TestStore()
        let gate = Gate(under: "a/")
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        directory.configuration.bulkByteThreshold = 1
        directory.configuration.jointSyncByteLimit = 0
        try await directory.open { store in
            let a = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await a.upsert(testRecord("first", 0))
            hooked.set(gate.hook)
            defer { gate.open() }
            gate.shut()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let records = [testRecord("x", 1), testRecord("y", 1), testRecord(succeeds ? "z" : "first", 1)]
                    if succeeds {
                        try await a.insert(records)
                    } else {
                        // Judged while it is written; its slots must not be given away before that has ended.
                        await expectError(.recordExists) { try await a.insert(records) }
                    }
                }
                await gate.reached()
                // Of other ids: not held up.
                try await a.upsert(testRecord("other", 2))
                if succeeds {
                    group.addTask { try await a.upsert(testRecord("x", 3)) }
                    for _ in 0..<100 { await Task.yield() }
                    #expect(try await a.contains("x") == false)
                } else {
                    try await a.upsert(testRecord("x", 3))
                }
                #expect(try await a.contains("y") == false)
                gate.open()
                try await group.waitForAll()
            }
            hooked.set(nil)
            #expect(try await a.record(for: "x")?.content == testRecord("x", 3))
            #expect(try await a.record(for: "y")?.content == (succeeds ? testRecord("y", 1) : nil))
            #expect(try await a.count() == (succeeds ? 5 : 3))
            try await store.expectSound()
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("A bulk batch whose way is free again before it is on disk itself goes on")
    func bulkBehindBulk() async throws {
        // It was judged, met the one before it, and waited only once its own sync had ended: nobody woke it any more.
        let directory = TestStore()
        let gates = [Gate(under: "a/"), Gate(under: "a/")]
        let syncCount = Atomic(0)
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        directory.configuration.bulkByteThreshold = 1
        directory.configuration.jointSyncByteLimit = 0
        try await directory.open { store in
            let a = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await a.upsert(testRecord("first", 0))
            for gate in gates { gate.shut() }
            defer { for gate in gates { gate.open() } }
            hooked.set { (call, path) throws(FileSystemError) in
                guard call == .synchronizeData, path.description.hasPrefix("a/") else { return }
                let number = syncCount.wrappingAdd(1, ordering: .relaxed).newValue
                if number <= gates.count { gates[number - 1].pass() }
            }
            async let first = a.upsert([testRecord("x", 1), testRecord("y", 1)])
            await gates[0].reached()
            async let second = a.upsert([testRecord("x", 2), testRecord("z", 2)])
            // It is judged before its sync takes its turn behind the first one's.
            for _ in 0..<1_000 { await Task.yield() }
            gates[0].open()
            _ = try await first
            await gates[1].reached()
            gates[1].open()
            _ = try await second
            hooked.set(nil)
            #expect(try await a.record(for: "x")?.content == testRecord("x", 2))
            #expect(try await a.count() == 4)
            try await store.expectSound()
        }
    }

    @Test("What waits for the log's sync is in no statistics either")
    func statisticsBeforeSync() async throws {
        try await withGate { store, a, _, gate in
            try await whileInsertWaits(store, a, gate) { () async throws in
                for _ in 0..<100 { await Task.yield() }
                #expect(try await a.statistics().recordCount == 1)
            }
            #expect(try await a.statistics().recordCount == 2)
        }
    }

    @Test(
        "Writers that fight over the same few ids leave a sound store", arguments: Setting.Backing.allCases,
        [1 << 20, 1])
    func contention(_ backing: Setting.Backing, _ threshold: Int) async throws {
        let directory = TestStore(backing)
        directory.configuration.bulkByteThreshold = threshold
        try await directory.open { store in
            try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await store.createDatabase("b", options: DatabaseOptions(dimension: 3))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<8 { group.addTask { try await Self.fight(store, writer) } }
                try await group.waitForAll()
            }
            try await store.expectSound()
        }
        try await directory.open { store in
            for name in ["a", "b"] {
                let database = try await store.database(name)
                #expect(try await database.allContents().count == database.count())
            }
            try await store.expectSound()
        }
    }

    private static func fight(_ store: VectorStore, _ writer: Int) async throws {
        var random = TestGenerator(state: UInt64(writer))
        for step in 0..<60 {
            let database = try await store.database(random.next(below: 2) == 0 ? "a" : "b")
            let records = (0..<1 + random.next(below: 4)).map { _ in testRecord("r\(random.next(below: 6))", step) }
            do {
                switch random.next(below: 6) {
                case 0: try await database.insert(records)
                case 1: try await database.update(records)
                case 2: try await database.delete(records.map(\.id))
                case 3:
                    try await store.transaction { tx in
                        for record in records {
                            try await tx.upsert(record, into: "a")
                            try await tx.delete(record.id, from: "b")
                        }
                    }
                default: try await database.upsert(records)
                }
            } catch let error as StoreError {
                let expected: [StoreError.Code] = [.recordExists, .recordNotFound, .duplicateID, .conflict]
                #expect(expected.contains(error.code), "\(error)")
            }
        }
    }
}
