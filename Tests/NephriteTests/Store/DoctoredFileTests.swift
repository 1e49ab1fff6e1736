// Data files whose checksums are all right and whose contents are not: what is told from a header, a page table or an entry that
// contradicts the rest, when the file is opened and when it is salvaged.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct DoctoredFileTests {
    private static let path = StoragePath("a", "vectors.jvdb")

    private static func configuration(_ disk: any FileSystem, target: any FileSystem) -> StoreConfiguration {
        var configuration = StoreConfiguration()
        configuration.environment.fileSystem = { $0 == "target" ? target : disk }
        configuration.addressSpaceReservation = 1 << 20
        configuration.logSegmentByteCount = 64 << 10
        return configuration
    }

    /// A closed store whose database `a` has 300 records.
    private static func filled() async throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "a store", configuration: configuration(disk, target: disk)) {
            store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.insert((0..<300).map { testRecord("r\($0)", $0) })
            let other = try await store.createDatabase("b", options: .init(dimension: 3))
            try await other.insert(testRecord("whole", 1))
        }
        return disk
    }

    /// The newest checkpoint of a file, to be changed and written back with checksums that are right.
    fileprivate struct Doctor {
        let disk: SimulatedFileSystem
        var header: FileHeader
        private let layout: FileLayout
        private let salt: ChecksumSalt
        private var bytes: [UInt8]

        init(_ disk: SimulatedFileSystem) throws {
            self.disk = disk
            let contents = try #require(disk.contents(of: path))
            bytes = contents
            header = try unsafe contents.withUnsafeBytes { bytes in
                try unsafe FileHeader.newest(pages: bytes, fileSize: UInt64(bytes.count)).header
            }
            layout = FileLayout(extents: header.extents)
            salt = ChecksumSalt(uuid: header.uuid, incarnation: header.incarnation)
        }

        private var region: Int { Int(header.generation % 2) }

        private func start(_ area: AreaMap) -> Int { Int(area.pieces[0].fileOffset) }

        private func checksum(_ range: Range<Int>, _ kind: ChecksumSalt.Kind, _ position: Int) -> UInt32 {
            unsafe Array(bytes[range]).withUnsafeBytes {
                unsafe CRC32C.checksum($0, continuing: salt.seed(kind, position: UInt64(position)))
            }
        }

        private mutating func store(_ value: UInt32, at offset: Int) {
            for byte in 0..<4 { bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
        }

        /// Changes one page of the index; the page table and its checksum follow.
        mutating func page(_ index: Int, isRecords: Bool, _ change: (inout [UInt8]) -> Void) {
            let area = isRecords ? layout.recordTable[region] : layout.directory[region]
            let range = start(area) + index * 4_096..<start(area) + (index + 1) * 4_096
            var page = Array(bytes[range])
            change(&page)
            bytes.replaceSubrange(range, with: page)
            let table = start(layout.pageTable[region])
            let position = isRecords ? index : Int(header.recordPageCount) + index
            store(checksum(range, isRecords ? .recordPage : .directoryPage, index), at: table + position * 8)
            let count = Int(header.recordPageCount + header.directoryPageCount)
            header.pageTableChecksum = checksum(table..<table + count * 8, .pageTable, region)
        }

        /// Changes one entry of the record table.
        mutating func entry(_ slot: Int, _ change: (inout RecordEntry) -> Void) {
            page(slot / 128, isRecords: true) { page in
                unsafe page.withUnsafeMutableBytes { bytes in
                    var entry = unsafe bytes.load(fromByteOffset: slot % 128 * 32, as: RecordEntry.self)
                    change(&entry)
                    unsafe bytes.storeBytes(of: entry, toByteOffset: slot % 128 * 32, as: RecordEntry.self)
                }
            }
        }

        /// Adds payload extents of one unit each behind the file until the header has no room for more.
        mutating func fillExtents() {
            while header.extents.count < FormatLimits.extentCount {
                let end = UInt32(header.endOfExtents / UInt64(FormatLimits.extentUnitByteCount))
                header.extents.append(Extent(kind: .payload, startUnit: end, unitCount: 1))
            }
            bytes += [UInt8](repeating: 0, count: Int(header.endOfExtents) - bytes.count)
            disk.truncate(path, to: bytes.count)
        }

        func write() {
            disk.damage(path, at: 0, with: bytes)
            let first = FileHeader.firstPage(generation: header.generation)
            for copy in [first, first + 1] {
                disk.damage(path, at: copy * FileHeader.byteCount, with: header.encode(pageIndex: copy))
            }
        }
    }

    /// What is wrong, and words of what is said about it.
    enum Lie: String, CaseIterable, Sendable {
        case dimension = "dimension or metric"
        case metric = "dimension or metric is"
        case owner = "another database"
        case count = "count or fingerprint"
        case fingerprint = "count or fingerprint differ"
        case pageTable = "page table's checksum"
        case overlap = "entry of slot 5 contradicts"
        case emptyID = "entry of slot 6 contradicts"
        case beyond = "entry of slot 7 contradicts"

        fileprivate func apply(_ doctor: inout Doctor) {
            switch self {
            case .dimension: doctor.header.dimension = 4
            case .metric: doctor.header.metric = .euclidean
            case .owner: doctor.header.uuid = StorageUUID(high: 1, low: 2)
            case .count: doctor.header.vectorCount -= 1
            case .fingerprint:
                doctor.header.fingerprint.insert(idHash: 1, lsn: 1, contentChecksum: 1)
            case .pageTable: doctor.header.pageTableChecksum ^= 1
            case .overlap:
                var other = RecordEntry.empty
                doctor.entry(4) { other = $0 }
                doctor.entry(5) { $0.payloadUnit = other.payloadUnit }
            case .emptyID: doctor.entry(6) { $0.idLength = 0 }
            case .beyond: doctor.entry(7) { $0.payloadUnit = 1 << 30 }
            }
        }
    }

    @Test(
        "A checkpoint that contradicts itself is refused with what is wrong, and the rest of the store serves",
        arguments: Lie.allCases)
    func refused(_ lie: Lie) async throws {
        let disk = try await Self.filled()
        var doctor = try Doctor(disk)
        lie.apply(&doctor)
        doctor.write()
        let target = SimulatedFileSystem(rootExists: false)
        let configuration = Self.configuration(disk, target: target)
        try await withVectorStore(at: "a store", configuration: configuration) { store async throws in
            let error = await expectError(.corruption) { _ = try await store.database("a").count() }
            #expect(error?.message.contains(lie.rawValue) == true, "\(String(describing: error))")
            #expect(error?.database == "a")
            #expect(try await store.database("b").count() == 1)
            let report = try await store.check()
            #expect(report.databases.first { $0.name == "a" }?.damages.isEmpty == false)
        }
        // Salvage believes of it what can be proven, and tells that it is not all.
        let report = try await VectorStore(at: "a store", configuration: configuration).salvage(to: "target")
        let salvaged = try #require(report.databases.first { $0.name == "a" })
        try await withVectorStore(at: "target", configuration: configuration) { store async throws in
            let contents = try await store.database("a").allContents()
            #expect(contents.count == salvaged.recoveredCount)
            for (id, record) in contents { #expect(record == testRecord(id, Int(id.dropFirst()) ?? -1)) }
            #expect(try await store.database("b").count() == 1)
            try await store.expectSound()
        }
        switch lie {
        case .dimension, .owner:
            #expect(
                salvaged.recoveredCount == 0 && salvaged.damages.contains { $0.message.contains("another database") })
        case .pageTable, .metric, .count, .fingerprint: #expect(salvaged.recoveredCount == 300)
        case .overlap, .emptyID, .beyond: #expect(salvaged.recoveredCount == 299 && !report.isComplete)
        }
    }

    @Test("An id directory that lacks an id is made anew from the records, and that is told")
    func directory() async throws {
        let disk = try await Self.filled()
        var doctor = try Doctor(disk)
        #expect(doctor.header.directoryIsValid)
        doctor.page(0, isRecords: false) { page in
            var bucket = 0
            while page[bucket * 8..<bucket * 8 + 4].allSatisfy({ $0 == 0 }) { bucket += 1 }
            page.replaceSubrange(bucket * 8..<bucket * 8 + 8, with: [UInt8](repeating: 0, count: 8))
        }
        doctor.write()
        try await withVectorStore(at: "a store", configuration: Self.configuration(disk, target: disk)) {
            store async throws in
            let database = try await store.database("a")
            for index in 0..<300 { #expect(try await database.vector(for: "r\(index)") == testVector(index, 3)) }
            let report = try await store.check()
            let damages = try #require(report.databases.first { $0.name == "a" }).damages
            #expect(damages.contains { $0.kind == "mended" && $0.message.contains("it was rebuilt") })
        }
    }

    @Test("A file with as many extents as its header holds refuses to grow, and all else goes on")
    func mostExtents() async throws {
        let disk = try await Self.filled()
        var doctor = try Doctor(disk)
        doctor.fillExtents()
        doctor.write()
        let configuration = Self.configuration(disk, target: disk)
        var count = 300
        try await withVectorStore(at: "a store", configuration: configuration) { store async throws in
            let database = try await store.database("a")
            var refusal: StoreError?
            while refusal == nil, count < 20_000 {
                do {
                    try await database.insert((count..<count + 200).map { testRecord("r\($0)", $0) })
                    count += 200
                } catch let error as StoreError {
                    refusal = error
                }
            }
            #expect(refusal?.code == .limitReached && refusal?.database == "a", "\(String(describing: refusal))")
            #expect(try await database.count() == count && count > 300)
            #expect(try await database.delete("r0"))
            try await store.database("b").insert(testRecord("other", 2))
            try await store.checkpoint()
            // There is room for one now, in the space of the record that is gone.
            try await database.insert(testRecord("r0", 0))
        }
        try await withVectorStore(at: "a store", configuration: configuration) { store async throws in
            let contents = try await store.database("a").allContents()
            #expect(contents.count == count)
            for (id, record) in contents { #expect(record == testRecord(id, Int(id.dropFirst()) ?? -1)) }
            try await store.expectSound()
        }
    }

    @Test("Entries that all name the same megabyte are read up to what the file can hold, and no further")
    func sharedPayload() async throws {
        let disk = SimulatedFileSystem()
        let configuration = Self.configuration(disk, target: SimulatedFileSystem(rootExists: false))
        let text = String(repeating: "x", count: 1_000_000)
        try await withVectorStore(at: "a store", configuration: configuration) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.insert((0..<300).map { testRecord("r\($0)", $0) })
            try await database.insert(VectorRecord(id: "long", vector: [1, 2, 3], metadata: ["text": .string(text)]))
        }
        var doctor = try Doctor(disk)
        var long = RecordEntry.empty
        doctor.entry(300) { long = $0 }
        try #require(long.payloadLength > 1_000_000)
        for slot in 100..<300 {
            doctor.entry(slot) {
                $0.payloadUnit = long.payloadUnit
                $0.payloadLength = long.payloadLength
            }
        }
        doctor.write()
        let report = try await VectorStore(at: "a store", configuration: configuration).salvage(to: "target")
        let database = try #require(report.databases.first { $0.name == "a" })
        // The file has some megabytes; eight times as much and 64 are read at most, not 200.
        let tooMuch = database.lost.filter { $0.reason == "More is said to be in the file than there can be." }
        #expect((50..<150).contains(tooMuch.count), "\(tooMuch.count)")
        #expect(database.lostCount >= 200 && database.recoveredCount == 301 - database.lostCount)
        try await withVectorStore(at: "target", configuration: configuration) { store async throws in
            for index in 0..<100 {
                #expect(try await store.database("a").vector(for: "r\(index)") == testVector(index, 3))
            }
        }
    }

    @Test("A file that is cut while it is opened is refused, whichever read meets the end", arguments: 1...6)
    func cutMeanwhile(_ survivingReads: Int) async throws {
        let disk = try await Self.filled()
        let hooked = HookedFileSystem(disk)
        let reads = Box(0)
        hooked.set { (call, path) throws(FileSystemError) in
            guard call == .read, path == Self.path else { return }
            let count = reads.update { count -> Int in
                count += 1
                return count
            }
            // The headers stay.
            if count > survivingReads { disk.truncate(Self.path, to: 20_000) }
        }
        try await withVectorStore(at: "a store", configuration: Self.configuration(hooked, target: disk)) {
            store async throws in
            do {
                _ = try await store.database("a").count()
                #expect(reads.value <= survivingReads)
            } catch let error as StoreError {
                #expect([.corruption, .inputOutput].contains(error.code), "\(error)")
            }
            #expect(try await store.database("b").count() == 1)
        }
    }
}
