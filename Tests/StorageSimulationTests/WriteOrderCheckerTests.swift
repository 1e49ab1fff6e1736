// The order checker notices what it is there for, on files that no engine is needed for; what the engine would have to
// do wrong for the rest of its rules is in Tests/Mutants.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@Suite struct WriteOrderCheckerTests {
    private static func write(_ bytes: [UInt8], to file: any StorageFile) throws {
        try unsafe bytes.withUnsafeBytes { try unsafe file.writeFully([$0], at: 0) }
    }

    private static let catalogue = Catalogue(
        storeUUID: StorageUUID(high: 1, low: 2), generation: 1, catalogueLSN: 0, lastLSN: 0, nextSegmentSequence: 1,
        nextDatabaseNumber: 1, isCleanShutdown: false, createdAt: 0, entries: [])

    @Test("Nothing changes without the lock")
    func lock() throws {
        let checker = WriteOrderChecker(SimulatedFileSystem())
        let lock = try checker.lockRoot(exclusive: true)
        try checker.createDirectory(StoragePath("wal"))
        #expect(checker.violations.isEmpty)
        lock.release()
        try checker.createDirectory(StoragePath("more"))
        #expect(checker.violations.contains { $0.hasPrefix("O11") })
    }

    @Test("A catalogue is synced before it is renamed", arguments: [false, true])
    func rename(isSynced: Bool) throws {
        let checker = WriteOrderChecker(SimulatedFileSystem())
        let lock = try checker.lockRoot(exclusive: true)
        let file = try checker.open(StoragePath("CATALOG.tmp"), .createNew)
        try Self.write(Self.catalogue.encodeFile(), to: file)
        if isSynced { try file.synchronize() }
        try checker.rename(StoragePath("CATALOG.tmp"), to: StoragePath("CATALOG"))
        #expect(checker.violations.isEmpty == isSynced)
        lock.release()
    }

    @Test("A catalogue does not know more than the log")
    func catalogueAhead() throws {
        let checker = WriteOrderChecker(SimulatedFileSystem())
        let lock = try checker.lockRoot(exclusive: true)
        let file = try checker.open(StoragePath("CATALOG.tmp"), .createNew)
        var catalogue = Self.catalogue
        catalogue.catalogueLSN = 7
        try Self.write(catalogue.encodeFile(), to: file)
        try file.synchronize()
        try checker.rename(StoragePath("CATALOG.tmp"), to: StoragePath("CATALOG"))
        #expect(checker.violations.contains { $0.contains("commit 7") })
        lock.release()
    }

    @Test("A file is not written any more after a sync of it failed")
    func failedSync() throws {
        let disk = SimulatedFileSystem()
        let checker = WriteOrderChecker(disk)
        let lock = try checker.lockRoot(exclusive: true)
        let file = try checker.open(StoragePath("CATALOG.tmp"), .createNew)
        try Self.write([1], to: file)
        disk.inject(.fail(call: 1, code: ErrorNumber.inputOutput, calls: [.synchronizeData]))
        #expect(throws: FileSystemError.self) { try file.synchronizeData() }
        #expect(checker.violations.isEmpty)
        try Self.write([2], to: file)
        #expect(checker.violations.contains { $0.hasPrefix("O8") })
        lock.release()
    }

    @Test("A commit that is not in the log cannot be acknowledged")
    func acknowledgement() throws {
        let checker = WriteOrderChecker(SimulatedFileSystem())
        let lock = try checker.lockRoot(exclusive: true)
        checker.noteAcknowledged(version: 0)
        #expect(checker.violations.isEmpty)
        checker.noteAcknowledged(version: 3)
        #expect(checker.violations.contains { $0.hasPrefix("O2") })
        lock.release()
    }
}
