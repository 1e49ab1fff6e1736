// What salvage tells of losses: an older version instead of the newest, records that are gone, bytes that change while they are
// copied, what was dropped or never used, and sectors that cannot be read.
import Foundation
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct SalvageLossTests {
    private static let dimension = 50
    private static let dataFile = StoragePath("a", "vectors.jvdb")

    private static func configuration(_ source: any FileSystem, _ target: any FileSystem) -> StoreConfiguration {
        var configuration = StoreConfiguration()
        configuration.environment.fileSystem = { $0 == "target" ? target : source }
        configuration.addressSpaceReservation = 1 << 20
        configuration.logSegmentByteCount = 64 << 10
        configuration.bulkByteThreshold = 4 << 10
        configuration.checkpointInterval = .seconds(3_600)
        return configuration
    }

    private static func record(_ index: Int, _ seed: Int) -> VectorRecord {
        testRecord("r\(index)", 1_000 * seed + index, dimension)
    }

    /// Opens a store and returns what a kill at the end of `body` leaves.
    private static func killed(
        _ disk: SimulatedFileSystem = SimulatedFileSystem(), _ body: (VectorStore) async throws -> Void
    ) async throws -> SimulatedFileSystem {
        try await withVectorStore(at: "source", configuration: configuration(disk, disk)) { store in
            try await body(store)
            return disk.processKillImage()
        }
    }

    private static func salvage(
        _ source: any FileSystem, _ target: any FileSystem = SimulatedFileSystem(rootExists: false)
    ) async throws -> (SalvageReport, [String: [String: VectorRecord]]) {
        let configuration = configuration(source, target)
        let report = try await VectorStore(at: "source", configuration: configuration).salvage(to: "target")
        let contents = try await withVectorStore(at: "target", configuration: configuration) { store in
            var contents: [String: [String: VectorRecord]] = [:]
            for database in try await store.databases() {
                contents[database.name] = try await store.database(database.name).allContents()
            }
            try await store.expectSound()
            return contents
        }
        return (report, contents)
    }

    /// Flips a bit of each place where a record's vector lies in the data file.
    private static func damage(_ record: VectorRecord, on disk: SimulatedFileSystem) throws {
        let bytes = try #require(disk.contents(of: dataFile))
        let pattern = unsafe record.vector.withUnsafeBytes { unsafe Foundation.Data($0) }
        let place = try #require(Foundation.Data(bytes).range(of: pattern))
        disk.flipBit(dataFile, bit: 8 * place.lowerBound + 3)
    }

    @Test("Where the newest version is damaged and an older one is whole, the older one is copied, and that is told")
    func outdated() async throws {
        let image = try await Self.killed { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Self.dimension))
            for index in 0..<12 { try await database.upsert(Self.record(index, 1)) }
            // A bulk write: its bytes are in the data file only.
            try await database.upsert((0..<40).map { Self.record($0, 2) })
        }
        for index in [7, 3, 11] { try Self.damage(Self.record(index, 2), on: image) }
        for index in [30, 20] { try Self.damage(Self.record(index, 2), on: image) }
        let (report, contents) = try await Self.salvage(image)
        let database = try #require(report.databases.first)
        #expect(database.outdated == ["r11", "r3", "r7"])
        #expect(database.lostCount == 2 && database.lost.count == 2 && database.unidentifiedLossCount == 0)
        #expect(database.lost.map(\.slot) == database.lost.map(\.slot).sorted { $0 ?? .max < $1 ?? .max })
        #expect(!report.isComplete && !database.isComplete && database.recoveredCount == 38)
        for index in 0..<40 where ![20, 30].contains(index) {
            let seed = [3, 7, 11].contains(index) ? 1 : 2
            #expect(contents["a"]?["r\(index)"] == Self.record(index, seed))
        }
    }

    @Test("A record whose bytes change between being checked and being copied is counted as lost, and not copied")
    func vanishes() async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "source", configuration: Self.configuration(disk, disk)) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: Self.dimension))
            try await database.insert((0..<40).map { Self.record($0, 1) })
        }
        let target = HookedFileSystem(SimulatedFileSystem(rootExists: false))
        let isDone = Box(false)
        target.set { (call, path) throws(FileSystemError) in
            // Every record has been checked when the first database is made.
            guard call == .createDirectory, path.description.hasPrefix(DatabaseDirectory.creatingPrefix),
                isDone.update({ value -> Bool in
                    defer { value = true }
                    return !value
                })
            else { return }
            try? Self.damage(Self.record(9, 1), on: disk)
        }
        let (report, contents) = try await Self.salvage(disk, target)
        let database = try #require(report.databases.first)
        #expect(database.recoveredCount == 39 && database.lostCount == 1 && database.lost.map(\.id) == ["r9"])
        #expect(database.lost.map(\.reason) == ["Its bytes changed while it was copied."])
        #expect(contents["a"]?.count == 39 && contents["a"]?["r9"] == nil)
    }

    @Test(
        "A database that the log dropped does not come back, though its directory is still there"
    )
    func dropped() async throws {
        let disk = SimulatedFileSystem()
        let hooked = HookedFileSystem(disk)
        let image = try await withVectorStore(at: "source", configuration: Self.configuration(hooked, disk)) { store in
            for name in ["a", "gone"] {
                let database = try await store.createDatabase(name, options: .init(dimension: Self.dimension))
                try await database.upsert(Self.record(1, 1))
                try await store.checkpoint()
            }
            hooked.fail([.rename], with: EIO, under: "gone")
            try await store.dropDatabase("gone")
            return disk.processKillImage()
        }
        hooked.set(nil)
        #expect(try image.list(.root).map(\.name).contains("gone"))
        // The catalogue was written after the drop: what nobody claims is copied, with the remark that it may have been dropped.
        let (report, contents) = try await Self.salvage(image)
        #expect(contents["a"] == ["r1": Self.record(1, 1)] && !report.isComplete)
        #expect(report.damages.contains { $0.kind == "orphan" && $0.path == "gone/vectors.jvdb" })
        // Without it the log is asked, and that says so.
        try image.unlink(StoragePath("CATALOG"))
        #expect(try await Self.salvage(image).1 == ["a": ["r1": Self.record(1, 1)]])
    }

    @Test("Without catalogue and creation a delete in the log is enough to tell whose log it is")
    func numberFromDelete() async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "source", configuration: Self.configuration(disk, disk)) { store async throws in
            for (seed, name) in ["a", "b"].enumerated() {
                let database = try await store.createDatabase(name, options: .init(dimension: Self.dimension))
                for index in 0..<5 { try await database.upsert(Self.record(index, seed)) }
            }
        }
        let image = try await Self.killed(disk) { store in
            for (index, name) in ["a", "b"].enumerated() { try await store.database(name).delete("r\(index)") }
        }
        image.truncate(StoragePath("CATALOG"), to: 0)
        let (_, contents) = try await Self.salvage(image)
        for (seed, name) in ["a", "b"].enumerated() {
            let wanted = (0..<5).filter { $0 != seed }.map { ("r\($0)", Self.record($0, seed)) }
            #expect(contents[name] == Dictionary(uniqueKeysWithValues: wanted))
        }
    }

    /// - Parameter call: what fails while the creation is logged, after or before the log has it.
    @Test(
        "Directories that hold no database, or one that was never used, are no loss",
        arguments: [SystemCall.synchronizeData, .write])
    func neverUsed(_ call: SystemCall) async throws {
        let disk = SimulatedFileSystem()
        let hooked = HookedFileSystem(disk)
        await expectError(.fenced) {
            try await withVectorStore(at: "source", configuration: Self.configuration(hooked, disk)) {
                store async throws in
                let database = try await store.createDatabase("a", options: .init(dimension: Self.dimension))
                try await database.upsert(Self.record(1, 1))
                hooked.fail([call], with: EIO, under: "wal/")
                await #expect(throws: StoreError.self) {
                    try await store.createDatabase("unused", options: .init(dimension: Self.dimension))
                }
                hooked.set(nil)
            }
        }
        let image = disk.processKillImage()
        try image.createDirectory(StoragePath("stray"))
        #expect(try Set(image.list(.root).map(\.name)).isSuperset(of: ["a", "unused", "stray"]))
        let (report, contents) = try await Self.salvage(image)
        #expect(contents["a"] == ["r1": Self.record(1, 1)])
        #expect(contents["stray"] == nil)
        // A creation that is in the log has happened, one that is not has not.
        #expect(contents["unused"] == (call == .write ? nil : [:]))
        #expect(report.isComplete, "\(report)")
    }

    @Test("A log whose newest segment, or all of it, is missing is told")
    func missingSegment() async throws {
        let image = try await Self.killed { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Self.dimension))
            for index in 0..<5 { try await database.upsert(Self.record(index, 1)) }
        }
        for entry in try image.list(StoragePath("wal")) { try image.unlink(StoragePath("wal", entry.name)) }
        for isThere in [true, false] {
            if !isThere { try image.removeDirectory(StoragePath("wal")) }
            let (report, _) = try await Self.salvage(image)
            #expect(report.damages.contains { $0.path == "wal" && $0.message.contains("newest segment") }, "\(report)")
            #expect(!report.isComplete)
        }
        // Without the catalogue, nothing says how long the log was.
        try image.unlink(StoragePath("CATALOG"))
        let (report, _) = try await Self.salvage(image)
        #expect(!report.isComplete)
    }

    @Test("Files that cannot be opened or read are told, and the rest is copied", arguments: [SystemCall.open, .read])
    func unreadable(_ call: SystemCall) async throws {
        let image = try await Self.killed { store in
            for name in ["a", "b"] {
                let database = try await store.createDatabase(name, options: .init(dimension: Self.dimension))
                for index in 0..<5 { try await database.upsert(Self.record(index, 1)) }
                try await store.checkpoint()
            }
        }
        let hooked = HookedFileSystem(image)
        hooked.fail([call], with: EACCES, under: "a/")
        let (report, contents) = try await Self.salvage(hooked)
        let database = try #require(report.databases.first { $0.name == "a" })
        #expect(!database.damages.isEmpty && !report.isComplete)
        #expect(contents["b"]?.count == 5)
        // What the log has of it is copied all the same.
        #expect(contents["a"]?.count == 5)
    }

    @Test("Without catalogue a log segment that cannot be opened leaves the other ones to say whose log it is")
    func unreadableSegment() async throws {
        let image = try await Self.killed { store in
            let database = try await store.createDatabase("a", options: .init(dimension: 4_000))
            for index in 0..<12 { try await database.upsert(testRecord("r\(index)", index, 4_000)) }
        }
        let segments = try image.list(StoragePath("wal")).map(\.name).filter { $0.hasSuffix(".wal") }
        try #require(segments.count > 2)
        try image.unlink(StoragePath("CATALOG"))
        let hooked = HookedFileSystem(image)
        hooked.fail([.open], with: EACCES, under: "wal/\(segments.last!)")
        let (report, contents) = try await Self.salvage(hooked)
        #expect(report.damages.contains { $0.path == "wal/\(segments.last!)" }, "\(report.damages)")
        let found = try #require(contents["a"])
        #expect(found.count >= 6 && found.count < 12)
        for index in 0..<found.count { #expect(found["r\(index)"] == testRecord("r\(index)", index, 4_000)) }
    }

    @Test("A store whose directory cannot be listed is not salvaged, rather than taken for an empty one")
    func unlistable() async throws {
        let image = try await Self.killed { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Self.dimension))
            try await database.upsert(Self.record(1, 1))
        }
        let hooked = HookedFileSystem(image)
        hooked.set { (call, path) throws(FileSystemError) in
            guard call == .list, path == .root else { return }
            throw FileSystemError(code: EIO, call: call, path: path.description)
        }
        let error = await expectError(.inputOutput) { _ = try await Self.salvage(hooked) }
        #expect(error?.errorNumber == EIO)
        hooked.set(nil)
        #expect(try await Self.salvage(hooked).1 == ["a": ["r1": Self.record(1, 1)]])
    }

    @Test("Sectors that the device cannot read cost the records that lie there, and no others")
    func badSectors() async throws {
        let disk = SimulatedFileSystem()
        let count = 400
        try await withVectorStore(at: "source", configuration: Self.configuration(disk, disk)) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: Self.dimension))
            try await database.insert((0..<count).map { Self.record($0, 1) })
        }
        let bytes = try #require(disk.contents(of: Self.dataFile))
        let pattern = unsafe Self.record(200, 1).vector.withUnsafeBytes { unsafe Foundation.Data($0) }
        let place = try #require(Foundation.Data(bytes).range(of: pattern)).lowerBound
        disk.inject(FaultPlan([.badBlock(UInt64(place / 4_096), of: Self.dataFile)]))
        let (report, contents) = try await Self.salvage(disk)
        let database = try #require(report.databases.first)
        // A block holds about twenty vectors, two of them in part.
        #expect((15...25).contains(database.lostCount) && database.recoveredCount == count - database.lostCount)
        #expect(database.lost.contains { $0.id == "r200" })
        for (id, record) in contents["a"] ?? [:] {
            #expect(record == Self.record(Int(id.dropFirst()) ?? -1, 1))
        }
    }

    @Test("A directory for the new store that cannot be made is an error, before anything is read")
    func target() async throws {
        let image = try await Self.killed { _ in }
        let target = HookedFileSystem(SimulatedFileSystem(rootExists: false))
        target.fail([.openRoot], with: EACCES)
        await #expect(throws: StoreError.self) { try await Self.salvage(image, target) }
        target.set(nil)
        #expect(try await Self.salvage(image, target).1 == [:])
    }
}
