// Batches: all of them or none, in both forms, by both paths (B5–B10).
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct BatchTests {
    @Test("Records and columns store the same", arguments: Setting.all)
    func forms(_ setting: Setting) async throws {
        let dimension = setting.dimension
        let records = (0..<30).map { testRecord("r\($0)", $0, dimension) }
        let directory = TestStore(setting.backing)
        try await directory.open { store in
            let a = try await store.createDatabase("a", options: setting.options)
            let b = try await store.createDatabase("b", options: setting.options)
            let version = try await a.insert(records)
            try await b.insert(
                ids: records.map(\.id), vectors: records.flatMap(\.vector), metadata: records.map(\.metadata))
            for record in try await a.records(for: records.map(\.id)) { #expect(record?.version == version) }
            #expect(try await a.allContents() == b.allContents())
            try await b.update(ids: ["r3", "r1"], vectors: testVector(103, dimension) + testVector(101, dimension))
            try await b.upsert(ids: ["r4", "new"], vectors: testVector(104, dimension) + testVector(105, dimension))
        }
        try await directory.open { store in
            #expect(
                try await store.database("a").allContents()
                    == Dictionary(uniqueKeysWithValues: records.map { ($0.id, $0) }))
            let b = try await store.database("b")
            #expect(try await b.count() == 31)
            #expect(
                try await b.record(for: "r3")?.content == VectorRecord(id: "r3", vector: testVector(103, dimension)))
            #expect(try await b.vector(for: "r4") == testVector(104, dimension))
            #expect(try await b.vector(for: "r5") == testVector(5, dimension))
            try await store.expectSound()
        }
    }

    @Test("An empty batch is no commit")
    func empty() async throws {
        try await TestStore().database { database in
            let before = try await database.upsert(testRecord("a", 1))
            #expect(try await database.upsert([]) == 0)
            #expect(try await database.insert(ids: [], vectors: []) == 0)
            #expect(try await database.delete([String]()) == 0)
            #expect(try await database.delete(["x", "y"]) == 0)
            #expect(try await database.snapshot().version == before)
        }
    }

    /// A batch that must be refused, as the small and as the bulk path get it.
    struct Refusal: Sendable, CustomTestStringConvertible {
        var name: String
        var code: StoreError.Code
        var isBulk: Bool
        var write: @Sendable (VectorDatabase) async throws -> Void
        var testDescription: String { name + (isBulk ? ", bulk" : ", small") }

        init(
            _ name: String, _ code: StoreError.Code, _ write: @escaping @Sendable (VectorDatabase) async throws -> Void
        ) {
            self.name = name
            self.code = code
            self.write = write
            isBulk = false
        }

        static let all: [Refusal] =
            small
            + small.map {
                var bulk = $0
                bulk.isBulk = true
                return bulk
            }

        private static let small: [Refusal] = [
            Refusal("insert with one id there", .recordExists) {
                _ = try await $0.insert(rows + [testRecord("there", 2)])
            },
            Refusal("update with one id missing", .recordNotFound) {
                _ = try await $0.update([testRecord("there", 2)] + rows)
            },
            Refusal("an id twice", .duplicateID) { _ = try await $0.upsert(rows + [testRecord("n3", 9)]) },
            Refusal("a short vector", .dimensionMismatch) { _ = try await $0.upsert(rows + [testRecord("x", 9, 2)]) },
            Refusal("a NaN at the end", .notFinite) {
                _ = try await $0.upsert(rows + [VectorRecord(id: "x", vector: [0, 0, .nan])])
            },
            Refusal("an empty id", .invalidID) { _ = try await $0.upsert(rows + [testRecord("", 9)]) },
            Refusal("metadata that is not finite", .invalidMetadata) {
                let record = VectorRecord(id: "x", vector: [1, 2, 3], metadata: ["x": .double(.nan)])
                _ = try await $0.upsert(rows + [record])
            },
            Refusal("too few floats", .dimensionMismatch) {
                _ = try await $0.upsert(ids: ["x", "y"], vectors: [1, 2, 3])
            },
            Refusal("too few metadata", .invalidArgument) {
                _ = try await $0.upsert(ids: ["x", "y"], vectors: [1, 2, 3, 4, 5, 6], metadata: [["a": 1]])
            },
        ]

        private static let rows = (0..<10).map { testRecord("n\($0)", $0) }
    }

    @Test("A refused batch leaves nothing behind, now and after reopening, and takes no space", arguments: Refusal.all)
    func refused(_ refusal: Refusal) async throws {
        let directory = TestStore()
        if refusal.isBulk { directory.configuration.bulkByteThreshold = 1 }
        try await directory.database { database in
            try await database.insert([testRecord("there", 1), testRecord("also", 1)])
            let size = try await database.statistics().fileByteCount
            // More often than the file has slots: a leak of slots would make it grow.
            for _ in 0..<200 { await expectError(refusal.code) { try await refusal.write(database) } }
            #expect(try await database.statistics().fileByteCount == size)
            #expect(try await database.allIDs().sorted() == ["also", "there"])
            #expect(try await database.contains("n1") == false)
            try await database.upsert(testRecord("usable", 5))
        }
        try await directory.open { store in
            let contents = try await store.database("a").allContents()
            #expect(contents.keys.sorted() == ["also", "there", "usable"])
            #expect(contents["there"] == testRecord("there", 1))
            try await store.expectSound()
        }
    }

    @Test("A bulk batch that is refused over and over does not use up the file")
    func refusedBulkSpace() async throws {
        // A bulk batch gets its slots before it is judged; those of a refused one were never given back.
        let directory = TestStore()
        directory.configuration.bulkByteThreshold = 1
        try await directory.database(DatabaseOptions(dimension: 64)) { database in
            let rows = (0..<100).map { testRecord("r\($0)", $0, 64) }
            try await database.insert(rows)
            let size = try await database.statistics().fileByteCount
            for _ in 0..<30 { await expectError(.recordExists) { try await database.insert(rows) } }
            #expect(try await database.statistics().fileByteCount <= size + (256 << 10))
        }
    }

    @Test("Batch delete is one commit, passes over what is not there and counts an id once", arguments: Setting.some)
    func delete(_ setting: Setting) async throws {
        let directory = TestStore(setting.backing)
        try await directory.database(setting.options) { database in
            try await database.upsert((0..<50).map { testRecord("r\($0)", $0, setting.dimension) })
            let before = try await database.snapshot().version
            #expect(try await database.delete(["r1", "none", "r2", "r1", ""]) == 2)
            #expect(try await database.snapshot().version == before + 1)
            #expect(try await database.delete((0..<50).map { "r\($0)" }) == 48)
            #expect(try await database.count() == 0)
        }
        try await directory.database { database async throws in #expect(try await database.count() == 0) }
    }

    @Test("10,000 records in a batch, by either path", arguments: [1, 1 << 30], Setting.Backing.allCases)
    func tenThousand(_ threshold: Int, _ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        directory.configuration.bulkByteThreshold = threshold
        let ids = (0..<10_000).map { "r\($0)" }
        let vectors = (0..<30_000).map { Float($0) }
        try await directory.database { _ = try await $0.insert(ids: ids, vectors: vectors) }
        try await directory.open { store in
            let database = try await store.database("a")
            #expect(try await database.count() == 10_000)
            let read = try await database.vectors(for: ids)
            #expect(read.enumerated().allSatisfy { $1 == Array(vectors[$0 * 3..<$0 * 3 + 3]) })
            try await store.expectSound()
        }
    }

    @Test("100,000 records in a batch, then all replaced, then half of them deleted, in one batch each")
    func hundredThousand() async throws {
        let directory = TestStore(.disk)
        let ids = (0..<100_000).map { "r\($0)" }
        try await directory.database {
            try await $0.insert(ids: ids, vectors: (0..<300_000).map { Float($0) })
            try await $0.update(ids: ids, vectors: (0..<300_000).map { Float($0) + 0.5 })
            #expect(try await $0.delete(Array(ids[50_000...])) == 50_000)
        }
        try await directory.database { database async throws in
            #expect(try await database.count() == 50_000)
            #expect(try await database.vector(for: "r49999") == [149_997.5, 149_998.5, 149_999.5])
            #expect(try await database.vector(for: "r50000") == nil)
        }
    }

    /// Settings that must not change any result.
    struct Tuning: Sendable, CustomTestStringConvertible {
        var bulk = 1 << 20
        var segment = 1 << 20
        var files = 100
        var logLimit = 256 << 20
        var reservation = 64 << 20
        var checkpointEvery = Int.max
        var reopenEvery = Int.max
        var testDescription: String { "\(self)" }

        static let all = [
            Tuning(), Tuning(bulk: 1), Tuning(bulk: 100), Tuning(segment: 64 << 10), Tuning(files: 1),
            Tuning(logLimit: 4_096), Tuning(reservation: 64 << 10), Tuning(checkpointEvery: 1),
            Tuning(checkpointEvery: 7), Tuning(reopenEvery: 5),
            Tuning(
                bulk: 200, segment: 64 << 10, files: 1, logLimit: 1, reservation: 64 << 10, checkpointEvery: 3,
                reopenEvery: 4),
        ]
    }

    @Test("The same history gives the same contents whatever the tuning", arguments: Tuning.all, [1, 2])
    func metamorphic(_ tuning: Tuning, _ seed: UInt64) async throws {
        let directory = TestStore()
        directory.configuration.bulkByteThreshold = tuning.bulk
        directory.configuration.logSegmentByteCount = tuning.segment
        directory.configuration.maximumOpenFiles = tuning.files
        directory.configuration.logByteLimit = tuning.logLimit
        directory.configuration.addressSpaceReservation = tuning.reservation
        var random = TestGenerator(state: seed)
        var model: [String: [String: VectorRecord]] = ["a": [:], "b": [:]]
        var step = 0
        while step < 60 {
            try await directory.open { store in
                if step == 0 {
                    for name in ["a", "b"] {
                        try await store.createDatabase(name, options: DatabaseOptions(dimension: 20))
                    }
                }
                repeat {
                    step += 1
                    let name = random.next(below: 2) == 0 ? "a" : "b"
                    let database = try await store.database(name)
                    try await Self.perform(&random, step, on: database, &model[name, default: [:]])
                    if step.isMultiple(of: tuning.checkpointEvery) { try await store.checkpoint() }
                } while step < 60 && !step.isMultiple(of: tuning.reopenEvery)
            }
        }
        try await directory.open { store in
            for name in ["a", "b"] {
                #expect(try await store.database(name).allContents() == model[name])
            }
            try await store.expectSound()
        }
    }

    private static func perform(
        _ random: inout TestGenerator, _ step: Int, on database: VectorDatabase, _ model: inout [String: VectorRecord]
    ) async throws {
        let count = random.next(below: 3) == 0 ? 1 : 1 + random.next(below: 60)
        let start = random.next(below: 150)
        let ids = (start..<start + count).map { "r\($0)" }
        switch random.next(below: 4) {
        case 0:
            let gone = try await database.delete(ids)
            #expect(gone == ids.filter { model.removeValue(forKey: $0) != nil }.count)
        case 1:
            let records = ids.map { testRecord($0, step, 20) }
            if ids.allSatisfy({ model[$0] == nil }) {
                try await database.insert(records)
                for record in records { model[record.id] = record }
            } else {
                await expectError(.recordExists) { try await database.insert(records) }
            }
        default:
            let records = ids.map { testRecord($0, step, 20) }
            try await database.upsert(records)
            for record in records { model[record.id] = record }
        }
        #expect(try await database.count() == model.count)
    }
}

/// A small generator with a seed (SplitMix64).
struct TestGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    mutating func next(below limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
