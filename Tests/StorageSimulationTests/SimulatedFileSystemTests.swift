// What each call does to the two layers of a simulated disk, and how it answers wrong requests.
import StorageIO
import StorageSimulation
import Testing

@Suite struct SimulatedFileSystemTests {
    let disk = SimulatedFileSystem()

    @Test func `written data is readable at once and durable after a sync only`() throws {
        let file = try disk.make(a, filled(1, 600))
        try file.put(filled(2, 600))
        #expect(try file.get(700) == filled(2, 600))
        #expect(disk.durableContents(of: a) == filled(1, 600))
        try file.synchronizeData()
        #expect(disk.durableContents(of: a) == filled(2, 600))
        #expect(disk.pendingOperationCount == 0)
    }

    @Test(arguments: [true, false])
    func `both kinds of sync make the file's contents and size durable and no other file's`(full: Bool) throws {
        let file = try disk.make(a)
        let other = try disk.make(b)
        try file.put(filled(1, 5_000))
        try other.put(filled(2, 10))
        if full { try file.synchronize() } else { try file.synchronizeData() }
        #expect(disk.durableContents(of: a) == filled(1, 5_000))
        #expect(disk.durableContents(of: b) == [])
    }

    @Test func `a new file's name is lost without a sync of its directory, even when its data was synced`() throws {
        let file = try disk.make(a, durable: false)
        try file.put([1])
        try file.synchronize()
        #expect(try disk.crashImage(.loseAll).names() == [])
        try disk.synchronizeDirectory(.root)
        #expect(disk.durableContents(of: a) == [1])
    }

    @Test func `a durable name does not make data durable`() throws {
        let file = try disk.make(a, durable: false)
        try file.put([1, 2, 3])
        try disk.synchronizeDirectory(.root)
        #expect(disk.durableContents(of: a) == [])
    }

    @Test func `allocated space reads as zeros, keeps data, and its size is durable after a sync`() throws {
        let file = try disk.make(a, [7])
        try file.allocate(offset: 0, length: 10_000)
        #expect(try file.get(20_000) == [7] + filled(0, 9_999))
        #expect(disk.durableContents(of: a) == [7])
        try file.synchronizeData()
        #expect(disk.durableContents(of: a)?.count == 10_000)
    }

    @Test func `unlink and rename are undone by a crash until their directory is synced`() throws {
        _ = try disk.make(a, [1])
        _ = try disk.make(b, [2])
        try disk.rename(a, to: b)
        #expect(disk.contents(of: b) == [1])
        #expect(disk.durableContents(of: b) == [2])
        #expect(disk.durableContents(of: a) == [1])
        try disk.synchronizeDirectory(.root)
        #expect(try disk.crashImage(.loseAll).names() == ["b"])
        try disk.unlink(b)
        #expect(try disk.names() == [])
        #expect(disk.durableContents(of: b) == [1])
        try disk.synchronizeDirectory(.root)
        #expect(try disk.crashImage(.keepAll).names() == [])
    }

    @Test func `a directory's entries need both syncs: its own and its parent's`() throws {
        let inner = StoragePath("d", "f")
        try disk.createDirectory(StoragePath("d"))
        _ = try disk.make(inner, [1])
        #expect(try disk.crashImage(.loseAll).names() == [])
        try disk.synchronizeDirectory(.root)
        #expect(disk.durableContents(of: inner) == [1])
        try disk.unlink(inner)
        try disk.removeDirectory(StoragePath("d"))
        #expect(disk.durableContents(of: inner) == [1])
    }

    @Test func `a rename across directories shows both names when only its target was synced`() throws {
        let inner = StoragePath("d", "f")
        try disk.createDirectory(StoragePath("d"))
        _ = try disk.make(a, [1])
        try disk.rename(a, to: inner)
        try disk.synchronizeDirectory(StoragePath("d"))
        let image = disk.crashImage(.loseAll)
        #expect(image.contents(of: a) == [1] && image.contents(of: inner) == [1])
        try disk.synchronizeDirectory(.root)
        #expect(try disk.crashImage(.keepAll).names() == ["d"])
    }

    @Test func `an unlinked file stays readable through its handle`() throws {
        let file = try disk.make(a, [1, 2])
        try disk.unlink(a)
        try disk.synchronizeDirectory(.root)
        #expect(try file.get(2) == [1, 2])
    }

