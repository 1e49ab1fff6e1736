// Salvage: whatever is damaged, what verifies is copied, what does not is named, and the damaged store is not touched.
import Nephrite
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct SalvageTests {
    private typealias Fixture = SalvageFixture

    // MARK: Nothing is damaged

    @Test("A store without damage is copied whole", arguments: [false, true])
    func undamaged(killed: Bool) async throws {
        let (report, contents) = try await Fixture.make(killed: killed).salvage()
        #expect(report.isComplete, "\(report)")
        #expect(contents == ["a": Fixture.expected, "b": Fixture.expected])
    }

    @Test(
        "What random workloads leave when they crash is copied as recovery finds it", arguments: 0..<12 as Range<UInt64>
    )
    func crashes(seed: UInt64) async throws {
        for image in try CrashCampaign.crashDisks(seed: seed).prefix(4) {
            let wanted = try Simulation.recover(image.disk.crashImage(.keepAll)).model
            let disks = Fixture.Disks(source: image.disk)
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
        let disks = try await Fixture.make(killed: killed)
        try Self.lose(loss, disks.source)
        let (report, contents) = try await disks.salvage()
        #expect(report.damages.contains { $0.path == "CATALOG" })
        #expect(contents == ["a": Fixture.expected, "b": Fixture.expected])
        #expect(report.databases.allSatisfy { $0.isComplete }, "\(report)")
    }

    @Test(
        "A store whose catalogue cannot be read does not open, says that it can be salvaged, and is left as it is",
        arguments: [StoreConfiguration.Access.readOnly, .readWrite], CatalogueLoss.allCases)
    func unreadableCatalogue(access: StoreConfiguration.Access, loss: CatalogueLoss) async throws {
        for killed in [false, true] {
            let disks = try await Fixture.make(killed: killed)
            try Self.lose(loss, disks.source)
            var configuration = disks.configuration
            configuration.access = access
            let before = Fixture.contents(disks.source)
            let error = await expectError(.corruption) {
                try await withVectorStore(at: "source", configuration: configuration) { _ in }
            }
            #expect(error?.path == "CATALOG" && error?.remedy.contains("salvage") == true, "\(error as Any)")
            #expect(Fixture.contents(disks.source) == before)
        }
    }

    @Test("A catalogue and the log's beginning gone: databases are known by their headers and their ids' hashes")
    func catalogueWithoutCreation() async throws {
        let disks = Fixture.Disks(source: SimulatedFileSystem())
        try await withVectorStore(at: "source", configuration: disks.configuration) { store async throws in
            for name in ["a", "b"] {
                try await store.createDatabase(name, options: .init(dimension: Fixture.dimension))
            }
        }
        let image = try await withVectorStore(at: "source", configuration: disks.configuration) { store async throws in
            for (seed, name) in ["a", "b"].enumerated() {
                let database = try await store.database(name)
                for index in 0..<20 { try await database.upsert(Fixture.record(index, seed + 1)) }
            }
            return disks.source.processKillImage()
        }
        image.truncate(StoragePath("CATALOG"), to: 0)
        let (_, contents) = try await Fixture.Disks(source: image).salvage()
        for (seed, name) in ["a", "b"].enumerated() {
            let wanted = Dictionary(uniqueKeysWithValues: (0..<20).map { ("r\($0)", Fixture.record($0, seed + 1)) })
            #expect(contents[name] == wanted)
        }
    }

    @Test("A damaged record is named with its id, and the others are copied")
    func record() async throws {
        let disks = try await Fixture.make(killed: false)
        let bytes = try #require(disks.source.contents(of: Fixture.dataFile))
        // A vector of the second version, of which no older copy lies about.
        let pattern = unsafe testVector(2, Fixture.dimension).withUnsafeBytes { unsafe Array($0) }
        let first = try #require((0..<bytes.count - 20).first { Array(bytes[$0..<$0 + 20]) == pattern })
        disks.source.flipBit(Fixture.dataFile, bit: 8 * first + 3)
        let (report, contents) = try await disks.salvage()
        let database = try #require(report.databases.first { $0.name == "a" })
        #expect(database.lostCount == 1 && database.unidentifiedLossCount == 0 && !database.mayIncludeDeleted)
        let lost = try #require(database.lost.first?.id)
        #expect(contents["a"] == Fixture.expected.filter { $0.key != lost })
        #expect(contents["b"] == Fixture.expected)
        #expect(!report.isComplete)
    }

    @Test("The log rescues records whose bytes in the data file are damaged")
    func rescue() async throws {
        let disks = try await Fixture.make(killed: true)
        let bytes = try #require(disks.source.contents(of: Fixture.dataFile))
        // r10's third version lies in the file and in the log.
        let pattern = unsafe testVector(3, Fixture.dimension).withUnsafeBytes { unsafe Array($0) }
        for start in 0..<bytes.count - 20 where Array(bytes[start..<start + 20]) == pattern {
            disks.source.flipBit(Fixture.dataFile, bit: 8 * start + 3)
        }
        let (report, contents) = try await disks.salvage()
        #expect(report.isComplete, "\(report)")
        #expect(contents == ["a": Fixture.expected, "b": Fixture.expected])
    }

    @Test("All pages of the header gone: what the log has is copied, the rest counted as lost")
    func header() async throws {
        let disks = try await Fixture.make(killed: true)
        for sector in 0..<32 { disks.source.zeroSector(Fixture.dataFile, sector: sector) }
        let (report, contents) = try await disks.salvage()
        let database = try #require(report.databases.first { $0.name == "a" })
        #expect(database.damages.contains { $0.kind == "corruption" })
        #expect(database.recoveredCount + database.lostCount + database.unidentifiedLossCount >= Fixture.expected.count)
        for index in 10..<20 { #expect(contents["a"]?["r\(index)"] == Fixture.record(index, 3)) }
        #expect(contents["b"] == Fixture.expected)
        Fixture.expectOnlyWritten(contents)
    }

    @Test("Pages of the record table gone: entries are believed one by one")
    func recordTable() async throws {
        let disks = try await Fixture.make(killed: false)
        let bytes = try #require(disks.source.contents(of: Fixture.dataFile))
        let header = try #require(Fixture.header(bytes))
        let extent = try #require(header.extents.first { $0.kind == .recordTable })
        let half = Int(extent.unitCount) / 2 * 65_536
        let start = Int(extent.startUnit) * 65_536 + Int(header.generation % 2) * half
        // One byte of an entry in the middle of the first page.
        disks.source.flipBit(Fixture.dataFile, bit: 8 * (start + 2_001))
        let (report, contents) = try await disks.salvage()
        let database = try #require(report.databases.first { $0.name == "a" })
        #expect(database.mayIncludeDeleted && !report.isComplete)
        #expect(database.recoveredCount >= Fixture.expected.count - 1)
        Fixture.expectOnlyWritten(contents)
        let found = try #require(contents["a"])
        #expect(Fixture.expected.filter { found[$0.key] == nil }.count <= 1)
        #expect(contents["b"] == Fixture.expected)
    }

    @Test("A file cut short anywhere gives what is left of it", arguments: [0, 1, 5_000, 70_000, 200_000, 400_000])
    func truncated(size: Int) async throws {
        let disks = try await Fixture.make(killed: false)
        disks.source.truncate(Fixture.dataFile, to: size)
        let (report, contents) = try await disks.salvage()
        #expect(!report.isComplete)
        #expect(contents["b"] == Fixture.expected)
        Fixture.expectOnlyWritten(contents)
    }

    @Test("Behind damage in the log, records are copied that are valid by themselves")
    func logMiddle() async throws {
        let disks = Fixture.Disks(source: SimulatedFileSystem())
        let image = try await withVectorStore(at: "source", configuration: disks.configuration) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: Fixture.dimension))
            for index in 0..<40 { try await database.upsert(Fixture.record(index, 1)) }
            return disks.source.processKillImage()
        }
        let path = try Fixture.segment(image)
        let end = try #require(image.contents(of: path)?.lastIndex { $0 != 0 })
        image.flipBit(path, bit: 8 * ((8_192 + end) / 2))
        let (report, contents) = try await Fixture.Disks(source: image).salvage()
        let found = try #require(contents["a"])
        // One record was hit, or the commit record behind one; nothing else is missing.
        #expect(found.count >= 39)
        #expect(report.damages.contains { $0.kind == "corruption" && $0.path == path.description })
        #expect(!report.isComplete)
        Fixture.expectOnlyWritten(contents)
    }

    @Test("A log whose last segment has no readable header costs what only it held")
    func logHeader() async throws {
        let disks = try await Fixture.make(killed: true)
        let path = try Fixture.segment(disks.source)
        for sector in 0..<16 { disks.source.zeroSector(path, sector: sector) }
        let (report, contents) = try await disks.salvage()
        #expect(!report.isComplete)
        for index in 30..<Fixture.count {
            #expect(contents["a"]?["r\(index)"] == Fixture.record(index, 1))
        }
        Fixture.expectOnlyWritten(contents)
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
