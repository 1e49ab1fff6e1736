// Logs whose records are all valid by themselves and say what no engine wrote: what recovery takes for a torn tail, what it passes
// over, and what it refuses, for the store or for one database.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct DoctoredLogTests {
    private static func configuration(_ disk: any FileSystem) -> StoreConfiguration {
        var configuration = simulatedConfiguration(disk, segmentByteCount: 256 << 10)
        configuration.bulkByteThreshold = 4 << 10
        configuration.checkpointInterval = .seconds(3_600)
        return configuration
    }

    /// Opens the store on a disk.
    @discardableResult
    private static func open<R>(_ disk: any FileSystem, _ body: (VectorStore) async throws -> R) async throws -> R {
        try await withVectorStore(at: "simulated", configuration: configuration(disk), body)
    }

    /// A killed store: `a` has three records of its own commits, forty of a bulk write, and one that a transaction put into
    /// `b`, too.
    private static func killed() async throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        return try await open(disk) { store in
            let first = try await store.createDatabase("a", options: .init(dimension: 100))
            try await store.createDatabase("b", options: .init(dimension: 100))
            for index in 0..<3 { try await first.upsert(testRecord("r\(index)", index, 100)) }
            try await first.insert((100..<140).map { testRecord("r\($0)", $0, 100) })
            try await store.transaction { transaction in
                try await transaction.upsert(testRecord("both", 7, 100), into: "a")
                try await transaction.upsert(testRecord("both", 8, 100), into: "b")
            }
            return disk.processKillImage()
        }
    }

    private static func doctored(_ change: (inout LogDoctor) throws -> Void) async throws -> SimulatedFileSystem {
        let disk = try await killed()
        var doctor = try LogDoctor(disk)
        try change(&doctor)
        doctor.write()
        return disk
    }

    private static func expectWhole(_ store: VectorStore, hasLast: Bool = true) async throws {
        let contents = try await store.database("a").allContents()
        #expect(contents.count == (hasLast ? 44 : 43))
        for (id, record) in contents where id != "both" {
            #expect(record == testRecord(id, Int(id.dropFirst()) ?? -1, 100))
        }
        #expect(try await store.database("b").allIDs() == (hasLast ? ["both"] : []))
        try await store.expectSound()
    }

    @Test("A log that is written back as it was is replayed whole")
    func unchanged() async throws {
        let disk = try await Self.doctored { _ in }
        try await Self.open(disk) { try await Self.expectWhole($0) }
    }

    /// What makes the last commit one that was not written whole.
    enum Tear: CaseIterable, Sendable { case hash, marker, foreignRecord, foreignCommit, body, chain }

    @Test(
        "A last commit that is not whole is as good as not there, in all databases it is of", arguments: Tear.allCases)
    func torn(_ tear: Tear) async throws {
        let disk = try await Self.doctored { doctor in
            let commit = try doctor.last(.commit)
            // Behind it only what says that it is on disk would stand.
            doctor.records.removeSubrange((commit + 1)...)
            switch tear {
            case .hash: doctor.records[commit].hasWrongHash = true
            case .marker:
                doctor.records.insert(
                    .init(type: .syncMarker, database: 0, lsn: doctor.records[commit].lsn, body: []), at: commit)
            case .foreignRecord: doctor.records[commit - 1].lsn += 1
            case .foreignCommit: doctor.records[commit].lsn += 1
            case .body: doctor.records[commit].body.removeLast(8)
            case .chain: doctor.records[commit].breaksChain = true
            }
        }
        try await Self.open(disk) { try await Self.expectWhole($0, hasLast: false) }
    }

    @Test("A creation of what is there, a drop of what is not, and a commit of nothing change nothing")
    func administration() async throws {
        var last: UInt64 = 0
        let disk = try await Self.doctored { doctor in
            let creation = try doctor.records[doctor.last(.createDatabase)].body
            doctor.append([(.createDatabase, creation)])
            doctor.append([(.deleteDatabase, DeleteDatabaseBody(number: 99).encode())])
            doctor.append([])
            last = doctor.lastLSN
        }
        try await Self.open(disk) { store async throws in
            #expect(try await store.databases().map(\.name) == ["a", "b"])
            try await Self.expectWhole(store)
            // All three are commits of this log: the next one is behind them.
            #expect(try await store.database("b").upsert(testRecord("next", 1, 100)) == last + 1)
        }
    }

    @Test("A creation that cannot be read keeps the store closed, however often it is tried")
    func unreadableCreation() async throws {
        let disk = try await Self.doctored { $0.append([(.createDatabase, [1, 2, 3, 4])]) }
        for _ in 0..<3 {
            let error = await expectError(.corruption) { try await Self.open(disk) { _ in } }
            #expect(error?.path == "wal" && error?.message.contains("catalogue entry") == true)
        }
    }

    /// What the log says of `a` that cannot be.
    enum Lie: CaseIterable, Sendable { case store, storeBeyond, bulkBeyond, bulkChecksum, count, fingerprint }

    @Test(
        "A database of which the log says what cannot be is refused, and the others are brought up to date",
        arguments: Lie.allCases)
    func refused(_ lie: Lie) async throws {
        let disk = try await Self.doctored { doctor in
            func edit(_ index: Int, at offset: Int, _ bytes: [UInt8]) {
                doctor.records[index].body.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            }
            let store = try #require(doctor.records.firstIndex { $0.type == .store })
            let commit = try #require(doctor.records.lastIndex { $0.type == .commit && $0.body.count == 16 + 64 })
            switch lie {
            // An id of no length; a payload far behind the file's end; a checksum of other bytes.
            case .store: edit(store, at: 8, [0, 0])
            case .storeBeyond: edit(store, at: 4, [0, 0, 0, 0x10])
            case .bulkBeyond: edit(try doctor.last(.bulkStore), at: 16 + 4, [0, 0, 0, 0x10])
            case .bulkChecksum:
                let record = try doctor.last(.bulkStore)
                edit(record, at: 16 + 16, [1, 2, 3, 4])
                // Else it would be a batch whose vectors did not get to the disk.
                doctor.records[record].flags = 0
            // The state that the transaction left in both databases.
            case .count: edit(commit, at: 16 + 8, [200, 0])
            case .fingerprint: edit(commit, at: 16 + 16, [1, 2, 3, 4])
            }
        }
        try await Self.open(disk) { store async throws in
            let error = await expectError(.corruption) { _ = try await store.database("a").count() }
            #expect(error?.database == "a" && error?.remedy.isEmpty == false)
            #expect(try await store.database("b").allContents() == ["both": testRecord("both", 8, 100)])
            let report = try await store.check()
            #expect(report.databases.first { $0.name == "a" }?.damages.isEmpty == false)
            #expect(report.databases.first { $0.name == "b" }?.damages == [])
        }
    }

    /// What a resize record says that no engine would have written.
    enum Growth: CaseIterable, Sendable { case withoutPageTable, withoutRecordTable, withoutVectors, toTheLastUnit }

    @Test("A database that has grown as it cannot have is refused, without a trap", arguments: Growth.allCases)
    func impossibleGrowth(_ growth: Growth) async throws {
        let disk = try await Self.doctored { doctor in
            let record = try #require(doctor.records.firstIndex { $0.type == .resize })
            var extents = try unsafe doctor.records[record].body.withUnsafeBytes {
                try unsafe ResizeBody.decode($0).extents
            }
            switch growth {
            case .withoutPageTable: extents.removeAll { $0.kind == .pageTable }
            case .withoutRecordTable: extents.removeAll { $0.kind == .recordTable }
            case .withoutVectors: extents.removeAll { $0.kind == .vectors }
            case .toTheLastUnit:
                let last = extents.removeLast()
                extents.append(
                    Extent(kind: last.kind, startUnit: last.startUnit, unitCount: .max - last.startUnit + 1))
            }
            doctor.records[record].body = ResizeBody(extents: extents).encode()
        }
        let error = await #expect(throws: StoreError.self) {
            try await Self.open(disk) { store async throws in _ = try await store.database("a").count() }
        }
        if growth != .toTheLastUnit { #expect(error?.code == .corruption, "\(error as Any)") }
    }

    // MARK: A log that lost what is in the files

    @Test("A log that ends before what a database holds keeps the store closed; readers are served what the file holds")
    func lostCommits() async throws {
        func cut() async throws -> SimulatedFileSystem {
            let disk = SimulatedFileSystem()
            let image = try await Self.open(disk) { store in
                let database = try await store.createDatabase("a", options: .init(dimension: 100))
                for index in 0..<4 { try await database.upsert(testRecord("r\(index)", index, 100)) }
                try await store.checkpoint()
                return disk.processKillImage()
            }
            var doctor = try LogDoctor(image)
            // The creation, which the catalogue knows of, and the first write stay.
            let write = try #require(doctor.records.firstIndex { $0.type == .store })
            let end = try #require(doctor.records[write...].firstIndex { $0.type == .commit })
            doctor.records.removeSubrange((end + 1)...)
            doctor.write()
            return image
        }
        let error = await expectError(.corruption) { try await Self.open(try await cut()) { _ in } }
        #expect(error?.message.contains("The log ends at commit") == true, "\(String(describing: error))")
        let image = try await cut()
        var configuration = Self.configuration(image)
        configuration.access = .readOnly
        try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
            #expect(try await Set(store.database("a").allIDs()) == ["r0", "r1", "r2", "r3"])
        }
        // Unless the newer generation may be the one that is lost: then what the file holds may not be the newest.
        try Self.tearNextGeneration(of: "a", on: image)
        try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
            let refusal = await expectError(.corruption) { _ = try await store.database("a").count() }
            #expect(refusal?.message.contains("The log ends at commit") == true, "\(String(describing: refusal))")
        }
    }

    @Test("A log of several segments of which one in the middle is missing is refused")
    func missingSegment() async throws {
        let disk = SimulatedFileSystem()
        var configuration = Self.configuration(disk)
        configuration.logSegmentByteCount = 64 << 10
        let image = try await withVectorStore(at: "simulated", configuration: configuration) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: 4_000))
            for index in 0..<12 { try await database.upsert(testRecord("r\(index)", index, 4_000)) }
            return disk.processKillImage()
        }
        let names = try image.list(StoragePath("wal")).map(\.name).filter { $0.hasSuffix(".wal") }
        try #require(names.count > 2)
        for name in names.dropFirst().dropLast() {
            let damaged = image.crashImage(.keepAll)
            try damaged.unlink(StoragePath("wal", name))
            let error = await expectError(.corruption) { try await Self.open(damaged) { _ in } }
            #expect(error?.message.contains("a segment between it and the next one is missing") == true)
        }
        try await Self.open(image) { store async throws in #expect(try await store.database("a").count() == 12) }
    }

    // MARK: A generation of the header that is lost

    /// Tears both pages of the header generation that a checkpoint of a database would write next.
    private static func tearNextGeneration(of name: String, on disk: SimulatedFileSystem) throws {
        let file = StoragePath(name, "vectors.jvdb")
        let bytes = try #require(disk.contents(of: file))
        let newest = try unsafe bytes.withUnsafeBytes { bytes in
            try unsafe FileHeader.newest(pages: bytes, fileSize: UInt64(bytes.count)).header
        }
        let other = FileHeader.firstPage(generation: newest.generation + 1)
        for page in [other, other + 1] {
            disk.damage(file, at: page * 4_096, with: [UInt8](repeating: 0x5A, count: 4_096))
        }
    }

    /// A store that was closed, with a log that begins with the creation of `late`; one growth of it is the last that is there.
    ///
    /// - Parameter rotated: whether segments lie between the clean shutdown and the log's beginning, which were let go.
    private static func late(withCreation: Bool, rotated: Bool = false) async throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        try await open(disk) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: 100))
            try await database.upsert(testRecord("x", 1, 100))
        }
        var configuration = configuration(disk)
        configuration.logSegmentByteCount = 64 << 10
        let image = try await withVectorStore(at: "simulated", configuration: configuration) { store in
            if rotated {
                let filler = try await store.createDatabase("filler", options: .init(dimension: 4_000))
                for index in 0..<10 { try await filler.upsert(testRecord("r\(index)", index, 4_000)) }
                for _ in 0..<2 {
                    try await filler.upsert(testRecord("again", 1, 4_000))
                    try await store.checkpoint()
                }
                try await store.dropDatabase("filler")
            }
            let database = try await store.createDatabase("late", options: .init(dimension: 100))
            try await database.upsert(testRecord("gone", 1, 100))
            return disk.processKillImage()
        }
        var doctor = try LogDoctor(image)
        let segments = try image.list(StoragePath("wal")).filter { $0.name.hasSuffix(".wal") }
        try #require(segments.count == 1 && doctor.header.hasPrevious == rotated)
        let growth = try doctor.last(.resize)
        let commit = try #require(doctor.records[growth...].firstIndex { $0.type == .commit })
        doctor.records.removeSubrange((commit + 1)...)
        if !withCreation {
            let creation = try doctor.last(.createDatabase)
            doctor.records.removeSubrange(creation...creation + 1)
        }
        doctor.write()
        // The first checkpoint, torn in both of its pages.
        try tearNextGeneration(of: "late", on: image)
        return image
    }

    @Test("A new database whose first checkpoint is torn is what the log has of it, with or without its creation")
    func tornFirstCheckpoint() async throws {
        let whole = try await Self.late(withCreation: true)
        try await Self.open(whole) { store async throws in
            let database = try await store.database("late")
            #expect(try await database.count() == 0)
            try await database.upsert(testRecord("new", 2, 100))
            try await store.expectSound()
        }
        try await Self.open(whole) { opened async throws in
            #expect(try await opened.database("late").allIDs() == ["new"])
        }
        // The catalogue knows of the first generation, and the log begins with the clean shutdown before it: it has the rest.
        let cut = try await Self.late(withCreation: false)
        try await Self.open(cut) { store async throws in
            #expect(try await store.database("late").count() == 0)
            #expect(try await store.database("a").allIDs() == ["x"])
            try await store.expectSound()
        }
    }

    @Test("Where the log before its creation was let go, only the creation in it proves that a torn database is whole")
    func tornFirstCheckpointOfLaterLog() async throws {
        let whole = try await Self.late(withCreation: true, rotated: true)
        try await Self.open(whole) { store async throws in
            #expect(try await store.databases().map(\.name) == ["a", "late"])
            #expect(try await store.database("late").count() == 0)
            #expect(try await store.database("a").allIDs() == ["x"])
            try await store.expectSound()
        }
        // Without it nothing says that the log has what the torn checkpoint had.
        let cut = try await Self.late(withCreation: false, rotated: true)
        try await Self.open(cut) { store async throws in
            let error = await expectError(.corruption) { _ = try await store.database("late").count() }
            #expect(error?.database == "late")
            #expect(error?.message.contains("the log does not reach back to the other") == true)
            #expect(try await store.database("a").allIDs() == ["x"])
        }
    }

    // MARK: What lies where records would

    @Test(
        "Behind the log's end, fronts of long records without an end are no torn write, and are not searched for ever")
    func hostileTail() async throws {
        let disk = try await Self.killed()
        var front =
            unsafe withUnsafeBytes(of: LogRecordHeader.magic) { unsafe Array($0) } + [UInt8](repeating: 0, count: 8)
        front += [0xFF, 0xFF, 0xFF, 0x7F]
        front += [UInt8](repeating: 0, count: LogRecordHeader.alignment * 2 - front.count)
        try LogDoctor(disk).write(tail: (0..<200).flatMap { _ in front })
        let before = SalvageFixture.contents(disk)
        let error = await expectError(.corruption) { try await Self.open(disk) { _ in } }
        #expect(error?.message.contains("what follows is not what a torn write leaves") == true)
        #expect(SalvageFixture.contents(disk) == before)
        // Fewer of them are a tail like any other.
        let torn = try await Self.killed()
        try LogDoctor(torn).write(tail: front + front + front)
        try await Self.open(torn) { try await Self.expectWhole($0) }
    }

    @Test("A damaged copy of a segment's header is told if records stand behind it; else a crash has left it so")
    func headerCopy() async throws {
        for isUsed in [true, false] {
            let disk = SimulatedFileSystem()
            let image = try await Self.open(disk) { store in
                if isUsed { try await store.createDatabase("a", options: .init(dimension: 100)) }
                return disk.processKillImage()
            }
            let path = try LogDoctor(image).path
            image.flipBit(path, bit: 8 * (SegmentHeader.copyByteCount + 30))
            try await Self.open(image) { store async throws in
                let damages = try #require(store.recoveryReport).damages
                #expect(damages.map(\.kind) == (isUsed ? ["mended"] : []), "\(damages)")
                #expect(damages.first?.offset == (isUsed ? UInt64(SegmentHeader.copyByteCount) : nil))
                try await store.createDatabase("b", options: .init(dimension: 100))
            }
        }
    }
}
