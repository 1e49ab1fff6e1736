// Bulk batches, whose vectors are on their way to the disk before anything else is known of them.
import StorageIO
import StorageSimulation
import Synchronization
import Testing

@testable import Nephrite

@Suite struct BulkWriteTests {
    private static let dimension = 8
    private static let rowCount = 64

    private func configuration(_ disk: SimulatedFileSystem) -> StoreConfiguration {
        var configuration = simulatedConfiguration(disk)
        configuration.bulkByteThreshold = 1
        return configuration
    }

    private static func ids(_ name: String) -> [String] { (0..<rowCount).map { "\(name)-\($0)" } }

    private static func vectors(_ value: Float) -> [Float] {
        (0..<rowCount * dimension).map { value + Float($0) }
    }

    // The I/O thread waits for the payloads in a task; what waits in a cancelled task may be told that nothing comes.
    @Test("A batch whose task is cancelled while its vectors are written is written whole, or not at all")
    func cancelled() async throws {
        let disk = SimulatedFileSystem()
        let left = try await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            let database = try await store.createDatabase("rows", options: .init(dimension: Self.dimension))
            try await database.insert(ids: Self.ids("before"), vectors: Self.vectors(1))
            let writing = Mutex<Task<RecordVersion, any Error>?>(nil)
            let (starts, start) = AsyncStream.makeStream(of: Void.self)
            let write = Task {
                for await _ in starts { break }
                return try await database.insert(ids: Self.ids("during"), vectors: Self.vectors(2))
            }
            writing.withLock { $0 = write }
            disk.callHook = { call in
                if call.call == .write, call.path == StoragePath("rows", "vectors.jvdb") {
                    writing.withLock { $0?.cancel() }
                }
            }
            start.yield()
            _ = try await write.value
            disk.callHook = nil
            #expect(write.isCancelled)
            return disk.crashImage(.loseAll)
        }
        try await withVectorStore(at: "simulated", configuration: configuration(left)) { store async throws in
            let database = try await store.database("rows")
            for (row, id) in Self.ids("during").enumerated() {
                let first = row * Self.dimension
                #expect(try await database.vector(for: id) == Array(Self.vectors(2)[first..<first + Self.dimension]))
            }
            #expect(try await store.check().isSound)
        }
    }

    /// Why a batch is refused after its vectors were written.
    enum Refusal: CaseIterable { case notFinite, present, emptyID, duplicate }

    @Test("Refused batches give back the slots that their vectors were written to", arguments: Refusal.allCases)
    func refused(_ refusal: Refusal) async throws {
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            let database = try await store.createDatabase("rows", options: .init(dimension: Self.dimension))
            try await database.insert(ids: Self.ids("before"), vectors: Self.vectors(1))
            var ids = Self.ids("refused")
            var vectors = Self.vectors(2)
            let code: StoreError.Code
            switch refusal {
            case .notFinite:
                vectors[vectors.count - 1] = .nan
                code = .notFinite
            case .present:
                ids[Self.rowCount - 1] = "before-0"
                code = .recordExists
            case .emptyID:
                ids[Self.rowCount - 1] = ""
                code = .invalidID
            case .duplicate:
                ids[Self.rowCount - 1] = ids[0]
                code = .duplicateID
            }
            // As many slots as the file's first extents have, many times over.
            for _ in 0..<200 {
                await expectError(code) { _ = try await database.insert(ids: ids, vectors: vectors) }
            }
            try await database.insert(ids: Self.ids("after"), vectors: Self.vectors(3))
            let snapshot = try await database.snapshot()
            #expect(snapshot.count == 2 * Self.rowCount)
            #expect(snapshot.records.slotCount == 2 * Self.rowCount, "slots are lost")
            #expect(try snapshot.vector(for: "before-0") == Array(Self.vectors(1)[..<Self.dimension]))
            #expect(try await store.check().isSound)
        }
    }

    @Test("Bulk batches one after the other, with checkpoints and readers in between, are all found")
    func preparedDirectory() async throws {
        // The directory's second table is readied while a batch is on its way; a checkpoint may share it before it changes.
        let disk = SimulatedFileSystem()
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store async throws in
            let database = try await store.createDatabase("rows", options: .init(dimension: Self.dimension))
            var held: [DatabaseSnapshot] = []
            for round in 0..<30 {
                async let inserted = database.insert(
                    ids: Self.ids("round\(round)"), vectors: Self.vectors(Float(round)))
                if round % 3 == 0 { try await store.checkpoint() }
                _ = try await inserted
                if round % 2 == 0 { held.append(try await database.snapshot()) }
                if round % 5 == 4 { held.removeFirst() }
            }
            for snapshot in held {
                #expect(snapshot.count % Self.rowCount == 0)
                for round in 0..<snapshot.count / Self.rowCount {
                    #expect(snapshot.contains("round\(round)-\(Self.rowCount - 1)"))
                }
                #expect(!snapshot.contains("round\(snapshot.count / Self.rowCount)-0"))
            }
            #expect(try await database.count() == 30 * Self.rowCount)
            #expect(try await store.check().isSound)
        }
        try await withVectorStore(at: "simulated", configuration: configuration(disk.crashImage(.loseAll))) {
            store async throws in
            let database = try await store.database("rows")
            for round in 0..<30 {
                for id in Self.ids("round\(round)") { #expect(try await database.contains(id)) }
            }
        }
    }
}
