// Commits of many tasks: grouped, ordered, cancelled, held up, and finished at shutdown (C5, C6, C8).
import Nephrite
import StorageIO
import Synchronization
import Testing

/// The newest write of each id that was acknowledged.
private final class Acknowledged: Sendable {
    let stamps = Mutex<[String: Stamp]>([:])
}

extension ConcurrencyTests {
    @Suite(.timeLimit(.minutes(20)))
    struct CommitConcurrencyTests {
        /// Runs `body` with a store whose log syncs stop at a gate; the gate is opened in the end.
        private func withGate(
            _ change: (inout StoreConfiguration) -> Void = { _ in },
            _ body: (VectorStore, VectorDatabase, Gate) async throws -> Void
        ) async throws {
            try await GatedStore.open(change) { store, gate in
                let database = try await store.createDatabase("a", options: Stamp.options)
                try await database.upsert(Stamp(writer: 9, number: 9, count: 9).record)
                try await body(store, database, gate)
            }
        }

        @Test("64 upserts that meet at the log share its syncs")
        func groupCommit() async throws {
            try await withGate { store, database, gate in
                let before = try await store.statistics()
                gate.shut()
                try await withThrowingTaskGroup(of: RecordVersion.self) { group in
                    for writer in 0..<64 {
                        group.addTask { try await database.upsert(Stamp(writer: writer, number: 0, count: 1).record) }
                    }
                    // All are staged behind the first, which is at the gate.
                    await gate.reached()
                    while try await store.statistics().lastVersion < before.lastVersion + 64 { await Task.yield() }
                    gate.open()
                    var versions: Set<RecordVersion> = []
                    for try await version in group { versions.insert(version) }
                    #expect(versions.count == 64)
                }
                let after = try await store.statistics()
                #expect(after.commits - before.commits == 64)
                // The group at the gate, and everything that came meanwhile.
                #expect(after.syncs - before.syncs <= 2)
                #expect(try await database.count() == 65)
            }
        }

        @Test("64 writers on a disk cost far fewer syncs than commits")
        func groupCommitOnDisk() async throws {
            let directory = TestStore(.disk)
            try await directory.open { store in
                let database = try await store.createDatabase("a", options: Stamp.options)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<64 {
                        group.addTask {
                            for count in 0..<20 {
                                try await database.upsert(Stamp(writer: writer, number: 0, count: count).record)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let statistics = try await store.statistics()
                #expect(statistics.commits >= 64 * 20)
                #expect(statistics.syncs * 4 < statistics.commits, "\(statistics.syncs) syncs")
            }
        }

        @Test("A write cancelled before it is staged throws CancellationError and writes nothing")
        func cancelledBefore() async throws {
            try await withGate { store, database, _ in
                let before = try await store.statistics().lastVersion
                await withTaskGroup(of: Void.self) { group in
                    group.cancelAll()
                    let stamp = Stamp(writer: 1, number: 1, count: 1)
                    group.addTask {
                        await #expect(throws: CancellationError.self) { try await database.upsert(stamp.record) }
                    }
                    group.addTask {
                        await #expect(throws: CancellationError.self) { try await database.insert([stamp.record]) }
                    }
                    group.addTask {
                        await #expect(throws: CancellationError.self) {
                            try await database.update(ids: [stamp.id], vectors: stamp.vector)
                        }
                    }
                    group.addTask {
                        await #expect(throws: CancellationError.self) { try await database.delete("w9-9") }
                    }
                    group.addTask {
                        await #expect(throws: CancellationError.self) { try await database.delete(["w9-9"]) }
                    }
                    group.addTask {
                        await #expect(throws: CancellationError.self) {
                            try await store.transaction { try await $0.upsert(stamp.record, into: "a") }
                        }
                    }
                    group.addTask {
                        await #expect(throws: CancellationError.self) {
                            try await store.createDatabase("b", options: Stamp.options)
                        }
                    }
                    group.addTask {
                        await #expect(throws: CancellationError.self) { try await store.dropDatabase("a") }
                    }
                }
                #expect(try await store.statistics().lastVersion == before)
                #expect(try await database.allIDs() == ["w9-9"])
            }
        }

        @Test("A write cancelled after it is staged tells its real outcome, and what it wrote is there")
        func cancelledAfter() async throws {
            try await withGate { store, database, gate in
                let before = try await store.statistics().lastVersion
                gate.shut()
                let versions = try await withThrowingTaskGroup(of: RecordVersion.self) { group in
                    for number in 0..<5 {
                        group.addTask { try await database.upsert(Stamp(writer: 1, number: number, count: 1).record) }
                    }
                    while try await store.statistics().lastVersion < before + 5 { await Task.yield() }
                    group.cancelAll()
                    for _ in 0..<100 { await Task.yield() }
                    gate.open()
                    return try await group.reduce(into: [RecordVersion]()) { $0.append($1) }
                }
                #expect(Set(versions) == Set(before + 1...before + 5))
                #expect(try await database.count() == 6)
            }
        }

