/// What the log promises when it goes on from one segment to the next.
import Nephrite
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20))) struct SegmentRotationTests {
    /// The story: a new segment's header says where the records of the one before it end. Records that no one waits for,
    /// sync markers and checkpoint records, are written without a sync; when such a record was the last one of a full
    /// segment, the next segment's header was on disk and the record it knew of was not. A loss of power at that moment
    /// left a store that refused to open, though every acknowledged commit was there.
    ///
    ///     commit 1 ─ sync ─ checkpoint record (not synced) │ new segment, header synced ─ commit 2 ─ sync ─ power lost
    @Test("A loss of power after a rotation finds every record that the next segment's header knows of")
    func unsyncedNoteBeforeRotation() async throws {
        let disk = SimulatedFileSystem()
        var configuration = StoreConfiguration()
        configuration.logSegmentByteCount = 64 << 10
        configuration.environment.fileSystem = { _ in disk }
        // Four vectors of 16,000 bytes fill the first 64 KiB of the data file, so that nothing grows (and syncs) later,
        // and with the text they do not all fit into the first 64 KiB of log.
        let vectors = (0..<4).map { [Float](repeating: Float($0), count: 4_000) }
        let text: Metadata = ["text": .string(String(repeating: "x", count: 2_000))]
        let image = try await withVectorStore(VectorStore(at: "store", configuration: configuration)) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: 4_000, metric: .euclidean))
            for index in 0..<3 { try await database.upsert(VectorRecord(id: "\(index)", vector: vectors[index])) }
            try await store.checkpoint()
            // Returns when the log task has written what was queued before: the checkpoint's record.
            try await store.flush()
            try await database.upsert(VectorRecord(id: "3", vector: vectors[3], metadata: text))
            return disk.crashImage(.loseAll)
        }
        #expect(image.contents(of: StoragePath("wal", "0000000000000002.wal")) != nil, "the log was to be rotated")
        configuration.environment.fileSystem = { _ in image }
        try await withVectorStore(VectorStore(at: "store", configuration: configuration)) { store in
            let found = try await store.database("a").vectors(for: ["0", "1", "2", "3"])
            #expect(found == vectors)
        }
    }

    /// The story: of the segment that was written last only the front was left, and the commits that had stood behind it
    /// were gone without a word: reading stopped at the file's end, which was taken for the end of the log.
    @Test("A segment that is cut short is damage, wherever it is cut and however many there are")
    func truncatedSegment() throws {
        let disk = SimulatedFileSystem()
        let image = Box<SimulatedFileSystem?>(nil)
        try Simulation.run(disk) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            for number in 1...40 { try await database.upsert(Values.record(id: "\(number)", number: number)) }
            let left = disk.processKillImage()
            image.update { $0 = left }
        }
        let left = try #require(image.value)
        let names = try left.list(StoragePath("wal")).map(\.name).filter { $0.hasSuffix(".wal") }
        #expect(names.count == 2)
        for name in names {
            for size in [0, 512, 4_096, 8_192, 8_224, 20_000, 65_535] {
                let damaged = left.crashImage(.keepAll)
                damaged.truncate(StoragePath("wal", name), to: size)
                let error = #expect(throws: StoreError.self) { try Simulation.recover(damaged) }
                #expect(error?.code == .corruption || error?.code == .notAStore, "\(name) cut to \(size): \(error!)")
            }
        }
        #expect(try Simulation.recover(left).model.databases["a"]?.count == 40)
    }
}
