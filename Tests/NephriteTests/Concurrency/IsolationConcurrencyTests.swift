// What readers and transactions see while others write: one commit, whole, and always the same (promises 2 and 3).
import Nephrite
import StorageIO
import Testing

extension ConcurrencyTests {
    @Suite(.timeLimit(.minutes(20)))
    struct IsolationConcurrencyTests {
        private static func account(_ index: Int, _ amount: Float) -> VectorRecord {
            VectorRecord(id: "account-\(index)", vector: [amount, -amount, Float(index)])
        }

        private static let accounts = 5
        private static let options = DatabaseOptions(dimension: 3)

        /// The money in both databases as one transaction sees it.
        private static func total(_ transaction: Transaction) async throws -> Float {
            var total: Float = 0
            for index in 0..<accounts {
                for name in ["a", "b"] {
                    let vector = try #require(try await transaction.vector(for: "account-\(index)", in: name))
                    #expect(vector[0] == -vector[1] && vector[2] == Float(index))
                    total += vector[0]
                }
            }
            return total
        }

        /// Moves money from an account of one database to one of the other; tries again when another was first.
        private static func transfer(_ dice: inout Dice, _ store: VectorStore, _ conflicts: Tally) async throws {
            let (from, to) = dice.below(2) == 0 ? ("a", "b") : ("b", "a")
            let (source, target) = (dice.below(accounts), dice.below(accounts))
            let amount = Float(1 + dice.below(9))
            while true {
                do {
                    try await store.transaction { transaction in
                        let left = try #require(try await transaction.vector(for: "account-\(source)", in: from))
                        let right = try #require(try await transaction.vector(for: "account-\(target)", in: to))
                        try await transaction.upsert(account(source, left[0] - amount), into: from)
                        try await transaction.upsert(account(target, right[0] + amount), into: to)
                    }
                    return
                } catch let error where error.storeCode == .conflict {
                    conflicts.add()
                    await Task.yield()
                }
            }
        }

