/// What only the file system in memory has: a capacity, and a root that outlives those who open it.
import Foundation
import Testing

@testable import StorageIO

@Suite struct MemoryFileSystemTests {
    private func makeFileSystem(capacity: Int?) throws -> MemoryFileSystem {
        let fileSystem = MemoryFileSystem(name: "small", capacity: capacity)
        expectFailure(ENOENT, .openRoot) { () throws(FileSystemError) in
            try fileSystem.openRoot(createIfMissing: false)
        }
        expectFailure(EBADF, .list) { () throws(FileSystemError) in try fileSystem.list(.root) }
        try fileSystem.openRoot(createIfMissing: true)
        return fileSystem
    }

    @Test("A full disk takes what fits, then fails, and unlinking makes room", .tags(.fault))
    func fillsUp() throws {
        let fileSystem = try makeFileSystem(capacity: 10 * 4_096)
        let file = try fileSystem.open(StoragePath("file"), .createNew)
        try file.put(pattern(8 * 4_096), at: 0)
        expectFailure(ENOSPC, .write) { () throws(FileSystemError) in
            try file.put(pattern(3 * 4_096), at: 8 * 4_096)
        }
        #expect(try file.size() == 10 * 4_096)
        expectFailure(ENOSPC, .write) { () throws(FileSystemError) in try file.put([1], at: 10 * 4_096) }
        try file.put([9], at: 0)
        #expect(try file.bytes(4, at: 0) == [9] + pattern(4).dropFirst())
        let other = try fileSystem.open(StoragePath("other"), .createNew)
        expectFailure(ENOSPC, .allocate) { () throws(FileSystemError) in try other.allocate(offset: 0, length: 1) }
        #expect(try other.size() == 0)
        try fileSystem.unlink(StoragePath("file"))
        #expect(fileSystem.usedByteCount == 10 * 4_096)
        try file.close()
        #expect(fileSystem.usedByteCount == 0)
        try other.allocate(offset: 0, length: 10 * 4_096)
    }

    @Test("What was allocated can be written on a full disk", .tags(.fault))
    func keepsAllocatedSpace() throws {
        let fileSystem = try makeFileSystem(capacity: 2 * 4_096)
        let file = try fileSystem.open(StoragePath("file"), .createNew)
        try file.allocate(offset: 0, length: 2 * 4_096)
        #expect(fileSystem.usedByteCount == 2 * 4_096)
        try file.put(pattern(2 * 4_096), at: 0)
        #expect(try file.bytes(2 * 4_096, at: 0) == pattern(2 * 4_096))
    }

    @Test("Contents live on between one opening of the root and the next")
    func livesOn() throws {
        let fileSystem = try makeFileSystem(capacity: nil)
        try fileSystem.open(StoragePath("file"), .createNew).put([1], at: 0)
        try fileSystem.openRoot(createIfMissing: true)
        #expect(try fileSystem.open(StoragePath("file"), .read).bytes(2, at: 0) == [1])
        #expect(fileSystem.rootDescription == "memory:small")
    }

    @Test("A write beyond the largest file is refused")
    func refusesHugeOffsets() throws {
        let file = try makeFileSystem(capacity: nil).open(StoragePath("file"), .createNew)
        for offset: UInt64 in [1 << 40, 1 << 62, .max] {
            expectFailure(EFBIG, .write) { () throws(FileSystemError) in try file.put([1], at: offset) }
        }
        #expect(try file.size() == 0)
    }
}
