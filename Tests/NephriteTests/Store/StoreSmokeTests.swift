// The shortest way through everything on a real disk: write, reopen, read; one transaction over two databases.
import Foundation
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct StoreSmokeTests {
    static func temporaryPath() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent("nephrite-\(UUID().uuidString)").path
    }

    static func vector(_ seed: Int, _ dimension: Int) -> [Float] {
        (0..<dimension).map { Float(sin(Double(seed * 31 + $0 + 1))) }
    }

    @Test("What was written is read again after reopening, small and bulk")
    func writeAndReopen() async throws {
        let path = Self.temporaryPath()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var configuration = StoreConfiguration()
        configuration.bulkByteThreshold = 64 << 10
        try await withVectorStore(at: path, configuration: configuration) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: 100))
            for index in 0..<50 {
                try await database.upsert(
                    VectorRecord(
                        id: "s\(index)", vector: Self.vector(index, 100), metadata: ["n": .integer(Int64(index))]))
            }
            let ids = (0..<1_000).map { "b\($0)" }
            let vectors = (0..<1_000).flatMap { Self.vector($0 + 1_000, 100) }
            try await database.upsert(ids: ids, vectors: vectors)
            #expect(try await database.delete("s3"))
            #expect(try await database.delete("s3") == false)
            #expect(try await database.count() == 1_049)
            let hits = try await database.search(Self.vector(7, 100), k: 3)
            #expect(hits.first?.id == "s7")
        }
        try await withVectorStore(at: path, configuration: configuration) { store in
            let database = try await store.database("a")
            #expect(try await database.count() == 1_049)
            #expect(try await database.vector(for: "s3") == nil)
            #expect(try await database.vector(for: "b999") == Self.vector(1_999, 100))
            let record = try #require(try await database.record(for: "s4"))
            #expect(record.metadata["n"] == .integer(4))
            #expect(record.vector == Self.vector(4, 100))
        }
    }

    @Test("A transaction over two databases is all or nothing")
    func transactions() async throws {
        try await withVectorStore(.inMemory()) { store in
            let a = try await store.createDatabase("a", options: .init(dimension: 3))
            let b = try await store.createDatabase("b", options: .init(dimension: 3))
            try await store.transaction { tx in
                try await tx.insert(VectorRecord(id: "x", vector: [1, 2, 3]), into: "a")
                try await tx.insert(VectorRecord(id: "y", vector: [1, 2, 3]), into: "b")
            }
            #expect(try await a.contains("x"))
            #expect(try await b.contains("y"))
            await #expect(throws: StoreError.self) {
                try await store.transaction { tx in
                    try await tx.upsert(VectorRecord(id: "x", vector: [4, 5, 6]), into: "a")
                    try await a.upsert(VectorRecord(id: "x", vector: [7, 8, 9]))
                }
            }
            #expect(try await a.vector(for: "x") == [7, 8, 9])
        }
    }
}
