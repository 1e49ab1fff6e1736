/// What is underneath an overlay stays as it is, and shows wherever nothing was written.
import Foundation
import Testing

@testable import StorageIO

@Suite struct OverlayFileSystemTests {
    private let file = StoragePath("file")

    /// A root with a file of 300,000 bytes, and an overlay on it.
    private func withOverlay(_ kind: FileSystemKind, _ body: (any FileSystem, OverlayFileSystem) throws -> Void) throws
    {
        try withFileSystem(kind) { base in
            try base.open(file, .createNew).put(pattern(300_000), at: 0)
            try base.createDirectory(StoragePath("directory"))
            try base.open(StoragePath("directory", "inner"), .createNew).put([1, 2, 3], at: 0)
            let overlay = OverlayFileSystem(over: base)
            try overlay.openRoot(createIfMissing: false)
            try body(base, overlay)
            #expect(try base.open(file, .read).bytes(400_000, at: 0) == pattern(300_000))
            #expect(try base.list(.root).map(\.name) == ["directory", "file"])
            #expect(try base.open(StoragePath("directory", "inner"), .read).bytes(9, at: 0) == [1, 2, 3])
        }
    }

    @Test("Writes are read back over what is underneath, through every handle", arguments: FileSystemKind.allCases)
    func writes(kind: FileSystemKind) throws {
        try withOverlay(kind) { _, overlay in
            var wanted = pattern(300_000)
            let one = try overlay.open(file, .readWrite)
            for (offset, count) in [(0, 5), (4_090, 12), (70_000, 65_536), (299_990, 4_000), (310_000, 1)] {
                let bytes = pattern(count, seed: offset + 7)
                try one.put(bytes, at: UInt64(offset))
                while wanted.count < offset + count { wanted.append(0) }
                wanted.replaceSubrange(offset..<offset + count, with: bytes)
            }
            try one.close()
            let other = try overlay.open(file, .read)
            #expect(try other.size() == UInt64(wanted.count))
            #expect(try other.bytes(400_000, at: 0) == wanted)
            #expect(try other.bytes(5_000, at: 4_000) == Array(wanted[4_000..<9_000]))
            expectFailure(EBADF, .write) { () throws(FileSystemError) in try other.put([1], at: 0) }
        }
    }

    @Test("Mappings show writes made before and after, and zeros behind the end", arguments: FileSystemKind.allCases)
    func maps(kind: FileSystemKind) throws {
        try withOverlay(kind) { _, overlay in
            let opened = try overlay.open(file, .readWrite)
            try opened.put([9, 9], at: 66_000)
            try opened.allocate(offset: 0, length: 8 * 65_536)
            let space = try overlay.reserveAddressSpace(byteCount: 1 << 20)
            try opened.map(offset: 65_536, length: 7 * 65_536, into: space, at: 65_536)
            try opened.put([8, 8, 8], at: 131_071)
            try opened.put([7], at: 500_000)
            var wanted = pattern(300_000) + [UInt8](repeating: 0, count: 8 * 65_536 - 300_000)
            wanted.replaceSubrange(66_000..<66_002, with: [9, 9])
            wanted.replaceSubrange(131_071..<131_074, with: [8, 8, 8])
            wanted[500_000] = 7
            #expect(space.bytes(7 * 65_536, at: 65_536) == Array(wanted[65_536...]))
            expectFailure(EINVAL, .map) { () throws(FileSystemError) in
                try opened.map(offset: 65_536, length: 8 * 65_536, into: space, at: 0)
            }
        }
    }

    @Test("Names change above only: renames, removals, new files", arguments: FileSystemKind.allCases)
    func names(kind: FileSystemKind) throws {
        try withOverlay(kind) { _, overlay in
            try overlay.rename(StoragePath("directory"), to: StoragePath("moved"))
            #expect(try overlay.open(StoragePath("moved", "inner"), .read).bytes(9, at: 0) == [1, 2, 3])
            expectFailure(ENOTEMPTY, .removeDirectory) { () throws(FileSystemError) in
                try overlay.removeDirectory(StoragePath("moved"))
            }
            try overlay.unlink(StoragePath("moved", "inner"))
            try overlay.removeDirectory(StoragePath("moved"))
            try overlay.unlink(file)
            expectFailure(ENOENT, .open) { () throws(FileSystemError) in try overlay.open(file, .read) }
            try overlay.open(file, .createNew).put([5], at: 0)
            #expect(try overlay.list(.root).map(\.name) == ["file"])
            #expect(try overlay.open(file, .read).bytes(9, at: 0) == [5])
        }
    }

    @Test("A root that is not there is not made, and a lock file neither", arguments: FileSystemKind.allCases)
    func makesNothing(kind: FileSystemKind) throws {
        try withTemporaryDirectory { path in
            let overlay = OverlayFileSystem(over: POSIXFileSystem(root: path + "/none"))
            expectFailure(ENOENT, .openRoot) { () throws(FileSystemError) in
                try overlay.openRoot(createIfMissing: true)
            }
            #expect(FileManager.default.fileExists(atPath: path + "/none") == false)
        }
        try withOverlay(kind) { base, overlay in
            let lock = try overlay.lockRoot(exclusive: true)
            lock.release()
            #expect(try base.list(.root).map(\.name) == ["directory", "file"])
        }
    }

    @Test(
        "A lock that is there is shared with readers and not with a writer", arguments: [FileSystemKind.posix, .memory])
    func locks(kind: FileSystemKind) throws {
        try withFileSystem(kind) { base in
            try base.lockRoot(exclusive: true).release()
            let overlay = OverlayFileSystem(over: base)
            try overlay.openRoot(createIfMissing: false)
            let one = try overlay.lockRoot(exclusive: false)
            let two = try overlay.lockRoot(exclusive: false)
            expectFailure(EWOULDBLOCK, .lock) { () throws(FileSystemError) in try base.lockRoot(exclusive: true) }
            one.release()
            two.release()
            let writer = try base.lockRoot(exclusive: true)
            expectFailure(EWOULDBLOCK, .lock) { () throws(FileSystemError) in try overlay.lockRoot(exclusive: false) }
            writer.release()
        }
    }
}
