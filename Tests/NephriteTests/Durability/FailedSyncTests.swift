// Failed syncs and full disks as the campaign on the real kernel found them (nephrite-torture fsync, full), each as a
// test that needs no kernel.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite struct FailedSyncTests {
    // Of two bulk writes that synced one data file at once, one got the error that the kernel reports once; the other
    // one succeeded, was logged and acknowledged before the first had fenced the store, and was lost.
    @Test("After a sync of a data file has failed no other one succeeds")
    func sticky() throws {
        let disk = SimulatedFileSystem()
        let path = StoragePath("vectors")
        let data = DataFile(file: try disk.open(path, .createNew), fileSystem: disk, stride: 64)
        try data.synchronizeData()
        disk.inject(.fail(call: 1, code: ErrorNumber.inputOutput, calls: [.synchronizeData]))
        for _ in 0..<3 {
            #expect(throws: FileSystemError(code: ErrorNumber.inputOutput, call: .synchronizeData, path: "vectors")) {
                try data.synchronizeData()
            }
        }
        try DataFile(file: try disk.open(path, .readWrite), fileSystem: disk, stride: 64).synchronizeData()
    }

    // On a thinly provisioned disk a sync fails with ENOSPC. Starting a log segment took that for a full disk and went on.
    @Test(
        "A sync that fails for want of space is a failed sync, not a full disk",
        arguments: [SystemCall.synchronizeData, .synchronizeDirectory])
    func noSpace(call: SystemCall) async throws {
        let disk = SimulatedFileSystem()
        var configuration = StoreConfiguration()
        configuration.environment.fileSystem = { _ in disk }
        configuration.addressSpaceReservation = 1 << 20
        configuration.logSegmentByteCount = 64 << 10
        let codes = try? await withVectorStore(at: "store", configuration: configuration) { store in
            let database = try await store.createDatabase("rows", options: DatabaseOptions(dimension: 1024))
            let names = try disk.list(StoragePath("wal")).map(\.name)
            let newest = names.compactMap { SegmentHeader.sequence(fileName: $0) }.max() ?? 0
            let next = SegmentWriter.path(newest + 1)
            let paths = call == .synchronizeDirectory ? "wal" : "\(next)"
            disk.inject(.fail(call: 1, code: ErrorNumber.noSpace, forever: true, calls: [call], pathPrefix: paths))
            var codes: [StoreError.Code] = []
            for number in 0..<40 {
                do {
                    try await database.upsert(
                        VectorRecord(id: "\(number)", vector: Array(repeating: 1, count: 1024)))
                } catch let error as StoreError {
                    codes.append(error.code)
                }
            }
            #expect(try await database.count() + codes.count == 40)
            #expect(codes.count > 1)
            #expect(codes.allSatisfy { $0 == .fenced || $0 == .outcomeUnknown }, "\(codes)")
            return codes
        }
        #expect(codes == nil, "a fenced store does not close cleanly")
    }

    // Recovery found a checkpoint in the page cache that had all of the log, and let the log go; the disk had never got it.
    @Test("A checkpoint whose sync failed is made durable before the log is let go", arguments: 1...3)
    func unsyncedCheckpoint(sync: Int) async throws {
        let disk = SimulatedFileSystem()
        var configuration = StoreConfiguration()
        configuration.addressSpaceReservation = 1 << 20
        configuration.environment.fileSystem = { _ in disk }
        let image = Box<SimulatedFileSystem?>(nil)
        _ = try? await withVectorStore(at: "store", configuration: configuration) { store async throws in
            let database = try await store.createDatabase("rows", options: DatabaseOptions(dimension: 2))
            // So that the file has its length on disk, which no journal loses with a page.
            try await database.upsert(VectorRecord(id: "first", vector: [0, 1]))
            try await store.checkpoint()
            try await database.upsert(VectorRecord(id: "a", vector: [1, 2]))
            let fault = Fault(
                .failSync(ErrorNumber.inputOutput, losing: .everything), .at(sync), calls: [.synchronizeData],
                pathPrefix: "rows/vectors.jvdb")
            disk.inject(FaultPlan([fault]))
            await #expect(throws: StoreError.self) { try await store.checkpoint() }
            image.update { $0 = disk.processKillImage() }
        }
        let restarted = try #require(image.value)
        configuration.environment.fileSystem = { _ in restarted }
        try await withVectorStore(at: "store", configuration: configuration) { store async throws in
            #expect(store.recoveryReport?.wasClean == false)
        }
        // Closed cleanly; then the power goes.
        let left = restarted.crashImage(.loseAll)
        configuration.environment.fileSystem = { _ in left }
        try await withVectorStore(at: "store", configuration: configuration) { store async throws in
            #expect(try await store.database("rows").vector(for: "a") == [1, 2])
        }
    }

    // The catalogue that says “closed cleanly” had no room, and closing failed, though nothing was lost.
    @Test("A store on a disk without a free block closes, and opens with everything", arguments: [1, 2])
    func closing(refusals: Int) async throws {
        let disk = SimulatedFileSystem()
        var configuration = StoreConfiguration()
        configuration.environment.fileSystem = { _ in disk }
        configuration.addressSpaceReservation = 1 << 20
        try await withVectorStore(at: "store", configuration: configuration) { store in
            let database = try await store.createDatabase("rows", options: DatabaseOptions(dimension: 2))
            try await database.upsert(VectorRecord(id: "a", vector: [1, 2]))
            let fault = Fault(
                .fail(ErrorNumber.noSpace), refusals == 1 ? .at(1) : .from(1), calls: [.write],
                pathPrefix: "CATALOG")
            disk.inject(FaultPlan([fault]))
        }
        disk.inject(FaultPlan([]))
        let left = try disk.list(StoragePath("wal")).map(\.name)
        #expect(!left.contains("reserve"))
        #expect(left.isEmpty == (refusals == 1), "without a catalogue that says otherwise, the log is needed: \(left)")
        try await withVectorStore(at: "store", configuration: configuration) { store async throws in
            #expect(try await store.database("rows").vector(for: "a") == [1, 2])
            let names = try disk.list(StoragePath("wal")).map(\.name)
            #expect(names.contains("reserve"))
        }
    }

    /// - Parameter sync: that of the new database's directory, and that of the root with its name.
    @Test(
        "A directory that cannot be synced while a database is created fences the store; reads go on",
        arguments: [1, 2])
    func createdDirectory(sync: Int) async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(simulatedStore(disk)) { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await database.upsert(testRecord("x", 1))
        }
        await expectError(.fenced) {
            try await withVectorStore(simulatedStore(disk)) { store async throws in
                let database = try await store.database("a")
                try await database.upsert(testRecord("y", 2))
                disk.inject(.fail(call: sync, code: ErrorNumber.inputOutput, calls: [.synchronizeDirectory]))
                await #expect(throws: StoreError.self) {
                    try await store.createDatabase("b", options: DatabaseOptions(dimension: 3))
                }
                disk.inject(.none)
                // The sync may have lost the name of anything: nobody builds on it any more.
                await expectError(.fenced) { try await database.upsert(testRecord("z", 3)) }
                #expect(try await database.allIDs().sorted() == ["x", "y"])
            }
        }
        for image in [disk.processKillImage(), disk.crashImage(.loseAll)] {
            try await withVectorStore(simulatedStore(image)) { store async throws in
                #expect(try await store.databases().map(\.name) == ["a"])
                #expect(try await store.database("a").allIDs().sorted() == ["x", "y"])
                try await store.expectSound()
            }
        }
    }
}
