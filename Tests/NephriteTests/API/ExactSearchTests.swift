// Searching gives exactly what comparing every vector in double precision gives (I13).
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct ExactSearchTests {
    private static func score(_ metric: DistanceMetric, _ left: [Float], _ right: [Float]) -> Double {
        func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
        switch metric {
        case .dotProduct: return dot(left, right)
        case .euclidean:
            return zip(left, right).reduce(0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
                .squareRoot()
        case .cosine:
            let norms = dot(left, left).squareRoot() * dot(right, right).squareRoot()
            return norms == 0 ? 0 : dot(left, right) / norms
        }
    }

    private static func expect(
        _ hits: [SearchHit], k: Int, _ metric: DistanceMetric, _ query: [Float], in model: [String: [Float]],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let larger = metric != .euclidean
        let scores = model.mapValues { score(metric, query, $0) }
        let sorted = scores.values.sorted { larger ? $0 > $1 : $0 < $1 }
        #expect(hits.count == min(k, model.count), sourceLocation: sourceLocation)
        #expect(Set(hits.map(\.id)).count == hits.count, sourceLocation: sourceLocation)
        for (rank, hit) in hits.enumerated() {
            guard let exact = scores[hit.id] else {
                Issue.record("\(hit.id) is not there", sourceLocation: sourceLocation)
                continue
            }
            let tolerance = 1e-4 * max(1, abs(exact))
            #expect(abs(Double(hit.score) - exact) <= tolerance, sourceLocation: sourceLocation)
            #expect(abs(sorted[rank] - exact) <= tolerance, "rank \(rank)", sourceLocation: sourceLocation)
        }
        for (first, second) in zip(hits, hits.dropFirst()) {
            let isOrdered = larger ? first.score >= second.score : first.score <= second.score
            #expect(isOrdered, sourceLocation: sourceLocation)
            if first.score == second.score {
                #expect(first.id.utf8.lexicographicallyPrecedes(second.id.utf8), sourceLocation: sourceLocation)
            }
        }
    }

    @Test(
        "The same as brute force, after inserts, updates, deletes and reopening", arguments: DistanceMetric.allCases,
        [1, 3, 100, 768])
    func bruteForce(_ metric: DistanceMetric, _ dimension: Int) async throws {
        let directory = TestStore()
        var model: [String: [Float]] = [:]
        try await directory.database(DatabaseOptions(dimension: dimension, metric: metric)) { database async throws in
            let ids = (0..<600).map { "r\($0)" }
            try await database.insert(ids: ids, vectors: (0..<600).flatMap { testVector($0, dimension) })
            for (index, id) in ids.enumerated() { model[id] = testVector(index, dimension) }
            let gone = (0..<600).filter { $0 % 7 == 0 }.map { "r\($0)" }
            try await database.delete(gone)
            for id in gone { model[id] = nil }
            for index in 1..<50 where index % 7 != 0 {
                try await database.update(testRecord("r\(index)", index + 5_000, dimension))
                model["r\(index)"] = testVector(index + 5_000, dimension)
            }
            try await check(database)
        }
        try await directory.database { try await check($0) }

        func check(_ database: VectorDatabase) async throws {
            for (seed, k) in [(9_001, 1), (9_002, 10), (5_003, 100), (9_004, 10_000)] {
                let query = testVector(seed, dimension)
                Self.expect(try await database.search(query, k: k), k: k, metric, query, in: model)
            }
            let queries = (0..<5).map { testVector(8_000 + $0, dimension) }
            let batch = try await database.search(queries, k: 7)
            for (query, hits) in zip(queries, batch) { #expect(try await database.search(query, k: 7) == hits) }
        }
    }

    @Test("Equal scores are ordered by the bytes of the ids, wherever the records lie")
    func ties() async throws {
        try await TestStore().database(DatabaseOptions(dimension: 4, metric: .euclidean)) { database async throws in
            let ids = (0..<500).map { "\($0 * 7_919 % 500)" } + ["e\u{301}", "\u{E9}", "z"]
            try await database.insert(ids.map { VectorRecord(id: $0, vector: [1, 1, 1, 1]) })
            let sorted = ids.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            let hits = try await database.search([0, 0, 0, 0], k: 503)
            #expect(hits.map { Array($0.id.utf8) } == sorted.map { Array($0.utf8) })
            #expect(try await database.search([0, 0, 0, 0], k: 9) == Array(hits.prefix(9)))
        }
    }

    @Test("The number of threads changes nothing", arguments: DistanceMetric.allCases)
    func threads(_ metric: DistanceMetric) async throws {
        var results: [[[SearchHit]]] = []
        for threads in [1, 2, 4] {
            let directory = TestStore()
            directory.configuration.searchThreadCount = threads
            try await directory.database(DatabaseOptions(dimension: 64, metric: metric)) { database async throws in
                // Every vector four times, so that ties fall into different threads' parts.
                try await database.insert(
                    ids: (0..<6_000).map { "r\($0)" }, vectors: (0..<6_000).flatMap { testVector($0 % 1_500, 64) })
                results.append(try await database.search((0..<10).map { testVector(70_000 + $0, 64) }, k: 25))
            }
        }
        #expect(results[0] == results[1] && results[0] == results[2])
    }

    @Test("A query that makes no sense is refused, and an empty database finds nothing")
    func refused() async throws {
        try await TestStore().database { database async throws in
            #expect(try await database.search([1, 2, 3], k: 5) == [])
            try await database.upsert(testRecord("a", 1))
            await expectError(.dimensionMismatch) { _ = try await database.search([1, 2], k: 5) }
            await expectError(.notFinite) { _ = try await database.search([1, 2, .nan], k: 5) }
            await expectError(.notFinite) { _ = try await database.search([[1, 2, 3], [1, 2, .infinity]], k: 5) }
            for k in [0, -1, .min] {
                await expectError(.invalidArgument) { _ = try await database.search([1, 2, 3], k: k) }
            }
            #expect(try await database.search([1, 2, 3], k: .max).map(\.id) == ["a"])
            #expect(try await database.search([0, 0, 0], k: 1).first?.score == 0, "a zero vector is like nothing")
        }
    }
}
