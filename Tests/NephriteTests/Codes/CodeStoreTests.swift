// Codes over the life of a database: made when it is searched, following what is written, kept when it is closed.
import Foundation
import StorageFormat
import StorageIO
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct CodeStoreTests {
    private static let options = DatabaseOptions(dimension: Coding.dimension)

    @Test(
        "A database that is searched has all its vectors encoded, and its file is on disk",
        arguments: Setting.Backing.allCases)
    func encodes(_ backing: Setting.Backing) async throws {
        let directory = Coding.store(backing)
        try await directory.database(Self.options) { database async throws in
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            let before = try await database.statistics()
            #expect(before.codingProgress == nil && before.codedCount == 0 && before.codeByteCount == 0)
            #expect(before.quantization == .automatic)
            try await Coding.finish(database)
            let after = try await database.statistics()
            #expect(after.codedCount == Coding.rowCount && after.codeByteCount > 0 && after.codingFailures == 0)
            #expect(try await Coding.wrongSlots(database) == [])
            let view = try #require(try await database.snapshot().codes)
            #expect(view.chunkSlotCount == 128 && view.slotCapacity >= Coding.rowCount)
            #expect(view.codec.centre.count == Coding.dimension)
        }
        if backing == .disk {
            let bytes = try Data(contentsOf: directory.url("a/vectors.codes"))
            #expect(bytes.count % 65_536 == 0 && Array(bytes.prefix(4)) == Array("NCOD".utf8))
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("The centre is the mean of a sample: of all rows where they are few")
    func centre() async throws {
        let directory = Coding.store()
        try await directory.database(Self.options) { database async throws in
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            try await Coding.finish(database)
            let view = try #require(try await database.snapshot().codes)
            for component in 0..<Coding.dimension {
                let mean =
                    (0..<Coding.rowCount).reduce(0.0) { $0 + Double(testVector($1, Coding.dimension)[component]) }
                    / Double(Coding.rowCount)
                #expect(abs(Double(view.codec.centre[component]) - mean) < 1e-6)
            }
        }
    }

    @Test("What is written after the first search gets its code in the background, updates and deletes included")
    func follows() async throws {
        let directory = Coding.store()
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: Self.options)
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            try await Coding.finish(database)
            for round in 1..<6 {
                try await Coding.write(round * 7..<round * 150, round: round, to: database)
                try await database.delete((0..<20).map { Coding.id($0 + round * 31) })
                // Space is used again only after a checkpoint.
                try await store.checkpoint()
                #expect(try await Coding.wrongSlots(database) == [])
                try await Coding.finish(database)
                #expect(try await Coding.wrongSlots(database) == [])
            }
            try await store.expectSound()
        }
    }

    @Test("A slot that is handed out again has no code until its new vector is encoded")
    func reuse() async throws {
        // The row of the new record would be ruled out by the code of the old one: an exact search would miss it.
        let directory = Coding.store()
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: Self.options)
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            try await Coding.finish(database)
            let view = try #require(try await database.snapshot().codes)
            try await Coding.write(0..<64, round: 1, to: database)
            try await Coding.finish(database)
            #expect(view.codedWord(0) == .max)
            try await store.checkpoint()
            // The first slots are free now. From the moment they hold something else they have no code, or the right one.
            for round in 2..<40 {
                try await Coding.write(round..<(round + 1), round: round, to: database)
                #expect(try await Coding.wrongSlots(database) == [])
            }
            try await store.expectSound()
        }
    }

    @Test("An older snapshot goes on with the codes of what it shows")
    func snapshots() async throws {
        let directory = Coding.store()
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: Self.options)
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            let old = try await database.snapshot()
            try await Coding.finish(database)
            #expect(old.codedCount() == Coding.rowCount)
            for round in 1..<4 {
                try await Coding.write(0..<Coding.rowCount, round: round, to: database)
                try await store.checkpoint()
                try await Coding.finish(database)
            }
            #expect(old.codedCount() == Coding.rowCount)
            #expect(CodeCheck(snapshot: old).wrongSlots() == [])
        }
    }

    @Test("A store that was closed has its codes when it is opened again, and encodes only what is new")
    func reopens() async throws {
        let directory = Coding.store()
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        try await directory.database(Self.options) { database async throws in
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            try await Coding.finish(database)
        }
        let counter = CallCounter(suffix: "vectors.codes")
        hooked.set(counter.hook)
        try await directory.database { database async throws in
            #expect(try await database.count() == Coding.rowCount)
            #expect(counter.count(.open) == 0, "opening a database does not look at its codes")
            let statistics = try await database.statistics()
            #expect(statistics.codedCount == Coding.rowCount && statistics.codeByteCount > 65_536)
            #expect(statistics.codingProgress == nil, "they are not in use")
            _ = try await database.search(testVector(0, Coding.dimension), k: 1)
            try await Coding.finish(database)
            #expect(try await Coding.wrongSlots(database) == [])
            #expect(counter.count(.write) == 0)
            try await Coding.write(5..<9, round: 1, to: database)
            try await Coding.finish(database)
            #expect((3...12).contains(counter.count(.write)))
        }
        // A life in which nobody searches, and slots are used again: the file says nothing about them.
        try await directory.open { store async throws in
            let database = try await store.database("a")
            for round in 2..<5 {
                try await Coding.write(0..<400, round: round, to: database)
                try await store.checkpoint()
            }
        }
        hooked.set(nil)
        try await directory.database { database async throws in
            try await Coding.finish(database)
            #expect(try await Coding.wrongSlots(database) == [])
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("Coding goes on behind what was coded when the store was closed")
    func partial() async throws {
        let directory = Coding.store()
        let count = 40_000
        try await directory.database(Self.options) { database async throws in
            try await Coding.write(0..<count, round: 0, to: database)
            let query = testVector(1, Coding.dimension)
            while try await Coding.codedCount(database) < 2_000 {
                _ = try await database.search(query, k: 1)
                await Task.yield()
            }
        }
        let bytes = try directory.memory!.bytes("a", "vectors.codes", count: CodeFileHeader.centreOffset)
        let header = try unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
            try unsafe CodeFileHeader.newest(bytes, fileSize: .max)
        }
        #expect(header.codedSlotCount >= 2_000)
        try await directory.database { database async throws in
            try await Coding.finish(database)
            #expect(try await Coding.wrongSlots(database) == [])
            #expect(try await Coding.codedCount(database) == count)
        }
    }

    @Test("No codes where the option says never, also after reopening, and none for what is small")
    func never() async throws {
        let directory = Coding.store()
        let options = DatabaseOptions(dimension: Coding.dimension, quantization: .none)
        for _ in 0..<2 {
            try await directory.database(options) { database async throws in
                #expect(database.options.quantization == .none)
                try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
                for _ in 0..<20 { _ = try await database.search(testVector(0, Coding.dimension), k: 1) }
                #expect(try await database.snapshot().codes == nil)
                let statistics = try await database.statistics()
                #expect(statistics.quantization == .none && statistics.codingProgress == nil)
            }
        }
        try await directory.open { store async throws in
            let small = try await store.createDatabase("small", options: Self.options)
            try await Coding.write(0..<CodeStore.minimumRowCount - 1, round: 0, to: small)
            _ = try await small.search(testVector(0, Coding.dimension), k: 1)
            #expect(try await small.snapshot().codes == nil)
            try await Coding.write(CodeStore.minimumRowCount - 1..<CodeStore.minimumRowCount, round: 0, to: small)
            try await Coding.finish(small)
        }
        #expect(throws: FileSystemError.self) { try directory.memory!.open(StoragePath("a", "vectors.codes"), .read) }
    }

    @Test("Codes can be switched off and on; what was switched is durable, and an existing database is encoded")
    func switching() async throws {
        let directory = Coding.store()
        let path = StoragePath("a", CodeFile.name)
        try await directory.database(Self.options) { database async throws in
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            try await Coding.finish(database)
            let old = try await database.snapshot()
            let view = try #require(old.codes)
            try await database.setQuantization(.none)
            #expect(database.options.quantization == .none && old.options.quantization == .none)
            #expect(old.codes == nil)
            #expect(throws: FileSystemError.self) { try directory.memory!.open(path, .read) }
            // A search that is under way goes on with what it has.
            #expect(view.codedWord(0) == .max)
            #expect(unsafe view.highRows(chunk: 0).load(as: UInt64.self) != 0)
            try await Coding.write(0..<300, round: 1, to: database)
            _ = try await database.search(testVector(0, Coding.dimension), k: 1)
            #expect(try await database.statistics().codingProgress == nil)
        }
        try await directory.database { database async throws in
            #expect(database.options.quantization == .none)
            _ = try await database.search(testVector(0, Coding.dimension), k: 1)
            #expect(try await database.snapshot().codes == nil)
            try await database.setQuantization(.automatic)
            try await database.setQuantization(.automatic)
            try await Coding.finish(database)
            #expect(try await Coding.wrongSlots(database) == [])
        }
        try await directory.open { store async throws in
            let database = try await store.database("a")
            #expect(database.options.quantization == .automatic)
            try await Coding.finish(database)
            try await store.expectSound()
            try await store.dropDatabase("a")
            await expectError(.databaseNotFound) { try await database.setQuantization(.none) }
        }
    }

    @Test("A catalogue that cannot be written leaves the option as it was")
    func failedSwitch() async throws {
        let directory = Coding.store()
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        try await directory.database(Self.options) { database async throws in
            hooked.fail([.write], with: ENOSPC, under: "CATALOG")
            await expectError(.diskFull) { try await database.setQuantization(.none) }
            hooked.set(nil)
            #expect(database.options.quantization == .automatic)
        }
        try await directory.database { database async throws in
            #expect(database.options.quantization == .automatic)
        }
    }

    @Test("A crash recovers the option with the database it was created with")
    func optionSurvives() throws {
        let disk = SimulatedFileSystemWithOption.make()
        let options = try disk.get()
        #expect(options == [.none, .automatic])
    }

    @Test("Dropping a database removes its codes; one of the same name begins without")
    func drop() async throws {
        let directory = Coding.store()
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: Self.options)
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            let kept = try await database.snapshot()
            try await Coding.finish(database)
            try await Coding.write(0..<Coding.rowCount, round: 1, to: database)
            try await store.dropDatabase("a")
            #expect(CodeCheck(snapshot: kept).wrongSlots() == [])
            #expect(throws: FileSystemError.self) {
                try directory.memory!.open(StoragePath("a", "vectors.codes"), .read)
            }
            let again = try await store.createDatabase("a", options: Self.options)
            try await Coding.write(0..<Coding.rowCount, round: 2, to: again)
            try await Coding.finish(again)
            #expect(try await Coding.wrongSlots(again) == [])
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("Databases are closed to make room for others while they are encoded")
    func eviction() async throws {
        let directory = Coding.store()
        directory.configuration.maximumOpenFiles = 2
        let names = ["a", "b", "c", "d"]
        try await directory.open { store async throws in
            for name in names {
                let database = try await store.createDatabase(name, options: Self.options)
                try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            }
            for round in 1..<12 {
                for name in names {
                    let database = try await store.database(name)
                    _ = try await database.search(testVector(round, Coding.dimension), k: 3)
                    try await Coding.write(round * 10..<round * 30, round: round, to: database)
                    #expect(try await Coding.wrongSlots(database) == [])
                }
            }
            #expect(try await store.statistics().evictions > 20)
            for name in names { try await Coding.finish(try await store.database(name)) }
            try await store.expectSound()
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("A code that is damaged on disk is found by the check, and made anew")
    func damagedCode() async throws {
        let directory = Coding.store()
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: Self.options)
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            try await Coding.finish(database)
            try await store.expectSound()
            let file = try directory.memory!.open(StoragePath("a", "vectors.codes"), .readWrite)
            try file.writeBytes([1, 2, 3, 4, 5, 6, 7, 8], at: 65_536 + 3 * 16)
            let report = try await store.check()
            #expect(report.databases.first?.damages.map(\.kind) == ["codes"])
            #expect(report.databases.first?.damages.first?.ids.count == 1)
            try await Coding.finish(database)
            try await store.expectSound()
        }
        try await directory.database { database async throws in
            try await Coding.finish(database)
            #expect(try await Coding.wrongSlots(database) == [])
        }
    }
}

extension MemoryFileSystem {
    /// The first bytes of a file.
    func bytes(_ directory: String, _ name: String, count: Int) throws -> [UInt8] {
        try open(StoragePath(directory, name), .read).readBytes(count: count, at: 0)
    }
}
