// Segments go oldest first, whatever fails and whoever asks: a log with a hole is refused when the store is opened.
import Foundation
import StorageIO
import Synchronization
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct SegmentDeletionTests {
    private static let options = DatabaseOptions(dimension: 256)

    private static func directory(_ hooked: HookedFileSystem) -> TestStore {
        let directory = TestStore(.disk)
        directory.configuration.logSegmentByteCount = 64 << 10
        directory.configuration.environment.fileSystem = { _ in hooked }
        return directory
    }

    /// Fills at least one segment and makes a checkpoint.
    private static func fillSegment(_ database: VectorDatabase, _ store: VectorStore, _ round: Int) async throws {
        for index in 0..<80 { try await database.upsert(testRecord("r\(index % 10)", round * 100 + index, 256)) }
        try await store.checkpoint()
    }

    private static func segments(_ hooked: HookedFileSystem) throws -> [UInt64] {
        try hooked.inner.list(StoragePath("wal")).compactMap { SegmentWriter.sequence(of: $0.name) }.sorted()
    }

    @Test("A database that was never written to is checkpointed for the log's sake, and written to afterwards")
    func emptyDatabase() async throws {
        // Its id directory has a page in memory and none in the file: the checkpoint wrote it beside its area and trapped.
        // Found by kill -9, once in ten thousand rounds: a new database whose first growth was in the log, and not
        // adopted yet, held the log back.
        let directory = TestStore(.disk)
        try await directory.open { store in
            let database = try await store.createDatabase("a", options: Self.options)
            #expect(try await database.count() == 0)
            let file = try #require(database.cell.pin())
            defer { database.cell.unpin() }
            for _ in 0..<3 { try await file.checkpoint(force: true) }
            try await database.upsert(testRecord("r", 1, 256))
            try await file.checkpoint(force: true)
            try await store.expectSound()
        }
        try await directory.open { store in
            #expect(try await store.database("a").record(for: "r")?.content == testRecord("r", 1, 256))
            try await store.expectSound()
        }
    }

    @Test("A segment that cannot be deleted keeps the newer ones, and a killed store opens again")
    func failedDeletion() async throws {
        // The segment was forgotten and those behind it were deleted at the next checkpoints. A store killed then was
        // refused: "a segment between it and the next one is missing".
        let path = TestStore(.disk).path
        let hooked = HookedFileSystem(POSIXFileSystem(root: path))
        let image = TestStore(.disk)
        defer { try? FileManager.default.removeItem(atPath: path) }
        var configuration = Self.directory(hooked).configuration
        configuration.checkpointInterval = .seconds(3_600)
        try await withVectorStore(at: path, configuration: configuration) { store in
            let database = try await store.createDatabase("a", options: Self.options)
            let first = try #require(try Self.segments(hooked).first)
            let name = SegmentWriter.path(first).description
            hooked.fail([.unlink], with: EIO, under: name)
            for round in 0..<5 { try await Self.fillSegment(database, store, round) }
            let kept = try Self.segments(hooked)
            #expect(kept == Array(first...kept[kept.count - 1]), "a hole: \(kept)")
            try FileManager.default.copyItem(atPath: path, toPath: image.path)
            // Once it can be deleted, all go that nothing needs.
            hooked.set(nil)
            try await Self.fillSegment(database, store, 5)
            #expect(try Self.segments(hooked).count < kept.count)
            #expect(try Self.segments(hooked).first != first)
        }
        try await image.open { store in
            #expect(try await store.database("a").record(for: "r9")?.content == testRecord("r9", 479, 256))
            try await store.expectSound()
        }
    }

    @Test("Checkpoints at once delete segments in order")
    func concurrentDeletion() async throws {
        // Each took the segments it found deletable and deleted them on an I/O thread of its own: newer ones could go
        // before older ones, and a crash in between left a hole.
        let path = TestStore(.disk).path
        let hooked = HookedFileSystem(POSIXFileSystem(root: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let deleted = DeletedSegments()
        try await withVectorStore(at: path, configuration: Self.directory(hooked).configuration) { store in
            let database = try await store.createDatabase("a", options: Self.options)
            hooked.set { (call, path) throws(FileSystemError) in
                if call == .unlink, let sequence = path.components.last.flatMap({ SegmentWriter.sequence(of: $0) }) {
                    deleted.sequences.withLock { $0.append(sequence) }
                }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<6 {
                    group.addTask {
                        for round in 0..<3 { try await Self.fillSegment(database, store, writer * 10 + round) }
                    }
                }
                try await group.waitForAll()
            }
            hooked.set(nil)
        }
        let sequences = deleted.sequences.withLock { $0 }
        #expect(sequences.count > 5 && sequences == sequences.sorted())
    }
}

private final class DeletedSegments: Sendable {
    let sequences = Mutex<[UInt64]>([])
}

extension SegmentWriter {
    fileprivate static func sequence(of name: String) -> UInt64? {
        name.hasSuffix(".wal") ? UInt64(name.dropLast(4), radix: 16) : nil
    }
}