        @Test("Writers cancelled at any moment: what succeeded is there, what was cancelled is not", arguments: 0..<6)
        func cancelledAnytime(_ seed: Int) async throws {
            try await withGate({ $0.commitQueueByteLimit = 1_000 }) { (_, database, _) async throws in
                let outcomes = await withTaskGroup(of: (Stamp, Bool).self) { group in
                    for writer in 0..<40 {
                        group.addTask {
                            let stamp = Stamp(writer: writer, number: 0, count: 1)
                            do {
                                try await database.upsert(stamp.record)
                                return (stamp, true)
                            } catch {
                                #expect(error is CancellationError)
                                return (stamp, false)
                            }
                        }
                    }
                    var dice = Dice(seed)
                    for _ in 0..<dice.below(60) { await Task.yield() }
                    group.cancelAll()
                    return await group.reduce(into: [(Stamp, Bool)]()) { $0.append($1) }
                }
                for (stamp, succeeded) in outcomes {
                    let isThere = try await database.contains(stamp.id)
                    #expect(isThere == succeeded)
                }
            }
        }

        @Test(
            "A queue limit of next to nothing slows writers down and stops no one", arguments: Setting.Backing.allCases,
            [1, 5_000])
        func backPressure(_ backing: Setting.Backing, _ limit: Int) async throws {
            let directory = TestStore(backing)
            directory.configuration.commitQueueByteLimit = limit
            directory.configuration.logSegmentByteCount = 64 << 10
            directory.configuration.logByteLimit = 32 << 10
            directory.configuration.bulkByteThreshold = 16 << 10
            directory.configuration.maximumOpenFiles = 2
            try await directory.open { store in
                for index in 0..<4 { try await store.createDatabase("d\(index)", options: Stamp.options) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<24 {
                        group.addTask {
                            for round in 1...6 * stressFactor {
                                let database = try await store.database("d\((writer + round) % 4)")
                                // Single writes, batches, bulk loads, deletes and transactions, all through the same gap.
                                let size = [1, 10, 150, 1][round % 4]
                                let stamps = (0..<size).map { Stamp(writer: writer, number: $0, count: round) }
                                try await database.upsert(stamps.map(\.record))
                                if round % 3 == 0 { try await database.delete(stamps[0].id) }
                                if round % 4 == 1 { try await transact(writer, round, store) }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try await store.expectSound()
            }
            try await directory.open { try await $0.expectSound() }
        }

        private func transact(_ writer: Int, _ round: Int, _ store: VectorStore) async throws {
            while true {
                do {
                    return try await store.transaction { transaction in
                        for index in 0..<2 {
                            try await transaction.upsert(
                                Stamp(writer: writer, number: 200, count: round).record, into: "d\(index)")
                        }
                    }
                } catch let error where error.storeCode == .conflict {
                    // A database that was closed when the transaction began had been written to before it was opened.
                    await Task.yield()
                }
            }
        }

        @Test("A store that is stopped while 50 writers are at it keeps every write it acknowledged", arguments: 0..<6)
        func shutdown(_ round: Int) async throws {
            let directory = TestStore(round % 2 == 0 ? .memory : .disk)
            directory.configuration.maximumOpenFiles = 4
            let acknowledged = Acknowledged()
            let store = VectorStore(at: directory.path, configuration: directory.configuration)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await store.run() }
                try await store.waitUntilReady()
                for index in 0..<8 { try await store.createDatabase("d\(index)", options: Stamp.options) }
                await withTaskGroup(of: Void.self) { writers in
                    for writer in 0..<50 {
                        writers.addTask { await writeUntilClosed(writer, store, acknowledged) }
                    }
                    while acknowledged.stamps.withLock({ $0.count }) < 40 + round * 20 { await Task.yield() }
                    group.cancelAll()
                    await writers.waitForAll()
                }
                try await group.waitForAll()
            }
            try await directory.open { store in
                #expect(store.recoveryReport?.wasClean == true)
                for (key, stamp) in acknowledged.stamps.withLock({ $0 }) {
                    let record = try await store.database(String(key.prefix(2))).record(for: stamp.id)
                    let found = try #require(record.flatMap { Stamp($0) }, "\(key) is lost")
                    // A later write of the same id may have been made and not heard of.
                    #expect(found.count >= stamp.count)
                }
                try await store.expectSound()
            }
        }

        private func writeUntilClosed(
            _ writer: Int, _ store: VectorStore, _ acknowledged: Acknowledged
        ) async {
            var dice = Dice(writer)
            for count in 1... {
                let name = "d\(dice.below(8))"
                let stamp = Stamp(writer: writer, number: dice.below(3), count: count)
                do {
                    try await store.database(name).upsert(stamp.record)
                } catch {
                    // Closed, and nothing else: a write is never left in doubt by a shutdown.
                    #expect(error.storeCode == .closed, "\(error)")
                    return
                }
                acknowledged.stamps.withLock { $0[name + "/" + stamp.id] = stamp }
            }
        }
    }
}
