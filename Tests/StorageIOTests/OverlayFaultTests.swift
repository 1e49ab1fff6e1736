/// An overlay over a disk with bad sectors, over links, and over what fails while it is opened.
import Foundation
import StorageSimulation
import Synchronization
import Testing

@testable import StorageIO

@Suite(.tags(.fault)) struct OverlayFaultTests {
    private let path = StoragePath("file")

    private var badBlocks: FaultPlan { FaultPlan([.badBlock(1, of: path), .badBlock(4, of: path)]) }

    /// A file of 20,000 bytes, of which the second block of 4 KiB and the last one cannot be read.
    private func withBadSectors(
        asZeros: Bool, _ body: (OverlayFileSystem, SimulatedFileSystem, inout [UInt8]) throws -> Void
    ) throws {
        let base = SimulatedFileSystem()
        try base.openRoot(createIfMissing: true)
        try base.open(path, .createNew).put(pattern(20_000), at: 0)
        base.inject(badBlocks)
        let overlay = OverlayFileSystem(over: base, readsBadSectorsAsZeros: asZeros)
        try overlay.openRoot(createIfMissing: false)
        var wanted = pattern(20_000)
        for index in [4_096..<8_192, 16_384..<20_000].joined() { wanted[index] = 0 }
        try body(overlay, base, &wanted)
        #expect(base.contents(of: path) == pattern(20_000))
    }

    @Test("Blocks that cannot be read are zeros, and what is beside them is read")
    func readsAroundBadSectors() throws {
        try withBadSectors(asZeros: true) { overlay, _, wanted in
            let file = try overlay.open(path, .readWrite)
            #expect(try file.bytes(100, at: 8_100) == Array(wanted[8_100..<8_200]))
            #expect(try file.bytes(30_000, at: 0) == wanted)
            #expect(try file.size() == 20_000)
            // What is written over a part of such a block is kept, with zeros around it.
            try file.put([7, 8], at: 5_000)
            try file.put([9], at: 19_999)
            wanted.replaceSubrange(5_000..<5_002, with: [7, 8])
            wanted[19_999] = 9
            #expect(try overlay.open(path, .read).bytes(30_000, at: 0) == wanted)
        }
    }

    @Test("A block that is found unreadable is zeros in a mapping that was made before")
    func mapsAroundBadSectors() throws {
        try withBadSectors(asZeros: true) { overlay, base, wanted in
            let file = try overlay.open(path, .read)
            let space = try overlay.reserveAddressSpace(byteCount: 1 << 16)
            // A real mapping has a signal for whoever touches the block.
            base.inject(.none)
            try file.map(offset: 0, length: 20_000, into: space, at: 0)
            base.inject(badBlocks)
            #expect(try file.bytes(30_000, at: 0) == wanted)
            #expect(space.bytes(20_000, at: 0) == wanted)
        }
    }

    @Test("Unless it is asked for, a block that cannot be read is an error, and nothing is written there")
    func reportsBadSectors() throws {
        try withBadSectors(asZeros: false) { overlay, _, wanted in
            let file = try overlay.open(path, .readWrite)
            #expect(try file.bytes(4_096, at: 8_192) == Array(wanted[8_192..<12_288]))
            expectFailure(EIO, .read) { () throws(FileSystemError) in try file.bytes(10, at: 8_190) }
            expectFailure(EIO, .read) { () throws(FileSystemError) in try file.put([1], at: 5_000) }
            expectFailure(EIO, .read) { () throws(FileSystemError) in try file.bytes(10, at: 5_000) }
            try file.put([UInt8](repeating: 3, count: 4_096), at: 4_096)
            #expect(try file.bytes(3, at: 8_190) == [3, 3, wanted[8_192]])
        }
    }

    @Test("An error that is not of a bad sector is passed on", arguments: [true, false])
    func reportsOtherErrors(asZeros: Bool) throws {
        try withBadSectors(asZeros: asZeros) { overlay, base, _ in
            let file = try overlay.open(path, .read)
            base.inject(.fail(call: 1, code: ENOMEM, forever: true, calls: [.read]))
            expectFailure(ENOMEM, .read) { () throws(FileSystemError) in try file.bytes(10, at: 0) }
            base.inject(.fail(call: 1, code: ENOMEM, forever: true, calls: [.size]))
            #expect(try overlay.open(path, .read).size() == 20_000)
        }
        let memory = MemoryFileSystem(name: "size")
        try memory.openRoot(createIfMissing: true)
        _ = try memory.open(path, .createNew)
        let base = FailingFileSystem(memory)
        let overlay = OverlayFileSystem(over: base)
        expectFailure(EBADF, .list) { () throws(FileSystemError) in try overlay.list(.root) }
        try overlay.openRoot(createIfMissing: false)
        base.fail(.size, with: EIO)
        expectFailure(EIO, .size) { () throws(FileSystemError) in try overlay.open(path, .read) }
        #expect(base.openCount == 0)
        base.fail(nil, with: 0)
        #expect(try overlay.open(path, .read).size() == 0)
    }

    @Test(
        "Where locks do not work nobody can be locked out; other errors are passed on",
        arguments: [(EROFS, true), (EACCES, true), (ENOTSUP, true), (ENOLCK, true), (EIO, false), (EWOULDBLOCK, false)])
    func locksWhereLocksWork(code: Int32, isIgnored: Bool) throws {
        let memory = MemoryFileSystem(name: "lock")
        try memory.openRoot(createIfMissing: true)
        try memory.lockRoot(exclusive: true).release()
        let base = FailingFileSystem(memory)
        base.fail(.lock, with: code)
        let overlay = OverlayFileSystem(over: base)
        try overlay.openRoot(createIfMissing: false)
        if isIgnored {
            try overlay.lockRoot(exclusive: false).release()
        } else {
            expectFailure(code, .lock) { () throws(FileSystemError) in try overlay.lockRoot(exclusive: false) }
        }
    }

    @Test("A link is shown and not opened, and may be renamed or removed")
    func showsLinks() throws {
        try withTemporaryDirectory { root in
            let base = POSIXFileSystem(root: root)
            try base.openRoot(createIfMissing: false)
            try FileManager.default.createSymbolicLink(atPath: root + "/link", withDestinationPath: "file")
            let overlay = OverlayFileSystem(over: base)
            try overlay.openRoot(createIfMissing: false)
            #expect(try overlay.list(.root) == [DirectoryEntry(name: "link", kind: .other)])
            expectFailure(ELOOP, .open) { () throws(FileSystemError) in try overlay.open(StoragePath("link"), .read) }
            try overlay.rename(StoragePath("link"), to: path)
            try overlay.unlink(path)
            #expect(try overlay.list(.root) == [])
            #expect(try base.list(.root).map(\.name) == ["link"])
        }
    }
}

