// The log at its edges: a segment that cannot be sealed, commits that wait behind one that fails, notes that do not fit, and
// changes of the catalogue that the log or the disk refuses.
import Foundation
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct LogFaultTests {
    private static let relaxed = DatabaseOptions(dimension: 3, durability: .relaxed(every: .seconds(3_600)))

    /// A store in memory with small segments, behind hooks.
    private func hooked() -> (TestStore, HookedFileSystem) {
        let directory = TestStore()
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        directory.configuration.logSegmentByteCount = 64 << 10
        directory.configuration.checkpointInterval = .seconds(3_600)
        return (directory, hooked)
    }

    /// A record whose commit takes about so many bytes of the log.
    private static func record(_ id: String, _ seed: Int, byteCount: Int) -> VectorRecord {
        VectorRecord(
            id: id, vector: testVector(seed, 3), metadata: ["text": .string(String(repeating: "x", count: byteCount))])
    }

    /// Makes the next write to the log fail, and no other; the answer counts the writes since.
    private func failOnce(_ hooked: HookedFileSystem, with code: Int32) -> Box<Int> {
        let writes = Box(0)
        hooked.set { (call, path) throws(FileSystemError) in
            guard call == .write, path.description.hasPrefix("wal/") else { return }
            let count = writes.update { count -> Int in
                count += 1
                return count
            }
            if count == 1 { throw FileSystemError(code: code, call: call, path: path.description) }
        }
        return writes
    }

    /// Has one write to the log fail for want of space while `body` runs, until it is one that `body` waits for and not a note;
    /// the code of the error that `body` throws then.
    private func refusal(_ hooked: HookedFileSystem, _ body: () async throws -> Void) async throws -> StoreError.Code? {
        for _ in 0..<50 {
            _ = failOnce(hooked, with: ENOSPC)
            do {
                try await body()
            } catch let error as StoreError {
                return error.code
            }
        }
        return nil
    }

    /// Returns when the log's task has written the notes that follow upon what was written before.
    private func settle(_ store: VectorStore) async throws {
        for _ in 0..<3 { try await store.flush() }
    }

    /// Makes a database's file large enough for what follows to be one commit each, and begins a segment.
    private func grow(_ database: VectorDatabase) async throws {
        for index in 0..<5 { try await database.upsert(Self.record("p\(index)", index, byteCount: 60_000)) }
        try await database.upsert(testRecord("warm", 1))
    }

    @Test(
        "Of relaxed writes, those in segments that are full survive a loss of power: a segment is synced before the next one"
    )
    func sealsRelaxedSegments() async throws {
        let disk = SimulatedFileSystem()
        var configuration = simulatedConfiguration(disk, segmentByteCount: 64 << 10)
        configuration.checkpointInterval = .seconds(3_600)
        let image = try await withVectorStore(at: "simulated", configuration: configuration) { store in
            let database = try await store.createDatabase("a", options: Self.relaxed)
            // The sixth begins the second segment at the latest.
            for index in 0..<6 { try await database.upsert(Self.record("r\(index)", index, byteCount: 12_000)) }
            let segments = try disk.list(StoragePath("wal")).filter { $0.name.hasSuffix(".wal") }
            #expect(segments.count > 1)
            return disk.crashImage(.keepPrefix(0))
        }
        configuration.environment.fileSystem = { _ in image }
        try await withVectorStore(at: "simulated", configuration: configuration) { store in
            let ids = try await store.database("a").allIDs()
            #expect(ids.contains("r0") && ids.contains("r3"))
            try await store.expectSound()
        }
    }

    @Test(
        "A segment that cannot be synced when it is full: the write that needs the next one is refused, and writing stops"
    )
    func failedSeal() async throws {
        let (directory, hooked) = hooked()
        await expectError(.fenced) {
            try await directory.open { store async throws in
                let database = try await store.createDatabase("a", options: Self.relaxed)
                try await grow(database)
                try await database.upsert(Self.record("before", 1, byteCount: 30_000))
                hooked.fail([.synchronizeData], with: EIO, under: "wal/")
                // It is certain that it is not in the log.
                let error = await expectError(.fenced) {
                    try await database.upsert(Self.record("refused", 2, byteCount: 40_000))
                }
                #expect(error?.errorNumber == EIO)
                hooked.set(nil)
                await expectError(.fenced) { try await database.delete("before") }
                await expectError(.fenced) { try await database.setQuantization(.none) }
                #expect(try await database.contains("before"))
            }
        }
        try await directory.open { store async throws in
            let ids = try await Set(store.database("a").allIDs())
            #expect(ids.contains("before") && !ids.contains("refused"))
            try await store.expectSound()
        }
    }

    @Test(
        "Commits that wait for the next segment behind one whose sync fails are refused; that one's outcome is unknown")
    func waitingBehindFailure() async throws {
        let (directory, hooked) = hooked()
        let gate = Gate()
        let syncs = Box(0)
        await expectError(.fenced) {
            try await directory.open { store async throws in
                let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
                try await grow(database)
                let queue = database.store.context.log.queue
                let start = queue.lastLSN
                gate.shut()
                // The first sync waits at the gate until the others are in the queue; the second fails.
                hooked.set { (call, path) throws(FileSystemError) in
                    guard call == .synchronizeData, path.description.hasPrefix("wal/") else { return }
                    let count = syncs.update { count -> Int in
                        count += 1
                        return count
                    }
                    if count == 1 { gate.pass() }
                    if count == 2 { throw FileSystemError(code: EIO, call: call, path: path.description) }
                }
                await withTaskGroup(of: (String, StoreError.Code?).self) { group in
                    func appended(_ queue: CommitQueue, _ lsn: UInt64) async {
                        for _ in 0..<100_000 where queue.lastLSN < lsn { await Task.yield() }
                        #expect(queue.lastLSN == lsn)
                    }
                    func write(_ id: String, _ byteCount: Int) {
                        group.addTask {
                            do {
                                try await database.upsert(Self.record(id, 1, byteCount: byteCount))
                                return (id, nil)
                            } catch {
                                return (id, (error as? StoreError)?.code)
                            }
                        }
                    }
                    write("first", 10)
                    await gate.reached()
                    write("second", 30_000)
                    await appended(queue, start + 2)
                    write("third", 40_000)
                    await appended(queue, start + 3)
                    gate.open()
                    var outcomes: [String: StoreError.Code?] = [:]
                    for await (id, code) in group { outcomes[id] = .some(code) }
                    #expect(outcomes == ["first": nil, "second": .outcomeUnknown, "third": .fenced])
                }
            }
        }
        hooked.set(nil)
        try await directory.open { store async throws in
            let ids = try await Set(store.database("a").allIDs())
            #expect(ids.contains("first") && !ids.contains("third"))
        }
    }

    @Test("A note of a checkpoint that the disk has no room for is left out, and writing goes on")
    func notesOnFullDisk() async throws {
        let (directory, hooked) = hooked()
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await database.upsert(testRecord("x", 1))
            try await settle(store)
            let writes = failOnce(hooked, with: ENOSPC)
            try await store.checkpoint()
            for _ in 0..<100_000 where writes.value == 0 { await Task.yield() }
            #expect(writes.value > 0)
            try await database.upsert(testRecord("y", 2))
        }
        try await directory.open { store async throws in
            #expect(try await Set(store.database("a").allIDs()) == ["x", "y"])
            try await store.expectSound()
        }
    }

    @Test("A note that cannot be written for another reason stops writing, but takes nothing back")
    func notesOnFailingDisk() async throws {
        let (directory, hooked) = hooked()
        await expectError(.fenced) {
            try await directory.open { store async throws in
                let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
                try await database.upsert(testRecord("x", 1))
                try await settle(store)
                _ = failOnce(hooked, with: EIO)
                try? await store.checkpoint()
                // The note is written by the log's own task.
                let queue = database.store.context.log.queue
                for _ in 0..<100_000 where queue.failure == nil { await Task.yield() }
                await expectError(.fenced) { try await database.upsert(testRecord("y", 2)) }
                #expect(try await database.contains("x"))
            }
        }
        try await directory.open { opened async throws in #expect(try await opened.database("a").allIDs() == ["x"]) }
    }

    @Test("A database that the log has no room for is not made, and its name is free; one that is to be dropped stays")
    func administrationOnFullDisk() async throws {
        let (directory, hooked) = hooked()
        try await directory.open { store async throws in
            let kept = try await store.createDatabase("kept", options: DatabaseOptions(dimension: 3))
            try await kept.upsert(testRecord("x", 1))
            #expect(
                try await refusal(hooked) {
                    try await store.createDatabase("new", options: DatabaseOptions(dimension: 3))
                    try await store.dropDatabase("new")
                } == .diskFull)
            #expect(
                try await refusal(hooked) {
                    hooked.set(nil)
                    try await store.createDatabase("dropped", options: DatabaseOptions(dimension: 3))
                    try await settle(store)
                    _ = failOnce(hooked, with: ENOSPC)
                    try await store.dropDatabase("dropped")
                } == .diskFull)
            hooked.set(nil)
            // It is there as before, and goes when there is room.
            let dropped = try await store.database("dropped")
            try await dropped.upsert(testRecord("still", 1))
            #expect(try await dropped.allIDs() == ["still"])
            try await store.dropDatabase("dropped")
            #expect(try await store.databases().map(\.name) == ["kept"])
            try await kept.upsert(testRecord("y", 2))
            let new = try await store.createDatabase("new", options: DatabaseOptions(dimension: 2))
            try await new.upsert(VectorRecord(id: "z", vector: [1, 2]))
            let report = try await store.check()
            #expect(report.isSound && report.orphans.isEmpty)
        }
        try await directory.open { store async throws in
            #expect(try await store.databases().map(\.name) == ["kept", "new"])
            #expect(try await store.database("kept").count() == 2)
            try await store.expectSound()
        }
    }

    @Test(
        "A catalogue whose name may not be on disk stops writing; one that could not be written is written next time",
        arguments: [SystemCall.synchronizeDirectory, .write])
    func failedCatalogue(_ call: SystemCall) async throws {
        let (directory, hooked) = hooked()
        func run() async throws {
            try await directory.open { store async throws in
                let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
                try await database.upsert(testRecord("x", 1))
                hooked.fail([call], with: EIO, under: call == .write ? "CATALOG" : "")
                await #expect(throws: StoreError.self) { try await database.setQuantization(.none) }
                #expect(database.options.quantization == .automatic)
                hooked.set(nil)
                if call == .synchronizeDirectory {
                    await expectError(.fenced) { try await database.upsert(testRecord("y", 2)) }
                } else {
                    try await database.setQuantization(.none)
                    try await database.upsert(testRecord("y", 2))
                }
            }
        }
        if call == .synchronizeDirectory { await expectError(.fenced) { try await run() } } else { try await run() }
        try await directory.open { store async throws in
            let database = try await store.database("a")
            #expect(try await database.count() == (call == .write ? 2 : 1))
            #expect(call != .write || database.options.quantization == .none)
            try await store.expectSound()
        }
    }

    @Test("Segments whose removal may not be on disk stop writing")
    func failedRemoval() async throws {
        let (directory, hooked) = hooked()
        await expectError(.fenced) {
            try await directory.open { store async throws in
                let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
                for index in 0..<8 { try await database.upsert(Self.record("r\(index)", index, byteCount: 30_000)) }
                hooked.fail([.synchronizeDirectory], with: EIO, under: "wal")
                // A segment goes when two checkpoints do not need it.
                for index in 0..<3 where database.store.context.log.queue.failure == nil {
                    try? await store.checkpoint()
                    _ = try? await database.upsert(testRecord("x\(index)", index))
                }
                hooked.set(nil)
                await expectError(.fenced) { try await database.upsert(testRecord("y", 2)) }
                #expect(try await database.contains("r7"))
            }
        }
        try await directory.open { store async throws in
            let ids = try await Set(store.database("a").allIDs())
            #expect(ids.isSuperset(of: (0..<8).map { "r\($0)" }) && !ids.contains("y"))
            try await store.expectSound()
        }
    }
}
