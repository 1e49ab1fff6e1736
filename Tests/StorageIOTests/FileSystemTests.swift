/// The promises of the file system seam, on every implementation of it.
import Foundation
import Testing

@testable import StorageIO

@Suite struct FileSystemTests {
    private let file = StoragePath("file")

    @Test("Creating is exclusive and opening needs a file", arguments: FileSystemKind.allCases)
    func createsExclusively(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            expectFailure(ENOENT, .open) { () throws(FileSystemError) in try fileSystem.open(file, .read) }
            expectFailure(ENOENT, .open) { () throws(FileSystemError) in try fileSystem.open(file, .readWrite) }
            try fileSystem.open(file, .createNew).put([1, 2, 3], at: 0)
            expectFailure(EEXIST, .open) { () throws(FileSystemError) in try fileSystem.open(file, .createNew) }
            #expect(try fileSystem.open(file, .read).bytes(9, at: 0) == [1, 2, 3])
            expectFailure(ENOENT, .open) { () throws(FileSystemError) in
                try fileSystem.open(StoragePath("none", "file"), .createNew)
            }
            expectFailure(ENOTDIR, .open) { () throws(FileSystemError) in
                try fileSystem.open(StoragePath("file", "file"), .createNew)
            }
            try fileSystem.createDirectory(StoragePath("directory"))
            expectFailure(EISDIR, .open) { () throws(FileSystemError) in
                try fileSystem.open(StoragePath("directory"), .read)
            }
        }
    }

    @Test("What is written is read; reads are short at the end; holes are zero", arguments: FileSystemKind.allCases)
    func readsWhatWasWritten(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let opened = try fileSystem.open(file, .createNew)
            let data = pattern(200_000)
            try opened.put(Array(data[..<70_001]), Array(data[70_001...]), at: 100_000)
            #expect(try opened.size() == 300_000)
            #expect(try opened.bytes(100_000, at: 0) == [UInt8](repeating: 0, count: 100_000))
            #expect(try opened.bytes(200_000, at: 100_000) == data)
            #expect(try opened.bytes(100, at: 299_990) == Array(data.suffix(10)))
            #expect(try opened.bytes(100, at: 300_000) == [])
            #expect(try opened.bytes(100, at: 900_000) == [])
            try opened.put([7, 7], at: 150_000)
            #expect(try opened.bytes(4, at: 149_999) == [data[49_999], 7, 7, data[50_002]])
        }
    }

    @Test("Thousands of buffers are written in order", arguments: FileSystemKind.allCases)
    func writesManyBuffers(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let opened = try fileSystem.open(file, .createNew)
            let parts = (0..<2_500).map { pattern($0 % 7, seed: $0) }
            try opened.put(parts, at: 3)
            #expect(try opened.bytes(20_000, at: 3) == parts.flatMap { $0 })
        }
    }

    @Test("Allocating grows the file with zeros and keeps what is there", arguments: FileSystemKind.allCases)
    func allocates(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let opened = try fileSystem.open(file, .createNew)
            try opened.put([1, 2, 3], at: 0)
            try opened.allocate(offset: 0, length: 200_000)
            #expect(try opened.size() == 200_000)
            #expect(try opened.bytes(200_000, at: 0) == [1, 2, 3] + [UInt8](repeating: 0, count: 199_997))
            try opened.allocate(offset: 0, length: 10)
            try opened.allocate(offset: 5, length: 0)
            #expect(try opened.size() == 200_000)
            expectFailure(EFBIG, .allocate) { () throws(FileSystemError) in
                try opened.allocate(offset: .max - 1, length: 5)
            }
        }
    }

    @Test("A mapping shows later writes, and growth is mapped behind it", arguments: FileSystemKind.allCases)
    func mapsFiles(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let unit = StorageGranularity.byteCount
            let space = try fileSystem.reserveAddressSpace(byteCount: 8 * unit)
            let opened = try fileSystem.open(file, .createNew)
            try opened.allocate(offset: 0, length: UInt64(2 * unit))
            try opened.put([1, 2], at: 10)
            try opened.map(offset: 0, length: 2 * unit, into: space, at: unit)
            #expect(space.bytes(4, at: unit + 9) == [0, 1, 2, 0])
            try opened.put(pattern(100), at: UInt64(unit - 50))
            #expect(space.bytes(100, at: 2 * unit - 50) == pattern(100))
            // Growth, seen by a second handle too.
            let other = try fileSystem.open(file, .readWrite)
            try other.put(pattern(unit, seed: 9), at: UInt64(2 * unit))
            try other.map(offset: UInt64(2 * unit), length: unit, into: space, at: 3 * unit)
            try opened.put([42], at: UInt64(3 * unit - 1))
            #expect(space.bytes(unit - 1, at: 3 * unit) == pattern(unit, seed: 9).dropLast())
            #expect(space.bytes(1, at: 4 * unit - 1) == [42])
            // A second mapping of the same file, and mappings outlive handles and names.
            let second = try fileSystem.reserveAddressSpace(byteCount: unit)
            try opened.map(offset: 0, length: unit, into: second, at: 0)
            try other.put([5], at: 1)
            try opened.close()
            try other.close()
            try fileSystem.unlink(file)
            #expect(second.bytes(2, at: 0) == [0, 5])
            #expect(space.bytes(2, at: unit) == [0, 5])
        }
    }

    @Test("A mapping never leaves the file, the reservation or the grid", arguments: FileSystemKind.allCases)
    func refusesBadMappings(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let unit = StorageGranularity.byteCount
            let space = try fileSystem.reserveAddressSpace(byteCount: 2 * unit)
            let opened = try fileSystem.open(file, .createNew)
            try opened.put(pattern(unit + 100), at: 0)
            let bad: [(offset: UInt64, length: Int, position: Int)] = [
                (0, 2 * unit, 0), (0, unit, 2 * unit), (0, unit, -unit), (0, unit, 1), (1, unit, 0), (0, 0, 0),
                (UInt64(2 * unit), 1, 0), (.max - UInt64(unit - 1), unit, 0), (0, .max, unit),
            ]
            for (offset, length, position) in bad {
                expectFailure(EINVAL, .map) { () throws(FileSystemError) in
                    try opened.map(offset: offset, length: length, into: space, at: position)
                }
            }
            try opened.map(offset: 0, length: unit + 100, into: space, at: 0)
            #expect(space.bytes(unit + 100, at: 0) == pattern(unit + 100))
        }
    }

    @Test("A rename replaces a file, and moves a directory with what is in it", arguments: FileSystemKind.allCases)
    func renames(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            try fileSystem.open(file, .createNew).put([1], at: 0)
            let replaced = try fileSystem.open(StoragePath("target"), .createNew)
            try replaced.put([2], at: 0)
            try fileSystem.rename(file, to: StoragePath("target"))
            #expect(try fileSystem.open(StoragePath("target"), .read).bytes(9, at: 0) == [1])
            #expect(try replaced.bytes(9, at: 0) == [2])
            try fileSystem.createDirectory(StoragePath("old"))
            try fileSystem.rename(StoragePath("target"), to: StoragePath("old", "inside"))
            try fileSystem.rename(StoragePath("old"), to: StoragePath("new"))
            #expect(try fileSystem.open(StoragePath("new", "inside"), .read).bytes(9, at: 0) == [1])
            #expect(try fileSystem.list(.root) == [DirectoryEntry(name: "new", kind: .directory)])
            try fileSystem.synchronizeDirectory(StoragePath("new"))
            try fileSystem.synchronizeDirectory(.root)
        }
    }

    @Test("A rename refuses what POSIX refuses", arguments: FileSystemKind.allCases)
    func refusesBadRenames(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            for name in ["a", "b", "empty"] { try fileSystem.createDirectory(StoragePath(name)) }
            _ = try fileSystem.open(StoragePath("b", "file"), .createNew)
            _ = try fileSystem.open(file, .createNew)
            let cases: [(StoragePath, StoragePath, Int32)] = [
                (StoragePath("none"), file, ENOENT), (file, StoragePath("none", "file"), ENOENT),
                (file, StoragePath("a"), EISDIR), (StoragePath("a"), file, ENOTDIR),
                (StoragePath("a"), StoragePath("b"), ENOTEMPTY), (StoragePath("a"), StoragePath("a", "x"), EINVAL),
                (.root, StoragePath("x"), EBUSY),
            ]
            for (source, target, code) in cases {
                expectFailure(code, .rename) { () throws(FileSystemError) in
                    try fileSystem.rename(source, to: target)
                }
            }
            try fileSystem.rename(file, to: file)
            try fileSystem.rename(StoragePath("a"), to: StoragePath("empty"))
            #expect(try fileSystem.list(.root).map(\.name) == ["b", "empty", "file"])
        }
    }

    @Test("An unlinked file lives while it is open", arguments: FileSystemKind.allCases)
    func unlinksOpenFiles(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let opened = try fileSystem.open(file, .createNew)
            try fileSystem.unlink(file)
            expectFailure(ENOENT, .unlink) { () throws(FileSystemError) in try fileSystem.unlink(file) }
            try opened.put([1, 2], at: 0)
            #expect(try opened.bytes(2, at: 0) == [1, 2])
            #expect(try fileSystem.list(.root) == [])
            try fileSystem.open(file, .createNew).put([3], at: 0)
            #expect(try opened.bytes(2, at: 0) == [1, 2])
            try opened.synchronizeData()
            try opened.synchronize()
        }
    }

    // A descriptor's bare number was once taken out of a temporary owner, which closed it before the call: listing a
    // subdirectory met EBADF, or another file. Numbers are now only lent for the length of a closure.
    @Test("Directories are listed in order and removed when empty", arguments: FileSystemKind.allCases)
    func listsDirectories(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let directory = StoragePath("directory")
            try fileSystem.createDirectory(directory)
            expectFailure(EEXIST, .createDirectory) { () throws(FileSystemError) in
                try fileSystem.createDirectory(directory)
            }
            for name in ["b", "a10", "a9", "z"] { _ = try fileSystem.open(StoragePath("directory", name), .createNew) }
            #expect(try fileSystem.list(directory).map(\.name) == ["a10", "a9", "b", "z"])
            #expect(try fileSystem.list(directory).map(\.name) == ["a10", "a9", "b", "z"])
            #expect(try fileSystem.list(.root) == [DirectoryEntry(name: "directory", kind: .directory)])
            expectFailure(ENOTEMPTY, .removeDirectory) { () throws(FileSystemError) in
                try fileSystem.removeDirectory(directory)
            }
            expectFailure(EISDIR, .unlink) { () throws(FileSystemError) in try fileSystem.unlink(directory) }
            for entry in try fileSystem.list(directory) { try fileSystem.unlink(StoragePath("directory", entry.name)) }
            try fileSystem.removeDirectory(directory)
            expectFailure(ENOENT, .list) { () throws(FileSystemError) in try fileSystem.list(directory) }
        }
    }

    @Test("The root is a directory that cannot be made, opened or removed", arguments: FileSystemKind.allCases)
    func refusesRoot(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            expectFailure(EEXIST, .createDirectory) { () throws(FileSystemError) in
                try fileSystem.createDirectory(.root)
            }
            expectFailure(EBUSY, .removeDirectory) { () throws(FileSystemError) in
                try fileSystem.removeDirectory(.root)
            }
            expectFailure(EISDIR, .open) { () throws(FileSystemError) in try fileSystem.open(.root, .read) }
            expectFailure(EISDIR, .unlink) { () throws(FileSystemError) in try fileSystem.unlink(.root) }
            #expect(try fileSystem.list(.root) == [])
            _ = try fileSystem.open(file, .createNew)
            expectFailure(ENOTDIR, .removeDirectory) { () throws(FileSystemError) in
                try fileSystem.removeDirectory(file)
            }
            expectFailure(ENOTDIR, .list) { () throws(FileSystemError) in try fileSystem.list(file) }
        }
    }

    @Test("Addresses that the machine does not have are not reserved", arguments: FileSystemKind.allCases)
    func refusesHugeReservations(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            for (byteCount, code) in [(1 << 60, ENOMEM), (0, EINVAL), (-1, EINVAL), (.max, EINVAL)] {
                expectFailure(code, .reserveAddressSpace) { () throws(FileSystemError) in
                    try fileSystem.reserveAddressSpace(byteCount: byteCount)
                }
            }
            let space = try fileSystem.reserveAddressSpace(byteCount: 100_001)
            #expect((100_001..<100_001 + (1 << 16)).contains(space.byteCount))
        }
    }

    @Test("A write reaches the mappings that are left when another one is gone", arguments: FileSystemKind.allCases)
    func forgetsMappings(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let unit = StorageGranularity.byteCount
            let opened = try fileSystem.open(file, .createNew)
            try opened.put(pattern(unit), at: 0)
            let kept = try fileSystem.reserveAddressSpace(byteCount: unit)
            do {
                let dropped = try fileSystem.reserveAddressSpace(byteCount: unit)
                try opened.map(offset: 0, length: unit, into: dropped, at: 0)
                #expect(dropped.bytes(unit, at: 0) == pattern(unit))
            }
            try opened.put([1, 2, 3], at: 0)
            try opened.map(offset: 0, length: unit, into: kept, at: 0)
            try opened.put([9], at: 1)
            #expect(kept.bytes(4, at: 0) == [1, 9, 3, pattern(4)[3]])
        }
    }

    @Test("Empty buffers are passed over, and one call takes what it can", arguments: FileSystemKind.allCases)
    func writesEmptyBuffers(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let opened = try fileSystem.open(file, .createNew)
            let bytes = AlignedBuffer(byteCount: 3_000)
            unsafe bytes.bytes.copyBytes(from: pattern(3_000))
            let whole = unsafe UnsafeRawBufferPointer(bytes.bytes)
            let empty = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
            #expect(try unsafe opened.write([empty, whole, empty], at: 0) == 3_000)
            #expect(try unsafe opened.write([empty, empty], at: 9_000) == 0)
            #expect(try unsafe opened.write([], at: 9_000) == 0)
            #expect(try unsafe opened.read(into: UnsafeMutableRawBufferPointer(start: nil, count: 0), at: 0) == 0)
            #expect(try opened.bytes(9_000, at: 0) == pattern(3_000))
            // More buffers than the kernel takes at once.
            let parts = unsafe whole.indices.map { unsafe UnsafeRawBufferPointer(rebasing: whole[$0..<$0 + 1]) }
            let count = try unsafe opened.write(parts, at: 0)
            #expect(kind == .posix ? count == 1_024 : count == 3_000)
            #expect(try opened.bytes(9_000, at: 0) == pattern(3_000))
        }
    }

    @Test("Work beyond the largest offset is refused", arguments: FileSystemKind.allCases)
    func refusesHugeRanges(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let opened = try fileSystem.open(file, .createNew)
            let end = UInt64(Int64.max)
            expectFailure(EFBIG, .allocate) { () throws(FileSystemError) in
                try opened.allocate(offset: end - 1, length: 5)
            }
            #expect(try opened.size() == 0)
            try opened.startWriteback(offset: 0, length: 1 << 20)
            try opened.startWriteback(offset: end + 1, length: 1)
            if kind != .overlay {
                expectFailure(EFBIG, .read) { () throws(FileSystemError) in try opened.bytes(1, at: end + 1) }
            }
        }
    }

    @Test("Closed and read-only files refuse work", arguments: FileSystemKind.allCases)
    func refusesClosedFiles(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let opened = try fileSystem.open(file, .createNew)
            try opened.put([1], at: 0)
            try opened.close()
            try opened.close()
            expectFailure(EBADF, .read) { () throws(FileSystemError) in try opened.bytes(1, at: 0) }
            expectFailure(EBADF, .size) { () throws(FileSystemError) in try opened.size() }
            expectFailure(EBADF, .synchronize) { () throws(FileSystemError) in try opened.synchronize() }
            expectFailure(EBADF, .synchronizeData) { () throws(FileSystemError) in try opened.synchronizeData() }
            let reader = try fileSystem.open(file, .read)
            expectFailure(EBADF, .write) { () throws(FileSystemError) in try reader.put([2], at: 0) }
            expectFailure(EBADF, .allocate) { () throws(FileSystemError) in
                try reader.allocate(offset: 0, length: 10)
            }
            #expect(try reader.bytes(9, at: 0) == [1])
        }
    }

    @Test(
        "An exclusive lock conflicts with every other, shared ones do not", arguments: [FileSystemKind.posix, .memory])
    func locksConflict(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            let exclusive = try fileSystem.lockRoot(exclusive: true)
            for attempt in [true, false] {
                expectFailure(EWOULDBLOCK, .lock) { () throws(FileSystemError) in
                    try fileSystem.lockRoot(exclusive: attempt)
                }
            }
            exclusive.release()
            exclusive.release()
            let first = try fileSystem.lockRoot(exclusive: false)
            let second = try fileSystem.lockRoot(exclusive: false)
            expectFailure(EWOULDBLOCK, .lock) { () throws(FileSystemError) in try fileSystem.lockRoot(exclusive: true) }
            first.release()
            expectFailure(EWOULDBLOCK, .lock) { () throws(FileSystemError) in try fileSystem.lockRoot(exclusive: true) }
            second.release()
            try fileSystem.lockRoot(exclusive: true).release()
            #expect(try fileSystem.list(.root).map(\.name) == ["LOCK"])
        }
    }

    @Test("A lock that is forgotten is let go", arguments: FileSystemKind.allCases)
    func forgottenLocksAreReleased(kind: FileSystemKind) throws {
        try withFileSystem(kind) { fileSystem in
            _ = try fileSystem.lockRoot(exclusive: true)
            _ = try fileSystem.lockRoot(exclusive: true)
        }
    }
}