    @Test func `wrong requests fail as the kernel's do`() throws {
        let file = try disk.make(a, [1])
        try disk.createDirectory(StoragePath("d"))
        _ = try disk.make(StoragePath("d", "f"))
        let reader = try disk.open(a, .read)
        #expect(code { _ = try disk.open(b, .readWrite) } == ErrorNumber.noEntry)
        #expect(code { _ = try disk.open(a, .createNew) } == ErrorNumber.exists)
        #expect(code { _ = try disk.open(StoragePath("d"), .read) } == ErrorNumber.isDirectory)
        #expect(code { _ = try disk.open(StoragePath("a", "x"), .read) } == ErrorNumber.notDirectory)
        #expect(code { try disk.removeDirectory(StoragePath("d")) } == ErrorNumber.notEmpty)
        #expect(code { try disk.unlink(StoragePath("d")) } == ErrorNumber.isDirectory)
        #expect(code { try disk.rename(a, to: StoragePath("d")) } == ErrorNumber.isDirectory)
        #expect(code { try disk.rename(StoragePath("d"), to: a) } == ErrorNumber.notDirectory)
        #expect(code { try disk.rename(b, to: a) } == ErrorNumber.noEntry)
        #expect(code { try reader.put([1]) } == ErrorNumber.badDescriptor)
        #expect(code { _ = try disk.list(b) } == ErrorNumber.noEntry)
        try file.close()
        try file.close()
        #expect(code { _ = try file.size() } == ErrorNumber.badDescriptor)
    }

    @Test func `a missing root is created on request only`() throws {
        let disk = SimulatedFileSystem(rootExists: false)
        #expect(code { try disk.openRoot(createIfMissing: false) } == ErrorNumber.noEntry)
        #expect(code { _ = try disk.lockRoot(exclusive: true) } == ErrorNumber.noEntry)
        try disk.openRoot(createIfMissing: true)
        #expect(try disk.names() == [])
    }

    @Test func `the lock excludes a second holder and dies with the process`() throws {
        let lock = try disk.lockRoot(exclusive: true)
        #expect(code { _ = try disk.lockRoot(exclusive: true) } == ErrorNumber.wouldBlock)
        _ = try disk.crashImage(.keepAll).lockRoot(exclusive: true)
        lock.release()
        lock.release()
        let shared = [try disk.lockRoot(exclusive: false), try disk.lockRoot(exclusive: false)]
        shared[0].release()
        shared[0].release()
        #expect(code { _ = try disk.lockRoot(exclusive: true) } == ErrorNumber.wouldBlock)
        shared[1].release()
        _ = try disk.lockRoot(exclusive: true)
    }

    @Test func `a full disk takes what fits and then refuses, and space comes back with unlink`() throws {
        let disk = SimulatedFileSystem(capacityByteCount: 1_000)
        let file = try disk.make(a)
        #expect(try file.putOnce(filled(1, 1_500)) == 1_000)
        #expect(code { try file.put([1], at: 1_000) } == ErrorNumber.noSpace)
        #expect(code { try file.allocate(offset: 0, length: 1_001) } == ErrorNumber.noSpace)
        try file.put(filled(2, 1_000))
        try disk.unlink(a)
        try disk.make(b).allocate(offset: 0, length: 1_000)
    }

    @Test func `equal runs have equal trace hashes, and any difference shows`() throws {
        func run(_ byte: UInt8, _ offset: UInt64) throws -> UInt64 {
            let disk = SimulatedFileSystem()
            try disk.make(a).put([byte], at: offset)
            return disk.traceHash
        }
        #expect(try run(1, 0) == run(1, 0))
        #expect(try run(1, 0) != run(2, 0))
        #expect(try run(1, 0) != run(1, 1))
    }

    @Test func `the trace keeps the last calls with their results`() throws {
        disk.setTraceCapacity(2)
        _ = try disk.make(a)
        _ = try? disk.open(b, .read)
        #expect(disk.trace.map(\.call) == [.synchronizeDirectory, .open])
        #expect(disk.trace.map(\.code) == [0, ErrorNumber.noEntry])
        #expect(disk.trace.last?.number == disk.callCount)
    }

    @Test func `large sparse files read back what was written anywhere`() throws {
        let file = try disk.make(a)
        var generator = SeededGenerator(seed: 5)
        var expected = [UInt8](repeating: 0, count: 900_000)
        for round in 0..<200 {
            let count = 1 + generator.next(below: 9_000)
            let start = generator.next(below: expected.count - count)
            expected.replaceSubrange(start..<(start + count), with: filled(UInt8(round), count))
            try file.put(filled(UInt8(round), count), at: UInt64(start))
        }
        let size = Int(try file.size())
        #expect(try file.get(1_000_000) == Array(expected.prefix(size)))
        #expect(disk.crashImage(.keepAll).contents(of: a) == Array(expected.prefix(size)))
        try file.synchronizeData()
        #expect(disk.durableContents(of: a) == Array(expected.prefix(size)))
    }
}
