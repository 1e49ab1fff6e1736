// What deleted files show of themselves after a crash: blocks that were allocated and never written, and no others.
import StorageIO
import StorageSimulation
import Testing

@Suite struct StaleContentsTests {
    let disk = SimulatedFileSystem()
    private static let seeds: Range<UInt64> = 0..<40

    /// Two blocks of a file, one written in part and one only allocated, both synced; before it there was another file.
    private func prepare(deletes: Bool = true) throws -> any StorageFile {
        let old = try disk.make(StoragePath("old.wal"), filled(7, 3 * 4_096))
        try old.close()
        if deletes {
            try disk.unlink(StoragePath("old.wal"))
            try disk.synchronizeDirectory(.root)
        }
        let file = try disk.make(StoragePath("new.wal"))
        try file.allocate(offset: 0, length: 2 * 4_096)
        try file.put(filled(1, 100))
        try file.synchronize()
        return file
    }

    @Test func `blocks that were never written show deleted files for some seeds and zeros for others`() throws {
        let file = try prepare()
        #expect(try file.get(8_192) == filled(1, 100) + filled(0, 8_092))
        var found: Set<[UInt8]> = []
        for seed in Self.seeds {
            let bytes = try #require(disk.crashImage(.loseAll, staleSeed: seed).contents(of: StoragePath("new.wal")))
            // The kernel writes whole blocks: what is behind the bytes in the first one is zeros.
            #expect(Array(bytes.prefix(4_096)) == filled(1, 100) + filled(0, 3_996))
            found.insert(Array(bytes.suffix(4_096)))
        }
        #expect(found == [filled(0, 4_096), filled(7, 4_096)])
    }

    @Test func `without a seed, and without a deleted file, they read as zeros`() throws {
        _ = try prepare(deletes: false)
        for seed in Self.seeds {
            let image = disk.crashImage(.keepAll, staleSeed: seed)
            #expect(image.contents(of: StoragePath("new.wal"))?.suffix(4_096) == filled(0, 4_096)[...])
        }
        try disk.unlink(StoragePath("old.wal"))
        try disk.synchronizeDirectory(.root)
        #expect(disk.crashImage(.keepAll).contents(of: StoragePath("new.wal"))?.suffix(4_096) == filled(0, 4_096)[...])
    }

    @Test func `a write that is torn leaves old bytes where it did not reach, and zeros only where it did`() throws {
        let file = try prepare()
        try file.put(filled(2, 4_096), at: 4_096)
        var found: Set<[UInt8]> = []
        for seed in Self.seeds {
            let image = disk.crashImage(.torn(operation: 0, sectors: 0b1), staleSeed: seed)
            let bytes = try #require(image.contents(of: StoragePath("new.wal")))
            #expect(bytes[4_096..<4_608] == filled(2, 512)[...])
            found.insert(Array(bytes.suffix(512)))
        }
        #expect(found == [filled(0, 512), filled(7, 512)])
    }

    @Test func `what was read after a crash stays as it is, and grows no further than the file`() throws {
        let file = try prepare()
        try file.allocate(offset: 8_192, length: 4_096)
        for seed in Self.seeds {
            let image = disk.crashImage(.loseAll, staleSeed: seed)
            let bytes = try #require(image.contents(of: StoragePath("new.wal")))
            #expect(bytes.count == 8_192)
            #expect(image.crashImage(.loseAll).contents(of: StoragePath("new.wal")) == bytes)
            let again = try image.open(StoragePath("new.wal"), .readWrite)
            try again.allocate(offset: 8_192, length: 4_096)
            #expect(try again.get(4_096, at: 8_192) == filled(0, 4_096))
        }
    }

    @Test(arguments: [true, false])
    func `a file that comes back is whole if it was open until then, and may be anybody's if not`(isOpen: Bool) throws {
        let file = try prepare(deletes: false)
        let old = StoragePath("old.wal")
        let held = try isOpen ? disk.open(old, .read) : nil
        try disk.unlink(old)
        try file.put(filled(9, 8_192))
        let found = Set(
            Self.seeds.compactMap { seed in
                disk.crashImage(.loseAll, staleSeed: seed).contents(of: old).map { $0 == filled(7, 3 * 4_096) }
            })
        #expect(found == (isOpen ? [true] : [true, false]))
        try held?.close()
        try disk.synchronizeDirectory(.root)
        #expect(disk.crashImage(.keepAll, staleSeed: 1).contents(of: old) == nil)
    }
}
