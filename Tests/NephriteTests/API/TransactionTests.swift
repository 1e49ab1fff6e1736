// Transactions: snapshot isolation, first committer wins, all or nothing (D1–D7).
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct TransactionTests {
    private func withDatabases(
        _ backing: Setting.Backing = .memory, _ body: (VectorStore, VectorDatabase, VectorDatabase) async throws -> Void
    ) async throws {
        let directory = TestStore(backing)
        try await directory.open { store async throws in
            let a = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            let b = try await store.createDatabase("b", options: DatabaseOptions(dimension: 3, durability: .relaxed))
            try await a.upsert(testRecord("x", 1))
            try await b.upsert(testRecord("x", 1))
            try await body(store, a, b)
            try await store.expectSound()
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("A transaction reads its own writes and nobody else does before the end", arguments: Setting.Backing.allCases)
    func ownWrites(_ backing: Setting.Backing) async throws {
        try await withDatabases(backing) { store, a, b async throws in
            let result = try await store.transaction { tx in
                try await tx.upsert(testRecord("x", 2), into: "a")
                try await tx.insert(testRecord("y", 3), into: "a")
                #expect(try await tx.delete("x", from: "b"))
                #expect(try await tx.delete("x", from: "b") == false)
                #expect(try await tx.record(for: "x", in: "a")?.vector == testVector(2, 3))
                #expect(try await tx.contains("y", in: "a"))
                #expect(try await tx.contains("x", in: "b") == false)
                #expect(try await tx.vector(for: "x", in: "b") == nil)
                try await tx.insert(testRecord("x", 4), into: "b")
                try await tx.update(testRecord("y", 5), into: "a")
                #expect(try await a.vector(for: "x") == testVector(1, 3))
                #expect(try await a.contains("y") == false)
                #expect(try await b.vector(for: "x") == testVector(1, 3))
                return 7
            }
            #expect(result == 7)
            #expect(try await a.allContents() == ["x": testRecord("x", 2), "y": testRecord("y", 5)])
            #expect(try await b.allContents() == ["x": testRecord("x", 4)])
            #expect(try await a.snapshot().version == b.snapshot().version, "one commit for both")
        }
    }

    @Test("What throws rolls everything back, and the error comes through")
    func rollback() async throws {
        struct Mistake: Error {}
        try await withDatabases { store, a, b async throws in
            await #expect(throws: Mistake.self) {
                try await store.transaction { tx in
                    try await tx.upsert(testRecord("x", 2), into: "a")
                    try await tx.insert(testRecord("z", 2), into: "b")
                    throw Mistake()
                }
            }
            #expect(try await a.allContents() == ["x": testRecord("x", 1)])
            #expect(try await b.allContents() == ["x": testRecord("x", 1)])
        }
    }

    @Test("A refused operation is reported where it is made; catching it lets the rest go on")
    func rules() async throws {
        try await withDatabases { store, a, _ async throws in
            try await store.transaction { tx in
                await expectError(.recordExists) { try await tx.insert(testRecord("x", 2), into: "a") }
                await expectError(.recordNotFound) { try await tx.update(testRecord("none", 2), into: "a") }
                await expectError(.dimensionMismatch) { try await tx.upsert(testRecord("d", 2, 4), into: "a") }
                await expectError(.notFinite) {
                    try await tx.upsert(VectorRecord(id: "n", vector: [.nan, 0, 0]), into: "a")
                }
                await expectError(.databaseNotFound) { try await tx.upsert(testRecord("x", 2), into: "none") }
                try await tx.delete("x", from: "a")
                await expectError(.recordNotFound) { try await tx.update(testRecord("x", 2), into: "a") }
                try await tx.insert(testRecord("ok", 2), into: "a")
            }
            #expect(try await a.allIDs() == ["ok"])
        }
    }

    @Test("It sees the store as of its beginning, in every database")
    func isolation() async throws {
        try await withDatabases { store, a, b async throws in
            try await store.transaction { tx in
                #expect(try await tx.contains("x", in: "a"))
                try await a.upsert(testRecord("x", 9))
                try await b.upsert(testRecord("new", 9))
                #expect(try await tx.vector(for: "x", in: "a") == testVector(1, 3))
                #expect(try await tx.contains("new", in: "b") == false)
            }
            #expect(try await a.vector(for: "x") == testVector(9, 3), "reading alone conflicts with nothing")
        }
    }

    @Test("Of two that write one record the first to commit wins", arguments: ["update", "delete", "insert"])
    func conflicts(_ kind: String) async throws {
        try await withDatabases { store, a, b async throws in
            let error = await expectError(.conflict) {
                try await store.transaction { tx in
                    switch kind {
                    case "update":
                        try await tx.update(testRecord("x", 2), into: "a")
                        try await a.upsert(testRecord("x", 9))
                    case "delete":
                        try await tx.update(testRecord("x", 2), into: "a")
                        try await a.delete("x")
                    default:
                        try await tx.insert(testRecord("n", 2), into: "a")
                        try await a.insert(testRecord("n", 9))
                    }
                    try await tx.upsert(testRecord("also", 2), into: "b")
                }
            }
            #expect(error?.database == "a")
            #expect(try await b.contains("also") == false)
            #expect(try await b.count() == 1)
            // The same again, which now sees the new state, goes through.
            try await store.transaction { tx in
                try await tx.upsert(testRecord("x", 2), into: "a")
                try await tx.upsert(testRecord("also", 2), into: "b")
            }
        }
    }

    @Test("Deleting a record that another commit changed or deleted is a conflict", arguments: [true, false])
    func deleteConflict(_ isGone: Bool) async throws {
        try await withDatabases { store, a, _ async throws in
            await expectError(.conflict) {
                try await store.transaction { tx in
                    #expect(try await tx.delete("x", from: "a"))
                    if isGone { try await a.delete("x") } else { try await a.upsert(testRecord("x", 9)) }
                }
            }
        }
    }

    @Test("Write skew is possible, as snapshot isolation has it: each of two reads what the other writes")
    func writeSkew() async throws {
        try await withDatabases { store, a, _ async throws in
            try await a.upsert(testRecord("y", 1))
            try await store.transaction { first in
                #expect(try await first.contains("y", in: "a"))
                try await store.transaction { second in
                    #expect(try await second.contains("x", in: "a"))
                    try await second.delete("y", from: "a")
                }
                try await first.delete("x", from: "a")
            }
            #expect(try await a.count() == 0)
        }
    }

    @Test("A transaction that has ended refuses reads and writes")
    func afterEnd() async throws {
        try await withDatabases { store, a, _ async throws in
            var escaped: Transaction?
            try await store.transaction { tx in
                try await tx.upsert(testRecord("y", 1), into: "a")
                escaped = tx
            }
            let tx = try #require(escaped)
            await expectError(.invalidArgument) { try await tx.upsert(testRecord("z", 1), into: "a") }
            await expectError(.invalidArgument) { _ = try await tx.record(for: "x", in: "a") }
            await expectError(.invalidArgument) { _ = try await tx.delete("x", from: "a") }
            #expect(try await a.allIDs().sorted() == ["x", "y"])
        }
    }

    @Test(
        "Transfers between two databases keep the sum, and nobody sees half of one", arguments: Setting.Backing.allCases
    )
    func transfers(_ backing: Setting.Backing) async throws {
        try await withDatabases(backing) { store, a, b async throws in
            try await a.upsert(VectorRecord(id: "sum", vector: [500, 0, 0]))
            try await b.upsert(VectorRecord(id: "sum", vector: [500, 0, 0]))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<4 {
                    group.addTask {
                        var done = 0
                        while done < 10 {
                            do {
                                try await store.transaction { tx in
                                    let amount = Float(writer * 10 + done - 15)
                                    let from = try await tx.vector(for: "sum", in: "a")![0]
                                    let to = try await tx.vector(for: "sum", in: "b")![0]
                                    #expect(from + to == 1_000)
                                    try await tx.upsert(
                                        VectorRecord(id: "sum", vector: [from - amount, 0, 0]), into: "a")
                                    try await tx.upsert(
                                        VectorRecord(id: "sum", vector: [to + amount, 0, 0]), into: "b")
                                }
                                done += 1
                            } catch let error as StoreError where error.code == .conflict { continue }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await a.vector(for: "sum")![0] + b.vector(for: "sum")![0] == 1_000)
        }
    }
}
