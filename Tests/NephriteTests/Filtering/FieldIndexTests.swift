// The indexes of declared fields: postings against sets, and answers while pages come, go and come back.
import StorageFormat
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(10)))
struct FieldIndexTests {
    @Test("A posting holds what was put in and not taken out, as one, as a list and as a bitmap", arguments: 0..<8)
    func postings(_ seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let slotCount = [64, 500, 5_000, 20_000][seed % 4]
        var posting = Posting.empty
        var model: Set<UInt32> = []
        for step in 0..<6_000 {
            // Grows to many, then shrinks to none, twice.
            let grows = (step / 1_500) % 2 == 0
            if grows || model.isEmpty {
                let slot = UInt32(random.next(below: slotCount))
                if model.insert(slot).inserted { posting.insert(slot, slotCount: slotCount) }
            } else if let slot = model.randomElement(using: &random) {
                model.remove(slot)
                posting.remove(slot)
            }
            #expect(posting.count == model.count)
            if step % 250 == 0 { #expect(posting.slots == model.sorted()) }
        }
        #expect((0..<UInt32(slotCount)).allSatisfy { posting.contains($0) == model.contains($0) })
    }

    @Test("Unions, intersections and differences of postings are those of sets", arguments: 0..<8)
    func algebra(_ seed: Int) {
        var random = SeededGenerator(seed: UInt64(100 + seed))
        let slotCount = 4_000
        func draw() -> (Posting, Set<UInt32>) {
            let count = [0, 1, 5, 100, 3_000][random.next(below: 5)]
            let slots = Set((0..<count).map { _ in UInt32(random.next(below: slotCount)) })
            var posting = Posting.empty
            for slot in slots { posting.insert(slot, slotCount: slotCount) }
            return (posting, slots)
        }
        for _ in 0..<100 {
            let (first, a) = draw()
            let (second, b) = draw()
            let (third, c) = draw()
            #expect(Posting(union: [first, second, third], slotCount: slotCount).slots == a.union(b).union(c).sorted())
            #expect(first.intersection(second).slots == a.intersection(b).sorted())
            #expect(first.subtracting(second).slots == a.subtracting(b).sorted())
        }
        #expect(Posting(union: [], slotCount: slotCount).isEmpty)
    }

    @Test("Values in order are found between limits, while values come and go", arguments: 0..<4)
    func ranges(_ seed: Int) {
        var random = SeededGenerator(seed: UInt64(200 + seed))
        var values = ValuePostings()
        var held: [UInt32: (number: UInt32, key: Int64)] = [:]
        for step in 0..<8_000 {
            let slot = UInt32(random.next(below: 3_000))
            if let old = held.removeValue(forKey: slot) { values.remove(old.number, slot) }
            if random.next(below: 4) > 0 {
                let key = Int64(random.next(below: seed < 2 ? 50 : 1_000_000))
                held[slot] = (values.insert(.integer(key), slot, slotCount: 3_000), key)
            }
            if values.isWasteful {
                let numbers = values.renumber()
                for (slot, old) in held { held[slot] = (numbers[Int(old.number)], old.key) }
            }
            guard step % 400 == 0 else { continue }
            let low = Int64(random.next(below: 1_000_000))
            let limit = FieldKey.integer(low)
            let found = values.range(isBefore: { $0 < limit }, isInside: { $0 >= limit })
            let slots = found.flatMap { values.posting(number: $0).slots }.sorted()
            #expect(slots == held.filter { $0.value.key >= low }.keys.sorted())
            #expect(values.posting(.integer(low)).slots == held.filter { $0.value.key == low }.keys.sorted())
        }
    }

    @Test("Keys are equal and ordered as values are compared")
    func keys() {
        #expect(FieldKey(.double(2)) == FieldKey(.integer(2)))
        #expect(FieldKey(.double(-0.0)) == FieldKey(.integer(0)))
        #expect(FieldKey(.double(0x1p63)) != FieldKey(.integer(.max)))
        #expect(FieldKey(.string("\u{e9}")) != FieldKey(.string("e\u{301}")))
        #expect(FieldKey(.double(.nan)) == nil && FieldKey([1]) == nil && FieldKey([:]) == nil)
        let ordered: [MetadataValue] = [
            .null, false, true, .double(-.infinity), .integer(.min), -1, .double(-0.5), 0, .double(0.5), 1,
            .integer(1 << 53), .integer((1 << 53) + 1), .integer(.max), .double(0x1p63), .double(.infinity), "", "a",
            "a\u{0}", "ab", "b", "\u{e9}",
        ]
        let keys = ordered.compactMap { FieldKey($0) }
        #expect(keys.count == ordered.count)
        for (index, key) in keys.enumerated() {
            for (other, second) in keys.enumerated() {
                #expect((key < second) == (index < other) && (key == second) == (index == other))
            }
        }
    }

    @Test("Declared fields are kept by the catalogue in one way of writing, and nonsense is refused")
    func declared() async throws {
        let directory = TestStore()
        try await directory.open { store async throws in
            let fields = ["lang", "o . a", "`two words`"]
            let database = try await store.createDatabase(
                "a", options: DatabaseOptions(dimension: 3, indexedFields: fields))
            #expect(database.options.indexedFields == ["lang", "o.a", "`two words`"])
            for bad in [["a b"], [""], ["a", "`a`"], ["a =="], (0..<17).map { "f\($0)" }] {
                await expectError(.invalidArgument) {
                    try await store.createDatabase("b", options: DatabaseOptions(dimension: 3, indexedFields: bad))
                }
            }
        }
        try await directory.open { store async throws in
            #expect(try await store.databases().first?.options.indexedFields == ["lang", "o.a", "`two words`"])
        }
    }

    @Test("An index follows writes, reopening and older snapshots, and never answers for another commit")
    func follows() async throws {
        let directory = TestStore()
        let options = DatabaseOptions(dimension: 1, indexedFields: ["n"])
        let filter = Filter.field("n") == 1
        func record(_ id: Int, _ n: Int64) -> VectorRecord {
            VectorRecord(id: "r\(id)", vector: [1], metadata: ["n": .integer(n)])
        }
        try await directory.database(options) { database async throws in
            try await database.upsert((0..<3_000).map { record($0, Int64($0 % 3)) })
            let first = try await database.snapshot()
            #expect(try await first.count(where: filter) == 1_000)
            let indexes = try #require(first.filters.indexes)
            #expect(await indexes.contents.records == 3_000)
            // All become 1, one of them by an insert into a new page.
            try await database.upsert((0..<3_001).map { record($0, 1) })
            let second = try await database.snapshot()
            #expect(try await second.count(where: filter) == 3_001)
            #expect(try await first.count(where: filter) == 1_000, "an older snapshot after a newer one")
            #expect(try await first.search([1], k: 5_000, options: SearchOptions(filter: filter)).count == 1_000)
            try await database.delete((0..<3_000).map { "r\($0)" })
            #expect(try await database.count(where: filter) == 1)
            #expect(try await second.count(where: filter) == 3_001)
            #expect(await indexes.contents.records == 1)
            try await database.delete("r3000")
            #expect(try await database.count(where: filter) == 0)
            try await database.upsert(record(7, 1))
        }
        try await directory.database { database async throws in
            #expect(try await database.count(where: filter) == 1)
        }
    }

    @Test("An older snapshot gets none of the pages that were added after it", arguments: [2, 50, 100])
    func addedPages(_ kinds: Int) async throws {
        try await TestStore().database(DatabaseOptions(dimension: 1, indexedFields: ["n"])) { database async throws in
            func rows(_ range: Range<Int>) -> [VectorRecord] {
                range.map { VectorRecord(id: "r\($0)", vector: [1], metadata: ["n": .integer(Int64($0 % kinds))]) }
            }
            // Whole pages, none of which changes when more are added.
            try await database.insert(rows(0..<6_400))
            let old = try await database.snapshot()
            try await database.insert(rows(6_400..<12_800))
            let new = try await database.snapshot()
            for filter in [Filter.field("n") == 1, Filter.field("n") <= 1, Filter.field("n").isIn([1, 1.0])] {
                let matching = (0..<12_800).count {
                    $0 % kinds == 1 || (filter == (Filter.field("n") <= 1) && $0 % kinds == 0)
                }
                #expect(try await new.count(where: filter) == matching)
                #expect(try await old.count(where: filter) == matching / 2)
                #expect(
                    try await old.search([1], k: 20_000, options: SearchOptions(filter: filter)).count == matching / 2)
            }
        }
    }

