// Openings, closings, creations and drops that meet each other (C4, O1).
import StorageIO
import StorageSimulation
import Synchronization
import Testing

@testable import Nephrite

extension ConcurrencyTests {
    @Suite(.timeLimit(.minutes(20)))
    struct RegistryConcurrencyTests {
        @Test("A burst of callers opens a closed file once", arguments: Setting.Backing.allCases)
        func oneOpenPerBurst(_ backing: Setting.Backing) async throws {
            let directory = TestStore(backing)
            directory.configuration.maximumOpenFiles = 1
            try await directory.open { store in
                let a = try await store.createDatabase("a", options: Stamp.options)
                let b = try await store.createDatabase("b", options: Stamp.options)
                try await a.upsert(Stamp(writer: 0, number: 0, count: 1).record)
                for round in 1...10 {
                    // Opening b closes a.
                    #expect(try await b.count() == 0)
                    #expect(a.cell.pin() == nil)
                    let before = try await store.statistics().opens
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for task in 0..<50 {
                            group.addTask {
                                if task % 2 == 0 {
                                    try await a.upsert(Stamp(writer: 1, number: task, count: round).record)
                                } else {
                                    #expect(try await a.contains("w0-0"))
                                }
                            }
                        }
                        try await group.waitForAll()
                    }
                    #expect(try await store.statistics().opens == before + 1)
                }
                #expect(try await a.count() == 26)
            }
            try await directory.open { try await $0.expectSound() }
        }

        /// An actor that has work done on I/O threads, and looks where it goes on.
        private actor Caller {
            func threadAfterWork(_ io: IOContext) async -> String {
                await io.run {}
                return ThreadName.current
            }
        }

