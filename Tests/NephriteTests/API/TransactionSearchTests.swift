// Searches inside a transaction, with filters, radii and pages, against a model of what the transaction sees.
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(10)))
struct TransactionSearchTests {
    private static let dimension = 6
    private static let rowCount = 1_200

    private static func record(_ row: Int, round: Int) -> VectorRecord {
        VectorRecord(
            id: "r\(row)", vector: testVector((row / 2) &+ round &* 7_919, dimension),
            metadata: ["n": .integer(Int64((row &+ round) % 10)), "tag": .string(row % 3 == 0 ? "x" : "y")])
    }

    /// What brute force finds: the order of the engine's own scores, which a database of the same records gives.
    private static func expected(
        _ model: [String: VectorRecord], _ metric: DistanceMetric, _ query: [Float], where filter: Filter?
    ) async throws -> [SearchHit] {
        let directory = TestStore()
        let kept = Box<[SearchHit]>([])
        try await directory.open { store in
            let options = DatabaseOptions(dimension: dimension, metric: metric, quantization: .none)
            let database = try await store.createDatabase("model", options: options)
            let holding = model.values.filter { record in filter.map { FilterOracle.holds($0, record.metadata) } ?? true
            }
            try await database.insert(Array(holding))
            let hits = try await database.search(query, k: max(1, holding.count))
            kept.update { $0 = hits }
        }
        return kept.value
    }

    private static let filters: [Filter?] = [
        nil, Filter.field("n") == 3, Filter.field("n") >= 5 && Filter.field("tag") == "x", Filter.field("n") != 3,
        Filter.field("tag") == "z",
    ]

    /// the transaction's snapshot        the transaction itself                            another writer
    /// r0 … r1199                        replaces, deletes and adds; searches in between   replaces r0 …: not seen
    @Test(
        "It sees its own writes and deletes, filtered like all others, in searches, radii and pages",
        arguments: DistanceMetric.allCases, [false, true])
    func sameAsModel(_ metric: DistanceMetric, hasCodes: Bool) async throws {
        let directory = hasCodes ? Coding.store() : TestStore()
        try await directory.open { store in
            let options = DatabaseOptions(
                dimension: Self.dimension, metric: metric, quantization: hasCodes ? .automatic : .none,
                indexedFields: hasCodes ? ["n"] : [])
            let database = try await store.createDatabase("a", options: options)
            let records = (0..<Self.rowCount).map { Self.record($0, round: 0) }
            try await database.insert(records)
            if hasCodes { try await Coding.finish(database) }
            do {
                try await store.transaction { transaction in
                    var model = Dictionary(uniqueKeysWithValues: records.map { ($0.id, $0) })
                    var generator = SeededGenerator(seed: hasCodes ? 5 : 6)
                    #expect(try await transaction.contains("r0", in: "a"))
                    try await database.upsert((0..<50).map { Self.record($0, round: 9) })
                    for round in 1..<4 {
                        for _ in 0..<60 {
                            let row = generator.next(below: Self.rowCount + 100)
                            if generator.next(below: 3) == 0 {
                                let wasThere = try await transaction.delete("r\(row)", from: "a")
                                #expect(wasThere == (model.removeValue(forKey: "r\(row)") != nil))
                            } else {
                                let record = Self.record(row, round: round)
                                try await transaction.upsert(record, into: "a")
                                model[record.id] = record
                            }
                        }
                        let query = testVector(50 + round, Self.dimension)
                        for filter in Self.filters {
                            try await Self.check(transaction, model, metric, query, filter)
                        }
                    }
                    throw CancellationError()
                }
                Issue.record("the transaction was to be given up")
            } catch is CancellationError {}
        }
    }

    private static func check(
        _ transaction: Transaction, _ model: [String: VectorRecord], _ metric: DistanceMetric, _ query: [Float],
        _ filter: Filter?
    ) async throws {
        let all = try await expected(model, metric, query, where: filter)
        let options = SearchOptions(filter: filter)
        for k in [1, 10, 100] {
            let found = try await transaction.search(query, k: k, in: "a", options: options)
            #expect(found == Array(all.prefix(k)), "k \(k), \(String(describing: filter))")
        }
        var hits: [SearchHit] = []
        for try await hit in try await transaction.nearest(to: query, in: "a", options: options) { hits.append(hit) }
        #expect(hits == all, "pages, \(String(describing: filter))")
        guard all.count > 40 else { return }
        let radius = all[40].score
        let within = all.filter { metric == .euclidean ? $0.score <= radius : $0.score >= radius }
        #expect(try await transaction.search(query, within: radius, in: "a", options: options) == within)
        #expect(
            try await transaction.search(query, within: radius, limit: 7, in: "a", options: options)
                == Array(within.prefix(7)))
        var iterator = try await transaction.nearest(to: query, in: "a", options: options).makeAsyncIterator()
        for _ in 0..<33 { _ = try await iterator.next() }
        var rest: [SearchHit] = []
        let behind = try await transaction.nearest(to: query, in: "a", options: options, after: iterator.cursor)
        for try await hit in behind { rest.append(hit) }
        #expect(rest == Array(all[33...]))
    }

    @Test("Arguments that make no sense are refused, and a database that is not there")
    func refusals() async throws {
        let directory = TestStore()
        try await directory.open { store in
            _ = try await store.createDatabase("a", options: DatabaseOptions(dimension: 2))
            try await store.transaction { transaction in
                await expectError(.invalidArgument) { _ = try await transaction.search([1, 0], within: .nan, in: "a") }
                await expectError(.dimensionMismatch) { _ = try await transaction.search([1], k: 1, in: "a") }
                await expectError(.databaseNotFound) { _ = try await transaction.nearest(to: [1, 0], in: "b") }
            }
        }
    }
}
