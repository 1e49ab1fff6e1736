// Encoding on demand, with progress, where there is room and where there is not.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct CodingProgressTests {
    private static let path = StoragePath("a", CodeFile.name)

    /// Fills a disk up to a rest; returns what frees the space again.
    private static func fill(_ disk: MemoryFileSystem, but rest: Int) throws -> () throws -> Void {
        let path = StoragePath("wal", "filler")
        let available = Int(try #require(disk.availableByteCount))
        let file = try disk.open(path, .createNew)
        try file.allocate(offset: 0, length: UInt64(available - rest))
        return {
            try file.close()
            try disk.unlink(path)
        }
    }

    /// The statuses until encoding ends.
    private static func encode(_ database: VectorDatabase) async throws -> [CodingStatus] {
        var statuses: [CodingStatus] = []
        for try await status in database.encodeVectors() { statuses.append(status) }
        return statuses
    }

    @Test("Codes are switched on for a database that is there, encoded without a search, and kept")
    func existing() async throws {
        let directory = Coding.store()
        // By its size alone nobody would encode it.
        directory.configuration.quantizationByteThreshold = 1 << 30
        let options = DatabaseOptions(dimension: Coding.dimension, quantization: .none)
        try await directory.database(options) { database async throws in
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            #expect(try await Self.encode(database).map(\.state) == [.off])
            try await database.setQuantization(.automatic)
            #expect(try await database.statistics().codingState == .idle)
            let statuses = try await Self.encode(database)
            #expect(statuses.dropLast().allSatisfy { $0.state == .encoding })
            let wanted = CodingStatus(state: .complete, codedCount: Coding.rowCount, recordCount: Coding.rowCount)
            #expect(statuses.last == wanted)
            #expect(zip(statuses, statuses.dropFirst()).allSatisfy { $0.codedCount <= $1.codedCount })
            #expect(try await database.statistics().codingState == .complete)
            #expect(try await Coding.wrongSlots(database) == [])
        }
        try await directory.database { database async throws in
            #expect(database.options.quantization == .automatic)
            let statistics = try await database.statistics()
            #expect(statistics.codingState == .idle && statistics.codedCount == Coding.rowCount)
            #expect(try await Self.encode(database).last?.state == .complete)
            #expect(try await database.statistics().codesMended == 0)
        }
    }

    @Test("Nothing is encoded in a store that is only read; its codes are verified, and nobody waits for more")
    func readOnlyEncoding() async throws {
        let directory = Coding.store()
        try await directory.database(DatabaseOptions(dimension: Coding.dimension)) { database async throws in
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            #expect(try await Self.encode(database).last?.state == .complete)
        }
        directory.configuration.access = .readOnly
        try await directory.open { store async throws in
            let database = try await store.database("a")
            // Those that are there are verified, without a search.
            let wanted = CodingStatus(state: .complete, codedCount: Coding.rowCount, recordCount: Coding.rowCount)
            for _ in 0..<2 { #expect(try await Self.encode(database).last == wanted) }
            #expect(try await database.search(testVector(1, Coding.dimension), k: 3).count == 3)
        }
    }

    @Test("Switching codes on begins to encode where it is worth it, without a search")
    func begins() async throws {
        let directory = Coding.store()
        let options = DatabaseOptions(dimension: Coding.dimension, quantization: .none)
        try await directory.database(options) { database async throws in
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            try await database.setQuantization(.automatic)
            while try await database.statistics().codingState != .complete { await Task.yield() }
        }
    }

    @Test("A database of few records is left as it is")
    func few() async throws {
        let directory = Coding.store()
        try await directory.database(DatabaseOptions(dimension: Coding.dimension)) { database async throws in
            try await Coding.write(0..<CodeStore.minimumRowCount - 1, round: 0, to: database)
            let statuses = try await Self.encode(database)
            #expect(statuses.map(\.state) == [.idle] && statuses[0].recordCount == CodeStore.minimumRowCount - 1)
        }
    }

    @Test("Switching codes off removes their file even where the database is not open")
    func removesFileOfClosedDatabase() async throws {
        let directory = Coding.store()
        directory.configuration.maximumOpenFiles = 1
        try await directory.open { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: Coding.dimension))
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            #expect(try await Self.encode(database).last?.state == .complete)
            // Makes room for itself.
            _ = try await store.createDatabase("b", options: DatabaseOptions(dimension: 2)).count()
            #expect(try await store.statistics().openFiles == 1)
            _ = try directory.memory!.open(Self.path, .read)
            try await database.setQuantization(.none)
            #expect(throws: FileSystemError.self) { try directory.memory!.open(Self.path, .read) }
        }
    }

    @Test("A store that is opened for reading only keeps its option")
    func readOnly() async throws {
        let directory = Coding.store()
        try await directory.database(DatabaseOptions(dimension: Coding.dimension)) { database async throws in
            try await Coding.write(0..<10, round: 0, to: database)
        }
        directory.configuration.access = .readOnly
        try await directory.database { database async throws in
            await expectError(.readOnly) { try await database.setQuantization(.none) }
            #expect(database.options.quantization == .automatic)
        }
    }

    @Test("An option that was switched survives a machine that stops at once")
    func crash() throws {
        let disk = SimulatedFileSystem()
        let images = Box<[SimulatedFileSystem]>([])
        try Simulation.run(disk) { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 2))
            for mode in [Quantization.none, .automatic, .none] {
                try await database.setQuantization(mode)
                images.update { $0.append(disk.crashImage(.loseAll)) }
            }
        }
        let found = try images.value.map { image in
            try Simulation.run(image) { store in try await store.databases().map(\.options.quantization) }
        }
        #expect(found == [[.none], [.automatic], [.none]])
    }

    @Test("A disk with little room is left to others; what is asked for again when there is room, is made")
    func littleRoom() async throws {
        let directory = Coding.store(.memory, capacity: 40 << 20)
        directory.configuration.logSegmentByteCount = 256 << 10
        try await directory.open { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: Coding.dimension))
            try await Coding.write(0..<20_000, round: 0, to: database)
            try await store.checkpoint()
            // 157 chunks of 64 KiB would take more than half of what is left.
            let freeSpace = try Self.fill(directory.memory!, but: 16 << 20)
            let statuses = try await Self.encode(database)
            #expect(statuses.last == CodingStatus(state: .waitingForSpace, codedCount: 0, recordCount: 20_000))
            let statistics = try await database.statistics()
            #expect(statistics.codingState == .waitingForSpace && statistics.codingFailures == 1)
            #expect(statistics.codingProgress == nil && statistics.codeByteCount == 0)
            #expect(throws: FileSystemError.self) { try directory.memory!.open(Self.path, .read) }
            // Searches go on, and do not ask again at once.
            #expect(try await database.search(testVector(3, Coding.dimension), k: 1).map(\.id) == ["r3"])
            #expect(try await database.statistics().codingState == .waitingForSpace)
            try freeSpace()
            #expect(try await Self.encode(database).last?.state == .complete)
            #expect(try await Coding.wrongSlots(database) == [])
            try await store.expectSound()
        }
    }

    @Test("Codes that there is no more room for stay in use as they are, and follow when there is room")
    func noMoreRoom() async throws {
        let directory = Coding.store(.memory, capacity: 64 << 20)
        directory.configuration.logSegmentByteCount = 256 << 10
        try await directory.open { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: Coding.dimension))
            try await Coding.write(0..<20_000, round: 0, to: database)
            #expect(try await Self.encode(database).last?.state == .complete)
            let freeSpace = try Self.fill(directory.memory!, but: 4 << 20)
            // 40 chunks: 2.5 MiB of 4.
            try await Coding.write(20_000..<25_000, round: 0, to: database)
            var state = CodingState.encoding
            while state == .encoding { state = try await #require(Self.encode(database).last).state }
            #expect(state == .waitingForSpace)
            let view = try #require(try await database.snapshot().codes)
            #expect(view.slotCapacity >= 20_000 && view.slotCapacity < 25_000)
            #expect(try await Coding.codedCount(database) >= 20_000)
            // Slots that are used again while nobody encodes.
            try await Coding.write(0..<500, round: 1, to: database)
            try await store.checkpoint()
            try await Coding.write(0..<500, round: 2, to: database)
            #expect(try await Coding.wrongSlots(database) == [])
            try freeSpace()
            #expect(try await Self.encode(database).last?.state == .complete)
            #expect(try await Coding.wrongSlots(database) == [])
            try await store.expectSound()
        }
        try await directory.open { store in
            let database = try await store.database("a")
            try await Coding.finish(database)
            #expect(try await database.statistics().codesMended == 0)
            try await store.expectSound()
        }
    }

    @Test("A full disk is asked again by searches, but not before some time has passed")
    func retries() throws {
        let disk = SimulatedFileSystem()
        try Simulation.run(disk, CodeCrashTests.settings(1)) { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: Coding.dimension))
            try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            try await store.checkpoint()
            disk.setCapacity(byteCount: 1)
            #expect(try await Self.encode(database).last?.state == .waitingForSpace)
            disk.setCapacity(byteCount: nil)
            let clock = database.store.context.configuration.environment.clock
            for _ in 0..<10 {
                _ = try await database.search(testVector(1, Coding.dimension), k: 1)
                try await clock.sleep(nanoseconds: CodeStore.retryNanoseconds / 20)
            }
            #expect(try await database.statistics().codingState == .waitingForSpace)
            #expect(try await database.statistics().codingFailures == 1)
            try await clock.sleep(nanoseconds: CodeStore.retryNanoseconds)
            try await Coding.finishAgain(database)
            #expect(try await Coding.wrongSlots(database) == [])
        }
    }
}

extension Coding {
    /// As ``finish(_:)``, after failures.
    static func finishAgain(_ database: VectorDatabase) async throws {
        let clock = database.store.context.configuration.environment.clock
        repeat {
            _ = try await database.search(testVector(1, dimension), k: 1)
            try await clock.sleep(nanoseconds: 1_000_000)
        } while try await database.statistics().codingState != .complete
    }
}
