// Small things that were once wrong at the edges of a store: names, ids, copies, progress.
import Foundation
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct LeftoverTests {
    private func configuration(_ disk: any FileSystem) -> StoreConfiguration {
        simulatedConfiguration(disk, segmentByteCount: 64 << 10)
    }

    @Test("A name is free again although the dropped database could not be moved away")
    func blockedName() async throws {
        // The failed rename left the directory in place, and creating the name anew was refused until the store was
        // opened again.
        let directory = TestStore()
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        try await directory.open { store async throws in
            try await store.createDatabase("a", options: .init(dimension: 3)).upsert(testRecord("old", 1))
            hooked.fail([.rename], with: EIO, under: "a")
            try await store.dropDatabase("a")
            await expectError(.inputOutput) { _ = try await store.createDatabase("a", options: .init(dimension: 3)) }
            hooked.set(nil)
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.upsert(testRecord("new", 2))
        }
        try await directory.open { store async throws in
            #expect(try await store.database("a").allIDs() == ["new"])
            try await store.expectSound()
        }
    }

    /// Three records, the stored ids of two of which are damaged then.
    private func diskWithDamagedIDs() async throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.insert(["needle-one", "needle-two", "other"].map { testRecord($0, 1) })
        }
        let path = StoragePath("a", "vectors.jvdb")
        let bytes = try #require(disk.contents(of: path))
        for id in ["needle-one", "needle-two"] {
            let pattern = Array(id.utf8)
            let start = try #require((16_384..<bytes.count - 10).first { Array(bytes[$0..<$0 + 10]) == pattern })
            disk.flipBit(path, bit: 8 * start + 1)
        }
        return disk
    }

    @Test("An upsert of a record whose stored id is damaged replaces it, a delete removes it")
    func damagedID() async throws {
        // The damaged bytes did not compare equal, and the id was there twice.
        let configuration = configuration(try await diskWithDamagedIDs())
        try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
            let database = try await store.database("a")
            #expect(try await !store.check().isSound)
            await expectError(.corruption) { _ = try await database.record(for: "needle-one") }
            try await database.upsert(testRecord("needle-one", 2))
            #expect(try await database.delete("needle-two"))
            #expect(try await database.allIDs().sorted() == ["needle-one", "other"])
            #expect(try await database.record(for: "needle-one")?.content == testRecord("needle-one", 2))
            try await store.expectSound()
        }
    }

    @Test("In a transaction, too, a record whose stored id is damaged is replaced, or deleted")
    func damagedIDInTransaction() async throws {
        let configuration = configuration(try await diskWithDamagedIDs())
        try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
            try await store.transaction { transaction in
                try await transaction.upsert(testRecord("needle-one", 2), into: "a")
                try await transaction.delete("needle-two", from: "a")
                try await transaction.upsert(testRecord("new", 3), into: "a")
            }
            let database = try await store.database("a")
            #expect(try await database.allIDs().sorted() == ["needle-one", "new", "other"])
            #expect(try await database.record(for: "needle-one")?.content == testRecord("needle-one", 2))
            try await store.expectSound()
        }
    }

    @Test("A directory of a database's name that is nobody's is not built upon, and stays as it is")
    func foreignDirectory() async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            try disk.createDirectory(StoragePath("a"))
            try disk.open(StoragePath("a", "notes"), .createNew).writeBytes([1, 2, 3], at: 0)
            let error = await expectError(.databaseExists) {
                try await store.createDatabase("a", options: .init(dimension: 3))
            }
            #expect(error?.path == "a" && error?.message.contains("no database claims") == true)
            #expect(disk.contents(of: StoragePath("a", "notes")) == [1, 2, 3])
            #expect(try disk.list(.root).allSatisfy { !$0.name.hasPrefix(DatabaseDirectory.creatingPrefix) })
            _ = try await store.createDatabase("b", options: .init(dimension: 3)).insert(testRecord("x", 1))
        }
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            #expect(store.recoveryReport?.orphans == ["a"])
            #expect(try await store.databases().map(\.name) == ["b"])
        }
    }

    @Test("A directory in which a creation was cut short becomes a store; one that is somebody else's by then does not")
    func cutCreation() async throws {
        let disk = SimulatedFileSystem()
        try disk.createDirectory(StoragePath("wal"))
        for name in ["CATALOG.tmp", "LOCK"] { _ = try disk.open(StoragePath(name), .createNew) }
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            _ = try await store.createDatabase("a", options: .init(dimension: 3)).insert(testRecord("x", 1))
        }
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            #expect(try await store.database("a").allIDs() == ["x"])
        }
        // Between the first look and the lock somebody puts a file there.
        let other = SimulatedFileSystem()
        let hooked = HookedFileSystem(other)
        hooked.set { (call, _) throws(FileSystemError) in
            if call == .lock { _ = try other.open(StoragePath("foreign"), .createNew) }
        }
        await expectError(.notAStore) {
            try await withVectorStore(at: "simulated", configuration: configuration(hooked)) { _ in }
        }
        #expect(try Set(other.list(.root).map(\.name)).isSubset(of: ["foreign", "LOCK"]))
    }

    @Test("A catalogue that lost its end is reported and made whole, or refused; never opened in silence")
    func shortCatalogue() async throws {
        let disk = SimulatedFileSystem()
        _ = try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            try await store.createDatabase("a", options: .init(dimension: 3))
        }
        let whole = try #require(disk.contents(of: StoragePath("CATALOG")))
        for size in stride(from: 0, to: whole.count, by: 256) {
            let image = disk.crashImage(.keepAll)
            image.truncate(StoragePath("CATALOG"), to: size)
            do {
                try await withVectorStore(at: "simulated", configuration: configuration(image)) { store async throws in
                    let report = try await store.check()
                    #expect(report.damages.contains { $0.path == "CATALOG" }, "\(size) bytes")
                }
                #expect(image.contents(of: StoragePath("CATALOG"))?.count == whole.count)
            } catch let error as StoreError {
                #expect([.corruption, .notAStore].contains(error.code) && size < whole.count / 2, "\(size): \(error)")
            }
        }
    }

    @Test(
        "A catalogue of an earlier life, which a disk that lost a write gives back, is older than the log and refused")
    func staleCatalogue() async throws {
        let disk = SimulatedFileSystem()
        let path = StoragePath("CATALOG")
        let stale = try await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            try await store.createDatabase("a", options: .init(dimension: 3))
            let stale = try #require(disk.contents(of: path))
            try await store.database("a").insert(testRecord("r", 1))
            return stale
        }
        // The next life knows from the catalogue alone what the shutdown left; then the process is killed.
        let killed = try await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            try await store.database("a").insert(testRecord("s", 2))
            return disk.processKillImage()
        }
        let sound = killed.crashImage(.keepAll)
        try await withVectorStore(at: "simulated", configuration: configuration(sound)) { store async throws in
            #expect(try await store.database("a").count() == 2)
        }
        killed.damage(path, at: 0, with: stale)
        let error = await #expect(throws: StoreError.self) {
            try await withVectorStore(at: "simulated", configuration: configuration(killed)) { _ in }
        }
        #expect(error?.code == .corruption && error?.path == "CATALOG", "\(error as Any)")
    }

    // Damage to the log's last commit looks like a write that a crash has torn, and was taken for one.
    @Test("A log that ends before a checkpoint of a database that it has no records of is refused")
    func lostEndOfLog() async throws {
        let disk = SimulatedFileSystem()
        let data = StoragePath("a", "vectors.jvdb")
        let (killed, checkpointed) = try await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            for name in ["a", "b"] { try await store.createDatabase(name, options: .init(dimension: 3)) }
            try await store.transaction { transaction async throws in
                for name in ["a", "b"] { try await transaction.upsert(testRecord("pair", 1), into: name) }
            }
            let killed = disk.processKillImage()
            try await store.checkpoint()
            return (killed, try #require(disk.contents(of: data)))
        }
        killed.damage(data, at: 0, with: checkpointed)
        let sound = killed.crashImage(.keepAll)
        try await withVectorStore(at: "simulated", configuration: configuration(sound)) { store async throws in
            for name in ["a", "b"] { #expect(try await store.database(name).count() == 1) }
        }
        let segment = try #require(killed.list(StoragePath("wal")).map(\.name).filter { $0.hasSuffix(".wal") }.max())
        let path = StoragePath("wal", segment)
        let log = try #require(killed.contents(of: path))
        let id = try #require((0..<log.count - 4).last { log[$0..<$0 + 4].elementsEqual("pair".utf8) })
        // And the marker behind it, if it was written in time: it would tell.
        killed.damage(path, at: id, with: [UInt8](repeating: 0, count: log.count - id))
        let error = await #expect(throws: StoreError.self) {
            try await withVectorStore(at: "simulated", configuration: configuration(killed)) { _ in }
        }
        #expect(error?.code == .corruption && error?.database == "a", "\(error as Any)")
    }

    @Test("A database whose file cannot be opened does not keep a store from being opened after a crash")
    func unopenableFile() async throws {
        let disk = SimulatedFileSystem()
        let killed = try await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            for name in ["a", "b"] { try await store.createDatabase(name, options: .init(dimension: 3)) }
            try await store.checkpoint()
            try await store.database("b").insert(testRecord("r", 1))
            return disk.processKillImage()
        }
        killed.inject(
            FaultPlan([Fault(.fail(ErrorNumber.inputOutput), .from(1), calls: [.open], pathPrefix: "a/")]))
        try await withVectorStore(at: "simulated", configuration: configuration(killed)) { store async throws in
            #expect(try await store.database("b").allIDs() == ["r"])
            await expectError(.inputOutput) { _ = try await store.database("a").count() }
        }
    }

    @Test(
        "A store that cannot be opened does not fill the disk, however often that is tried, and opens in the end",
        arguments: ["CATALOG", "a/"], [true, false])
    func failingOpenings(_ path: String, _ wasKilled: Bool) async throws {
        let disk = SimulatedFileSystem()
        let killed = try await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            try await store.createDatabase("a", options: .init(dimension: 3)).insert(testRecord("r", 1))
            return disk.processKillImage()
        }
        let image = wasKilled ? killed : disk.crashImage(.keepAll)
        func segments() throws -> [String] {
            try image.list(StoragePath("wal")).map(\.name).filter { $0.hasSuffix(".wal") }
        }
        let before = try segments()
        #expect(before.count == (wasKilled ? 1 : 0))
        for _ in 0..<6 {
            image.inject(.fail(call: 1, code: ErrorNumber.noSpace, calls: [.write], pathPrefix: path))
            do {
                try await withVectorStore(at: "simulated", configuration: configuration(image)) { store async throws in
                    // A store that was closed cleanly does not write to its databases.
                    #expect(path == "a/" && !wasKilled)
                }
            } catch {
                #expect((error as? StoreError)?.code == .diskFull, "\(error)")
                #expect(try segments().count <= 2)
            }
        }
        image.inject(.none)
        try await withVectorStore(at: "simulated", configuration: configuration(image)) { store async throws in
            #expect(try await store.database("a").vector(for: "r") == testVector(1, 3))
        }
    }

    /// What keeps a store from being opened, as often as that is tried.
    enum Hindrance: Sendable {
        case failing(SystemCall)
        case openFiles(atMost: Int)

        func hook(_ fileSystem: HookedFileSystem) -> HookedFileSystem.Hook {
            { [weak fileSystem] (call, path) throws(FileSystemError) in
                switch self {
                case .failing(let failing):
                    guard call == failing, path.description.hasPrefix("wal") else { return }
                    throw FileSystemError(code: EIO, call: call, path: path.description)
                case .openFiles(let limit):
                    guard call == .open, let fileSystem, fileSystem.openFileCount >= limit else { return }
                    throw FileSystemError(code: EMFILE, call: call, path: path.description)
                }
            }
        }

        /// Open at once are two old segments, the fresh one and the database's file.
        var isOvercome: Bool {
            if case .openFiles(4...) = self { true } else { false }
        }
    }

    @Test(
        "Nor does one whose log cannot be replaced",
        arguments: [Hindrance.failing(.synchronizeDirectory), .failing(.synchronize)]
            + (1...5).map { Hindrance.openFiles(atMost: $0) })
    func irreplaceableLog(_ hindrance: Hindrance) async throws {
        let disk = SimulatedFileSystem()
        let killed = try await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            try await store.createDatabase("a", options: .init(dimension: 3)).insert(testRecord("r", 1))
            return disk.processKillImage()
        }
        let hooked = HookedFileSystem(killed)
        func segments() throws -> Int {
            try killed.list(StoragePath("wal")).count { $0.name.hasSuffix(".wal") }
        }
        // An opening that leaves a segment which it has replaced, and the one that it replaced it with.
        hooked.fail([.write], with: ENOSPC, under: "CATALOG")
        await expectError(.diskFull) {
            try await withVectorStore(at: "simulated", configuration: configuration(hooked)) { _ in }
        }
        #expect(try segments() == 2)
        hooked.set(hindrance.hook(hooked))
        var failures = 0
        for _ in 0..<6 {
            do {
                try await withVectorStore(at: "simulated", configuration: configuration(hooked)) { store async throws in
                    #expect(try await store.database("a").count() == 1)
                }
            } catch {
                failures += 1
                #expect(error is StoreError)
            }
            #expect(try segments() <= 3, "\(hindrance), after \(failures) failures")
            #expect(hooked.openFileCount == 0)
        }
        #expect(failures == (hindrance.isOvercome ? 0 : 6))
        hooked.set(nil)
        try await withVectorStore(at: "simulated", configuration: configuration(hooked)) { store async throws in
            #expect(try await store.database("a").vector(for: "r") == testVector(1, 3))
            try await store.expectSound()
        }
    }

    @Test("Metadata whose keys are one text in two spellings is not merged when it is encoded")
    func canonicallyEqualKeys() throws {
        let two = try Metadata([("caf\u{e9}", 1), ("cafe\u{301}", 2)])
        #expect(throws: EncodingError.self) { try JSONEncoder().encode(two) }
        let one = try Metadata([("caf\u{e9}", 1), ("tea", 2)])
        #expect(try JSONDecoder().decode(Metadata.self, from: JSONEncoder().encode(one)) == one)
    }

    @Test("Recovery tells how far it is: read, then replayed, each to its end; a clean store has nothing to tell")
    func progress() async throws {
        let disk = SimulatedFileSystem()
        let seen = Box<[RecoveryProgress]>([])
        var configuration = configuration(disk)
        configuration.logSegmentByteCount = 1 << 20
        configuration.recoveryProgress = { progress in seen.update { $0.append(progress) } }
        let killed = try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 1_024))
            for batch in 0..<60 {
                try await database.upsert((0..<50).map { testRecord("r\(batch)-\($0)", batch, 1_024) })
            }
            return disk.processKillImage()
        }
        #expect(seen.value.isEmpty)
        configuration.environment.fileSystem = { _ in killed }
        try await withVectorStore(at: "simulated", configuration: configuration) { _ in }
        let told = seen.value
        for phase in [RecoveryProgress.Phase.reading, .replaying] {
            let own = told.filter { $0.phase == phase }
            #expect(own.count > 2 && own.first?.byteCount == 0)
            #expect(own.last.map { $0.byteCount == $0.totalByteCount && $0.byteCount > 12 << 20 } == true)
            #expect(zip(own, own.dropFirst()).allSatisfy { $0.byteCount <= $1.byteCount })
        }
        #expect(told.last?.phase == .replaying)
    }
}
