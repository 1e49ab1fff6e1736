// What explanations say of searches with codes, in each mode and with each plan for a filter: the stages, and their sums.
import StorageIO
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct SearchExplanationTests {
    private static let count = 6_000

    /// A database of which all vectors have codes, but the last few.
    private func withCodes(dimension: Int = 32, _ body: (VectorDatabase) async throws -> Void) async throws {
        let directory = Coding.store()
        directory.configuration.searchThreadCount = 1
        try await directory.database(DatabaseOptions(dimension: dimension)) { database async throws in
            try await database.insert(
                (0..<Self.count).map {
                    VectorRecord(
                        id: "r\($0)", vector: testVector($0, dimension),
                        metadata: ["n": .integer(Int64($0 % 100)), "even": .bool($0 % 2 == 0)])
                })
            try await Coding.finish(database)
            try await body(database)
        }
    }

    @Test("An exact search bounds every row by 4 bits, fewer by 8, and compares fewer still")
    func exact() async throws {
        try await withCodes { database async throws in
            let query = testVector(70_000, 32)
            let explanation = try await database.explain(query, k: 5)
            #expect(explanation.plan == "codes" && explanation.threads == 1 && explanation.filter == nil)
            #expect(explanation.hits == (try await database.search(query, k: 5)))
            let stages = explanation.stages
            #expect(
                stages.map(\.name) == ["bounded by 4 bits", "bounded by 8 bits", "compared", "without a code"])
            #expect(stages[0].records == Self.count && stages[3].records == 0)
            #expect(stages[1].records < stages[0].records && stages[2].records <= stages[1].records)
            #expect(stages[2].records >= 5)
            // 32 components of 4 bits and 16 bytes of factors; vectors of 32 floats.
            #expect(
                stages.map(\.bytes) == [stages[0].records * 32, stages[1].records * 32, stages[2].records * 128, 0])
            let lines = explanation.description.split(separator: "\n")
            #expect(lines.count == 5 && lines[0] == "plan codes, 1 thread")
            #expect(lines[1].hasPrefix("bounded by 4 bits: 6000 records, 192000 bytes, "))
        }
    }

    @Test(
        "An approximate search looks at 4 bits first, beyond a cache at signs, and compares what they leave"
    )
    func approximate() async throws {
        // Of short vectors the codes have no signs.
        try await withCodes(dimension: 512) { database async throws in
            let query = testVector(70_000, 512)
            for mode in [SearchMode.approximate(recall: 0.9), .approximateCandidates(50)] {
                let explanation = try await database.explain(query, k: 5, options: SearchOptions(mode: mode))
                #expect(explanation.hits.count == 5 && explanation.stages.last?.name == "without a code")
                guard case .approximate = mode else { continue }
                let stages = explanation.stages
                #expect(stages.map(\.name) == ["bounded by 4 bits", "compared", "without a code"])
                #expect(stages[0].records == Self.count && stages[0].bytes == Self.count * 272)
                #expect((5..<Self.count / 4).contains(stages[1].records))
            }
            let snapshot = try await database.snapshot()
            var request = SearchRequest(queries: [query], limit: 5, mode: .approximate(recall: 0.9), isTimed: true)
            request.cachedByteCount = 0
            let answer = try await snapshot.searcher.search(snapshot, request)
            let stages = SearchExplanation(snapshot, request, answer, isFiltered: false).stages
            #expect(
                stages.map(\.name) == ["estimated by signs", "bounded by 4 bits", "compared", "without a code"])
            #expect(stages[0].records == Self.count)
            #expect(stages[1].bytes == stages[1].records * 272 && (5..<Self.count).contains(stages[1].records))
            #expect((5..<Self.count / 4).contains(stages[2].records))
        }
    }

    @Test("A filter's plan is told with how many records it leaves, and rows without codes are counted apart")
    func filters() async throws {
        try await withCodes { database async throws in
            let query = testVector(70_000, 32)
            func explain(_ filter: Filter) async throws -> SearchExplanation {
                try await database.explain(query, k: 3, options: SearchOptions(filter: filter))
            }
            let all = try await explain(.all)
            #expect(all.filter?.plan == "all" && all.filter?.records == Self.count)
            let none = try await explain(.none)
            #expect(none.filter?.plan == "none" && none.filter?.records == 0 && none.hits.isEmpty)
            // Half of all: the first search asks about the nearest only, the second has a bitmap.
            let even = Filter.field("even") == true
            let first = try await explain(even)
            #expect(first.filter?.plan == "nearest" && first.hits.count == 3)
            #expect(first.description.contains("\nfilter nearest: 6000 records, "))
            let second = try await explain(even)
            #expect(second.filter?.plan == "bitmap" && second.filter?.records == Self.count / 2)
            #expect(second.hits == first.hits && second.plan == "codes")
            let few = try await explain(Filter.field("n") == 7 && Filter.field("even") == false)
            #expect(few.filter?.records == 60 && few.plan == "scan" && few.hits.count == 3)
            #expect(few.stages.map(\.name) == ["compared"] && few.stages.map(\.records) == [60])
            #expect(few.description.hasPrefix("plan scan, "))
            #expect(try await database.count(where: even) == Self.count / 2)
        }
    }

    @Test("Counting goes on to ask every record where a search would ask about the nearest only")
    func counts() async throws {
        try await TestStore().database(DatabaseOptions(dimension: 1)) { database async throws in
            try await database.insert(
                (0..<4_000).map { VectorRecord(id: "r\($0)", vector: [1], metadata: ["half": .bool($0 % 2 == 0)]) })
            let half = Filter.field("half") == true
            #expect(try await database.count(where: half) == 2_000)
            #expect(try await database.count(where: half) == 2_000)
            #expect(try await database.delete(where: half) == 2_000)
            #expect(try await database.count(where: half) == 0)
        }
    }

    @Test("A filter that holds for the nearest only, together with a radius or a transaction, leaves nothing out")
    func nearestWithOthers() async throws {
        try await withCodes { database async throws in
            let query = testVector(70_000, 32)
            let odd = SearchOptions(filter: Filter.field("even") == false)
            let everything = try await database.search(query, k: Self.count).filter { Int($0.id.dropFirst())! % 2 == 1 }
            let radius = everything[20].score
            #expect(try await database.search(query, within: radius, options: odd) == Array(everything[...20]))
            try await database.upsert(VectorRecord(id: "extra", vector: query, metadata: ["even": false]))
            #expect(try await database.search(query, k: 1, options: odd).map(\.id) == ["extra"])
        }
    }

    @Test("Threads bring their candidates together: with as many as there are records nothing is missed")
    func threads() async throws {
        let directory = Coding.store()
        directory.configuration.searchThreadCount = 3
        try await directory.database(DatabaseOptions(dimension: 512)) { database async throws in
            try await database.insert((0..<Self.count).map { testRecord("r\($0)", $0, 512) })
            try await Coding.finish(database)
            let query = testVector(70_000, 512)
            let exact = try await database.search(query, k: 20)
            let all = SearchOptions(mode: .approximateCandidates(Self.count))
            #expect(try await database.search(query, k: 20, options: all) == exact)
            let explanation = try await database.explain(query, k: 20)
            #expect(explanation.threads > 1 && explanation.hits == exact)
            #expect(explanation.description.contains(", \(explanation.threads) threads\n"))
            try await database.delete((0..<Self.count).map { "r\($0)" })
            #expect(try await database.search(query, k: 20) == [])
            #expect(try await database.statistics().codingProgress == 1)
        }
    }

    // Atomic unsigned integers compare as if they were signed: thresholds above zero were never shared.
    @Test("A threshold is only raised, below zero and above, and not by what is no number")
    func sharedThreshold() {
        let threshold = SharedThreshold()
        #expect(threshold.value == -.infinity)
        for (raised, expected) in [
            (-3, -3), (.nan, -3), (-4, -3), (-2.5, -2.5), (-0.0, 0), (1, 1), (0.5, 1), (.nan, 1),
            (.infinity, .infinity),
        ] as [(Float, Float)] {
            threshold.raise(to: raised)
            #expect(threshold.value == expected)
        }
    }

    @Test("A transaction asks about the nearest only, too, and leaves out what it has deleted")
    func transactions() async throws {
        try await TestStore().open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 2))
            try await database.insert(
                (0..<4_000).map {
                    VectorRecord(id: "r\($0)", vector: [Float($0), 1], metadata: ["odd": .bool($0 % 2 == 1)])
                })
            let odd = SearchOptions(filter: Filter.field("odd") == true)
            let everything = try await database.search([4_000, 1], k: 4_000).filter { Int($0.id.dropFirst())! % 2 == 1 }
            let found = try await store.transaction { transaction in
                try await transaction.delete(everything[1].id, from: "a")
                try await transaction.upsert(
                    VectorRecord(id: everything[0].id, vector: [1, 1], metadata: ["odd": false]), into: "a")
                return try await transaction.search([4_000, 1], k: 3, in: "a", options: odd)
            }
            #expect(found == Array(everything[2..<5]))
        }
    }
}
