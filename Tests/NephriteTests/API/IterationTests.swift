// Going through ids and records, cursors, and snapshots under writes (B11, A10).
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct IterationTests {
    private static let records = (0..<1_000).map { testRecord("r\($0)", $0) }

    @Test(
        "Iterating gives every record once, as of its beginning, whatever is written meanwhile", arguments: Setting.some
    )
    func stableUnderWrites(_ setting: Setting) async throws {
        let records = (0..<500).map { testRecord("r\($0)", $0, setting.dimension) }
        try await TestStore(setting.backing).database(setting.options) { database async throws in
            try await database.insert(records)
            var seen: [VectorRecord] = []
            for try await record in try await database.records() {
                seen.append(record.content)
                let index = seen.count - 1
                try await database.delete("r\((index * 7) % 500)")
                if index.isMultiple(of: 5) {
                    try await database.upsert(testRecord("new\(index)", index, setting.dimension))
                }
            }
            #expect(Set(seen) == Set(records))
            #expect(seen.count == records.count)
            #expect(try await database.allIDs().count == database.count())
        }
    }

    @Test("A cursor goes on behind the record it was taken at, in the same snapshot and after reopening")
    func cursors() async throws {
        let directory = TestStore(.disk)
        var seen: [String] = []
        var cursor: RecordCursor?
        try await directory.database { database async throws in
            try await database.insert(Self.records)
            var ids = try await database.ids().makeAsyncIterator()
            for _ in 0..<300 { seen.append(try #require(try await ids.next())) }
            cursor = ids.cursor
        }
        try await directory.database { database async throws in
            var records = try await database.records(after: cursor).makeAsyncIterator()
            for _ in 0..<300 { seen.append(try #require(try await records.next()).id) }
            cursor = records.cursor
            // What is behind the cursor may go; what is before it still comes.
            #expect(try await database.delete(Array(seen.prefix(300))) == 300)
            for try await id in try await database.ids(after: cursor) { seen.append(id) }
        }
        #expect(seen.count == 1_000 && Set(seen) == Set(Self.records.map(\.id)))
    }

    @Test("An empty database has nothing to go through, also behind a cursor of another time")
    func empty() async throws {
        try await TestStore().database { database async throws in
            #expect(try await database.allIDs() == [])
            try await database.insert(Self.records)
            var iterator = try await database.ids().makeAsyncIterator()
            while try await iterator.next() != nil {}
            let end = iterator.cursor
            var again = try await database.ids(after: end).makeAsyncIterator()
            #expect(try await again.next() == nil)
            try await database.delete(Self.records.map(\.id))
            #expect(try await database.allIDs() == [])
        }
    }

    @Test(
        "A snapshot shows its commit for ever: later writes, checkpoints and growth do not reach it",
        arguments: Setting.Backing.allCases)
    func snapshots(_ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        directory.configuration.addressSpaceReservation = 64 << 10
        directory.configuration.bulkByteThreshold = 4 << 10
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 16))
            var held: [(DatabaseSnapshot, [String: VectorRecord])] = []
            var model: [String: VectorRecord] = [:]
            for round in 0..<14 {
                let records = (0..<40 << min(round, 7)).map { testRecord("r\($0)", round * 10_000 + $0, 16) }
                try await database.upsert(records)
                for record in records { model[record.id] = record }
                let gone = (0..<20).map { "r\($0 * (round + 1))" }
                try await database.delete(gone)
                for id in gone { model[id] = nil }
                held.append((try await database.snapshot(), model))
                if round.isMultiple(of: 2) { try await store.checkpoint() }
            }
            for (snapshot, model) in held {
                #expect(snapshot.count == model.count)
                var found = 0
                for result in snapshot.records() {
                    let record = try result.get()
                    if model[record.id] == record.content { found += 1 }
                }
                #expect(found == model.count)
                let query = testVector(1, 16)
                #expect(try await snapshot.search(query, k: 3).count == 3)
            }
            held = []
            try await store.checkpoint()
            #expect(try await database.allContents() == model)
            try await store.expectSound()
        }
    }
}
