// The forms of a search that callers see: ranges, pages, verification, explanations, and searches inside transactions.
import Foundation
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SearchFormsTests {
    private func withDatabase(
        _ metric: DistanceMetric, _ body: (VectorStore, VectorDatabase) async throws -> Void
    ) async throws {
        let directory = TestStore()
        try await directory.open { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 16, metric: metric))
            try await database.insert(
                ids: (0..<300).map { "r\($0)" }, vectors: (0..<300).flatMap { testVector($0 / 2, 16) })
            try await body(store, database)
        }
    }

    @Test("A range holds what is within the radius, itself included", arguments: DistanceMetric.allCases)
    func ranges(_ metric: DistanceMetric) async throws {
        try await withDatabase(metric) { _, database async throws in
            let query = testVector(7_000, 16)
            let all = try await database.search(query, k: 300)
            for rank in [0, 1, 17, 299] {
                let radius = all[rank].score
                let expected = all.filter { metric == .euclidean ? $0.score <= radius : $0.score >= radius }
                #expect(try await database.search(query, within: radius) == expected)
                #expect(try await database.search(query, within: radius, limit: 3) == Array(expected.prefix(3)))
            }
            let beyond: Float = metric == .euclidean ? -1 : .infinity
            #expect(try await database.search(query, within: beyond) == [])
            #expect(try await database.search(query, within: metric == .euclidean ? .infinity : -.infinity) == all)
            await expectError(.invalidArgument) { _ = try await database.search(query, within: .nan) }
        }
    }

    @Test("Going through the nearest gives the order of one large search, and a cursor goes on where it was")
    func nearest() async throws {
        try await withDatabase(.euclidean) { _, database async throws in
            let snapshot = try await database.snapshot()
            let query = testVector(7_000, 16)
            let all = try await snapshot.search(query, k: 300)
            var hits: [SearchHit] = []
            for try await hit in snapshot.nearest(to: query) { hits.append(hit) }
            #expect(hits == all)
            var iterator = snapshot.nearest(to: query).makeAsyncIterator()
            #expect(iterator.cursor == nil)
            for _ in 0..<101 { _ = try await iterator.next() }
            var rest: [SearchHit] = []
            for try await hit in snapshot.nearest(to: query, after: iterator.cursor) { rest.append(hit) }
            #expect(rest == Array(all[101...]))
        }
    }

    @Test("A verified search finds the same")
    func verified() async throws {
        try await withDatabase(.cosine) { _, database async throws in
            let query = testVector(7_000, 16)
            #expect(try await database.searchVerified(query, k: 20) == database.search(query, k: 20))
        }
    }

    @Test("A verified search refuses a record whose bytes were changed on disk")
    func verifiedRefusesDamage() async throws {
        let directory = TestStore(.disk)
        try await directory.database(DatabaseOptions(dimension: 16)) { database async throws in
            try await database.insert(ids: ["x", "y"], vectors: testVector(1, 16) + testVector(2, 16))
        }
        let bytes = unsafe testVector(1, 16).withUnsafeBytes { unsafe Array($0) }
        try directory.edit("a/vectors.jvdb") { data in
            let place = try #require(data.range(of: Foundation.Data(bytes)))
            data[place.lowerBound] ^= 1
        }
        directory.configuration.verifiesReads = false
        try await directory.database { database async throws in
            #expect(try await database.search(testVector(1, 16), k: 1).map(\.id) == ["x"])
            await expectError(.corruption) { _ = try await database.searchVerified(testVector(1, 16), k: 1) }
            #expect(try await database.searchVerified(testVector(2, 16), k: 1).map(\.id) == ["y"])
        }
    }

    @Test("An explanation has the hits, the plan and what was looked at")
    func explanation() async throws {
        try await withDatabase(.cosine) { _, database async throws in
            let query = testVector(7_000, 16)
            let explanation = try await database.explain(query, k: 9)
            #expect(explanation.hits == (try await database.search(query, k: 9)))
            #expect(explanation.plan == "scan")
            #expect(explanation.stages.map(\.records) == [300])
            #expect(explanation.stages.map(\.bytes) == [300 * 64])
            #expect(explanation.description.contains("300 records"))
        }
    }

    @Test("Modes and arguments that make no sense are refused")
    func refusals() async throws {
        try await withDatabase(.cosine) { _, database async throws in
            let query = testVector(7_000, 16)
            for mode in [SearchMode.approximate(recall: 0), .approximate(recall: 1), .approximate(recall: .nan)] {
                await expectError(.invalidArgument) {
                    _ = try await database.search(query, k: 1, options: SearchOptions(mode: mode))
                }
            }
            await expectError(.invalidArgument) {
                _ = try await database.search(query, k: 1, options: SearchOptions(mode: .approximateCandidates(0)))
            }
            await expectError(.invalidArgument) { _ = try await database.search(query, k: 0) }
            #expect(try await database.search([[Float]](), k: 1) == [])
        }
    }

    @Test("Without codes the approximate modes are exact")
    func approximateWithoutCodes() async throws {
        try await withDatabase(.cosine) { _, database async throws in
            let query = testVector(7_000, 16)
            let exact = try await database.search(query, k: 9)
            for mode in [SearchMode.approximate(recall: 0.9), .approximateCandidates(1)] {
                #expect(try await database.search(query, k: 9, options: SearchOptions(mode: mode)) == exact)
            }
        }
    }

    /// snapshot of the store                      the transaction's own writes
    /// r0 … r299                                  r0 moves onto the query, r1 goes, "new" comes
    @Test("A search inside a transaction sees the transaction's own writes", arguments: DistanceMetric.allCases)
    func transactions(_ metric: DistanceMetric) async throws {
        try await withDatabase(metric) { store, database async throws in
            let query = testVector(7_000, 16)
            let far = query.map { -$0 }
            let nearestID = try await database.search(query, k: 1)[0].id
            let seen = try await store.transaction { transaction in
                try await transaction.delete(nearestID, from: "a")
                try await transaction.upsert(VectorRecord(id: "new", vector: query.map { $0 * 3 }), into: "a")
                try await transaction.upsert(VectorRecord(id: "r2", vector: far), into: "a")
                return try await transaction.search(query, k: 400, in: "a")
            }
            #expect(seen == (try await database.search(query, k: 400)))
            #expect(seen.count == 300 && !seen.contains { $0.id == nearestID } && seen.contains { $0.id == "new" })
        }
    }
}
