// A disk that lost the write of both header pages of a database's last checkpoint before a clean shutdown gave back the
// generation before it: whole, true, one checkpoint old, and nothing noticed. The catalogue now says how far a file was.
import Nephrite
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(5)))
struct LostCheckpointTests {
    private static let file = StoragePath("a", "vectors.jvdb")

    /// What the store goes through before it is shut down cleanly.
    enum Life: String, CaseIterable, Sendable {
        /// Checkpointed on demand, and again when it is closed.
        case closed
        /// Checkpointed when its file was closed to make room for another.
        case evicted
        /// Checkpointed by recovery, and not opened afterwards.
        case recovered
    }

    private static func settings(_ life: Life) -> SimulationSettings {
        var settings = SimulationSettings()
        settings.maximumOpenFiles = life == .evicted ? 1 : 100
        return settings
    }

    private static func write(_ ids: String..., to name: String = "a", of store: VectorStore) async throws {
        let database = try await store.database(name)
        for id in ids { try await database.upsert(Values.record(id: id, number: ids.count)) }
    }

    /// A disk with the databases `a` and `b`, whose header has been written twice.
    private static func begun() throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        try Simulation.run(disk) { store in
            for name in ["a", "b"] {
                try await store.createDatabase(name, options: .init(dimension: Values.dimension))
                try await write("first", to: name, of: store)
            }
            try await store.checkpoint()
            try await write("second", of: store)
        }
        return disk.crashImage(.keepAll)
    }

    /// The store killed after a write to `a` that only the log holds.
    private static func killed(_ start: SimulatedFileSystem) throws -> SimulatedFileSystem {
        let disk = start.crashImage(.keepAll)
        let killed = Box<SimulatedFileSystem?>(nil)
        try Simulation.run(disk) { store in
            try await write("third", of: store)
            killed.update { $0 = disk.processKillImage() }
        }
        return killed.value!
    }

    /// A store that was shut down cleanly. In `a` are the records `first` and `second`, and `third` was checkpointed last.
    private static func make(_ life: Life, on start: SimulatedFileSystem, _ faults: [Fault]) throws
        -> SimulatedFileSystem
    {
        let disk = try life == .recovered ? killed(start) : start.crashImage(.keepAll)
        disk.setTraceCapacity(100_000)
        disk.inject(FaultPlan(faults))
        try Simulation.run(disk, settings(life)) { store in
            if life != .recovered { try await write("third", of: store) }
            if life == .evicted { try await write("other", to: "b", of: store) }
        }
        disk.inject(.none)
        return disk
    }

    /// The number of each write to `a` that was one of a header, among all writes to `a`.
    private static func headerWrites(_ disk: SimulatedFileSystem) -> [Int] {
        disk.trace.filter { $0.call == .write && $0.path == file }.enumerated()
            .filter { $1.offset < FileHeader.pageCount * FileHeader.byteCount }.map { $0.offset + 1 }
    }

    private static func catalogue(_ disk: SimulatedFileSystem) throws -> Catalogue {
        let bytes = try #require(disk.contents(of: StoragePath("CATALOG")))
        return try unsafe bytes.withUnsafeBytes { try unsafe Catalogue.decodeFile($0).0 }
    }

    private static func header(_ disk: SimulatedFileSystem, _ name: String = "a") throws -> FileHeader {
        let bytes = try #require(disk.contents(of: StoragePath(name, "vectors.jvdb")))
        return try unsafe bytes.withUnsafeBytes { bytes in
            try unsafe FileHeader.newest(
                pages: UnsafeRawBufferPointer(rebasing: bytes[..<16_384]), fileSize: UInt64(bytes.count)
            ).header
        }
    }

    private static func generation(_ disk: SimulatedFileSystem, _ name: String = "a") throws -> UInt64? {
        try catalogue(disk).entries.first { $0.name == name }?.generation
    }

    /// A disk that lost the last write of a header of `a`, and what it had been told to hold.
    private static func losing(_ life: Life) throws -> (lost: SimulatedFileSystem, whole: SimulatedFileSystem) {
        let start = try begun()
        let whole = try make(life, on: start, [])
        let last = try #require(headerWrites(whole).last)
        let disk = try make(life, on: start, [Fault(.loseWrite, .at(last), calls: [.write], pathPrefix: "\(file)")])
        #expect(try catalogue(disk).isCleanShutdown && catalogue(whole).isCleanShutdown)
        return (disk, whole)
    }

    private static func expectRefusal(_ store: VectorStore) async throws {
        let error = await expectError(.corruption) { _ = try await store.database("a").count() }
        #expect(error?.database == "a" && error?.path == "a/vectors.jvdb")
        #expect(error?.message.contains("generation 3, but the store was shut down with generation 4") == true)
        let report = try await store.check()
        #expect(report.databases.first { $0.name == "a" }?.damages.map(\.kind) == ["corruption"])
        #expect(report.databases.first { $0.name == "b" }?.damages.isEmpty == true)
    }

    // MARK: Refused

    @Test("The last checkpoint before a clean shutdown is missed, whoever made it", arguments: Life.allCases)
    func refused(_ life: Life) async throws {
        let (disk, whole) = try Self.losing(life)
        let image = disk.crashImage(.keepAll)
        #expect(try Self.generation(image) == Self.header(whole).generation)
        #expect(try Self.header(image).generation + 1 == Self.header(whole).generation)
        let before = image.contents(of: Self.file)
        var reading = simulatedConfiguration(image)
        reading.access = .readOnly
        try await withVectorStore(at: "simulated", configuration: reading) { try await Self.expectRefusal($0) }
        // However often it is tried: the catalogue does not forget. The others go on.
        for round in 0..<2 {
            try await withVectorStore(simulatedStore(image)) { store in
                #expect(store.recoveryReport?.wasClean == true)
                try await Self.expectRefusal(store)
                try await Self.write("later\(round)", to: "b", of: store)
            }
        }
        #expect(image.contents(of: Self.file) == before)
    }

    @Test("Recovery misses it, too: it refuses the database, recovers the others, and keeps the log")
    func recovery() async throws {
        // The system still had the header when the store was opened next, and only the crash after that showed it gone.
        let (disk, _) = try Self.losing(.closed)
        let crashed = Box<SimulatedFileSystem?>(nil)
        try Simulation.run(disk) { store in
            try await Self.write("fourth", "fifth", of: store)
            try await Self.write("fourth", to: "b", of: store)
            crashed.update { $0 = disk.crashImage(.keepAll) }
        }
        let image = crashed.value!
        let before = image.contents(of: Self.file)
        for _ in 0..<2 {
            try await withVectorStore(simulatedStore(image)) { store in
                #expect(store.recoveryReport?.wasClean == false)
                try await Self.expectRefusal(store)
                #expect(try await store.database("b").allIDs().sorted() == ["first", "fourth"])
            }
        }
        #expect(image.contents(of: Self.file) == before)
    }

    @Test("Salvage saves what the older generation holds, and says that it is older")
    func salvage() async throws {
        let (disk, _) = try Self.losing(.closed)
        let disks = SalvageFixture.Disks(source: disk.crashImage(.keepAll))
        let (report, contents) = try await disks.salvage()
        #expect(contents["a"]?.keys.sorted() == ["first", "second"] && contents["b"]?.keys.sorted() == ["first"])
        let found = report.databases.map { ($0.name, $0.isComplete, $0.mayIncludeDeleted, $0.damages.count) }
        #expect(found.map(\.0) == ["a", "b"] && found.map(\.1) == [false, true] && found.map(\.2) == [true, false])
        #expect(report.databases[0].damages.map(\.message).first?.contains("shut down with generation 4") == true)
        #expect(!report.isComplete)
    }

    @Test("An older file that is put back is refused, also after shutdowns in which nobody touched the database")
    func olderFile() async throws {
        let disk = try Self.begun()
        let older = try #require(disk.contents(of: Self.file))
        for round in 0..<3 {
            try await withVectorStore(simulatedStore(disk)) { store in
                try await Self.write("later", to: round == 0 ? "a" : "b", of: store)
            }
            #expect(try Self.generation(disk) == 4)
        }
        disk.damage(Self.file, at: 0, with: older)
        try await withVectorStore(simulatedStore(disk)) { try await Self.expectRefusal($0) }
    }

    // MARK: Harmless

    @Test("The loss of a checkpoint before the last one costs nothing")
    func secondNewest() throws {
        func make(_ faults: [Fault]) throws -> SimulatedFileSystem {
            let disk = SimulatedFileSystem()
            disk.setTraceCapacity(100_000)
            disk.inject(FaultPlan(faults))
            try Simulation.run(disk) { store in
                try await store.createDatabase("a", options: .init(dimension: Values.dimension))
                for id in ["first", "second", "third"] {
                    try await Self.write(id, of: store)
                    if id != "third" { try await store.checkpoint() }
                }
            }
            return disk
        }
        let whole = try make([])
        let writes = Self.headerWrites(whole)
        #expect(try writes.count == 3 && Self.header(whole).generation == 4)
        for number in writes.dropLast() {
            let disk = try make([Fault(.loseWrite, .at(number), calls: [.write], pathPrefix: "\(Self.file)")])
            let image = disk.crashImage(.keepAll)
            // The first one would have been overwritten by the last.
            let isMissing = image.contents(of: Self.file) != disk.contents(of: Self.file)
            #expect(isMissing == (number == writes[1]))
            let state = try Simulation.run(image) { try await Simulation.read($0) }
            #expect(state.problems.isEmpty && state.model.databases["a"]?.count == 3)
        }
    }

    @Test("A shutdown whose catalogue could not be written leaves the log, which makes good for the header")
    func failedCatalogue() throws {
        let start = try Self.begun()
        let whole = try Self.make(.closed, on: start, [])
        let last = try #require(Self.headerWrites(whole).last)
        let catalogueWrites = whole.trace.filter { $0.call == .write && $0.path == StoragePath("CATALOG.tmp") }.count
        let disk = try Self.make(
            .closed, on: start,
            [
                Fault(.loseWrite, .at(last), calls: [.write], pathPrefix: "\(Self.file)"),
                Fault(.fail(ErrorNumber.noSpace), .from(catalogueWrites), calls: [.write], pathPrefix: "CATALOG"),
            ])
        #expect(try !Self.catalogue(disk).isCleanShutdown)
        let state = try Simulation.recover(disk.crashImage(.keepAll))
        #expect(state.problems.isEmpty && state.model.databases["a"]?.keys.sorted() == ["first", "second", "third"])
    }

    // MARK: What the catalogue says

    @Test("A database that is dropped and created anew under its name begins anew")
    func createdAnew() async throws {
        let disk = try Self.begun()
        #expect(try Self.generation(disk) == 3)
        try await withVectorStore(simulatedStore(disk)) { store in
            try await Self.write("third", of: store)
            try await store.dropDatabase("a")
            try await store.createDatabase("a", options: .init(dimension: Values.dimension))
        }
        #expect(try Self.generation(disk) == 1 && Self.header(disk).generation == 1)
        try await withVectorStore(simulatedStore(disk)) { store in
            try await Self.write("new", of: store)
            #expect(try await store.check().isSound)
        }
        #expect(try Self.generation(disk) == 2)
    }

    @Test("A checkpoint that was there when recovery began counts, if nothing was to replay")
    func nothingToReplay() async throws {
        let disk = try Self.begun()
        let killed = try await withVectorStore(simulatedStore(disk)) { store in
            try await Self.write("third", of: store)
            try await store.checkpoint()
            return disk.processKillImage()
        }
        #expect(try Self.generation(killed) == 3)
        try await withVectorStore(simulatedStore(killed)) { store in
            #expect(store.recoveryReport?.wasClean == false && store.recoveryReport?.replayedCommitCount == 0)
        }
        #expect(try Self.generation(killed) == 4 && Self.header(killed).generation == 4)
    }

    @Test("Until the store is shut down cleanly, the catalogue says what it said after the last time")
    func unclean() async throws {
        let disk = try Self.begun()
        try await withVectorStore(simulatedStore(disk)) { store in
            try await Self.write("third", of: store)
            try await store.checkpoint()
            try await store.createDatabase("c", options: .init(dimension: Values.dimension))
            #expect(try Self.generation(disk) == 3 && Self.header(disk).generation == 4)
        }
        #expect(try Self.generation(disk) == 4)
    }

    @Test("What a bulk write left and newer records lie on is made good by the writes behind it in the log")
    func overwrittenBulk() async throws {
        // Where a lost checkpoint had freed the records of a bulk write, their space may have been used again; the log has
        // their references only, and the hash of the id must do to find them.
        let disk = SimulatedFileSystem()
        var configuration = simulatedConfiguration(disk)
        configuration.bulkByteThreshold = 4 << 10
        func rows(_ seed: Int) -> [VectorRecord] { (0..<40).map { testRecord("r\($0)", seed + $0, 100) } }
        let image = try await withVectorStore(at: "simulated", configuration: configuration) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: 100))
            for seed in [1_000, 2_000] { try await database.upsert(rows(seed)) }
            try await database.upsert(testRecord("r7", 3_007, 100))
            try await database.delete("r8")
            return disk.processKillImage()
        }
        // Of `r7` both versions that the bulk writes left, of `r8` the second one.
        let bytes = try #require(image.contents(of: Self.file))
        for record in [rows(1_000)[7], rows(2_000)[7], rows(2_000)[8]] {
            let pattern = unsafe record.vector.withUnsafeBytes { unsafe Array($0) }
            let places = stride(from: 0, to: bytes.count - pattern.count, by: 64)
            let place = try #require(places.first { bytes[$0] == pattern[0] && Array(bytes[$0..<$0 + 400]) == pattern })
            image.damage(Self.file, at: place, with: [UInt8](repeating: 0x77, count: 400))
        }
        configuration.environment.fileSystem = { _ in image }
        try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
            var expected = Dictionary(uniqueKeysWithValues: rows(2_000).map { ($0.id, $0) })
            expected["r7"] = testRecord("r7", 3_007, 100)
            expected["r8"] = nil
            #expect(try await store.database("a").allContents() == expected)
            try await store.expectSound()
        }
    }
}
