// Opening for reading: recovery happens in memory, nothing is written, and damage that refuses writers is reported.
import Foundation
import Nephrite
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct ReadOnlyTests {
    private static let names = (0..<40).map { "r\($0)" }

    /// A store with databases `a` and `b` of 40 records each and some changes behind them, closed or as a killed process
    /// leaves it.
    private func filled(killed: Bool) async throws -> TestStore {
        let directory = TestStore(.disk)
        directory.configuration.logSegmentByteCount = 64 << 10
        let image = TestStore(.disk)
        image.configuration = directory.configuration
        try await directory.open { store async throws in
            for name in ["a", "b"] {
                let database = try await store.createDatabase(name, options: DatabaseOptions(dimension: 3))
                try await database.insert(Self.names.map { testRecord($0, 1) })
                try await store.checkpoint()
                try await database.upsert(testRecord("r1", 2))
                try await database.delete("r2")
            }
            try FileManager.default.copyItem(atPath: directory.path, toPath: image.path)
        }
        return killed ? image : directory
    }

    private static var expected: [String: VectorRecord] {
        var contents = Dictionary(uniqueKeysWithValues: names.map { ($0, testRecord($0, 1)) })
        contents["r1"] = testRecord("r1", 2)
        contents["r2"] = nil
        return contents
    }

    private func reader(_ directory: TestStore, fileSystem: (any FileSystem)? = nil) -> StoreConfiguration {
        var configuration = directory.configuration
        configuration.access = .readOnly
        if let fileSystem { configuration.environment.fileSystem = { _ in fileSystem } }
        return configuration
    }

    @Test("Everything acknowledged is read and found, and not a byte is written", arguments: [false, true])
    func reads(killed: Bool) async throws {
        let directory = try await filled(killed: killed)
        let before = try directory.contents()
        // As on a medium that is mounted read-only: whatever would change it fails.
        let disk = HookedFileSystem(POSIXFileSystem(root: directory.path))
        disk.fail(
            [
                .createDirectory, .removeDirectory, .rename, .unlink, .synchronizeDirectory, .write, .synchronizeData,
                .synchronize, .allocate,
            ], with: EROFS)
        for fileSystem in [nil, disk] as [(any FileSystem)?] {
            try await withVectorStore(
                at: directory.path, configuration: reader(directory, fileSystem: fileSystem)
            ) { store async throws in
                #expect(store.recoveryReport?.wasClean == !killed)
                for name in ["a", "b"] {
                    let database = try await store.database(name)
                    #expect(try await database.allContents() == Self.expected)
                    #expect(try await database.search(testVector(2, 3), k: 1).first?.id == "r1")
                }
                try await store.checkpoint()
                try await store.flush()
                try await store.expectSound()
            }
        }
        #expect(try directory.contents() == before)
    }

    @Test("Without a lock file none is made")
    func noLockFile() async throws {
        let directory = try await filled(killed: true)
        try? FileManager.default.removeItem(at: directory.url("LOCK"))
        try await withVectorStore(at: directory.path, configuration: reader(directory)) { store async throws in
            #expect(try await store.database("a").count() == 39)
        }
        #expect(FileManager.default.fileExists(atPath: directory.url("LOCK").path) == false)
    }

    @Test("Every kind of write is refused with a typed error, and reading goes on")
    func writes() async throws {
        let directory = try await filled(killed: true)
        try await withVectorStore(at: directory.path, configuration: reader(directory)) { store async throws in
            let database = try await store.database("a")
            let record = testRecord("new", 1)
            await expectError(.readOnly) { try await database.upsert(record) }
            await expectError(.readOnly) { try await database.insert([record]) }
            await expectError(.readOnly) { try await database.update(testRecord("r0", 1)) }
            await expectError(.readOnly) { try await database.upsert(ids: ["x"], vectors: [1, 2, 3]) }
            await expectError(.readOnly) { try await database.delete("r0") }
            await expectError(.readOnly) { try await database.delete(["r0"]) }
            await expectError(.readOnly) { try await store.moveRecords(["r0"], from: "a", to: "b") }
            await expectError(.readOnly) { try await store.transaction { try await $0.upsert(record, into: "a") } }
            await expectError(.readOnly) { try await store.transaction { _ = try await $0.delete("r0", from: "a") } }
            await expectError(.readOnly) { _ = try await store.createDatabase("c", options: .init(dimension: 3)) }
            await expectError(.readOnly) { try await store.dropDatabase("a") }
            let seen = try await store.transaction { try await $0.record(for: "r1", in: "a")?.content }
            #expect(seen == testRecord("r1", 2))
            #expect(try await database.allContents() == Self.expected)
        }
    }

    @Test("Readers share the store with one another, and with no writer")
    func sharing() async throws {
        let directory = try await filled(killed: true)
        let configuration = reader(directory)
        try await withVectorStore(at: directory.path, configuration: configuration) { one async throws in
            try await withVectorStore(at: directory.path, configuration: configuration) { two async throws in
                #expect(try await one.database("a").count() == 39)
                #expect(try await two.database("a").count() == 39)
            }
            await expectError(.locked) { try await directory.open { _ in } }
        }
        try await directory.open { _ async throws in
            await expectError(.locked) {
                try await withVectorStore(at: directory.path, configuration: configuration) { _ in }
            }
        }
    }

    @Test("A directory that is missing or empty is not made a store")
    func nothingThere() async throws {
        let directory = TestStore(.disk)
        let configuration = reader(directory)
        let missing = await expectError(.inputOutput) {
            try await withVectorStore(at: directory.path, configuration: configuration) { _ in }
        }
        #expect(missing?.errorNumber == ENOENT)
        #expect(FileManager.default.fileExists(atPath: directory.path) == false)
        try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
        await expectError(.notAStore) {
            try await withVectorStore(at: directory.path, configuration: configuration) { _ in }
        }
        #expect(try FileManager.default.subpathsOfDirectory(atPath: directory.path).isEmpty)
    }

    @Test("Of a damaged log the part before the damage is served, and the damage is reported")
    func damagedLog() async throws {
        let disk = SimulatedFileSystem()
        var configuration = StoreConfiguration()
        configuration.environment.fileSystem = { _ in disk }
        configuration.addressSpaceReservation = 1 << 20
        configuration.logSegmentByteCount = 64 << 10
        let killed = try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            for index in 0..<20 { try await database.upsert(testRecord("r\(index)", index)) }
            return disk.processKillImage()
        }
        let log = try #require(try killed.list(StoragePath("wal")).last { $0.name.hasSuffix(".wal") })
        let path = StoragePath("wal", log.name)
        // The middle of what was written.
        let bytes = try #require(killed.contents(of: path))
        let end = try #require(bytes.lastIndex { $0 != 0 })
        killed.flipBit(path, bit: 8 * ((8_192 + end) / 2))
        let damaged = killed.contents(of: path)
        configuration.environment.fileSystem = { _ in killed }
        await expectError(.corruption) {
            try await withVectorStore(at: "simulated", configuration: configuration) { _ in }
        }
        configuration.access = .readOnly
        for _ in 0..<2 {
            try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
                let contents = try await store.database("a").allContents()
                #expect((5..<15).contains(contents.count))
                for index in 0..<contents.count {
                    #expect(contents["r\(index)"] == testRecord("r\(index)", index))
                }
                let report = try await store.check()
                #expect(report.damages.contains { $0.kind == "corruption" && $0.path == path.description })
            }
        }
        #expect(killed.contents(of: path) == damaged)
    }

    @Test("A store whose log is gone is refused to writers; readers are served what the files hold, and told")
    func missingLog() async throws {
        let directory = try await filled(killed: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: directory.url("wal").path) {
            try FileManager.default.removeItem(at: directory.url("wal").appendingPathComponent(name))
        }
        let before = try directory.contents()
        let error = await expectError(.corruption) { try await directory.open { _ in } }
        #expect(error?.message.contains("is missing") == true)
        try await withVectorStore(at: directory.path, configuration: reader(directory)) { store async throws in
            // The checkpoint of `b` brought `a` up to date as well; what changed behind it was in the log.
            #expect(try await store.database("a").allContents() == Self.expected)
            let first = Dictionary(uniqueKeysWithValues: Self.names.map { ($0, testRecord($0, 1)) })
            #expect(try await store.database("b").allContents() == first)
            let messages = try await store.check().damages.filter { $0.kind == "corruption" }.map(\.message)
            #expect(messages.contains { $0.contains("was not shut down cleanly is missing") }, "\(messages)")
            #expect(messages.contains { $0.contains("but the catalogue knows of commit") }, "\(messages)")
            #expect(messages.contains { $0.contains("but the database holds commit") }, "\(messages)")
        }
        #expect(try directory.contents() == before)
    }

    @Test("A damaged copy of the catalogue, which a reader meets and leaves, is told once")
    func damagedCatalogue() async throws {
        let directory = try await filled(killed: false)
        try directory.flip("CATALOG", at: 60)
        let before = try directory.contents()
        for _ in 0..<2 {
            try await withVectorStore(at: directory.path, configuration: reader(directory)) { store async throws in
                let damages = try await store.check().damages
                #expect(damages.map(\.kind) == ["mended"] && damages.first?.path == "CATALOG", "\(damages)")
                #expect(try await store.database("a").allContents() == Self.expected)
            }
        }
        #expect(try directory.contents() == before)
    }

    @Test("Databases that cannot be read are reported one by one; the others serve")
    func damagedDatabase() async throws {
        let directory = try await filled(killed: true)
        try directory.edit("a/vectors.jvdb") { data in for byte in 0..<16_384 { data[byte] = 0 } }
        let before = try directory.contents()
        try await withVectorStore(at: directory.path, configuration: reader(directory)) { store async throws in
            let error = await #expect(throws: StoreError.self) { try await store.database("a").count() }
            #expect(error?.database == "a")
            let other = try await store.database("b")
            #expect(try await other.allContents() == Self.expected)
            #expect(try await other.search(testVector(2, 3), k: 1).first?.id == "r1")
            let report = try await store.check()
            #expect(report.databases.first { $0.name == "a" }?.damages.isEmpty == false)
            #expect(report.databases.first { $0.name == "b" }?.damages == [])
        }
        #expect(try directory.contents() == before)
    }
}