    @Test("A build that is cancelled goes on where it was")
    func cancelled() async throws {
        try await TestStore().database(DatabaseOptions(dimension: 1, indexedFields: ["n"])) { database async throws in
            try await database.upsert(
                (0..<20_000).map { VectorRecord(id: "r\($0)", vector: [1], metadata: ["n": .integer(Int64($0 % 10))]) })
            let snapshot = try await database.snapshot()
            let filter = Filter.field("n") == 3
            let indexes = try #require(snapshot.filters.indexes)
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask {
                    await #expect(throws: CancellationError.self) { try await indexes.answer(filter, on: snapshot) }
                }
            }
            let before = await indexes.contents.records
            #expect(before < 20_000)
            #expect(try await snapshot.count(where: filter) == 2_000)
            #expect(await indexes.contents.records == 20_000)
        }
    }

    // The indexes, an actor, ran on search threads while they were built, and served other callers there, who went on there.
    @Test("Who asks for an answer does not go on on a search thread, however many build the indexes at once")
    func returnsFromSearchThreads() async throws {
        let directory = TestStore()
        directory.configuration.searchThreadCount = 2
        try await directory.database(DatabaseOptions(dimension: 1, indexedFields: ["n"])) { database async throws in
            try await database.upsert(
                (0..<20_000).map { VectorRecord(id: "r\($0)", vector: [1], metadata: ["n": .integer(Int64($0 % 10))]) })
            let snapshot = try await database.snapshot()
            let filter = Filter.field("n") == 3
            var names: Set<String> = []
            for _ in 0..<20 {
                snapshot.filters.clear()
                let indexes = try #require(snapshot.filters.indexes)
                names.formUnion(
                    try await withThrowingTaskGroup(of: String.self) { group in
                        for _ in 0..<8 {
                            group.addTask {
                                let answer = try await indexes.answer(filter, on: snapshot)
                                #expect(answer?.slots.count == 2_000 && answer?.changed.isEmpty == true)
                                return ThreadName.current
                            }
                        }
                        return try await group.reduce(into: Set<String>()) { $0.insert($1) }
                    })
            }
            #expect(names.filter { $0.hasPrefix("nephrite-scan") } == [])
        }
    }
}
