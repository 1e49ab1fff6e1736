// Salvage: whatever is damaged, what verifies is copied, what does not is named, and the damaged store is not touched.
import Nephrite
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct SalvageTests {
    private static let dimension = 5
    private static let count = 300

    /// A disk for the damaged store, and one for the new.
    private struct Disks {
        let source: SimulatedFileSystem
        let target = SimulatedFileSystem(rootExists: false)

        var configuration: StoreConfiguration {
            var configuration = StoreConfiguration()
            let (source, target) = (source, target)
            configuration.environment.fileSystem = { $0 == "source" ? source : target }
            configuration.addressSpaceReservation = 1 << 20
            configuration.logSegmentByteCount = 64 << 10
            configuration.bulkByteThreshold = 4 << 10
            return configuration
        }

        /// Salvages, and checks what has to be so whatever is damaged.
        func salvage() async throws -> (SalvageReport, [String: [String: VectorRecord]]) {
            let before = SalvageTests.contents(source)
            let report = try await VectorStore(at: "source", configuration: configuration).salvage(to: "target")
            #expect(SalvageTests.contents(source) == before, "the evidence was changed")
            var contents: [String: [String: VectorRecord]] = [:]
            try await withVectorStore(at: "target", configuration: configuration) { store async throws in
                for database in try await store.databases() {
                    contents[database.name] = try await store.database(database.name).allContents()
                }
                try await store.expectSound()
            }
            for database in report.databases {
                #expect(contents[database.name]?.count == database.recoveredCount)
            }
            return (report, contents)
        }
    }

    private static func contents(_ disk: SimulatedFileSystem) -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for entry in (try? disk.list(.root)) ?? [] {
            if entry.kind == .file { files[entry.name] = disk.contents(of: StoragePath(entry.name)) }
            guard entry.kind == .directory else { continue }
            for inner in (try? disk.list(StoragePath(entry.name))) ?? [] {
                let path = StoragePath(entry.name, inner.name)
                files[path.description] = disk.contents(of: path)
            }
        }
        return files
    }

    private static func record(_ index: Int, _ seed: Int) -> VectorRecord { testRecord("r\(index)", seed, dimension) }

    /// A store of two databases with checkpoints, updates, deletes, small and bulk writes; killed or closed.
    private static func make(killed: Bool) async throws -> Disks {
        let disks = Disks(source: SimulatedFileSystem())
        let image = try await withVectorStore(at: "source", configuration: disks.configuration) { store async throws in
            for name in ["a", "b"] {
                let database = try await store.createDatabase(name, options: .init(dimension: dimension))
                try await database.insert((0..<count).map { record($0, 1) })
                for index in 0..<10 { try await database.upsert(record(index, 2)) }
                try await store.checkpoint()
                for index in 10..<20 { try await database.upsert(record(index, 3)) }
                for index in 20..<30 { try await database.delete("r\(index)") }
                try await database.insert((count..<count + 50).map { record($0, 4) })
            }
            return disks.source.processKillImage()
        }
        return killed ? Disks(source: image) : disks
    }

    private static var expected: [String: VectorRecord] {
        var records: [String: VectorRecord] = [:]
        for index in 0..<count + 50 where !(20..<30).contains(index) {
            let seed = index < 10 ? 2 : index < 20 ? 3 : index < count ? 1 : 4
            records["r\(index)"] = record(index, seed)
        }
        return records
    }

    /// Every version that a record ever had: salvage may bring back no other.
    private static func wasWritten(_ record: VectorRecord) -> Bool {
        (1...4).contains { record.content == testRecord(record.id, $0, dimension) }
    }

    private static func expectOnlyWritten(_ contents: [String: [String: VectorRecord]]) {
        for records in contents.values { #expect(records.values.allSatisfy(wasWritten)) }
    }

    private static let dataFile = StoragePath("a", "vectors.jvdb")

    private static func segment(_ disk: SimulatedFileSystem) throws -> StoragePath {
        let names = try disk.list(StoragePath("wal")).map(\.name).filter { $0.hasSuffix(".wal") }
        return StoragePath("wal", try #require(names.last))
    }

    // MARK: Nothing is damaged

    @Test("A store without damage is copied whole", arguments: [false, true])
    func undamaged(killed: Bool) async throws {
        let (report, contents) = try await Self.make(killed: killed).salvage()
        #expect(report.isComplete, "\(report)")
        #expect(contents == ["a": Self.expected, "b": Self.expected])
    }

    @Test(
        "What random workloads leave when they crash is copied as recovery finds it", arguments: 0..<12 as Range<UInt64>
    )
    func crashes(seed: UInt64) async throws {
        for image in try CrashCampaign.crashDisks(seed: seed).prefix(4) {
            let wanted = try Simulation.recover(image.disk.crashImage(.keepAll)).model
            let disks = Disks(source: image.disk)
            let report = try await VectorStore(at: "source", configuration: disks.configuration).salvage(to: "target")
            #expect(report.isComplete, "\(image.label): \(report)")
            let found = try await withVectorStore(at: "target", configuration: disks.configuration) { store in
                try await Simulation.read(store)
            }
            let differences = found.model.differences(from: wanted) + found.problems
            #expect(differences.isEmpty, "\(image.label): \(differences)")
        }
    }

    // MARK: One file is damaged

    /// What may have become of the catalogue.
    enum CatalogueLoss: CaseIterable, Sendable { case cut, removed, beginning, contents }

    private static func lose(_ loss: CatalogueLoss, _ disk: SimulatedFileSystem) throws {
        let path = StoragePath("CATALOG")
        let size = try #require(disk.contents(of: path)).count
        switch loss {
        case .cut: disk.truncate(path, to: 100)
        case .removed: try disk.unlink(path)
        case .beginning: for copy in 0..<2 { disk.flipBit(path, bit: 8 * copy * size / 2) }
        case .contents: for copy in 0..<2 { disk.flipBit(path, bit: 8 * (copy * size / 2 + 60)) }
        }
    }

    @Test(
        "Both copies of the catalogue gone: it is rebuilt from log and headers", arguments: [false, true],
        CatalogueLoss.allCases)
    func catalogue(killed: Bool, loss: CatalogueLoss) async throws {
        let disks = try await Self.make(killed: killed)
        try Self.lose(loss, disks.source)
        let (report, contents) = try await disks.salvage()
        #expect(report.damages.contains { $0.path == "CATALOG" })
        #expect(contents == ["a": Self.expected, "b": Self.expected])
        #expect(report.databases.allSatisfy { $0.isComplete }, "\(report)")
    }

    @Test(
        "A store whose catalogue cannot be read does not open, says that it can be salvaged, and is left as it is",
        arguments: [StoreConfiguration.Access.readOnly, .readWrite], CatalogueLoss.allCases)
    func unreadableCatalogue(access: StoreConfiguration.Access, loss: CatalogueLoss) async throws {
        for killed in [false, true] {
            let disks = try await Self.make(killed: killed)
            try Self.lose(loss, disks.source)
            var configuration = disks.configuration
            configuration.access = access
            let before = Self.contents(disks.source)
            let error = await expectError(.corruption) {
                try await withVectorStore(at: "source", configuration: configuration) { _ in }
            }
            #expect(error?.path == "CATALOG" && error?.remedy.contains("salvage") == true, "\(error as Any)")
            #expect(Self.contents(disks.source) == before)
        }
    }

    @Test("A catalogue and the log's beginning gone: databases are known by their headers and their ids' hashes")
    func catalogueWithoutCreation() async throws {
        let disks = Disks(source: SimulatedFileSystem())
        try await withVectorStore(at: "source", configuration: disks.configuration) { store async throws in
            for name in ["a", "b"] {
                try await store.createDatabase(name, options: .init(dimension: Self.dimension))
            }
        }
        let image = try await withVectorStore(at: "source", configuration: disks.configuration) { store async throws in
            for (seed, name) in ["a", "b"].enumerated() {
                let database = try await store.database(name)
                for index in 0..<20 { try await database.upsert(Self.record(index, seed + 1)) }
            }
            return disks.source.processKillImage()
        }
        image.truncate(StoragePath("CATALOG"), to: 0)
        let (_, contents) = try await Disks(source: image).salvage()
        for (seed, name) in ["a", "b"].enumerated() {
            let wanted = Dictionary(uniqueKeysWithValues: (0..<20).map { ("r\($0)", Self.record($0, seed + 1)) })
            #expect(contents[name] == wanted)
        }
    }

    @Test("A damaged record is named with its id, and the others are copied")
    func record() async throws {
        let disks = try await Self.make(killed: false)
        let bytes = try #require(disks.source.contents(of: Self.dataFile))
        // A vector of the second version, of which no older copy lies about.
        let pattern = unsafe testVector(2, Self.dimension).withUnsafeBytes { unsafe Array($0) }
        let first = try #require((0..<bytes.count - 20).first { Array(bytes[$0..<$0 + 20]) == pattern })
        disks.source.flipBit(Self.dataFile, bit: 8 * first + 3)
        let (report, contents) = try await disks.salvage()
        let database = try #require(report.databases.first { $0.name == "a" })
        #expect(database.lostCount == 1 && database.unidentifiedLossCount == 0 && !database.mayIncludeDeleted)
        let lost = try #require(database.lost.first?.id)
        #expect(contents["a"] == Self.expected.filter { $0.key != lost })
        #expect(contents["b"] == Self.expected)
        #expect(!report.isComplete)
    }

    @Test("The log rescues records whose bytes in the data file are damaged")
    func rescue() async throws {
        let disks = try await Self.make(killed: true)
        let bytes = try #require(disks.source.contents(of: Self.dataFile))
        // r10's third version lies in the file and in the log.
        let pattern = unsafe testVector(3, Self.dimension).withUnsafeBytes { unsafe Array($0) }
        for start in 0..<bytes.count - 20 where Array(bytes[start..<start + 20]) == pattern {
            disks.source.flipBit(Self.dataFile, bit: 8 * start + 3)
        }
        let (report, contents) = try await disks.salvage()
        #expect(report.isComplete, "\(report)")
        #expect(contents == ["a": Self.expected, "b": Self.expected])
    }

    @Test("All pages of the header gone: what the log has is copied, the rest counted as lost")
    func header() async throws {
        let disks = try await Self.make(killed: true)
        for sector in 0..<32 { disks.source.zeroSector(Self.dataFile, sector: sector) }
        let (report, contents) = try await disks.salvage()
        let database = try #require(report.databases.first { $0.name == "a" })
        #expect(database.damages.contains { $0.kind == "corruption" })
        #expect(database.recoveredCount + database.lostCount + database.unidentifiedLossCount >= Self.expected.count)
        for index in 10..<20 { #expect(contents["a"]?["r\(index)"] == Self.record(index, 3)) }
        #expect(contents["b"] == Self.expected)
        Self.expectOnlyWritten(contents)
    }

    @Test("Pages of the record table gone: entries are believed one by one")
    func recordTable() async throws {
        let disks = try await Self.make(killed: false)
        let bytes = try #require(disks.source.contents(of: Self.dataFile))
        let header = try #require(Self.header(bytes))
        let extent = try #require(header.extents.first { $0.kind == .recordTable })
        let half = Int(extent.unitCount) / 2 * 65_536
        let start = Int(extent.startUnit) * 65_536 + Int(header.generation % 2) * half
        // One byte of an entry in the middle of the first page.
        disks.source.flipBit(Self.dataFile, bit: 8 * (start + 2_001))
        let (report, contents) = try await disks.salvage()
        let database = try #require(report.databases.first { $0.name == "a" })
        #expect(database.mayIncludeDeleted && !report.isComplete)
        #expect(database.recoveredCount >= Self.expected.count - 1)
        Self.expectOnlyWritten(contents)
        let found = try #require(contents["a"])
        #expect(Self.expected.filter { found[$0.key] == nil }.count <= 1)
        #expect(contents["b"] == Self.expected)
    }

    private static func header(_ bytes: [UInt8]) -> FileHeader? {
        unsafe bytes.withUnsafeBytes { all in
            let pages = unsafe UnsafeRawBufferPointer(rebasing: all[..<16_384])
            return unsafe try? FileHeader.newest(pages: pages, fileSize: UInt64(bytes.count)).header
        }
    }

    @Test("A file cut short anywhere gives what is left of it", arguments: [0, 1, 5_000, 70_000, 200_000, 400_000])
    func truncated(size: Int) async throws {
        let disks = try await Self.make(killed: false)
        disks.source.truncate(Self.dataFile, to: size)
        let (report, contents) = try await disks.salvage()
        #expect(!report.isComplete)
        #expect(contents["b"] == Self.expected)
        Self.expectOnlyWritten(contents)
    }

    @Test("Behind damage in the log, records are copied that are valid by themselves")
    func logMiddle() async throws {
        let disks = Disks(source: SimulatedFileSystem())
        let image = try await withVectorStore(at: "source", configuration: disks.configuration) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: Self.dimension))
            for index in 0..<40 { try await database.upsert(Self.record(index, 1)) }
            return disks.source.processKillImage()
        }
        let path = try Self.segment(image)
        let end = try #require(image.contents(of: path)?.lastIndex { $0 != 0 })
        image.flipBit(path, bit: 8 * ((8_192 + end) / 2))
        let (report, contents) = try await Disks(source: image).salvage()
        let found = try #require(contents["a"])
        // One record was hit, or the commit record behind one; nothing else is missing.
        #expect(found.count >= 39)
        #expect(report.damages.contains { $0.kind == "corruption" && $0.path == path.description })
        #expect(!report.isComplete)
        Self.expectOnlyWritten(contents)
    }

    @Test("A log whose last segment has no readable header costs what only it held")
    func logHeader() async throws {
        let disks = try await Self.make(killed: true)
        let path = try Self.segment(disks.source)
        for sector in 0..<16 { disks.source.zeroSector(path, sector: sector) }
        let (report, contents) = try await disks.salvage()
        #expect(!report.isComplete)
        for index in 30..<Self.count {
            #expect(contents["a"]?["r\(index)"] == Self.record(index, 1))
        }
        Self.expectOnlyWritten(contents)
    }

    // MARK: Hostile files

    @Test(
        "Bytes flipped at random in every file: no trap, no record that was never written",
        arguments: 0..<40 as Range<UInt64>)
    func flips(seed: UInt64) async throws {
        let disks = try await Self.make(killed: seed % 2 == 0)
        var generator = SeededGenerator(seed: seed)
        for (name, bytes) in Self.contents(disks.source).sorted(by: { $0.key < $1.key }) where !bytes.isEmpty {
            let parts = name.split(separator: "/").map(String.init)
            let path = parts.count == 2 ? StoragePath(parts[0], parts[1]) : StoragePath(parts[0])
            // Half of the flips near the front, where what describes the rest is.
            for index in 0..<generator.next(below: 30) {
                let limit = index % 2 == 0 ? min(bytes.count, 20_000) : bytes.count
                disks.source.flipBit(path, bit: generator.next(below: limit * 8))
            }
        }
        do {
            let (_, contents) = try await disks.salvage()
            Self.expectOnlyWritten(contents)
        } catch let error as StoreError {
            #expect([.newerFormat, .notAStore].contains(error.code), "\(error)")
        }
    }

    @Test("Files of noise, of zeros and of nothing")
    func noise() async throws {
        for kind in 0..<3 {
            let disks = try await Self.make(killed: true)
            for (name, bytes) in Self.contents(disks.source).sorted(by: { $0.key < $1.key }) where !bytes.isEmpty {
                let parts = name.split(separator: "/").map(String.init)
                let path = parts.count == 2 ? StoragePath(parts[0], parts[1]) : StoragePath(parts[0])
                switch kind {
                case 0: disks.source.truncate(path, to: 0)
                case 1: disks.source.damage(path, at: 0, with: [UInt8](repeating: 0, count: bytes.count))
                default:
                    var generator = SeededGenerator(seed: UInt64(bytes.count))
                    let noise = (0..<bytes.count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                    disks.source.damage(path, at: 0, with: noise)
                }
            }
            let (report, contents) = try await disks.salvage()
            #expect(contents.isEmpty && !report.isComplete)
        }
    }

    @Test("A header that is valid and lies about sizes costs neither memory nor time")
    func lyingHeader() async throws {
        let disks = try await Self.make(killed: false)
        let bytes = try #require(disks.source.contents(of: Self.dataFile))
        var header = try #require(Self.header(bytes))
        header.generation += 1
        header.extents = [
            Extent(kind: .vectors, startUnit: 1, unitCount: 1 << 30),
            Extent(kind: .payload, startUnit: 1 + 1 << 30, unitCount: 1 << 21),
            Extent(kind: .recordTable, startUnit: 1 + 1 << 31, unitCount: 1 << 25),
            Extent(kind: .directory, startUnit: 1 + 3 << 30, unitCount: 1 << 20),
            Extent(kind: .pageTable, startUnit: 1 + 3 << 30 + 1 << 20, unitCount: 1 << 20),
        ]
        header.slotCount = 1 << 31
        header.recordPageCount = 1 << 24
        header.flags = []
        header.directoryPageCount = 0
        header.vectorCount = 1 << 31
        let page = FileHeader.firstPage(generation: header.generation)
        for copy in [page, page + 1] {
            disks.source.damage(Self.dataFile, at: copy * 4_096, with: header.encode(pageIndex: copy))
        }
        let (report, contents) = try await disks.salvage()
        #expect(!report.isComplete)
        #expect(contents["b"] == Self.expected)
        Self.expectOnlyWritten(contents)
    }

    // MARK: Where it goes

    @Test("The new store needs a directory of its own, and the damaged one must not be open for writing")
    func refusals() async throws {
        let directory = TestStore(.disk)
        try await directory.database { try await $0.upsert(testRecord("x", 1)) }
        let store = VectorStore(at: directory.path, configuration: directory.configuration)
        await expectError(.invalidArgument) { _ = try await store.salvage(to: directory.path) }
        await expectError(.invalidArgument) { _ = try await store.salvage(to: directory.path + "/inside") }
        let other = TestStore(.disk)
        try await other.database { try await $0.upsert(testRecord("x", 1)) }
        await expectError(.invalidArgument) { _ = try await store.salvage(to: other.path) }
        let new = TestStore(.disk)
        try await directory.open { _ async throws in
            await expectError(.locked) { _ = try await store.salvage(to: new.path) }
        }
        let report = try await store.salvage(to: new.path)
        #expect(report.isComplete && report.databases.map(\.recoveredCount) == [1])
        let nothing = VectorStore(at: directory.path + "-none", configuration: directory.configuration)
        await expectError(.inputOutput) { _ = try await nothing.salvage(to: new.path + "-2") }
    }
}