        @Test(
            "Transfers between two databases keep the sum, as every transaction and every snapshot sees it",
            arguments: Setting.Backing.allCases, [2, 100])
        func transfers(_ backing: Setting.Backing, _ openFiles: Int) async throws {
            let directory = TestStore(backing)
            directory.configuration.maximumOpenFiles = openFiles
            directory.configuration.logByteLimit = 16 << 10
            directory.configuration.logSegmentByteCount = 64 << 10
            let expected = Float(Self.accounts * 2 * 1_000)
            let rounds = (backing == .memory ? 40 : 12) * stressFactor / sanitizerDivisor
            try await directory.open { store in
                let a = try await store.createDatabase("a", options: Self.options)
                let b = try await store.createDatabase("b", options: Self.options)
                for database in [a, b] {
                    try await database.insert((0..<Self.accounts).map { Self.account($0, 1_000) })
                }
                let conflicts = Tally()
                let writers = Tally()
                writers.add(8)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<8 {
                        group.addTask {
                            defer { writers.add(-1) }
                            var dice = Dice(writer)
                            for _ in 0..<rounds { try await Self.transfer(&dice, store, conflicts) }
                        }
                    }
                    for _ in 0..<4 {
                        group.addTask {
                            while writers.value > 0 {
                                // Reads only: never in conflict, and always of one commit.
                                let total = try await store.transaction { try await Self.total($0) }
                                #expect(total == expected)
                                await Task.yield()
                            }
                        }
                    }
                    group.addTask {
                        while writers.value > 0 {
                            try await store.checkpoint()
                            await Task.yield()
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await store.transaction { try await Self.total($0) } == expected)
            }
            try await directory.open { store in
                #expect(try await store.transaction { try await Self.total($0) } == expected)
                try await store.expectSound()
            }
        }

        @Test("Increments of one counter by many tasks, through transactions: none is lost")
        func increments() async throws {
            let directory = TestStore()
            try await directory.open { store in
                for name in ["a", "b"] {
                    try await store.createDatabase(name, options: Self.options).upsert(Self.account(0, 0))
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<16 {
                        group.addTask {
                            for _ in 0..<10 * stressFactor {
                                while true {
                                    do {
                                        try await store.transaction { transaction in
                                            for name in ["a", "b"] {
                                                let value = try #require(
                                                    try await transaction.vector(for: "account-0", in: name))
                                                try await transaction.update(Self.account(0, value[0] + 1), into: name)
                                            }
                                        }
                                        break
                                    } catch let error where error.storeCode == .conflict {}
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                for name in ["a", "b"] {
                    let vector = try await store.database(name).vector(for: "account-0")
                    #expect(vector?[0] == Float(160 * stressFactor))
                }
            }
        }

        @Test("Compare-and-swap by version, from many tasks: none is lost")
        func expectedVersions() async throws {
            try await TestStore().open { store in
                let database = try await store.createDatabase("a", options: Self.options)
                try await database.upsert(Self.account(0, 0))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<16 {
                        group.addTask {
                            var done = 0
                            while done < 10 {
                                let record = try #require(try await database.record(for: "account-0"))
                                do {
                                    try await database.update(
                                        Self.account(0, record.vector[0] + 1), expectedVersion: record.version)
                                    done += 1
                                } catch let error where error.storeCode == .versionMismatch {}
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await database.vector(for: "account-0")?[0] == 160)
            }
        }

        @Test(
            "A snapshot that is held stays the same byte by byte while its records are replaced, deleted and checkpointed",
            arguments: Setting.Backing.allCases)
        func heldSnapshot(_ backing: Setting.Backing) async throws {
            // The slot reuse trap: a slot that was freed, checkpointed and given out again while a snapshot still reached it
            // would show the snapshot another record's vector.
            let directory = TestStore(backing)
            directory.configuration.logByteLimit = 64 << 10
            directory.configuration.logSegmentByteCount = 128 << 10
            let rounds = (backing == .memory ? 40 : 12) * stressFactor / sanitizerDivisor
            try await directory.open { store in
                let database = try await store.createDatabase("a", options: Stamp.options)
                try await database.upsert((0..<200).map { Stamp(writer: 0, number: $0, count: 0).record })
                let writers = Tally()
                writers.add(4)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<4 {
                        group.addTask {
                            defer { writers.add(-1) }
                            var dice = Dice(writer)
                            for round in 1...rounds {
                                let numbers = (0..<20).map { _ in dice.below(50) * 4 + writer }
                                let unique = Set(numbers).sorted()
                                try await database.upsert(
                                    unique.map { Stamp(writer: 0, number: $0, count: round).record })
                                if round % 3 == 0 {
                                    try await database.delete(unique.prefix(5).map { "w0-\($0)" })
                                }
                            }
                        }
                    }
                    for _ in 0..<2 {
                        group.addTask {
                            while writers.value > 0 {
                                try await store.checkpoint()
                                await Task.yield()
                            }
                        }
                    }
                    for holder in 0..<3 {
                        group.addTask {
                            while writers.value > 0 {
                                try await holdStill(database, turns: 5 + holder * 20)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try await store.expectSound()
            }
            try await directory.open { try await $0.expectSound() }
        }

        /// Takes a snapshot, lets others go on, and finds it as it was.
        private func holdStill(_ database: VectorDatabase, turns: Int) async throws {
            let snapshot = try await database.snapshot()
            let before = try contents(snapshot)
            #expect(before.count == snapshot.count)
            #expect(before.values.allSatisfy { Stamp($0) != nil })
            for _ in 0..<turns { await Task.yield() }
            #expect(try contents(snapshot) == before)
        }

        private func contents(_ snapshot: DatabaseSnapshot) throws -> [String: VectorRecord] {
            var contents: [String: VectorRecord] = [:]
            for result in snapshot.records() {
                let record = try result.get()
                contents[record.id] = record
                #expect(try snapshot.record(for: record.id) == record)
            }
            return contents
        }

        @Test("Slots and payload that snapshots held are used again once they are let go")
        func spaceComesBack() async throws {
            let directory = TestStore()
            try await directory.open { store in
                let database = try await store.createDatabase("a", options: Stamp.options)
                let stamps = (0..<100).map { Stamp(writer: 0, number: $0, count: 0) }
                try await database.upsert(stamps.map(\.record))
                func rewrite() async throws {
                    for count in 1...20 {
                        try await database.upsert(
                            stamps.map { Stamp(writer: 0, number: $0.number, count: count).record })
                        try await store.checkpoint()
                    }
                }
                try await rewrite()
                let settled = try await database.statistics().fileByteCount
                try await rewrite()
                #expect(try await database.statistics().fileByteCount == settled)
                do {
                    let held = try await database.snapshot()
                    let before = try contents(held)
                    try await rewrite()
                    #expect(try contents(held) == before)
                }
                try await store.checkpoint()
                let after = try await database.statistics().fileByteCount
                try await rewrite()
                #expect(try await database.statistics().fileByteCount == after)
            }
        }
    }
}
