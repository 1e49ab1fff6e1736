// Which databases there are: creating, listing, dropping, by name (A2, A13, A14, H7, H8).
import Foundation
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct StoreCatalogueTests {
    @Test("Options and identity are there again after reopening", arguments: Setting.Backing.allCases)
    func persisted(_ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        var before: [DatabaseDescription] = []
        try await directory.open { store async throws in
            for (index, metric) in DistanceMetric.allCases.enumerated() {
                for durability in [
                    Durability.durable, .relaxed, .relaxed(every: .milliseconds(1)), .relaxed(every: .seconds(3_600)),
                ] {
                    let name = "d\(index)-\(before.count)"
                    let options = DatabaseOptions(
                        dimension: 1 + before.count * 5_000, metric: metric, durability: durability)
                    let database = try await store.createDatabase(name, options: options)
                    #expect(database.name == name && database.options == options)
                    before = try await store.databases()
                }
            }
            #expect(before.count == 12 && before.map(\.name) == before.map(\.name).sorted())
            #expect(Set(before.map(\.uuid)).count == 12)
        }
        try await directory.open { store async throws in
            #expect(try await store.databases() == before)
            for description in before {
                #expect(try await store.database(description.name).options == description.options)
            }
        }
    }

    static let badNames = [
        "", ".", "..", "../x", "a/b", "a.b", "A", "Abc", "-a", "_a", "a b", "é", "ａ", "a\u{0}", "wal", "lock",
        "catalog",
        String(repeating: "a", count: 65), "CATALOG", "LOCK", " a", "a\n", "\u{212A}",
    ]

    @Test("A name that is none is refused and leaves nothing", arguments: badNames)
    func badName(_ name: String) async throws {
        let directory = TestStore(.disk)
        try await directory.open { store async throws in
            let before = try directory.contents().keys.sorted()
            await expectError(.invalidName) {
                try await store.createDatabase(name, options: DatabaseOptions(dimension: 3))
            }
            await expectError(.databaseNotFound) { _ = try await store.database(name) }
            await expectError(.databaseNotFound) { try await store.dropDatabase(name) }
            #expect(try directory.contents().keys.sorted() == before)
            try await store.createDatabase("ok", options: DatabaseOptions(dimension: 3))
        }
    }

    @Test(
        "Names at the edges are names",
        arguments: ["a", "0", "a-", "a_", "0-_x", String(repeating: "z", count: 64), "wal2"])
    func goodName(_ name: String) async throws {
        let directory = TestStore(.disk)
        try await directory.open { store async throws in
            try await store.createDatabase(name, options: DatabaseOptions(dimension: 3)).upsert(testRecord("a", 1))
        }
        try await directory.open { store async throws in
            let database = try await store.database(name)
            #expect(try await database.count() == 1)
        }
    }

    @Test("A database is opened, or created if it is not there, by many at once; not with another shape")
    func openOrCreate() async throws {
        let options = DatabaseOptions(dimension: 3, metric: .euclidean)
        try await TestStore().open { store async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<20 {
                    group.addTask {
                        try await store.openDatabase("a", options: options).insert(testRecord("r\(index)", index))
                    }
                }
                try await group.waitForAll()
            }
            let other = DatabaseOptions(dimension: 3, metric: .euclidean, durability: .relaxed)
            #expect(try await store.openDatabase("a", options: other).count() == 20)
            #expect(try await store.databases().map(\.options) == [options])
            for wrong in [DatabaseOptions(dimension: 4, metric: .euclidean), DatabaseOptions(dimension: 3)] {
                await expectError(.invalidArgument) { _ = try await store.openDatabase("a", options: wrong) }
            }
            await expectError(.invalidName) { _ = try await store.openDatabase("A", options: options) }
        }
    }

    @Test("Options out of range are refused")
    func badOptions() async throws {
        try await TestStore().open { store async throws in
            for dimension in [0, -1, 65_537, .max, .min] {
                await expectError(.invalidArgument) {
                    try await store.createDatabase("a", options: DatabaseOptions(dimension: dimension))
                }
            }
            for interval in [Duration.zero, .seconds(-1), .microseconds(999), .seconds(3_601), .seconds(Int64.max)] {
                await expectError(.invalidArgument) {
                    try await store.createDatabase(
                        "a", options: DatabaseOptions(dimension: 3, durability: .relaxed(every: interval)))
                }
            }
            #expect(try await store.databases() == [])
        }
    }

    @Test(
        "Creating what is there and dropping what is not are errors; dropped and created again it is another one",
        arguments: Setting.Backing.allCases)
    func dropAndRecreate(_ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        let options = DatabaseOptions(dimension: 3)
        var uuids: Set<String> = []
        for round in 0..<4 {
            try await directory.open { store async throws in
                let old = try await store.createDatabase("a", options: options)
                await expectError(.databaseExists) { try await store.createDatabase("a", options: options) }
                uuids.insert(try await store.databases()[0].uuid)
                try await old.upsert(testRecord("r\(round)", 1))
                try await store.dropDatabase("a")
                await expectError(.databaseNotFound) { try await store.dropDatabase("a") }
                await expectError(.databaseNotFound) { _ = try await store.database("a") }
                await expectError(.databaseNotFound) { _ = try await old.count() }
                await expectError(.databaseNotFound) { try await old.upsert(testRecord("x", 1)) }
                let new = try await store.createDatabase(
                    "a", options: DatabaseOptions(dimension: 5, metric: .euclidean))
                #expect(try await new.count() == 0)
                await expectError(.databaseNotFound) { _ = try await old.count() }
                try await new.upsert(testRecord("y", 1, 5))
                uuids.insert(try await store.databases()[0].uuid)
            }
            try await directory.open { store async throws in
                let database = try await store.database("a")
                #expect(try await database.allContents() == ["y": testRecord("y", 1, 5)])
                try await store.dropDatabase("a")
            }
        }
        #expect(uuids.count == 8)
        try await directory.open { store async throws in
            #expect(try await store.databases() == [])
            #expect(store.recoveryReport?.orphans == [])
        }
        if backing == .disk {
            #expect(try directory.contents().keys.allSatisfy { $0 == "CATALOG" || $0.hasPrefix("wal") })
        }
    }

    @Test("A snapshot reads on after its database was dropped", arguments: Setting.Backing.allCases)
    func dropUnderSnapshot(_ backing: Setting.Backing) async throws {
        try await TestStore(backing).open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            let records = (0..<300).map { testRecord("r\($0)", $0) }
            try await database.insert(records)
            let snapshot = try await database.snapshot()
            try await store.dropDatabase("a")
            try await store.createDatabase("a", options: DatabaseOptions(dimension: 3)).insert(
                (0..<300).map { testRecord("r\($0)", $0 + 1_000) })
            for record in records { #expect(try snapshot.record(for: record.id)?.content == record) }
            #expect(try await snapshot.search(testVector(7, 3), k: 1).first?.id == "r7")
        }
    }

    @Test("Of many tasks that create the same name exactly one wins; creating and dropping at once leaves no orphans")
    func concurrent() async throws {
        let directory = TestStore(.disk)
        try await directory.open { store async throws in
            let wins = await withTaskGroup(of: Int.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        do {
                            try await store.createDatabase("same", options: DatabaseOptions(dimension: 3))
                            return 1
                        } catch { return (error as? StoreError)?.code == .databaseExists ? 0 : 100 }
                    }
                }
                return await group.reduce(0, +)
            }
            #expect(wins == 1)
            await withTaskGroup(of: Void.self) { group in
                for task in 0..<6 {
                    group.addTask {
                        for step in 0..<8 {
                            let name = "d\((task + step) % 3)"
                            if let database = try? await store.createDatabase(
                                name, options: DatabaseOptions(dimension: 3))
                            {
                                _ = try? await database.upsert(testRecord("a", step))
                            } else {
                                try? await store.dropDatabase(name)
                            }
                        }
                    }
                }
            }
        }
        try await directory.open { store async throws in
            #expect(store.recoveryReport?.orphans == [])
            #expect(store.recoveryReport?.wasClean == true)
            try await store.expectSound()
            for description in try await store.databases() { try await store.dropDatabase(description.name) }
        }
    }

    @Test("More databases than may be open at once are all served", arguments: Setting.Backing.allCases)
    func eviction(_ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        directory.configuration.maximumOpenFiles = 3
        try await directory.open { store async throws in
            for index in 0..<12 {
                try await store.createDatabase("d\(index)", options: DatabaseOptions(dimension: 3))
                    .upsert(testRecord("a", index))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<4 {
                    group.addTask {
                        for index in 0..<12 {
                            let database = try await store.database("d\((index * 5 + task) % 12)")
                            try await database.upsert(testRecord("t\(task)", index))
                        }
                    }
                }
                try await group.waitForAll()
            }
            let statistics = try await store.statistics()
            #expect(statistics.openFiles <= 3 && statistics.evictions > 0 && statistics.databases == 12)
        }
        try await directory.open { store async throws in
            for index in 0..<12 {
                let database = try await store.database("d\(index)")
                #expect(try await database.count() == 5)
                #expect(try await database.vector(for: "a") == testVector(index, 3))
            }
            try await store.expectSound()
        }
    }
}
