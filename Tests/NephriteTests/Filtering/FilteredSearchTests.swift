// Filtered searches, counts, iterations and deletes of a store against filtering everything first, while it is written to.
import Foundation
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(10)))
struct FilteredSearchTests {
    /// What a database should hold.
    private typealias Model = [String: VectorRecord]

    private static let dimension = 4

    private static func hits(_ query: [Float], _ k: Int, _ filter: Filter, _ model: Model) -> [String] {
        let matching = model.values.filter { FilterOracle.holds(filter, $0.metadata) }
        // Vectors of small integers: every sum is exact, so ties are ties.
        let scored = matching.map { record in
            (score: zip(query, record.vector).reduce(Float(0)) { $0 + $1.0 * $1.1 }, id: record.id)
        }
        return scored.sorted { $0.score > $1.score || ($0.score == $1.score && $0.id < $1.id) }.prefix(k).map(\.id)
    }

    private static func vector(_ generator: inout FilterGenerator) -> [Float] {
        (0..<dimension).map { _ in Float(generator.below(7) - 3) }
    }

    /// Compares everything that takes a filter with the model.
    private static func check(
        _ snapshot: DatabaseSnapshot, _ model: Model, _ filter: Filter, _ generator: inout FilterGenerator
    ) async throws {
        let matching = Set(model.values.filter { FilterOracle.holds(filter, $0.metadata) }.map(\.id))
        let query = vector(&generator)
        // Twice: the first answer may come from a plan that the second does not have.
        for _ in 0..<2 {
            let hits = try await snapshot.search(query, k: 10, options: SearchOptions(filter: filter))
            #expect(hits.map(\.id) == Self.hits(query, 10, filter, model), "\(filter)")
        }
        #expect(try await snapshot.count(where: filter) == matching.count, "\(filter)")
        let ids = try await Array(snapshot.ids(where: filter))
        #expect(ids.count == matching.count && Set(ids) == matching, "\(filter)")
    }

    @Test(
        "The result is that of filtering everything first, whatever is written in between, with and without indexes",
        arguments: 0..<12)
    func sameAsModel(_ seed: Int) async throws {
        var generator = FilterGenerator(random: SeededGenerator(seed: UInt64(300 + seed)))
        let directory = TestStore()
        directory.configuration.searchThreadCount = 1 + seed % 3
        let options = DatabaseOptions(
            dimension: Self.dimension, metric: .dotProduct,
            indexedFields: [[], ["a", "tags"], ["a", "b", "c", "d", "tags", "o.a", "o.b", "o.o.a"], ["o"]][seed % 4])
        try await directory.database(options) { database async throws in
            var model: Model = [:]
            var held: [(DatabaseSnapshot, Model)] = []
            let filters = (0..<12).map { _ in generator.filter() }
            for _ in 0..<12 {
                var batch: [VectorRecord] = []
                var ids: Set<String> = []
                for _ in 0..<generator.below(seed % 3 == 0 ? 60 : 1_200) {
                    let id = "r\(generator.below(seed % 3 == 0 ? 300 : 6_000))"
                    guard ids.insert(id).inserted else { continue }
                    batch.append(VectorRecord(id: id, vector: Self.vector(&generator), metadata: generator.metadata()))
                }
                try await database.upsert(batch)
                for record in batch { model[record.id] = record }
                let gone = (0..<generator.below(40)).map { _ in "r\(generator.below(300))" }
                try await database.delete(gone)
                for id in gone { model[id] = nil }
                let snapshot = try await database.snapshot()
                if generator.below(3) == 0 { held.append((snapshot, model)) }
                for _ in 0..<3 { try await Self.check(snapshot, model, generator.pick(filters), &generator) }
                // Older commits after newer ones.
                if let (old, oldModel) = held.randomElement(using: &generator.random) {
                    try await Self.check(old, oldModel, generator.pick(filters), &generator)
                }
                if generator.below(4) == 0 { held.removeAll() }
            }
        }
    }

    @Test("Every plan gives the same result", arguments: ["n < 3", "n < 700", "n >= 0", "n == -1", "true", "!true"])
    func plans(_ text: String) async throws {
        var generator = FilterGenerator(random: SeededGenerator(seed: 5))
        let filter = try Filter(parsing: text)
        try await TestStore().database(DatabaseOptions(dimension: Self.dimension, metric: .dotProduct)) {
            database async throws in
            var model: Model = [:]
            for row in 0..<5_000 {
                let id = "r\(row)"
                model[id] = VectorRecord(
                    id: id, vector: Self.vector(&generator), metadata: ["n": .integer(Int64((row * 7_919) % 1_000))])
            }
            try await database.upsert(Array(model.values))
            let snapshot = try await database.snapshot()
            let compiled = try CompiledFilter(filter)
            let set = try await snapshot.matches(filter)
            let plans: [FilterPlan] = [
                try await snapshot.resolve(filter), FilterPlan(set), .slots(set), .list(set.firstSlots(.max)),
                .predicate(compiled),
            ]
            for _ in 0..<3 {
                let query = Self.vector(&generator)
                let expected = Self.hits(query, 12, filter, model)
                for plan in plans {
                    let request = SearchRequest(queries: [query], limit: 12, rows: plan)
                    let rows = try await snapshot.searcher.search(snapshot, request).rows[0]
                    #expect(rows.map { snapshot.hit($0).id } == expected)
                }
            }
        }
    }

