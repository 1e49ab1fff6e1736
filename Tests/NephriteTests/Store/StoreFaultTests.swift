// Disks that are full, and calls that fail: a typed error, nothing acknowledged lost, the store usable again (C10, C22, O8).
import Foundation
import StorageIO
import StorageSimulation
import Synchronization
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct StoreFaultTests {
    private func hooked(_ directory: TestStore) -> HookedFileSystem {
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        return hooked
    }

    @Test(
        "Filled to the brim: inserts are refused, all else works, and space that is freed is used again",
        arguments: [1, 1 << 30])
    func fullDisk(_ threshold: Int) async throws {
        let directory = TestStore(.memory, capacity: 6 << 20)
        directory.configuration.bulkByteThreshold = threshold
        directory.configuration.logSegmentByteCount = 256 << 10
        var model: [String: VectorRecord] = [:]
        try await directory.database(DatabaseOptions(dimension: 100)) { database in
            for batch in 0..<1_000 {
                let records = (0..<50).map { testRecord("b\(batch)-\($0)", $0, 100) }
                do {
                    try await database.insert(records)
                    for record in records { model[record.id] = record }
                } catch let error as StoreError {
                    #expect(error.code == .diskFull && !error.remedy.isEmpty, "\(error)")
                    break
                }
            }
            #expect(model.count > 500 && model.count < 50_000)
            #expect(try await database.allContents() == model)
            #expect(try await database.search(testVector(3, 100), k: 1).count == 1)
            // Deleting works on a full disk, and makes room once it is checkpointed.
            let gone = Array(model.keys.sorted().prefix(model.count / 2))
            #expect(try await database.delete(gone) == gone.count)
            for id in gone { model[id] = nil }
        }
        try await directory.open { store async throws in
            let database = try await store.database("a")
            #expect(try await database.allContents() == model)
            let again = (0..<100).map { testRecord("again\($0)", $0, 100) }
            try await database.insert(again)
            for record in again { model[record.id] = record }
            try await store.expectSound()
        }
        try await directory.open { store async throws in
            let contents = try await store.database("a").allContents()
            #expect(contents == model)
        }
    }

    @Test("On a full disk inserts go on to 90 percent of the id directory, and deletes go on")
    func directoryOnFullDisk() async throws {
        // Between 75 and 90 percent an insert asked for room, was told that what there is will do, asked again, for ever.
        let directory = TestStore()
        let hooked = hooked(directory)
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 1))
            try await database.insert(ids: (0..<5_000).map { "r\($0)" }, vectors: (0..<5_000).map { Float($0) })
            let large = try Metadata([("x", .string(String(repeating: "x", count: 30_000)))])
            try await database.insert(
                ids: (5_000..<6_100).map { "r\($0)" }, vectors: (5_000..<6_100).map { Float($0) },
                metadata: [large] + [Metadata](repeating: [:], count: 1_099))
            hooked.set { (call, path) throws(FileSystemError) in
                if call == .allocate, path.description.hasSuffix("jvdb") {
                    throw FileSystemError(code: ENOSPC, call: call, path: path.description)
                }
            }
            var count = 6_100
            while true {
                do {
                    try await database.insert(VectorRecord(id: "r\(count)", vector: [Float(count)]))
                    count += 1
                } catch let error as StoreError {
                    #expect(error.code == .diskFull)
                    break
                }
            }
            #expect(count > 6_144 + 100, "8,192 buckets are 75 percent full at 6,144")
            #expect(try await database.count() == count)
            #expect(try await database.delete("r0"))
            #expect(try await database.delete((1..<50).map { "r\($0)" }) == 49)
            hooked.set(nil)
            try await database.insert(ids: (0..<3_000).map { "n\($0)" }, vectors: (0..<3_000).map { Float($0) })
            #expect(try await database.count() == count - 50 + 3_000)
            try await store.expectSound()
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test(
        "A disk that stays full takes no memory: refused commits are forgotten, transactions over two databases included"
    )
    func refusedForLong() async throws {
        // Each of them was remembered for as long as the store was open.
        let directory = TestStore()
        directory.configuration.logSegmentByteCount = 64 << 10
        let hooked = hooked(directory)
        try await directory.open { store async throws in
            let a = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            let b = try await store.createDatabase("b", options: DatabaseOptions(dimension: 3))
            for database in [a, b] { try await database.upsert(testRecord("x", 1)) }
            hooked.set { (call, path) throws(FileSystemError) in
                if call == .allocate { throw FileSystemError(code: ENOSPC, call: call, path: path.description) }
            }
            var refused = 0
            for index in 0..<3_000 {
                do {
                    if index % 3 > 0 {
                        try await a.upsert(testRecord("x", index))
                    } else {
                        try await store.transaction { tx in
                            try await tx.upsert(testRecord("x", index), into: "a")
                            try await tx.upsert(testRecord("x", index), into: "b")
                        }
                    }
                } catch let error as StoreError where error.code == .diskFull {
                    refused += 1
                }
            }
            #expect(refused > 1_000)
            // The last refusals are forgotten when the log task next finds nothing to do.
            #expect(a.store.context.log.undoneCount.load(ordering: .relaxed) < 100)
            hooked.set(nil)
            try await a.upsert(testRecord("x", 7))
            #expect(try await a.vector(for: "x") == testVector(7, 3))
            try await store.expectSound()
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test(
        "A failed sync: the writer learns that the outcome is unknown, later ones that writing has stopped; reads go on"
    )
    func failedSync() async throws {
        let directory = TestStore()
        let hooked = hooked(directory)
        await expectError(.fenced) {
            try await directory.open { store async throws in
                let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
                try await database.upsert(testRecord("before", 1))
                hooked.fail([.synchronizeData], with: EIO, under: "wal/")
                await expectError(.outcomeUnknown) { try await database.upsert(testRecord("during", 2)) }
                hooked.set(nil)
                let error = await expectError(.fenced) { try await database.upsert(testRecord("after", 3)) }
                #expect(error?.errorNumber == EIO)
                await expectError(.fenced) { try await database.delete("before") }
                await expectError(.fenced) {
                    try await store.createDatabase("b", options: DatabaseOptions(dimension: 3))
                }
                await expectError(.fenced) {
                    _ = try await store.transaction { try await $0.delete("before", from: "a") }
                }
                #expect(try await database.vector(for: "before") == testVector(1, 3))
                #expect(try await database.contains("during") == false)
                #expect(try await database.search([1, 2, 3], k: 5).map(\.id) == ["before"])
            }
        }
        try await directory.open { store async throws in
            let database = try await store.database("a")
            #expect(try await database.vector(for: "before") == testVector(1, 3))
            #expect(try await database.contains("after") == false)
            try await database.upsert(testRecord("after", 3))
            try await store.expectSound()
        }
    }

    @Test("Too many open files: the one that cannot be opened says so, what is open goes on")
    func tooManyOpenFiles() async throws {
        let directory = TestStore()
        let hooked = hooked(directory)
        directory.configuration.maximumOpenFiles = 2
        try await directory.open { store async throws in
            for name in ["a", "b", "c"] {
                try await store.createDatabase(name, options: DatabaseOptions(dimension: 3)).upsert(testRecord("x", 1))
            }
            hooked.fail([.open], with: EMFILE)
            let error = await expectError(.tooManyOpenFiles) { _ = try await store.database("a").count() }
            #expect(error?.database == "a")
            await expectError(.tooManyOpenFiles) {
                try await store.createDatabase("d", options: DatabaseOptions(dimension: 3))
            }
            try await store.database("c").upsert(testRecord("y", 2))
            hooked.set(nil)
            #expect(try await store.database("a").count() == 1)
            try await store.createDatabase("d", options: DatabaseOptions(dimension: 3))
            #expect(try await store.database("c").count() == 2)
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("A read-only disk: opening is refused with the reason", arguments: [EROFS, EACCES])
    func readOnly(_ code: Int32) async throws {
        let directory = TestStore()
        let hooked = hooked(directory)
        try await directory.database { try await $0.upsert(testRecord("a", 1)) }
        hooked.fail([.lock, .write, .createDirectory, .rename, .unlink, .allocate], with: code)
        let error = await expectError(.notWritable) { try await directory.open { _ in } }
        #expect(error?.errorNumber == code)
        hooked.set(nil)
        try await directory.database { database async throws in #expect(try await database.count() == 1) }
    }

    @Test(
        "No room to create a database: nothing of it stays",
        arguments: [SystemCall.createDirectory, .allocate, .write, .rename])
    func failedCreation(_ call: SystemCall) async throws {
        let directory = TestStore()
        let hooked = hooked(directory)
        try await directory.open { store async throws in
            hooked.set { (made, path) throws(FileSystemError) in
                if made == call, path.description.hasPrefix(".creating") {
                    throw FileSystemError(code: ENOSPC, call: made, path: path.description)
                }
            }
            await expectError(.diskFull) { try await store.createDatabase("a", options: DatabaseOptions(dimension: 3)) }
            #expect(try await store.databases() == [])
            hooked.set(nil)
            try await store.createDatabase("a", options: DatabaseOptions(dimension: 3)).upsert(testRecord("a", 1))
        }
        try await directory.open { store async throws in
            #expect(store.recoveryReport?.orphans == [])
            #expect(try await store.database("a").count() == 1)
        }
    }

    @Test(
        "A directory that cannot be listed keeps the store closed, and nothing of it is changed",
        arguments: ["", "wal"])
    func unlistable(_ name: String) async throws {
        let directory = TestStore()
        let hooked = hooked(directory)
        try await directory.database { try await $0.upsert(testRecord("a", 1)) }
        let changes = Box(0)
        hooked.set { (call, path) throws(FileSystemError) in
            if call == .list, path.description == (name.isEmpty ? StoragePath.root.description : name) {
                throw FileSystemError(code: EIO, call: call, path: path.description)
            }
            if [.write, .rename, .unlink, .createDirectory].contains(call) { changes.update { $0 += 1 } }
        }
        let error = await expectError(.inputOutput) { try await directory.open { _ in } }
        #expect(error?.errorNumber == EIO)
        #expect(changes.value == 0)
        hooked.set(nil)
        try await directory.database { database async throws in #expect(try await database.allIDs() == ["a"]) }
    }

    @Test(
        "Memory that is refused while a growth is replayed is an error of the system, not damage",
        arguments: [ENOMEM, EIO])
    func replayedGrowth(_ code: Int32) async throws {
        // The file's header knows of no extent yet, so the bytes behind a bulk reference are mapped in the middle of the replay.
        let disk = SimulatedFileSystem()
        var configuration = simulatedConfiguration(disk)
        configuration.bulkByteThreshold = 1
        let records = (0..<40).map { testRecord("r\($0)", $0, 100) }
        let image = try await withVectorStore(at: "simulated", configuration: configuration) { store in
            try await store.createDatabase("a", options: .init(dimension: 100)).insert(records)
            return disk.processKillImage()
        }
        let hooked = HookedFileSystem(image)
        configuration.environment.fileSystem = { _ in hooked }
        hooked.fail([.map], with: code, under: "a/")
        for _ in 0..<2 {
            let error = await #expect(throws: StoreError.self) {
                try await withVectorStore(at: "simulated", configuration: configuration) { _ in }
            }
            #expect(error?.errorNumber == code && error?.database == "a" && error?.code != .corruption)
        }
        hooked.set(nil)
        try await withVectorStore(at: "simulated", configuration: configuration) { store async throws in
            let contents = try await store.database("a").allContents()
            #expect(contents == Dictionary(uniqueKeysWithValues: records.map { ($0.id, $0) }))
            try await store.expectSound()
        }
    }
}
