// Ids are bytes: equal only if all bytes are, whatever Swift thinks of the text (A16, A17, A24).
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct IDTests {
    /// Texts that Swift's `==` takes for equal and whose bytes differ.
    static let composed = "caf\u{E9}"
    static let decomposed = "cafe\u{301}"

    @Test("Spellings that Swift takes for equal are different ids", arguments: Setting.Backing.allCases)
    func canonicalEquivalence(_ backing: Setting.Backing) async throws {
        // `String` compares by canonical equivalence. A `Set<String>` or `[String: …]` on the way of an id merges two.
        #expect(Self.composed == Self.decomposed)
        let first = testRecord(Self.composed, 1)
        let second = testRecord(Self.decomposed, 2)
        let directory = TestStore(backing)
        try await directory.open { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await database.insert([first, second])
            try await check(database)
            #expect(try await database.delete([Self.composed, Self.decomposed]) == 2)
            try await store.transaction { tx in
                try await tx.insert(first, into: "a")
                #expect(try await tx.contains(Self.decomposed, in: "a") == false)
                try await tx.insert(second, into: "a")
                #expect(try await tx.vector(for: Self.composed, in: "a") == first.vector)
                #expect(try await tx.vector(for: Self.decomposed, in: "a") == second.vector)
            }
            try await check(database)
            #expect(try await database.delete(Self.decomposed))
            #expect(try await database.vector(for: Self.composed) == first.vector)
            try await database.insert(second)
        }
        try await directory.database { try await check($0) }

        func check(_ database: VectorDatabase) async throws {
            #expect(try await database.count() == 2)
            #expect(
                try await database.vectors(for: [Self.decomposed, Self.composed]) == [second.vector, first.vector])
            let ids = try await database.allIDs().map { Array($0.utf8) }
            #expect(Set(ids) == [Array(Self.composed.utf8), Array(Self.decomposed.utf8)])
            let record = try #require(try await database.record(for: Self.decomposed))
            #expect(
                record.content == second && record.content != VectorRecord(id: Self.composed, vector: second.vector))
            let hits = try await database.search(second.vector, k: 1)
            #expect(hits.first.map { Array($0.id.utf8) } == Array(Self.decomposed.utf8))
        }
    }

    @Test("Records and hits of different bytes are different values")
    func values() {
        let first = VectorRecord(id: Self.composed, vector: [1])
        let second = VectorRecord(id: Self.decomposed, vector: [1])
        #expect(first != second)
        #expect(Set([first, second, first]).count == 2)
    }

    static let strange = [
        " ", "a", "A", "\u{0}", "a\u{0}", "a\u{0}b", "\n", "../../etc/passwd", "/", "\\", "🧪", "👩‍👩‍👧‍👦", "日本語", "\u{FEFF}a",
        "a\u{FEFF}", "\u{202E}abc", "\u{FB01}", "fi", "\u{C5}", "\u{212B}", "A\u{30A}", "\u{10FFFF}", "%s%n",
        "'; DROP TABLE", "NaN", "null",
        String(repeating: "x", count: 31), String(repeating: "x", count: 32), String(repeating: "x", count: 33),
        String(repeating: "x", count: 511), String(repeating: "x", count: 512), String(repeating: "é", count: 256),
        String(repeating: "\u{1F9EA}", count: 128), String(repeating: "x", count: 511) + "y",
    ]

    @Test(
        "Any text of 1 to 512 bytes is an id and comes back as it was", arguments: Setting.Backing.allCases,
        [1, 1 << 20])
    func anyText(_ backing: Setting.Backing, _ threshold: Int) async throws {
        let directory = TestStore(backing)
        directory.configuration.bulkByteThreshold = threshold
        let records = Self.strange.enumerated().map { testRecord($1, $0) }
        try await directory.database { database in
            try await database.insert(records)
        }
        try await directory.open { store in
            let database = try await store.database("a")
            #expect(try await database.count() == records.count)
            for record in records {
                #expect(try await database.record(for: record.id)?.content == record)
            }
            let bytes = try await database.allIDs().map { Array($0.utf8) }
            #expect(Set(bytes) == Set(records.map { Array($0.id.utf8) }))
            for record in records { #expect(try await database.delete(record.id)) }
            #expect(try await database.count() == 0)
            try await store.expectSound()
        }
    }

    @Test(
        "An id that is empty or longer than 512 bytes is refused and finds nothing",
        arguments: [
            "", String(repeating: "x", count: 513), String(repeating: "é", count: 257),
            String(repeating: "x", count: 70_000),
        ])
    func refused(_ id: String) async throws {
        try await TestStore().open { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            await expectError(.invalidID) { try await database.upsert(testRecord(id, 1)) }
            await expectError(.invalidID) { try await database.insert(ids: ["ok", id], vectors: [1, 2, 3, 4, 5, 6]) }
            await expectError(.invalidID) {
                try await store.transaction { try await $0.upsert(testRecord(id, 1), into: "a") }
            }
            #expect(try await database.delete(id) == false)
            #expect(try await database.record(for: id) == nil)
            #expect(try await database.contains(id) == false)
            #expect(try await database.count() == 0)
        }
    }

    @Test("The id directory keeps every id while it grows to 200,000", arguments: [1, 1 << 30])
    func growingDirectory(_ threshold: Int) async throws {
        let directory = TestStore()
        directory.configuration.bulkByteThreshold = threshold
        let count = 200_000
        let ids = (0..<count).map { "id-\($0)" }
        try await directory.database(DatabaseOptions(dimension: 1)) { database in
            var start = 0
            var size = 1_000
            while start < count {
                let end = min(count, start + size)
                try await database.insert(ids: Array(ids[start..<end]), vectors: (start..<end).map { Float($0) })
                // In the middle of a growth, the first, the middle and the last are found.
                for index in [0, start / 2, start, end - 1] {
                    #expect(try await database.vector(for: ids[index]) == [Float(index)])
                }
                start = end
                size = min(size * 2, 37_777)
            }
        }
        try await directory.database { database in
            #expect(try await database.count() == count)
            let snapshot = try await database.snapshot()
            var wrong = 0
            for index in 0..<count where try snapshot.vector(for: ids[index]) != [Float(index)] { wrong += 1 }
            #expect(wrong == 0)
            #expect(try await database.contains("id-\(count)") == false)
        }
    }
}
