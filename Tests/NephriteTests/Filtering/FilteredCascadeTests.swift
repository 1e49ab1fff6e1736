// Filters and the certified search together: whatever the plan, the codes and the form of the search, the result is that of
// comparing every record in 32-bit floating point and leaving out those that the filter does not hold for.
import Foundation
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(10)))
struct FilteredCascadeTests {
    private static let dimension = 48

    /// A vector from one of a few clusters, so that codes rule out much but not all; some are duplicates.
    private static func vector(_ index: Int) -> [Float] {
        var values = SeededValues(seed: UInt64(index / 2) &+ 77)
        var cluster = SeededValues(seed: UInt64(index / 2 % 5))
        return cluster.floats(dimension).map { $0 + 0.2 * values.float() }
    }

    /// A snapshot after deletions and updates, with the metadata of its records.
    private func withSnapshot(
        _ metric: DistanceMetric, seed: Int,
        _ body: (VectorStore, VectorDatabase, [String: Metadata], inout FilterGenerator) async throws -> Void
    ) async throws {
        var generator = FilterGenerator(random: SeededGenerator(seed: UInt64(9_000 + seed)))
        let directory = TestStore()
        directory.configuration.searchThreadCount = 1 + seed % 3
        let fields = [[], ["a", "o.a", "tags"], ["n"]][seed % 3]
        let options = DatabaseOptions(dimension: Self.dimension, metric: metric, indexedFields: fields)
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: options)
            var model: [String: Metadata] = [:]
            var records: [VectorRecord] = []
            for row in 0..<1_000 {
                var metadata = generator.metadata()
                if row % 10 != 0 { metadata = ["n": .integer(Int64(row % 100)), "half": .bool(row % 2 == 0)] }
                records.append(VectorRecord(id: "r\(row)", vector: Self.vector(row), metadata: metadata))
                model["r\(row)"] = metadata
            }
            try await database.upsert(records)
            for row in 0..<60 {
                let metadata = generator.metadata()
                try await database.update(
                    VectorRecord(id: "r\(row * 7)", vector: Self.vector(row + 5_000), metadata: metadata))
                model["r\(row * 7)"] = metadata
            }
            let gone = (0..<1_000).filter { $0 % 9 == 4 }.map { "r\($0)" }
            try await database.delete(gone)
            for id in gone { model[id] = nil }
            try await body(store, database, model, &generator)
        }
    }

    /// Random filters, and some that hold for about 1, 10, 50 and 99 % of the records.
    private static func filters(_ generator: inout FilterGenerator) -> [Filter] {
        (0..<8).map { _ in generator.filter() } + [
            Filter.field("n") == 7, Filter.field("n") < 10, Filter.field("half") == true, Filter.field("n") != 3,
            !Filter.field("n").exists && Filter.field("a") != 0, .all, .none,
        ]
    }

    /// Everything in order, without filter and without codes.
    private static func everything(_ snapshot: DatabaseSnapshot, _ query: [Float]) async throws -> [TopK.Entry] {
        try await snapshot.searcher.search(
            snapshot, SearchRequest(queries: [query], limit: snapshot.count), codes: nil
        ).rows[0]
    }

    @Test(
        "Every plan over all, some and no codes finds what filtering everything finds",
        arguments: DistanceMetric.allCases, 0..<4)
    func plans(_ metric: DistanceMetric, _ seed: Int) async throws {
        try await withSnapshot(metric, seed: seed) { _, database, model, generator async throws in
            let snapshot = try await database.snapshot()
            let views = [
                nil, snapshot.heapCodes(), snapshot.heapCodes { ($0 * 7 + seed) % 5 != 0 && $0 / 64 != 3 + seed },
            ]
            let queries = [Self.vector(3), Self.vector(40_000), Self.vector(17).map { -$0 }]
            var orders: [[TopK.Entry]] = []
            for query in queries { orders.append(try await Self.everything(snapshot, query)) }
            for filter in Self.filters(&generator) {
                let expected = orders.map { order in
                    order.filter { FilterOracle.holds(filter, model[snapshot.hit($0).id] ?? Metadata()) }
                }
                let set = try await snapshot.matches(filter)
                let plans: [FilterPlan] = [
                    try await snapshot.resolve(filter), .slots(set), .list(set.firstSlots(.max)),
                    .predicate(try CompiledFilter(filter)),
                ]
                for view in views {
                    for (number, plan) in plans.enumerated() {
                        let comment: Comment = "\(filter), plan \(number)"
                        for k in [1, 10, 45] {
                            let request = SearchRequest(queries: queries, limit: k, rows: plan)
                            let found = try await snapshot.searcher.search(snapshot, request, codes: view).rows
                            #expect(found == expected.map { Array($0.prefix(k)) }, comment)
                        }
                        var request = SearchRequest(queries: [queries[0]], limit: 5, rows: plan)
                        guard expected[0].count > 7 else { continue }
                        // What is left behind the third, and what is no farther than the fourth.
                        let third = expected[0][2]
                        request.after = SearchPosition(
                            rank: third.score, id: RecordID(snapshot.hit(third).id))
                        var found = try await snapshot.searcher.search(snapshot, request, codes: view).rows[0]
                        #expect(found == Array(expected[0][3..<8]), comment)
                        request.after = nil
                        request.floor = expected[0][3].score
                        found = try await snapshot.searcher.search(snapshot, request, codes: view).rows[0]
                        #expect(
                            found == Array(expected[0].filter { $0.score >= request.floor }.prefix(5)), comment)
                    }
                }
            }
        }
    }

    // Kernels go through words with many chosen rows as blocks, in runs, and bring the rows of others together.
    @Test(
        "Words with many, few and no chosen rows are searched to the last row, whichever follows which",
        arguments: 0..<6)
    func mixedWords(_ seed: Int) async throws {
        let directory = TestStore()
        directory.configuration.searchThreadCount = 1 + seed % 2
        try await directory.open { store async throws in
            let database = try await store.createDatabase(
                "a", options: .init(dimension: Self.dimension, metric: .cosine))
            try await database.upsert((0..<5_000).map { VectorRecord(id: "r\($0)", vector: Self.vector($0)) })
            try await database.delete((0..<5_000).filter { $0 % 97 == 5 }.map { "r\($0)" })
            let snapshot = try await database.snapshot()
            let query = Self.vector(60_000 + seed)
            let order = try await Self.everything(snapshot, query)
            var random = SeededGenerator(seed: UInt64(seed))
            for round in 0..<20 {
                let count = (snapshot.records.slotCount + 63) / 64
                let words = (0..<count).map { word -> UInt64 in
                    let wanted = [0, 1, 20, 27, 28, 29, 45, 64].randomElement(using: &random)!
                    let places = (0..<64).shuffled(using: &random).prefix(wanted)
                    let chosen = places.reduce(0 as UInt64) { $0 | 1 << UInt64($1) }
                    return word * 64 < snapshot.records.slotCount ? chosen & snapshot.records.liveWord(word) : 0
                }
                let set = SlotSet(words: words)
                let expected = order.filter { set.contains($0.slot) }
                let view = snapshot.heapCodes(chunkSlotCount: [256, 1_024, 2_048][seed % 3]) { slot in
                    round % 2 == 0 || slot % 41 != 3
                }
                let request = SearchRequest(queries: [query], limit: 1 + round * 3, rows: .slots(set))
                let found = try await snapshot.searcher.search(snapshot, request, codes: view).rows[0]
                #expect(found == Array(expected.prefix(request.limit)))
            }
        }
    }

    @Test("Every form of a search takes a filter", arguments: DistanceMetric.allCases)
    func forms(_ metric: DistanceMetric) async throws {
        try await withSnapshot(metric, seed: 1) { _, database, model, generator async throws in
            let snapshot = try await database.snapshot()
            let queries = [Self.vector(3), Self.vector(40_000)]
            for filter in Self.filters(&generator) {
                let options = SearchOptions(filter: filter)
                var expected: [[SearchHit]] = []
                for query in queries {
                    expected.append(
                        try await Self.everything(snapshot, query).map(snapshot.hit).filter {
                            FilterOracle.holds(filter, model[$0.id] ?? Metadata())
                        })
                }
                let all = expected[0]
                #expect(try await snapshot.search(queries[0], k: 20, options: options) == Array(all.prefix(20)))
                #expect(
                    try await snapshot.search(queries, k: 20, options: options)
                        == expected.map { Array($0.prefix(20)) })
                #expect(
                    try await database.searchVerified(queries[0], k: 20, options: options) == Array(all.prefix(20)))
                let explanation = try await snapshot.explain(queries[0], k: 20, options: options)
                #expect(explanation.hits == Array(all.prefix(20)))
                #expect(explanation.filter.map { $0.records >= all.count } == true)
                if let radius = all.dropFirst(12).first?.score {
                    let within = all.filter { metric == .euclidean ? $0.score <= radius : $0.score >= radius }
                    #expect(try await snapshot.search(queries[0], within: radius, options: options) == within)
                }
                var nearest: [SearchHit] = []
                for try await hit in snapshot.nearest(to: queries[0], options: options) { nearest.append(hit) }
                #expect(nearest == all)
            }
            await expectError(.invalidFilter) {
                let options = SearchOptions(filter: Filter.field("") == 1)
                _ = try await snapshot.search(queries[0], k: 1, options: options)
            }
        }
    }

    /// snapshot of the store        the transaction's own writes
    /// some r match                 some matching r go or stop matching, others begin to match, new ones come
    @Test("A filter inside a transaction holds for the transaction's own writes", arguments: 0..<3)
    func transactions(_ seed: Int) async throws {
        try await withSnapshot(.cosine, seed: seed) { store, database, model, generator async throws in
            let query = Self.vector(3)
            let nearest = try await database.search(query, k: 12).map(\.id)
            var writes: [VectorRecord] = []
            for (place, id) in nearest.enumerated() where place % 3 != 0 {
                writes.append(VectorRecord(id: id, vector: query, metadata: generator.metadata()))
            }
            for row in 0..<20 {
                writes.append(VectorRecord(id: "new\(row)", vector: query, metadata: generator.metadata()))
            }
            let filters = Self.filters(&generator)
            let (changes, gone) = (writes, nearest.enumerated().filter { $0.offset % 3 == 0 }.map(\.element))
            let seen = try await store.transaction { transaction in
                for record in changes { try await transaction.upsert(record, into: "a") }
                for id in gone { try await transaction.delete(id, from: "a") }
                var seen: [[SearchHit]] = []
                for filter in filters {
                    seen.append(
                        try await transaction.search(query, k: 30, in: "a", options: SearchOptions(filter: filter)))
                }
                return seen
            }
            for (filter, hits) in zip(filters, seen) {
                #expect(
                    hits == (try await database.search(query, k: 30, options: SearchOptions(filter: filter))),
                    "\(filter)")
            }
        }
    }

    @Test("A filter of the nearest that meets damaged metadata throws, with codes and without")
    func damaged() async throws {
        let directory = TestStore(.disk)
        try await directory.database(DatabaseOptions(dimension: Self.dimension)) { database async throws in
            try await database.upsert(
                (0..<200).map { row in
                    VectorRecord(
                        id: "r\(row)", vector: Self.vector(row), metadata: ["mark": row == 9 ? "damaged" : "intact"])
                })
        }
        try directory.edit("a/vectors.jvdb") { data in
            let place = try #require(data.range(of: .init("damaged".utf8)))
            data[place.lowerBound - 1] = 0x7f
        }
        try await directory.database { database async throws in
            let snapshot = try await database.snapshot()
            let plan = FilterPlan.predicate(try CompiledFilter(Filter.field("mark") == "intact"))
            let request = SearchRequest(queries: [Self.vector(9)], limit: 3, rows: plan)
            for view in [nil, snapshot.heapCodes()] {
                let error = await expectError(.corruption) {
                    _ = try await snapshot.searcher.search(snapshot, request, codes: view)
                }
                #expect(error?.ids == ["r9"])
            }
        }
    }
}
