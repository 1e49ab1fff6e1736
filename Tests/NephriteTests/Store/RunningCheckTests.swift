// `check()` of a store that runs used to look at what it had in memory: damage of headers, page tables and index pages
// came to light when the store was opened next.
import Foundation
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct RunningCheckTests {
    private static let path = StoragePath("a", "vectors.jvdb")

    /// What a checkpoint consists of.
    enum Part: CaseIterable, Sendable { case header, twin, bothHeaders, pageTable, recordPage, directoryPage }

    private func configuration(_ disk: any FileSystem) -> StoreConfiguration {
        var configuration = simulatedConfiguration(disk, segmentByteCount: 64 << 10)
        configuration.checkpointInterval = .seconds(3_600)
        return configuration
    }

    private static func header(_ disk: SimulatedFileSystem) throws -> FileHeader {
        let bytes = try #require(disk.contents(of: path))
        return try unsafe bytes.withUnsafeBytes { bytes in
            try unsafe FileHeader.newest(pages: bytes, fileSize: UInt64(bytes.count)).header
        }
    }

    /// Where a part of the newest checkpoint lies.
    private static func offsets(_ part: Part, _ disk: SimulatedFileSystem) throws -> [Int] {
        let header = try header(disk)
        let layout = FileLayout(extents: header.extents)
        let region = Int(header.generation % 2)
        let first = FileHeader.firstPage(generation: header.generation) * FileHeader.byteCount
        func start(_ area: AreaMap) throws -> Int { Int(try #require(area.pieces.first).fileOffset) }
        switch part {
        case .header: return [first + 100]
        case .twin: return [first + FileHeader.byteCount + 100]
        case .bothHeaders: return [first + 100, first + FileHeader.byteCount + 100]
        case .pageTable: return [try start(layout.pageTable[region]) + 9]
        case .recordPage: return [try start(layout.recordTable[region]) + 4_096 + 70]
        case .directoryPage: return [try start(layout.directory[region]) + 33]
        }
    }

    @Test("Damage of each part of the newest checkpoint is found while the store runs", arguments: Part.allCases)
    func damaged(_ part: Part) async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.insert((0..<300).map { testRecord("r\($0)", $0) })
            try await store.checkpoint()
            // Newer pages in memory are none of what is compared.
            try await database.upsert(testRecord("r7", 8))
            try await store.expectSound()
            let offsets = try Self.offsets(part, disk)
            for offset in offsets { disk.flipBit(Self.path, bit: 8 * offset) }
            let report = try await store.check()
            let damages = report.databases.first?.damages ?? []
            let isMended = part == .header || part == .twin || part == .directoryPage
            #expect(damages.count == 1 && damages.first?.kind == (isMended ? "mended" : "corruption"), "\(report)")
            let place = Int(try #require(damages.first?.offset))
            #expect(place <= offsets[0] && offsets[0] < place + 4_096)
            #expect(try await database.count() == 300)
            // Two checkpoints write both regions and both headers; what was damaged is gone.
            try await database.upsert((0..<300).map { testRecord("r\($0)", $0 + 1) })
            try await store.checkpoint()
            try await database.upsert((0..<300).map { testRecord("r\($0)", $0 + 2) })
            try await store.checkpoint()
            if part != .directoryPage { try await store.expectSound() }
        }
    }

    @Test(
        "Both pages of the older generation of the header are damaged: found, and written anew by the next checkpoint")
    func olderHeaders() async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.insert(testRecord("one", 1))
            try await store.checkpoint()
            let other = FileHeader.firstPage(generation: try Self.header(disk).generation + 1)
            for page in [other, other + 1] { disk.flipBit(Self.path, bit: 8 * (page * FileHeader.byteCount + 50)) }
            let damages = try await store.check().databases.first?.damages ?? []
            #expect(damages.count == 2 && damages.allSatisfy { $0.kind == "corruption" })
            try await database.insert(testRecord("two", 2))
            try await store.checkpoint()
            try await store.expectSound()
        }
    }

    @Test("A catalogue that is damaged while the store runs is found", arguments: [1, 2])
    func damagedCatalogue(_ copies: Int) async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            try await store.createDatabase("a", options: .init(dimension: 3))
            try await store.expectSound()
            let path = StoragePath("CATALOG")
            let size = try #require(disk.contents(of: path)).count
            for copy in 0..<copies { disk.flipBit(path, bit: 8 * (copy * size / 2 + 60)) }
            let damages = try await store.check().damages
            #expect(damages.map(\.kind) == [copies == 1 ? "mended" : "corruption"])
            #expect(damages.first?.path == "CATALOG")
        }
    }

    @Test("Checkpoints that overtake the check are not taken for damage", arguments: [1, 2, 5], 1...4)
    func overtaken(_ checkpoints: Int, _ heldRead: Int) async throws {
        // The check waits before one of its reads: of headers, page table, record pages, directory. Meanwhile others go on.
        let directory = TestStore()
        let hooked = HookedFileSystem(directory.memory!)
        let gate = Gate()
        let reads = Box(0)
        directory.configuration.environment.fileSystem = { _ in hooked }
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.insert((0..<300).map { testRecord("r\($0)", $0) })
            try await store.checkpoint()
            hooked.set { (call, path) throws(FileSystemError) in
                guard call == .read, path == Self.path else { return }
                if reads.update({ reads in
                    reads += 1; return reads
                }) == heldRead {
                    gate.pass()
                }
            }
            gate.shut()
            async let report = store.check()
            await gate.reached()
            for round in 1...checkpoints {
                try await database.upsert((0..<300).map { testRecord("r\($0)", round * 1_000 + $0) })
                try await store.checkpoint()
            }
            gate.open()
            let found = try await report
            #expect(found.isSound, "\(found)")
            hooked.set(nil)
        }
        #expect(reads.value >= 4)
    }

    @Test("A check that two checkpoints overtook has the third one wait, and a second check, too")
    func thirdWaits() async throws {
        // Every read of the file fails, which looks like damage; as long as checkpoints come in between it may be their work.
        let directory = TestStore()
        let hooked = HookedFileSystem(directory.memory!)
        let gates = (0..<3).map { _ in Gate() }
        let reads = Box(0)
        let syncs = Box(0)
        directory.configuration.environment.fileSystem = { _ in hooked }
        directory.configuration.checkpointInterval = .seconds(3_600)
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.insert(testRecord("r", 0))
            try await store.checkpoint()
            hooked.set { (call, path) throws(FileSystemError) in
                guard path == Self.path else { return }
                if call == .synchronizeData { syncs.update { $0 += 1 } }
                guard call == .read else { return }
                let number = reads.update { number -> Int in
                    number += 1
                    return number
                }
                if number <= gates.count { gates[number - 1].pass() }
                throw FileSystemError(code: EIO, call: call, path: path.description)
            }
            for gate in gates { gate.shut() }
            async let report = store.check()
            for attempt in 0..<2 {
                await gates[attempt].reached()
                try await database.upsert(testRecord("r", attempt + 1))
                try await store.checkpoint()
                gates[attempt].open()
            }
            await gates[2].reached()
            try await database.upsert(testRecord("r", 3))
            let before = syncs.value
            async let checkpoint: Void = store.checkpoint()
            async let other = store.check()
            for _ in 0..<50_000 where syncs.value == before && reads.value == 3 { await Task.yield() }
            #expect(syncs.value == before && reads.value == 3, "somebody did not wait")
            gates[2].open()
            let damages = try await report.databases.first?.damages ?? []
            #expect(damages.count == 1 && damages.first?.path == Self.path.description, "\(damages)")
            try await checkpoint
            #expect(syncs.value > before)
            #expect(try await other.databases.first?.damages == damages)
            hooked.set(nil)
            try await store.expectSound()
        }
    }

    // MARK: Opening

    @Test("A damaged page of a generation that was never written is reported and does no harm", arguments: [0, 1])
    func neverWrittenPage(_ page: Int) async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            _ = try await store.createDatabase("a", options: .init(dimension: 3))
        }
        disk.flipBit(Self.path, bit: 8 * (page * FileHeader.byteCount + 50))
        let damaged = disk.contents(of: Self.path)
        for _ in 0..<2 {
            try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
                let damages = try await store.check().databases.first?.damages ?? []
                #expect(damages.map(\.kind) == ["mended"] && damages.first?.offset == UInt64(page * 4_096))
                #expect(damages.first?.message.contains("another one was used") == true)
            }
            // Nothing says what was on it.
            #expect(disk.contents(of: Self.path) == damaged)
        }
        for round in 0..<2 {
            try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
                _ = try await store.database("a").upsert(testRecord("x", round))
            }
        }
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            #expect(try await store.database("a").vector(for: "x") == testVector(1, 3))
            try await store.expectSound()
        }
    }

    @Test(
        "One damaged header page of a file that is opened with nothing to replay is reported once and written anew",
        arguments: 0..<4)
    func headerPage(_ page: Int) async throws {
        // The twin was used, and nothing ever wrote the damaged page again while the database did not change.
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            for index in 0..<3 {
                try await database.insert(testRecord("r\(index)", index))
                try await store.checkpoint()
            }
        }
        let whole = try #require(disk.contents(of: Self.path))
        disk.flipBit(Self.path, bit: 8 * (page * FileHeader.byteCount + 50))
        var reading = configuration(disk)
        reading.access = .readOnly
        for _ in 0..<2 {
            try await withVectorStore(at: "simulated", configuration: reading) { store async throws in
                let damages = try await store.check().databases.first?.damages ?? []
                #expect(damages.map(\.kind) == ["mended"] && damages.first?.offset == UInt64(page * 4_096))
            }
        }
        #expect(disk.contents(of: Self.path) != whole)
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            let damages = try await store.check().databases.first?.damages ?? []
            #expect(damages.map(\.kind) == ["mended"] && damages.first?.offset == UInt64(page * 4_096))
            #expect(try await store.database("a").count() == 3)
        }
        #expect(disk.contents(of: Self.path) == whole)
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { try await $0.expectSound() }
    }

    @Test("A damaged header page on a disk that takes no writes: the file is opened all the same")
    func headerPageOnReadOnlyDisk() async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            try await database.insert(testRecord("one", 1))
        }
        disk.flipBit(Self.path, bit: 8 * 50)
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            disk.inject(
                .fail(
                    call: 1, code: ErrorNumber.readOnlyFileSystem, forever: true, calls: [.write], pathPrefix: "a/"))
            #expect(try await store.database("a").count() == 1)
            let damages = try await store.check().databases.first?.damages ?? []
            #expect(damages.map(\.kind) == ["mended"])
            disk.inject(.none)
        }
    }
}
