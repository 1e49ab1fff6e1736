// What `check()` finds and what reads do when bytes of a data file have changed (A22, promise 4), and exact statistics.
import Foundation
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct IntegrityTests {
    private static let ids = (0..<60).map { "record-number-\($0)" }

    private func filled() async throws -> TestStore {
        let directory = TestStore(.disk)
        try await directory.database(DatabaseOptions(dimension: 20)) { database in
            try await database.insert(
                Self.ids.enumerated().map { index, id in
                    VectorRecord(id: id, vector: testVector(index, 20), metadata: ["note": .string("note of \(id)!")])
                })
        }
        return directory
    }

    private func offset(_ bytes: Data, in directory: TestStore) throws -> Int {
        try #require(try Data(contentsOf: directory.url("a/vectors.jvdb")).range(of: bytes)).lowerBound
    }

    @Test(
        "A changed byte of a record: the check names the record, reading it is an error, the others are whole",
        arguments: ["vector", "metadata", "id"])
    func damagedRecord(_ part: String) async throws {
        let directory = try await filled()
        let id = Self.ids[17]
        let bytes: Data =
            switch part {
            case "vector": unsafe testVector(17, 20).withUnsafeBytes { unsafe Data($0) }
            case "metadata": Data("note of \(id)!".utf8)
            default: Data(id.utf8)
            }
        try directory.flip("a/vectors.jvdb", at: try offset(bytes, in: directory) + 3)
        try await directory.open { store async throws in
            let database = try await store.database("a")
            #expect(try await database.count() == 60)
            let error = await expectError(.corruption) { _ = try await database.record(for: id) }
            #expect(error?.database == "a" && error?.path == "a/vectors.jvdb")
            await expectError(.corruption) { _ = try await database.vector(for: id) }
            await expectError(.corruption) { _ = try await database.withVector(for: id) { $0.count } }
            await expectError(.corruption) { _ = try await database.vectors(for: [Self.ids[1], id]) }
            #expect(try await database.contains(id))
            for (index, other) in Self.ids.enumerated() where index != 17 {
                #expect(try await database.vector(for: other) == testVector(index, 20))
            }
            // Going through the records meets the damaged one as an error and goes on behind it.
            var whole = 0
            var damaged = 0
            for result in try await database.snapshot().records() {
                switch result {
                case .success: whole += 1
                case .failure(let error):
                    #expect(error.code == .corruption)
                    damaged += 1
                }
            }
            #expect(whole == 59 && damaged == 1)
            let report = try await store.check()
            #expect(!report.isSound)
            let damages = report.databases.first { $0.name == "a" }?.damages ?? []
            #expect(damages.count == 1 && damages.first?.path == "a/vectors.jvdb")
            if part != "id" {
                #expect(damages.first?.ids == [id] && error?.ids == [id])
                // A new version of the record mends it.
                try await database.upsert(testRecord(id, 17, 20))
                #expect(try await database.vector(for: id) == testVector(17, 20))
                try await store.expectSound()
            }
            try await database.upsert(testRecord("usable", 1, 20))
        }
    }

    @Test(
        "A changed byte of the index: the database reports corruption or derives it anew, and never answers wrong",
        arguments: 0..<6)
    func damagedIndex(_ part: Int) async throws {
        let directory = try await filled()
        let original = try Data(contentsOf: directory.url("a/vectors.jvdb"))
        // Behind the headers and outside of vectors and payload every byte that is not zero belongs to the index.
        let used = original.indices.filter { $0 >= 65_536 && original[$0] != 0 }
        let step = max(1, used.count / 40)
        for position in stride(from: part * step / 6, to: used.count, by: step) {
            var data = original
            data[used[position]] ^= 0x40
            try data.write(to: directory.url("a/vectors.jvdb"))
            try await directory.open { store async throws in
                let database = try await store.database("a")
                let report = try await store.check()
                for (index, id) in Self.ids.enumerated() {
                    do {
                        let vector = try await database.vector(for: id)
                        #expect(vector == testVector(index, 20), "byte \(used[position])")
                    } catch let error as StoreError {
                        #expect(error.code == .corruption)
                        #expect(!report.isSound, "byte \(used[position])")
                    }
                }
            }
        }
    }

    @Test("One changed byte in a header copy does no harm; all copies changed is corruption")
    func damagedHeader() async throws {
        let directory = try await filled()
        let original = try Data(contentsOf: directory.url("a/vectors.jvdb"))
        for page in 0..<4 {
            try original.write(to: directory.url("a/vectors.jvdb"))
            try directory.flip("a/vectors.jvdb", at: page * 4_096 + 100)
            try await directory.open { store async throws in
                #expect(try await store.database("a").count() == 60)
            }
        }
        try original.write(to: directory.url("a/vectors.jvdb"))
        for page in 0..<4 { try directory.flip("a/vectors.jvdb", at: page * 4_096 + 100) }
        try await directory.open { store async throws in
            let error = await expectError(.corruption) { _ = try await store.database("a").count() }
            #expect(error?.path == "a/vectors.jvdb")
            let report = try await store.check()
            #expect(report.databases.first?.damages.isEmpty == false)
        }
    }

    @Test("Statistics count what was done, no more and no less", arguments: Setting.Backing.allCases)
    func statistics(_ backing: Setting.Backing) async throws {
        try await TestStore(backing).open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 8))
            let first = try await store.statistics()
            try await database.insert((0..<100).map { testRecord("r\($0)", $0, 8) })
            for index in 0..<10 { try await database.upsert(testRecord("r\(index)", index + 500, 8)) }
            try await database.delete((50..<80).map { "r\($0)" })
            try await database.delete("none")
            await expectError(.recordExists) { try await database.insert(testRecord("r1", 1, 8)) }
            try await store.transaction { tx in
                try await tx.upsert(testRecord("t", 1, 8), into: "a")
                try await tx.delete("r0", from: "a")
            }
            _ = try await database.search([[Float]](repeating: testVector(1, 8), count: 3), k: 2)
            _ = try await database.search(testVector(1, 8), k: 2)
            let statistics = try await database.statistics()
            #expect(statistics.recordCount == 70 && statistics.dimension == 8)
            #expect(statistics.recordsWritten == 111 && statistics.recordsDeleted == 31)
            #expect(statistics.commits == 13 && statistics.searches == 4)
            #expect(statistics.deletedCount == 41 && statistics.vectorByteCount == 70 * 32)
            #expect(statistics.lastVersion == (try await database.snapshot().version))
            try await store.checkpoint()
            let after = try await database.statistics()
            #expect(after.checkpoints == 1 && after.checkpointVersion == statistics.lastVersion)
            let last = try await store.statistics()
            #expect(last.commits - first.commits == 14, "thirteen commits and one growth")
            #expect(last.databases == 1 && last.openFiles == 1 && last.syncedVersion == last.lastVersion)
            if backing == .disk { #expect(last.logByteCount > 111 * 32) }
        }
    }

    @Test(
        "Deleting and inserting half of the records over ten restarts keeps the file within 1.5 times what a fresh one takes"
    )
    func churn() async throws {
        let directory = TestStore(.disk)
        let dimension = 64
        var live = (0..<4_000).map { "r\($0)" }
        var next = 4_000
        try await directory.database(DatabaseOptions(dimension: dimension)) { database in
            try await database.insert(live.map { testRecord($0, 1, dimension) })
        }
        let fresh = try Data(contentsOf: directory.url("a/vectors.jvdb")).count
        for round in 0..<10 {
            try await directory.open { store async throws in
                let database = try await store.database("a")
                #expect(try await database.count() == 4_000)
                let gone = live.enumerated().filter { ($0.offset + round).isMultiple(of: 2) }.map(\.element)
                try await database.delete(gone)
                // The space of what was deleted may be used again once a checkpoint no longer reaches it.
                try await store.checkpoint()
                let kept = Set(live).subtracting(gone)
                let new = (0..<gone.count).map { "r\(next + $0)" }
                next += new.count
                try await database.insert(new.map { testRecord($0, round, dimension) })
                live = live.filter(kept.contains) + new
            }
        }
        try await directory.open { store async throws in
            #expect(Set(try await store.database("a").allIDs()) == Set(live))
            try await store.expectSound()
        }
        let size = try Data(contentsOf: directory.url("a/vectors.jvdb")).count
        #expect(Double(size) <= 1.5 * Double(fresh), "\(size) bytes after churn, \(fresh) before")
    }
}