/// A file system that fails one kind of call.
private final class FailingFileSystem: FileSystem {
    private let inner: any FileSystem
    private let state = Mutex((call: SystemCall?.none, code: Int32(0), openCount: 0))

    init(_ inner: any FileSystem) { self.inner = inner }

    /// How many handles are open.
    var openCount: Int { state.withLock { $0.openCount } }

    func fail(_ call: SystemCall?, with code: Int32) {
        state.withLock {
            $0.call = call
            $0.code = code
        }
    }

    fileprivate func ask(_ call: SystemCall) throws(FileSystemError) {
        let (failing, code, _) = state.withLock { $0 }
        if failing == call { throw FileSystemError(code: code, call: call, path: "failing") }
    }

    fileprivate func count(_ change: Int) { state.withLock { $0.openCount += change } }

    var rootDescription: String { inner.rootDescription }
    func openRoot(createIfMissing: Bool) throws(FileSystemError) {}
    func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock {
        try ask(.lock)
        return try inner.lockRoot(exclusive: exclusive)
    }
    func createDirectory(_ path: StoragePath) throws(FileSystemError) { try inner.createDirectory(path) }
    func removeDirectory(_ path: StoragePath) throws(FileSystemError) { try inner.removeDirectory(path) }
    func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] { try inner.list(path) }
    func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile {
        let file = FailingFile(try inner.open(path, mode), of: self)
        count(1)
        return file
    }
    func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
        try inner.rename(source, to: target)
    }
    func unlink(_ path: StoragePath) throws(FileSystemError) { try inner.unlink(path) }
    func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError) { try inner.synchronizeDirectory(path) }
    func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace {
        try inner.reserveAddressSpace(byteCount: byteCount)
    }
}

private final class FailingFile: StorageFile {
    private let inner: any StorageFile
    private let owner: FailingFileSystem

    init(_ inner: any StorageFile, of owner: FailingFileSystem) {
        self.inner = inner
        self.owner = owner
    }

    var path: StoragePath { inner.path }

    func size() throws(FileSystemError) -> UInt64 {
        try owner.ask(.size)
        return try inner.size()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
        try owner.ask(.read)
        return try unsafe inner.read(into: buffer, at: offset)
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
        try unsafe inner.write(buffers, at: offset)
    }

    func synchronizeData() throws(FileSystemError) { try inner.synchronizeData() }
    func synchronize() throws(FileSystemError) { try inner.synchronize() }
    func allocate(offset: UInt64, length: UInt64) throws(FileSystemError) {
        try inner.allocate(offset: offset, length: length)
    }
    func map(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) throws(FileSystemError) {
        try inner.map(offset: offset, length: length, into: space, at: position)
    }
    /// As the kernel would: what cannot be read is read when it is touched, which memory does not show.
    func mapPrivately(
        offset: UInt64, length: Int, into space: any AddressSpace, at position: Int
    ) throws(FileSystemError) {
        try inner.mapPrivately(offset: offset, length: length, into: space, at: position)
    }

    func close() throws(FileSystemError) {
        owner.count(-1)
        try inner.close()
    }
}
