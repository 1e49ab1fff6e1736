// A killed store in which one database's file was damaged refused to open at all: recovery threw for everybody.
import Nephrite
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct DamagedDatabaseTests {
    @Test("Recovery refuses a damaged database, brings the others up to date, and keeps the log for it")
    func oneOfTwo() async throws {
        let disk = SimulatedFileSystem()
        let killed = try await withVectorStore(simulatedStore(disk)) { store in
            for name in ["damaged", "sound"] {
                let database = try await store.createDatabase(name, options: .init(dimension: 2))
                try await database.upsert(VectorRecord(id: "x", vector: [1, 2]))
            }
            return disk.processKillImage()
        }
        let whole = killed.contents(of: StoragePath("damaged", "vectors.jvdb"))
        for page in 0..<4 {
            for sector in 0..<8 { killed.zeroSector(StoragePath("damaged", "vectors.jvdb"), sector: page * 8 + sector) }
        }
        // Twice: closing must not declare the store clean and throw the log away.
        for _ in 0..<2 {
            try await withVectorStore(simulatedStore(killed)) { store in
                let sound = try await store.database("sound")
                #expect(try await sound.vector(for: "x") == [1, 2])
                try await sound.upsert(VectorRecord(id: "y", vector: [3, 4]))
                let error = await #expect(throws: StoreError.self) {
                    try await store.database("damaged").count()
                }
                #expect(error?.database == "damaged")
                let report = try await store.check()
                #expect(!report.isSound)
            }
        }
        // The log still holds what the damaged file is missing.
        let repaired = try #require(whole)
        killed.damage(StoragePath("damaged", "vectors.jvdb"), at: 0, with: repaired)
        try await withVectorStore(simulatedStore(killed)) { store in
            let mended = try await store.database("damaged")
            #expect(try await mended.vector(for: "x") == [1, 2])
            let sound = try await store.database("sound")
            #expect(try await sound.count() == 2)
        }
    }

    @Test("A damaged database can be dropped, and the store is clean again")
    func dropped() async throws {
        let disk = SimulatedFileSystem()
        let killed = try await withVectorStore(simulatedStore(disk)) { store in
            let database = try await store.createDatabase("damaged", options: .init(dimension: 2))
            try await database.upsert(VectorRecord(id: "x", vector: [1, 2]))
            return disk.processKillImage()
        }
        for sector in 0..<32 { killed.zeroSector(StoragePath("damaged", "vectors.jvdb"), sector: sector) }
        try await withVectorStore(simulatedStore(killed)) { store in try await store.dropDatabase("damaged") }
        try await withVectorStore(simulatedStore(killed)) { store in
            #expect(store.recoveryReport?.wasClean == true)
            let left = try await store.databases()
            #expect(left.isEmpty)
        }
    }

    @Test("A database whose directory is gone can be dropped, and its name used again")
    func missingDirectory() async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(simulatedStore(disk)) { store async throws in
            for name in ["gone", "b"] {
                let database = try await store.createDatabase(name, options: .init(dimension: 2))
                try await database.upsert(VectorRecord(id: "x", vector: [1, 2]))
            }
        }
        for entry in try disk.list(StoragePath("gone")) { try disk.unlink(StoragePath("gone", entry.name)) }
        try disk.removeDirectory(StoragePath("gone"))
        try await withVectorStore(simulatedStore(disk)) { store async throws in
            let error = await expectError(.corruption) { _ = try await store.database("gone").count() }
            #expect(error?.message.contains("missing") == true)
            try await store.dropDatabase("gone")
            #expect(try await store.databases().map(\.name) == ["b"])
            let database = try await store.createDatabase("gone", options: .init(dimension: 2))
            try await database.upsert(VectorRecord(id: "new", vector: [3, 4]))
        }
        try await withVectorStore(simulatedStore(disk)) { store async throws in
            #expect(store.recoveryReport?.wasClean == true && store.recoveryReport?.orphans == [])
            #expect(try await store.database("gone").allIDs() == ["new"])
            #expect(try await store.database("b").allIDs() == ["x"])
            try await store.expectSound()
        }
    }
}
