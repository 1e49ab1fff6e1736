// The certified search against comparing every record: the same ids, order and scores, to the bit.
import CNephrite
import StorageFormat
import Synchronization
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20))) struct CascadeTests {
    /// What the records of a database are like.
    enum Data: CaseIterable {
        case random, clustered, duplicates, equal, nearTies, oneHot, scales, extremes

        func vector(_ index: Int, _ dimension: Int) -> [Float] {
            var values = SeededValues(seed: UInt64(index) &+ 1_000)
            switch self {
            case .random: return values.floats(dimension)
            case .clustered:
                var cluster = SeededValues(seed: UInt64(index % 7))
                return cluster.floats(dimension).map { $0 + 0.1 * values.float() }
            case .duplicates:
                var twin = SeededValues(seed: UInt64(index / 5))
                return twin.floats(dimension)
            case .equal: return [Float](repeating: 0.25, count: dimension)
            case .nearTies:
                var base = SeededValues(seed: 1)
                var vector = base.floats(dimension)
                vector[index % dimension] = vector[index % dimension].nextUp
                return vector
            case .oneHot:
                var vector = [Float](repeating: 0, count: dimension)
                vector[values.below(dimension)] = 1
                return vector
            case .scales:
                return values.floats(dimension, scale: Float(sign: .plus, exponent: index % 30 - 15, significand: 1))
            case .extremes:
                let scales: [Float] = [0, 0x1p-149, 0x1p-130, 1e-20, 1e-12, 1, 1e12, 1e18, 1e20, 1e38]
                return values.floats(dimension, scale: scales[index % scales.count])
            }
        }
    }

    /// Calls `body` with a snapshot of a database that has seen deletions and updates.
    private func withSnapshot(
        _ data: Data, _ metric: DistanceMetric, _ dimension: Int, count: Int = 700, threads: Int = 2,
        _ body: (DatabaseSnapshot) async throws -> Void
    ) async throws {
        let directory = TestStore()
        directory.configuration.searchThreadCount = threads
        try await directory.database(DatabaseOptions(dimension: dimension, metric: metric)) { database async throws in
            let ids = (0..<count).map { "r\($0 * 7_919 % 100_003)" }
            try await database.insert(ids: ids, vectors: (0..<count).flatMap { data.vector($0, dimension) })
            try await database.delete(ids.indices.filter { $0 % 9 == 4 }.map { ids[$0] })
            for index in stride(from: 0, to: count, by: 31) where index % 9 != 4 {
                try await database.update(
                    VectorRecord(id: ids[index], vector: data.vector(index + count, dimension)))
            }
            try await body(try await database.snapshot())
        }
    }

    private func expectSame(_ found: SearchAnswer, _ expected: SearchAnswer, _ comment: Comment) {
        #expect(found.rows.map { $0.map(\.slot) } == expected.rows.map { $0.map(\.slot) }, comment)
        #expect(
            found.rows.map { $0.map(\.score.bitPattern) } == expected.rows.map { $0.map(\.score.bitPattern) }, comment)
    }

    @Test(
        "The same as comparing everything", arguments: Data.allCases, [DistanceMetric.cosine, .dotProduct, .euclidean])
    func certified(_ data: Data, _ metric: DistanceMetric) async throws {
        for dimension in [1, 3, 33, 100] {
            try await withSnapshot(data, metric, dimension) { snapshot async throws in
                let centre = data.vector(3, dimension).map { $0.magnitude < 1e6 ? $0 : 1 }
                let views = [
                    snapshot.heapCodes(), snapshot.heapCodes(centre: centre, chunkSlotCount: 64),
                    snapshot.heapCodes(chunkSlotCount: 256) { $0 % 5 != 0 && $0 / 64 != 2 },
                ]
                let queries =
                    [0, 5, 333, 2_000, 2_001].map { data.vector($0, dimension) } + [
                        SeededValues(seed: 99).only(dimension)
                    ]
                for k in [1, 10, 60] {
                    var request = SearchRequest(queries: queries, limit: k)
                    let expected = try await snapshot.searcher.search(snapshot, request, codes: nil)
                    for (number, view) in views.enumerated() {
                        let found = try await snapshot.searcher.search(snapshot, request, codes: view)
                        expectSame(found, expected, "dimension \(dimension), k \(k), view \(number), batch")
                    }
                    for (query, rows) in zip(queries, expected.rows) {
                        request.queries = [query]
                        let found = try await snapshot.searcher.search(snapshot, request, codes: views[0])
                        expectSame(found, SearchAnswer(rows: [rows]), "dimension \(dimension), k \(k), single")
                    }
                }
            }
        }
    }

    @Test("Any number of threads gives the same", arguments: [1, 2, 3, 5])
    func threads(_ threads: Int) async throws {
        try await withSnapshot(.clustered, .cosine, 768, count: 1_500, threads: threads) { snapshot async throws in
            let view = snapshot.heapCodes()
            for maximum in [nil, 1, 2] {
                for seed in 0..<4 {
                    var request = SearchRequest(queries: [Data.clustered.vector(seed + 9_000, 768)], limit: 10)
                    request.maximumThreads = maximum
                    let expected = try await snapshot.searcher.search(snapshot, request, codes: nil)
                    expectSame(
                        try await snapshot.searcher.search(snapshot, request, codes: view), expected, "seed \(seed)")
                }
            }
        }
    }

    @Test("Row choices: sets, lists, tests, none", arguments: [DistanceMetric.cosine, .euclidean])
    func choices(_ metric: DistanceMetric) async throws {
        try await withSnapshot(.clustered, metric, 64) { snapshot async throws in
            let view = snapshot.heapCodes { $0 % 4 != 1 }
            let live = (0..<snapshot.records.slotCount).filter { snapshot.records[$0].isActive }.map { UInt32($0) }
            let chosen = live.filter { $0 % 3 == 0 }
            let set = SlotSet(chosen, slotCount: snapshot.records.pages.pageCount * 128)
            let choices: [FilterPlan] = [.slots(set), .list(chosen), .all]
            for seed in 0..<5 {
                let query = Data.clustered.vector(seed + 9_000, 64)
                let everything = SearchRequest(queries: [query, query], limit: live.count)
                let all = try await snapshot.searcher.search(snapshot, everything, codes: nil)
                let expected = SearchAnswer(rows: all.rows.map { Array($0.filter { $0.slot % 3 == 0 }.prefix(7)) })
                for choice in choices {
                    var request = SearchRequest(queries: [query, query], limit: 7, rows: choice)
                    if case .all = choice { request.accepts = { $0 % 3 == 0 } }
                    expectSame(try await snapshot.searcher.search(snapshot, request, codes: view), expected, "codes")
                    expectSame(try await snapshot.searcher.search(snapshot, request, codes: nil), expected, "scan")
                }
                let none = SearchRequest(queries: [query], limit: 7, rows: .none)
                #expect(try await snapshot.searcher.search(snapshot, none, codes: view).rows == [[]])
            }
        }
    }

    @Test("Pages behind one another are the whole order", arguments: [DistanceMetric.cosine, .dotProduct, .euclidean])
    func paging(_ metric: DistanceMetric) async throws {
        for data in [Data.clustered, .duplicates, .equal] {
            try await withSnapshot(data, metric, 48, count: 300) { snapshot async throws in
                let query = data.vector(17, 48)
                let whole = try await snapshot.searcher.search(
                    snapshot, SearchRequest(queries: [query], limit: 1_000), codes: nil
                ).rows[0]
                for view in [nil, snapshot.heapCodes()] {
                    var pages: [TopK.Entry] = []
                    var request = SearchRequest(queries: [query], limit: 23)
                    while true {
                        let page = try await snapshot.searcher.search(snapshot, request, codes: view).rows[0]
                        pages += page
                        guard page.count == 23, let last = page.last else { break }
                        let id = RecordID(snapshot.id(of: snapshot.records[Int(last.slot)]))
                        request.after = SearchPosition(rank: last.score, id: id)
                    }
                    #expect(pages == whole)
                }
            }
        }
    }

    @Test("A floor keeps what reaches it", arguments: [DistanceMetric.cosine, .dotProduct, .euclidean])
    func floors(_ metric: DistanceMetric) async throws {
        try await withSnapshot(.clustered, metric, 48) { snapshot async throws in
            let query = Data.clustered.vector(9_000, 48)
            let whole = try await snapshot.searcher.search(
                snapshot, SearchRequest(queries: [query], limit: 1_000), codes: nil
            ).rows[0]
            for rank in [0, 4, 40, 100] {
                let request = SearchRequest(queries: [query], limit: 60, floor: whole[rank].score)
                let expected = whole.filter { $0.score >= whole[rank].score }.prefix(60)
                for view in [nil, snapshot.heapCodes()] {
                    let found = try await snapshot.searcher.search(snapshot, request, codes: view).rows[0]
                    #expect(found == Array(expected), "rank \(rank)")
                }
            }
        }
    }

    @Test("More candidates than are kept at a time: all records alike, and 20,000 of them")
    func manyCandidates() async throws {
        let directory = TestStore()
        try await directory.database(DatabaseOptions(dimension: 8, metric: .euclidean)) { database async throws in
            let vector = testVector(1, 8)
            try await database.insert(
                ids: (0..<20_000).map { "r\($0)" }, vectors: (0..<20_000).flatMap { _ in vector })
            let snapshot = try await database.snapshot()
            let request = SearchRequest(queries: [vector, testVector(2, 8)], limit: 25)
            let expected = try await snapshot.searcher.search(snapshot, request, codes: nil)
            let found = try await snapshot.searcher.search(snapshot, request, codes: snapshot.heapCodes())
            expectSame(found, expected, "all alike")
        }
    }

    @Test(
        "An approximate search finds nearly all, with exact scores; the more so the more is asked for",
        arguments: [128, 384])
    func approximate(_ dimension: Int) async throws {
        try await withSnapshot(.clustered, .cosine, dimension, count: 3_000) { snapshot async throws in
            let view = snapshot.heapCodes()
            func recall(_ mode: SearchMode, cachedByteCount: Int = 0) async throws -> Double {
                var hits = 0
                for seed in 0..<40 {
                    var request = SearchRequest(queries: [Data.clustered.vector(seed + 50_000, dimension)], limit: 10)
                    request.cachedByteCount = cachedByteCount
                    let exact = try await snapshot.searcher.search(snapshot, request, codes: nil).rows[0]
                    request.mode = mode
                    let found = try await snapshot.searcher.search(snapshot, request, codes: view).rows[0]
                    #expect(found.count == 10)
                    hits += Set(found.map(\.slot)).intersection(exact.map(\.slot)).count
                    for row in found {
                        guard let same = exact.first(where: { $0.slot == row.slot }) else { continue }
                        #expect(same.score == row.score)
                    }
                }
                return Double(hits) / 400
            }
            #expect(try await recall(.approximate(recall: 0.99)) >= 0.99)
            #expect(try await recall(.approximate(recall: 0.99), cachedByteCount: .max) >= 0.99)
            #expect(try await recall(.approximate(recall: 0.9)) >= 0.9)
            #expect(try await recall(.approximateCandidates(3_000)) == 1)
            let few = try await recall(.approximateCandidates(10))
            let more = try await recall(.approximateCandidates(100))
            #expect(few < more && more < 1)
        }
    }

    @Test(
        "Of rows that are nearly as near as one another no more are lost than was asked for", arguments: [0.85, 0.99])
    func nearlyAsNear(_ recall: Double) async throws {
        let dimension = 768
        var base = SeededValues(seed: 9)
        let common = base.floats(dimension)
        let directory = TestStore()
        try await directory.database(DatabaseOptions(dimension: dimension, metric: .cosine)) { database async throws in
            var values = SeededValues(seed: 10)
            let vectors = (0..<4_000 * dimension).map { common[$0 % dimension] + 0.03 * values.float() }
            try await database.insert(ids: (0..<4_000).map { "r\($0)" }, vectors: vectors)
            let snapshot = try await database.snapshot()
            let view = snapshot.heapCodes()
            for cachedByteCount in [0, .max] {
                var found = 0
                for _ in 0..<30 {
                    var request = SearchRequest(queries: [values.floats(dimension)], limit: 10)
                    let exact = try await snapshot.searcher.search(snapshot, request, codes: nil).rows[0]
                    request.mode = .approximate(recall: recall)
                    request.cachedByteCount = cachedByteCount
                    let rows = try await snapshot.searcher.search(snapshot, request, codes: view).rows[0]
                    found += Set(exact.map(\.slot)).intersection(rows.map(\.slot)).count
                }
                #expect(Double(found) >= 300 * recall, "\(cachedByteCount)")
            }
        }
    }

    @Test("Codes spare the cascade most comparisons, and each stage leaves fewer to the next")
    func stages() async throws {
        try await withSnapshot(.random, .cosine, 256, count: 2_000) { snapshot async throws in
            let request = SearchRequest(queries: [testVector(4, 256)], limit: 5, isTimed: true)
            let answer = try await snapshot.searcher.search(snapshot, request, codes: snapshot.heapCodes())
            #expect(answer.usedCodes && answer.counts.direct == 0)
            #expect(answer.counts.bounded == snapshot.count)
            #expect(answer.counts.refined < snapshot.count / 2)
            #expect(answer.counts.compared < 40)
            #expect(answer.rows[0].count == 5)
        }
    }

    @Test(
        "An approximate search of more codes than caches hold reads the signs of all rows, and the planes of few",
        arguments: [384, 768])
    func signs(_ dimension: Int) async throws {
        try await withSnapshot(.clustered, .cosine, dimension, count: 3_000) { snapshot async throws in
            let view = snapshot.heapCodes()
            let query = Data.clustered.vector(50_000, dimension)
            var request = SearchRequest(queries: [query], limit: 10, mode: .approximate(recall: 0.99))
            let cached = try await snapshot.searcher.search(snapshot, request, codes: view)
            #expect(cached.counts.bounded == snapshot.count && cached.counts.estimated == 0)
            #expect(cached.counts.refined == 0)
            request.cachedByteCount = 0
            let single = try await snapshot.searcher.search(snapshot, request, codes: view)
            #expect(single.counts.estimated == snapshot.count)
            // With more components the high plane alone is as good as both.
            let (few, none) =
                dimension == 768
                ? (single.counts.bounded, single.counts.refined) : (single.counts.refined, single.counts.bounded)
            #expect((10..<snapshot.count / 3).contains(few) && none == 0)
            // Several queries do so, too.
            request.queries = [query, query]
            let two = try await snapshot.searcher.search(snapshot, request, codes: view)
            #expect(two.counts.estimated == 2 * snapshot.count)
            #expect(two.counts.bounded + two.counts.refined < 2 * snapshot.count / 3)
            #expect(two.rows == [single.rows[0], single.rows[0]])
            request.queries = Array(repeating: query, count: 20)
            let batch = try await snapshot.searcher.search(snapshot, request, codes: view)
            #expect(batch.counts.estimated == 20 * snapshot.count)
            #expect(batch.counts.bounded + batch.counts.refined < 20 * snapshot.count / 3)
            #expect(batch.rows[0].count == 10 && batch.rows.allSatisfy { $0 == batch.rows[0] })
            request.mode = .exact
            #expect(try await snapshot.searcher.search(snapshot, request, codes: view).counts.estimated == 0)
        }
    }

    @Test(
        "Batches of long vectors, which leave rows out by a part of their sums, find what a scan finds",
        arguments: [17, 64])
    func longBatches(_ count: Int) async throws {
        for metric in [DistanceMetric.cosine, .euclidean] {
            try await withSnapshot(.random, metric, 600, count: 2_000) { snapshot async throws in
                // Near one of the first records, so that all others are soon too far by far, and nearer to one of the last.
                let queries = (0..<count).map { index in
                    zip(Data.random.vector(index, 600), Data.random.vector(1_900 - 5 * index, 600)).map {
                        0.6 * $0 + 0.8 * $1
                    }
                }
                let request = SearchRequest(queries: queries, limit: 1)
                let expected = try await snapshot.searcher.search(snapshot, request, codes: nil).rows
                let answer = try await snapshot.searcher.search(snapshot, request, codes: snapshot.heapCodes())
                #expect(answer.rows == expected)
                #expect(answer.counts.bounded == count * snapshot.count)
            }
        }
    }

    @Test("Signs of vectors so long that their sums need more than 16 bits are counted for each query of a batch")
    func longSignsInBatches() async throws {
        let dimension = 10_000
        try await withSnapshot(.clustered, .dotProduct, dimension, count: 300) { snapshot async throws in
            let queries = (0..<9).map { Data.clustered.vector(50_000 + $0, dimension) }
            var request = SearchRequest(queries: queries, limit: 10)
            request.cachedByteCount = 0
            let exact = try await snapshot.searcher.search(snapshot, request, codes: nil).rows
            request.mode = .approximate(recall: 0.999)
            let answer = try await snapshot.searcher.search(snapshot, request, codes: snapshot.heapCodes())
            #expect(answer.counts.estimated == queries.count * snapshot.count)
            for (row, exact) in zip(answer.rows, exact) {
                #expect(Set(row.map(\.slot)).intersection(exact.map(\.slot)).count >= 9)
            }
        }
    }

    @Test("Signs of vectors so long that a page of them is too much for one run are read a word of rows at a time")
    func longSigns() async throws {
        let dimension = 40_000
        try await withSnapshot(.clustered, .cosine, dimension, count: 140) { snapshot async throws in
            let query = Data.clustered.vector(50_000, dimension)
            var request = SearchRequest(queries: [query], limit: 10)
            request.cachedByteCount = 0
            let exact = try await snapshot.searcher.search(snapshot, request, codes: nil).rows[0]
            request.mode = .approximate(recall: 0.999)
            let answer = try await snapshot.searcher.search(snapshot, request, codes: snapshot.heapCodes())
            #expect(answer.counts.estimated == snapshot.count && answer.counts.bounded < snapshot.count)
            #expect(answer.rows[0].count == 10)
            #expect(Set(answer.rows[0].map(\.slot)).intersection(exact.map(\.slot)).count >= 9)
        }
    }

    @Test("A cancelled search ends with CancellationError")
    func cancellation() async throws {
        try await withSnapshot(.random, .cosine, 64, count: 500) { snapshot async throws in
            let view = snapshot.heapCodes()
            let asked = Mutex(0)
            let task = Task {
                unsafe withUnsafeCurrentTask { task in unsafe task?.cancel() }
                let request = SearchRequest(
                    queries: [testVector(4, 64)], limit: 5,
                    accepts: { _ in
                        asked.withLock { $0 += 1 }
                        return true
                    })
                return try await snapshot.searcher.search(snapshot, request, codes: view)
            }
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(asked.withLock { $0 } == 0)
        }
    }
}

extension SeededValues {
    /// The first floats of the stream.
    fileprivate func only(_ count: Int) -> [Float] {
        var copy = self
        return copy.floats(count)
    }
}
