/// Filters asked from many tasks at once, while each of them commits: the thread sanitizer runs this suite.
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(10)))
struct FilterConcurrencyTests {
    @Test("Queries from many tasks at once, of older and newer commits, agree with their snapshots")
    func concurrent() async throws {
        try await TestStore().database(DatabaseOptions(dimension: 1, indexedFields: ["n"])) { database async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<4 {
                    group.addTask {
                        for round in 0..<25 {
                            // Commit c of a task replaces its rows, and says in each of them which c it was.
                            let records = (0..<200).map { row in
                                VectorRecord(
                                    id: "t\(task)-\(row)", vector: [1],
                                    metadata: [
                                        "n": .integer(Int64(task * 1_000 + round)), "task": .integer(Int64(task)),
                                    ])
                            }
                            try await database.upsert(records)
                            let snapshot = try await database.snapshot()
                            for other in 0..<4 {
                                let between = Filter.field("n").isBetween(
                                    .integer(Int64(other * 1_000)), and: .integer(Int64(other * 1_000 + 999)))
                                let count = try await snapshot.count(where: between)
                                #expect(count == 200 || (count == 0 && other != task))
                                #expect(
                                    try await snapshot.count(where: Filter.field("task") == .integer(Int64(other)))
                                        == count)
                            }
                            #expect(
                                try await snapshot.count(
                                    where: Filter.field("n") == .integer(Int64(task * 1_000 + round))) == 200)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}