    @Test("A filter that holds for most records is evaluated on the nearest only, until it is used again")
    func planner() async throws {
        try await TestStore().database { database async throws in
            let records = (0..<6_000).map { row in
                VectorRecord(id: "r\(row)", vector: testVector(row, 3), metadata: ["n": .integer(Int64(row % 100))])
            }
            try await database.upsert(records)
            let snapshot = try await database.snapshot()
            guard case .predicate = try await snapshot.resolve(Filter.field("n") >= 10) else {
                Issue.record("90 % of the records are no reason to evaluate all")
                return
            }
            guard case .slots(let slots) = try await snapshot.resolve(Filter.field("n") >= 10) else {
                Issue.record("the second use is worth a bitmap")
                return
            }
            #expect(slots.count == 5_400)
            guard case .list(let few) = try await snapshot.resolve(Filter.field("n") == 7) else {
                Issue.record("1 % is a list")
                return
            }
            #expect(few.count == 60 && few == few.sorted())
            guard case .none = try await snapshot.resolve(Filter.field("n") == 100) else {
                Issue.record("nothing is nothing")
                return
            }
        }
    }

    @Test("Deleting what a filter holds for is one commit, and leaves the rest")
    func deletes() async throws {
        let directory = TestStore()
        try await directory.database { database async throws in
            try await database.upsert((0..<500).map { testRecord("r\($0)", $0) })
            let before = try await database.snapshot()
            #expect(try await database.delete(where: Filter.field("seed") < 100) == 100)
            #expect(try await database.delete(where: Filter.field("seed") < 100) == 0)
            #expect(try await database.count() == 400)
            #expect(try await database.snapshot().version == before.version + 1)
            #expect(try await before.count(where: Filter.field("seed") < 100) == 100, "a snapshot never changes")
            #expect(try await database.delete(where: .all) == 400)
            await expectError(.invalidFilter) { try await database.delete(where: Filter.field("") == 1) }
        }
        try await directory.database { database async throws in
            #expect(try await database.count() == 0)
        }
    }

    @Test("Records and ids are gone through from behind a cursor")
    func cursors() async throws {
        try await TestStore().database { database async throws in
            try await database.upsert((0..<400).map { testRecord("r\($0)", $0) })
            let snapshot = try await database.snapshot()
            let filter = Filter.field("seed").isBetween(100, and: 299)
            var iterator = try await snapshot.ids(where: filter).makeIterator()
            var ids = (0..<50).compactMap { _ in iterator.next() }
            ids += try await Array(snapshot.ids(where: filter, after: iterator.cursor))
            #expect(ids.count == 200 && Set(ids).count == 200)
            var records: [VectorRecord] = []
            for try await record in try await database.records(where: filter) { records.append(record) }
            #expect(Set(records.map(\.id)) == Set(ids))
            #expect(records.allSatisfy { FilterOracle.holds(filter, $0.metadata) })
            var counted = 0
            for try await _ in try await database.ids(where: filter) { counted += 1 }
            #expect(counted == 200)
        }
    }

    @Test("A cancelled task gets no answer")
    func cancelled() async throws {
        try await TestStore().database { database async throws in
            try await database.upsert((0..<6_000).map { testRecord("r\($0)", $0) })
            let snapshot = try await database.snapshot()
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask {
                    await #expect(throws: CancellationError.self) {
                        try await snapshot.matches(Filter.field("seed") < 5)
                    }
                }
            }
        }
    }

    @Test("Metadata that is damaged on the disk is an error that names the record")
    func damagedFile() async throws {
        let directory = TestStore(.disk)
        try await directory.database { database async throws in
            try await database.upsert([
                VectorRecord(id: "good", vector: [1, 2, 3], metadata: ["mark": "intact"]),
                VectorRecord(id: "hurt", vector: [1, 2, 3], metadata: ["mark": "damaged"]),
            ])
        }
        try directory.edit("a/vectors.jvdb") { data in
            // The string's length, in front of its bytes.
            let place = try #require(data.range(of: .init("damaged".utf8)))
            data[place.lowerBound - 1] = 0x7f
        }
        try await directory.database { database async throws in
            let error = await expectError(.corruption) {
                _ = try await database.count(where: Filter.field("mark") == "x")
            }
            #expect(error?.ids == ["hurt"])
            #expect(try await database.search([1, 2, 3], k: 2).count == 2)
        }
    }
}