        @Test("An actor that had work done on an I/O thread does not go on there")
        func returnsFromIOThreads() async throws {
            let executor = try IOExecutor(name: "nephrite-io", threadCount: 2)
            let io = IOContext(executor: executor)
            let names = await withTaskGroup(of: [String].self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        let caller = Caller()
                        var names: [String] = []
                        for _ in 0..<50 { names.append(await caller.threadAfterWork(io)) }
                        return names
                    }
                }
                return await group.reduce(into: Set<String>()) { $0.formUnion($1) }
            }
            #expect(names.filter { $0.hasPrefix("nephrite-io") } == [])
            executor.shutdown()
        }

        @Test(
            "Of many creations of one name exactly one wins, and the others are told",
            arguments: Setting.Backing.allCases)
        func oneCreationWins(_ backing: Setting.Backing) async throws {
            let directory = TestStore(backing)
            let names = (0..<5).map { "n\($0)" }
            try await directory.open { store in
                for name in names {
                    let winners = try await withThrowingTaskGroup(of: Bool.self) { group in
                        for creator in 1...20 {
                            group.addTask {
                                do {
                                    let database = try await store.createDatabase(
                                        name, options: DatabaseOptions(dimension: creator))
                                    // The winner's options are the database's.
                                    #expect(database.options.dimension == creator)
                                    let found = try await store.database(name).options.dimension
                                    #expect(found == creator)
                                    return true
                                } catch let error as StoreError where error.code == .databaseExists {
                                    // Whoever loses finds the winner's database there and ready.
                                    #expect(try await store.database(name).count() == 0)
                                    return false
                                }
                            }
                        }
                        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                    }
                    #expect(winners == 1)
                }
                #expect(try await store.databases().map(\.name) == names)
            }
            #expect(try directory.directories() == Set(names + ["wal"]))
        }

        @Test(
            "Drops, creations, writes and reads of the same names: everyone finishes or is told, nothing is left behind",
            arguments: Setting.Backing.allCases)
        func dropAndCreate(_ backing: Setting.Backing) async throws {
            let directory = TestStore(backing)
            directory.configuration.maximumOpenFiles = 3
            let names = (0..<6).map { "n\($0)" }
            let rounds = (backing == .memory ? 60 : 25) * stressFactor / sanitizerDivisor
            try await directory.open { store in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<4 {
                        group.addTask { try await catalogueChurn(task, rounds, names, store) }
                    }
                    for task in 0..<8 {
                        group.addTask { try await writeOrLearn(task, rounds, names, store) }
                    }
                    for task in 0..<8 {
                        group.addTask { try await readOrLearn(task, rounds, names, store) }
                    }
                    try await group.waitForAll()
                }
                let left = try await store.databases().map(\.name)
                #expect(try directory.directories() == Set(left + ["wal"]))
                try await store.expectSound()
            }
            try await directory.open { store in
                let left = try await store.databases().map(\.name)
                #expect(try directory.directories() == Set(left + ["wal"]))
                #expect(store.recoveryReport?.orphans == [])
                try await store.expectSound()
            }
        }

        private func catalogueChurn(_ task: Int, _ rounds: Int, _ names: [String], _ store: VectorStore) async throws {
            var dice = Dice(task)
            for _ in 0..<rounds {
                let name = names[dice.below(names.count)]
                do {
                    if dice.below(2) == 0 {
                        try await store.createDatabase(name, options: Stamp.options)
                    } else {
                        try await store.dropDatabase(name)
                    }
                } catch let error where [.databaseExists, .databaseNotFound].contains(error.storeCode) {}
            }
        }

        private func writeOrLearn(_ task: Int, _ rounds: Int, _ names: [String], _ store: VectorStore) async throws {
            var dice = Dice(100 + task)
            for round in 0..<rounds * 2 {
                do {
                    let database = try await store.database(names[dice.below(names.count)])
                    let stamp = Stamp(writer: task, number: 0, count: round)
                    try await database.upsert(stamp.record)
                    // Still there, unless the database was dropped after the write.
                    #expect(try await database.record(for: stamp.id)?.content == stamp.record)
                } catch let error where error.storeCode == .databaseNotFound {}
            }
        }

        private func readOrLearn(_ task: Int, _ rounds: Int, _ names: [String], _ store: VectorStore) async throws {
            var dice = Dice(200 + task)
            for _ in 0..<rounds * 2 {
                // A database of this name may be another one by the next round: each gets a witness of its own.
                var witness = Witness()
                do {
                    let snapshot = try await store.database(names[dice.below(names.count)]).snapshot()
                    witness.note(snapshot, in: "n")
                    await Task.yield()
                    // A snapshot reads on after its database is gone.
                    witness.note(snapshot, in: "n")
                } catch let error where [.databaseNotFound, .closed].contains(error.storeCode) {}
                witness.check()
            }
        }

        @Test("A file that is pinned is not closed to make room for another")
        func pinnedStaysOpen() async throws {
            let directory = TestStore()
            directory.configuration.maximumOpenFiles = 2
            try await directory.open { store in
                let names = (0..<6).map { "d\($0)" }
                for name in names { try await store.createDatabase(name, options: Stamp.options) }
                let pinned = try await store.database("d0")
                try await pinned.upsert(Stamp(writer: 0, number: 0, count: 1).record)
                let file = try #require(pinned.cell.pin())
                for round in 0..<5 {
                    for name in names.dropFirst() {
                        try await store.database(name).upsert(Stamp(writer: 1, number: 0, count: round).record)
                        #expect(await file.isClosed == false)
                        #expect(try await store.statistics().openFiles <= 2)
                    }
                }
                // Pinned twice, unpinned once: still pinned.
                let again = try #require(pinned.cell.pin())
                #expect(again === file)
                pinned.cell.unpin()
                try await store.database("d1").upsert(Stamp(writer: 1, number: 1, count: 1).record)
                #expect(await file.isClosed == false)
                pinned.cell.unpin()
                for name in names.dropFirst() { _ = try await store.database(name).count() }
                #expect(await file.isClosed)
                #expect(try await pinned.count() == 1)
            }
        }

        @Test("A file whose snapshot is held is not closed, and when it is let go it may be")
        func heldSnapshotStaysOpen() async throws {
            let directory = TestStore()
            directory.configuration.maximumOpenFiles = 2
            try await directory.open { store in
                for index in 0..<4 { try await store.createDatabase("d\(index)", options: Stamp.options) }
                let held = try await store.database("d0")
                try await held.upsert(Stamp(writer: 0, number: 0, count: 1).record)
                var snapshot: DatabaseSnapshot? = try await held.snapshot()
                // A newer snapshot is published beside the one that is held.
                try await held.upsert(Stamp(writer: 0, number: 0, count: 2).record)
                let file = try #require(held.cell.pin())
                held.cell.unpin()
                for index in 1..<4 {
                    try await store.database("d\(index)").upsert(Stamp(writer: 1, number: 0, count: 1).record)
                }
                #expect(await file.isClosed == false)
                #expect(try snapshot?.record(for: "w0-0")?.content == Stamp(writer: 0, number: 0, count: 1).record)
                snapshot = nil
                for index in 1..<4 { _ = try await store.database("d\(index)").count() }
                #expect(await file.isClosed)
                #expect(try await held.record(for: "w0-0")?.content == Stamp(writer: 0, number: 0, count: 2).record)
            }
        }

        @Test("Closing files that have changed loses nothing", arguments: Setting.Backing.allCases, [1, 2])
        func dirtyEviction(_ backing: Setting.Backing, _ limit: Int) async throws {
            let directory = TestStore(backing)
            directory.configuration.maximumOpenFiles = limit
            let names = (0..<12).map { "d\($0)" }
            let rounds = (backing == .memory ? 12 : 4) * stressFactor
            try await directory.open { store in
                for name in names { try await store.createDatabase(name, options: Stamp.options) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<8 {
                        group.addTask {
                            var dice = Dice(writer)
                            for round in 1...rounds {
                                for name in names.shuffled(using: &dice) {
                                    try await store.database(name)
                                        .upsert(Stamp(writer: writer, number: round % 3, count: round).record)
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await store.statistics().evictions > 0)
            }
            try await directory.open { store in
                for name in names {
                    let contents = try await store.database(name).allContents()
                    #expect(contents.count == 8 * min(3, rounds))
                    for writer in 0..<8 {
                        for round in max(1, rounds - 2)...rounds {
                            let stamp = Stamp(writer: writer, number: round % 3, count: round)
                            #expect(contents[stamp.id] == stamp.record)
                        }
                    }
                }
                try await store.expectSound()
            }
        }
    }
}
