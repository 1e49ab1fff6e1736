// Opening, running and closing a store, and what is refused outside of that (O11, C12, C17).
import Foundation
import Nephrite
import StorageIO
import Testing

@Suite(.timeLimit(.minutes(20)))
struct LifecycleTests {
    @Test("Before run() everything is refused, and nothing is created")
    func beforeRun() async throws {
        let directory = TestStore(.disk)
        let store = VectorStore(at: directory.path)
        await expectError(.notRunning) { try await store.createDatabase("a", options: DatabaseOptions(dimension: 3)) }
        await expectError(.notRunning) { _ = try await store.database("a") }
        await expectError(.notRunning) { _ = try await store.databases() }
        await expectError(.notRunning) { try await store.dropDatabase("a") }
        await expectError(.notRunning) { try await store.checkpoint() }
        await expectError(.notRunning) { try await store.flush() }
        await expectError(.notRunning) { _ = try await store.check() }
        await expectError(.notRunning) { _ = try await store.statistics() }
        await expectError(.notRunning) { try await store.transaction { _ in } }
        #expect(store.recoveryReport == nil)
        #expect(FileManager.default.fileExists(atPath: directory.path) == false)
    }

    @Test(
        "After closing everything is refused, also through handles; snapshots read on",
        arguments: Setting.Backing.allCases)
    func afterClose(_ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        let (store, database, snapshot) = try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await database.upsert(testRecord("a", 1))
            return (store, database, try await database.snapshot())
        }
        await expectError(.closed) { try await database.upsert(testRecord("b", 1)) }
        await expectError(.closed) { try await database.delete("a") }
        await expectError(.closed) { _ = try await database.count() }
        await expectError(.closed) { _ = try await database.search([1, 2, 3], k: 1) }
        await expectError(.closed) { _ = try await store.database("a") }
        await expectError(.closed) { try await store.createDatabase("b", options: DatabaseOptions(dimension: 3)) }
        await expectError(.closed) { try await store.transaction { _ in } }
        await expectError(.closed) { try await store.waitUntilReady() }
        await expectError(.invalidArgument) { try await store.run() }
        #expect(try snapshot.vector(for: "a") == testVector(1, 3))
    }

    @Test("A second run() of the same store is refused and does not disturb the first")
    func runTwice() async throws {
        try await TestStore().open { store async throws in
            await expectError(.invalidArgument) { try await store.run() }
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try await database.upsert(testRecord("a", 1))
        }
    }

    @Test(
        "A second store on the same directory is refused at once, and the first goes on",
        arguments: Setting.Backing.allCases)
    func secondStore(_ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            await expectError(.locked) { try await directory.open { _ in } }
            try await database.upsert(testRecord("a", 1))
            await expectError(.locked) { try await directory.open { _ in } }
        }
        try await directory.open { store async throws in
            #expect(store.recoveryReport?.wasClean == true)
            #expect(try await store.database("a").count() == 1)
        }
    }

    @Test("A store that another process holds is refused; when it lets go, the store opens")
    func secondProcess() async throws {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/flock") else { return }
        let directory = TestStore(.disk)
        try await directory.open { try await $0.createDatabase("a", options: DatabaseOptions(dimension: 3)) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
        process.arguments = [directory.url("LOCK").path, "-c", "echo held; cat"]
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        #expect(output.fileHandleForReading.availableData == Data("held\n".utf8))
        let error = await expectError(.locked) { try await directory.open { _ in } }
        #expect(error?.errorNumber != nil)
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        try await directory.open { try await $0.expectSound() }
    }

    @Test("A directory that may not be written to is refused", .enabled(if: NSUserName() != "root"))
    func readOnlyDirectory() async throws {
        let directory = TestStore(.disk)
        try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
        try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: directory.path)
        await expectError(.notWritable) { try await directory.open { _ in } }
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: directory.path)
        try await directory.open { try await $0.expectSound() }
    }

    @Test("What the closure throws comes out, and the store is closed cleanly all the same")
    func throwingBody() async throws {
        struct Mistake: Error {}
        let directory = TestStore(.disk)
        await #expect(throws: Mistake.self) {
            try await directory.open { (store: VectorStore) async throws -> Void in
                try await store.createDatabase("a", options: DatabaseOptions(dimension: 3)).upsert(testRecord("a", 1))
                throw Mistake()
            }
        }
        try await directory.open { store async throws in
            #expect(store.recoveryReport?.wasClean == true)
            #expect(try await store.database("a").count() == 1)
        }
    }

    @Test("After a kill the report tells what was replayed; after a clean close there was nothing to do")
    func recoveryReport() async throws {
        let directory = TestStore(.disk)
        let image = TestStore(.disk)
        image.configuration = directory.configuration
        try await directory.open { store async throws in
            #expect(store.recoveryReport == RecoveryReport(clean: store))
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            for index in 0..<7 { try await database.upsert(testRecord("r\(index)", index)) }
            try FileManager.default.copyItem(atPath: directory.path, toPath: image.path)
        }
        try FileManager.default.createDirectory(at: image.url("stray"), withIntermediateDirectories: true)
        try Data("?".utf8).write(to: image.url("stray/file"))
        try await image.open { store async throws in
            let report = try #require(store.recoveryReport)
            #expect(report.wasClean == false && report.replayedCommitCount == 7 && report.tornByteCount == 0)
            #expect(report.logByteCount > 0 && report.orphans == ["stray"])
            #expect(try await store.database("a").count() == 7)
            #expect(try await store.check().orphans == ["stray"])
        }
        try await image.open { store async throws in
            let report = try #require(store.recoveryReport)
            #expect(report.wasClean && report.replayedCommitCount == 0)
            #expect(FileManager.default.fileExists(atPath: image.url("stray/file").path))
        }
    }
}

extension RecoveryReport {
    /// What a clean opening without orphans reports.
    fileprivate init?(clean store: VectorStore) {
        guard let report = store.recoveryReport, report.wasClean, report.replayedCommitCount == 0, report.orphans == []
        else { return nil }
        self = report
    }
}
