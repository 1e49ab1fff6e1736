// One record at a time: what each form of writing and reading promises (B1–B4, A19).
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct RecordTests {
    @Test("Upsert stores and replaces, and both survive reopening", arguments: Setting.all)
    func upsert(_ setting: Setting) async throws {
        let directory = TestStore(setting.backing)
        let first = testRecord("a", 1, setting.dimension)
        let second = testRecord("a", 2, setting.dimension)
        let other = testRecord("b", 3, setting.dimension)
        try await directory.database(setting.options) { database in
            let version = try await database.upsert(first)
            #expect(try await database.record(for: "a")?.content == first)
            #expect(try await database.record(for: "a")?.version == version)
            let newer = try await database.upsert(second)
            #expect(newer > version)
            try await database.upsert(other)
            #expect(try await database.vector(for: "a") == second.vector)
            #expect(try await database.count() == 2)
        }
        try await directory.open { store in
            let database = try await store.database("a")
            #expect(database.options == setting.options)
            #expect(try await database.record(for: "a")?.content == second)
            #expect(try await database.record(for: "b")?.content == other)
            #expect(try await database.count() == 2)
            try await store.expectSound()
        }
    }

    @Test("Insert refuses what is there, update what is not; neither leaves a trace", arguments: Setting.some)
    func insertAndUpdate(_ setting: Setting) async throws {
        let directory = TestStore(setting.backing)
        let record = testRecord("a", 1, setting.dimension)
        try await directory.database(setting.options) { database in
            let missing = await expectError(.recordNotFound) { try await database.update(record) }
            #expect(missing?.ids == ["a"] && missing?.database == "a")
            #expect(try await database.record(for: "a") == nil)
            let version = try await database.insert(record)
            let there = await expectError(.recordExists) {
                try await database.insert(testRecord("a", 2, setting.dimension))
            }
            #expect(there?.ids == ["a"] && there?.database == "a")
            #expect(try await database.record(for: "a")?.content == record)
            #expect(try await database.record(for: "a")?.version == version)
            try await database.update(testRecord("a", 3, setting.dimension))
        }
        try await directory.database { database async throws in
            #expect(try await database.allContents() == ["a": testRecord("a", 3, setting.dimension)])
        }
    }

    @Test(
        "Delete tells whether the record was there, and it is gone for every form of reading", arguments: Setting.some)
    func delete(_ setting: Setting) async throws {
        let directory = TestStore(setting.backing)
        try await directory.database(setting.options) { database in
            #expect(try await database.delete("a") == false)
            try await database.upsert([testRecord("a", 1, setting.dimension), testRecord("b", 2, setting.dimension)])
            #expect(try await database.delete("a"))
            #expect(try await database.delete("a") == false)
            try await check(database)
            #expect(try await database.search(testVector(1, setting.dimension), k: 5).map(\.id) == ["b"])
        }
        try await directory.database { try await check($0) }

        func check(_ database: VectorDatabase) async throws {
            #expect(try await database.record(for: "a") == nil)
            #expect(try await database.vector(for: "a") == nil)
            #expect(try await database.withVector(for: "a") { $0.count } == nil)
            #expect(try await database.contains("a") == false)
            #expect(try await database.contains("b"))
            #expect(try await database.count() == 1)
            #expect(try await database.allIDs() == ["b"])
            #expect(try await database.records(for: ["a", "b", "a"]).map { $0?.id } == [nil, "b", nil])
        }
    }

    @Test("A record can be deleted and stored again, in one life and over several", arguments: Setting.Backing.allCases)
    func comesBack(_ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        for round in 0..<5 {
            try await directory.database { database in
                for seed in 0..<4 {
                    try await database.insert(testRecord("a", round * 10 + seed))
                    #expect(try await database.record(for: "a")?.content == testRecord("a", round * 10 + seed))
                    #expect(try await database.delete("a"))
                }
                #expect(try await database.count() == 0)
            }
        }
    }

    @Test("With an expected version a write is made on that version only", arguments: Setting.some)
    func expectedVersion(_ setting: Setting) async throws {
        let directory = TestStore(setting.backing)
        let dimension = setting.dimension
        try await directory.database(setting.options) { database in
            await expectError(.versionMismatch) {
                try await database.upsert(testRecord("a", 0, dimension), expectedVersion: 1)
            }
            #expect(try await database.count() == 0)
            let first = try await database.upsert(testRecord("a", 1, dimension))
            let second = try await database.upsert(testRecord("a", 2, dimension), expectedVersion: first)
            let error = await expectError(.versionMismatch) {
                try await database.upsert(testRecord("a", 3, dimension), expectedVersion: first)
            }
            #expect(error?.ids == ["a"])
            await expectError(.versionMismatch) {
                try await database.update(testRecord("a", 3, dimension), expectedVersion: first)
            }
            await expectError(.versionMismatch) { _ = try await database.delete("a", expectedVersion: first) }
            #expect(try await database.record(for: "a")?.content == testRecord("a", 2, dimension))
            #expect(try await database.record(for: "a")?.version == second)
        }
        try await directory.database { database in
            let version = try #require(try await database.record(for: "a")?.version)
            #expect(try await database.delete("a", expectedVersion: version))
            #expect(try await database.count() == 0)
        }
    }

    @Test("Of many tasks that expect the same version, exactly one writes", arguments: Setting.Backing.allCases)
    func optimisticCounter(_ backing: Setting.Backing) async throws {
        try await TestStore(backing).database { database in
            try await database.insert(VectorRecord(id: "counter", vector: [0, 0, 0]))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        var added = 0
                        while added < 10 {
                            guard let record = try await database.record(for: "counter") else { return }
                            var next = record
                            next.vector[0] += 1
                            do {
                                try await database.update(next, expectedVersion: record.version)
                                added += 1
                            } catch let error as StoreError where error.code == .versionMismatch {
                                continue
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await database.vector(for: "counter") == [80, 0, 0])
        }
    }

    @Test("Borrowed, copied and batch reads agree, in the order asked for", arguments: Setting.all)
    func forms(_ setting: Setting) async throws {
        let dimension = setting.dimension
        try await TestStore(setting.backing).database(setting.options) { database in
            try await database.upsert((0..<20).map { testRecord("r\($0)", $0, dimension) })
            for index in 0..<20 {
                let borrowed = try await database.withVector(for: "r\(index)") { span in
                    span.indices.map { span[$0] }
                }
                #expect(borrowed == testVector(index, dimension))
            }
            let asked = ["r7", "none", "r0", "r19", "r7", "", "r3"]
            let expected = [7, nil, 0, 19, 7, nil, 3].map { seed in seed.map { testVector($0, dimension) } }
            #expect(try await database.vectors(for: asked) == expected)
            #expect(try await database.records(for: asked).map { $0?.vector } == expected)
            var buffer = [Float](repeating: 9, count: dimension + 1)
            let snapshot = try await database.snapshot()
            #expect(try snapshot.copyVector(for: "r4", into: &buffer))
            #expect(buffer == testVector(4, dimension) + [9])
            #expect(try snapshot.copyVector(for: "none", into: &buffer) == false)
            var short = [Float](repeating: 0, count: dimension - 1)
            #expect(throws: StoreError.self) { _ = try snapshot.copyVector(for: "r4", into: &short) }
        }
    }

    @Test("What withVector's closure throws reaches the caller")
    func borrowedThrow() async throws {
        struct Mistake: Error {}
        try await TestStore().database { database in
            try await database.upsert(testRecord("a", 1))
            await #expect(throws: Mistake.self) {
                try await database.withVector(for: "a") { _ in throw Mistake() }
            }
        }
    }

    @Test("Every bit pattern of a finite float comes back as it was", arguments: Setting.Backing.allCases)
    func bitPatterns(_ backing: Setting.Backing) async throws {
        let values: [Float] = [
            0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, .leastNormalMagnitude,
            .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .ulpOfOne, .pi, 1, -1,
        ]
        let directory = TestStore(backing)
        try await directory.database(DatabaseOptions(dimension: values.count)) { database in
            _ = try await database.upsert(VectorRecord(id: "a", vector: values))
        }
        try await directory.database { database in
            let read = try #require(try await database.vector(for: "a"))
            #expect(read.map(\.bitPattern) == values.map(\.bitPattern))
        }
    }

    @Test("A cancelled task writes nothing and says so")
    func cancellation() async throws {
        try await TestStore().database { database async throws in
            let outcome = await withTaskGroup(of: Result<RecordVersion, any Error>.self) { group in
                group.addTask {
                    unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
                    do { return .success(try await database.upsert(testRecord("a", 1))) } catch {
                        return .failure(error)
                    }
                }
                return await group.next()!
            }
            #expect(throws: CancellationError.self) { _ = try outcome.get() }
            #expect(try await database.count() == 0)
        }
    }
}
