// Codes in stores that are only read: those that the file has are verified and used, none are made, not a byte is written.
import Foundation
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct ReadOnlyCodesTests {
    private static let path = StoragePath("a", CodeFile.name)
    private static let queries = (0..<20).map { testVector(7_000_000 + $0, Coding.dimension) }

    /// A closed store with rows; with codes or without.
    private static func filled(coded: Bool, _ backing: Setting.Backing = .memory) async throws -> TestStore {
        let directory = Coding.store(backing)
        let options = DatabaseOptions(dimension: Coding.dimension)
        let threshold = directory.configuration.quantizationByteThreshold
        if !coded { directory.configuration.quantizationByteThreshold = .max }
        try await directory.database(options) { database async throws in
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            if coded { try await Coding.finish(database) }
        }
        directory.configuration.quantizationByteThreshold = threshold
        directory.configuration.access = .readOnly
        return directory
    }

    /// Searches until nothing more is done about codes.
    private static func settle(_ database: VectorDatabase) async throws -> DatabaseStatistics {
        while true {
            _ = try await database.search(queries[0], k: 1)
            let statistics = try await database.statistics()
            if statistics.codingState != .encoding { return statistics }
            await Task.yield()
        }
    }

    /// Whether searches find what comparing all records finds, and whether they used codes for it.
    private static func expectExact(_ database: VectorDatabase, usesCodes: Bool) async throws {
        let snapshot = try await database.snapshot()
        for query in queries {
            let explanation = try await snapshot.explain(query, k: 10)
            #expect(explanation.plan == (usesCodes ? "codes" : "scan"))
            let all = try await snapshot.search(query, k: snapshot.count)
            #expect(try await snapshot.search(query, k: 10) == Array(all.prefix(10)))
            #expect(explanation.hits == Array(all.prefix(10)))
        }
    }

    @Test("Codes that are there are used, and nothing is written", arguments: Setting.Backing.allCases)
    func used(_ backing: Setting.Backing) async throws {
        let directory = try await Self.filled(coded: true, backing)
        let before = backing == .disk ? try directory.contents() : [:]
        try await directory.open { store async throws in
            let database = try await store.database("a")
            let idle = try await database.statistics()
            #expect(idle.codingState == .idle && idle.codedCount == Coding.rowCount)
            let statistics = try await Self.settle(database)
            #expect(statistics.codingState == .complete && statistics.codingProgress == 1)
            #expect(statistics.codedCount == Coding.rowCount && statistics.codeByteCount == idle.codeByteCount)
            #expect(try await Coding.wrongSlots(database) == [])
            try await Self.expectExact(database, usesCodes: true)
            try await store.expectSound()
        }
        if backing == .disk { #expect(try directory.contents() == before) }
    }

    @Test("While codes are verified statistics are of one moment: nobody is told that no more will come")
    func statuses() async throws {
        let directory = try await Self.filled(coded: true)
        for _ in 0..<150 {
            try await directory.open { store async throws in
                let database = try await store.database("a")
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 {
                        group.addTask {
                            while true {
                                let statistics = try await database.statistics()
                                #expect(statistics.codeByteCount > 0)
                                if [.idle, .encoding].contains(statistics.codingState) { continue }
                                #expect(statistics.codingState == .complete)
                                #expect(statistics.codedCount == Coding.rowCount)
                                break
                            }
                        }
                    }
                    group.addTask { _ = try await database.search(Self.queries[0], k: 1) }
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test("Where there are none, none are made, and nobody goes on asking")
    func absent() async throws {
        let directory = try await Self.filled(coded: false)
        try await directory.open { store async throws in
            let database = try await store.database("a")
            let statistics = try await Self.settle(database)
            #expect(statistics.codingState == .idle && statistics.codingProgress == nil)
            #expect(statistics.codedCount == 0 && statistics.codeByteCount == 0)
            try await Self.expectExact(database, usesCodes: false)
            #expect(try await database.snapshot().codeStore.phase == .settled)
            #expect(throws: FileSystemError.self) { try database.store.context.fileSystem.open(Self.path, .read) }
        }
    }

    @Test("Codes that do not match their checksums are not used; the check names them", arguments: [false, true])
    func damaged(checksFirst: Bool) async throws {
        let directory = try await Self.filled(coded: true)
        let memory = directory.memory!
        let file = try memory.open(Self.path, .readWrite)
        let front = try file.readBytes(count: CodeFileHeader.centreOffset, at: 0)
        let size = try file.size()
        let header = try unsafe front.withUnsafeBytesTyped { (raw) throws(FormatError) in
            try unsafe CodeFileHeader.newest(raw, fileSize: size)
        }
        let damagedSlots = [0, 5, 127, 128, 700, Coding.rowCount - 1]
        for slot in damagedSlots {
            let place = header.place(ofSlot: slot, stride: header.highStride, table: 0)
            let byte = try file.readBytes(count: 1, at: place)[0]
            try file.writeBytes([byte ^ 0x11], at: place)
        }
        try await directory.open { store async throws in
            let database = try await store.database("a")
            if checksFirst { try await Self.expectReported(damagedSlots.count, store) }
            let statistics = try await Self.settle(database)
            #expect(statistics.codingState == .partial && statistics.codesMended == 0)
            #expect(statistics.codedCount == Coding.rowCount - damagedSlots.count)
            #expect(try await Coding.wrongSlots(database) == [])
            try await Self.expectExact(database, usesCodes: true)
            try await Self.expectReported(damagedSlots.count, store)
        }
        // A store that may write makes them anew.
        directory.configuration.access = .readWrite
        try await directory.database { database async throws in
            try await Coding.finish(database)
            #expect(try await database.statistics().codesMended == UInt64(damagedSlots.count))
        }
    }

    private static func expectReported(_ count: Int, _ store: VectorStore) async throws {
        let damages = try await store.check().databases.flatMap(\.damages)
        #expect(damages.map(\.kind) == ["codes"] && damages.first?.ids.count == count)
        #expect(damages.first?.message.contains("opened for writing") == true)
    }

    @Test("Where all codes are wrong, none are in use")
    func allWrong() async throws {
        let directory = try await Self.filled(coded: true)
        let file = try directory.memory!.open(Self.path, .readWrite)
        for offset in stride(from: UInt64(65_536), to: try file.size(), by: 8) {
            let bytes = try file.readBytes(count: 8, at: offset)
            try file.writeBytes(bytes.map { ~$0 }, at: offset)
        }
        try await directory.open { store async throws in
            let database = try await store.database("a")
            let statistics = try await Self.settle(database)
            #expect(statistics.codingState == .idle && statistics.codedCount == 0)
            let snapshot = try await database.snapshot()
            for query in Self.queries {
                let all = try await snapshot.search(query, k: snapshot.count)
                #expect(try await snapshot.search(query, k: 10) == Array(all.prefix(10)))
            }
            try await Self.expectReported(100, store)
        }
    }

    @Test("Codes that cannot be read are left out, others are used")
    func unreadable() async throws {
        let directory = try await Self.filled(coded: true)
        // Opening takes two reads; of those that verify pages some fail, and are tried again in vain.
        let reads = Box(0)
        let disk = HookedFileSystem(directory.memory!)
        disk.set { (call, path) throws(FileSystemError) in
            guard call == .read, path == Self.path else { return }
            reads.update { $0 += 1 }
            if (8..<14).contains(reads.value) {
                throw FileSystemError(code: EIO, call: call, path: path.description)
            }
        }
        directory.configuration.environment.fileSystem = { _ in disk }
        try await directory.open { store async throws in
            let database = try await store.database("a")
            _ = try await database.search(Self.queries[0], k: 1)
            let codes = try await database.snapshot().codeStore
            while [.requested, .open].contains(codes.phase) { await Task.yield() }
            let statistics = try await database.statistics()
            #expect(statistics.codingState == .partial && statistics.codingFailures == 0)
            #expect((1..<Coding.rowCount).contains(statistics.codedCount) && reads.value >= 14)
            try await Self.expectExact(database, usesCodes: true)
        }
    }

    @Test("Codes that change under a store that reads them are reported, and not used any more")
    func changed() async throws {
        // Nobody may do that; a disk can.
        let directory = try await Self.filled(coded: true, .disk)
        try await directory.open { store async throws in
            let database = try await store.database("a")
            #expect(try await Self.settle(database).codingState == .complete)
            let view = try #require(try await database.snapshot().codes)
            // As if the page had been read again from a disk that lost a bit: mappings here are private.
            let place = unsafe UnsafeMutableRawPointer(mutating: view.highRows(chunk: 0))
            unsafe place.storeBytes(of: place.load(as: UInt8.self) ^ 1, as: UInt8.self)
            try await Self.expectReported(1, store)
            let after = try await database.statistics()
            #expect(after.codingState == .partial && after.codedCount == Coding.rowCount - 1)
            try await Self.expectExact(database, usesCodes: true)
        }
    }

    @Test("A file that is useless, or a newer release's, is left alone", arguments: [true, false])
    func useless(isNewer: Bool) async throws {
        let directory = try await Self.filled(coded: true)
        let file = try directory.memory!.open(Self.path, .readWrite)
        if isNewer {
            for copy in 0..<2 {
                var page = try file.readBytes(count: 4_096, at: UInt64(copy * 4_096))
                page[4] = 9
                page[6] = 9
                let seed = CodeFileHeader.checksumSeed(copy: copy)
                let checksum = unsafe page[..<4_092].withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: seed) }
                unsafe withUnsafeBytes(of: checksum) { unsafe page.replaceSubrange(4_092..<4_096, with: $0) }
                try file.writeBytes(page, at: UInt64(copy * 4_096))
            }
        } else {
            try file.writeBytes([UInt8](repeating: 0xAA, count: 8_192), at: 0)
        }
        try await directory.open { store async throws in
            let database = try await store.database("a")
            let statistics = try await Self.settle(database)
            #expect(statistics.codingState == (isNewer ? .off : .idle) && statistics.codedCount == 0)
            #expect(statistics.codingFailures == 0)
            try await Self.expectExact(database, usesCodes: false)
        }
    }

    @Test("A database that is closed to make room for others has its codes again when it is searched again")
    func evicted() async throws {
        let directory = try await Self.filled(coded: true)
        directory.configuration.access = .readWrite
        try await directory.open { store async throws in
            _ = try await store.createDatabase("b", options: DatabaseOptions(dimension: 2)).count()
        }
        directory.configuration.access = .readOnly
        directory.configuration.maximumOpenFiles = 1
        try await directory.open { store async throws in
            let database = try await store.database("a")
            for _ in 0..<3 {
                #expect(try await Self.settle(database).codingState == .complete)
                #expect(try await store.database("b").count() == 0)
                #expect(try await store.statistics().openFiles == 1)
            }
        }
    }
}
