/// An open file in memory: the engine hands it requests, it applies them to the shared contents under their lock.
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file that names and open handles share; its bytes go when the last of them is gone.
final class MemoryNode: Sendable {
    let contents: Mutex<MemoryContents>

    init(budget: MemoryBudget) {
        contents = Mutex(MemoryContents(budget: budget))
    }
}

/// A handle on a file of a ``MemoryFileSystem``.
final class MemoryFile: StorageFile {
    let path: StoragePath
    private let isWritable: Bool
    private let node: Mutex<MemoryNode?>

    init(path: StoragePath, node: MemoryNode, isWritable: Bool) {
        self.path = path
        self.isWritable = isWritable
        self.node = Mutex(node)
    }

    func size() throws(FileSystemError) -> UInt64 {
        let node = try opened(.size)
        return UInt64(node.contents.withLock { $0.byteCount })
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
        let node = try opened(.read, offset)
        guard offset <= UInt64(Int64.max) else { throw failure(EFBIG, .read, offset) }
        return node.contents.withLock { unsafe $0.read(into: buffer, at: Int(offset)) }
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
        let node = try opened(.write, offset)
        guard isWritable else { throw failure(EBADF, .write, offset) }
        let count = unsafe buffers.reduce(0) { $0 + $1.count }
        guard offset <= UInt64(Int64.max), Int(offset) <= MemoryContents.byteCountMax - count else {
            throw failure(EFBIG, .write, offset)
        }
        let written = node.contents.withLock { unsafe $0.write(buffers, at: Int(offset)) }
        if written == 0 && count > 0 { throw failure(ENOSPC, .write, offset) }
        return written
    }

    func synchronizeData() throws(FileSystemError) { _ = try opened(.synchronizeData) }

    func synchronize() throws(FileSystemError) { _ = try opened(.synchronize) }

    func allocate(offset: UInt64, length: UInt64) throws(FileSystemError) {
        let node = try opened(.allocate, offset)
        guard isWritable else { throw failure(EBADF, .allocate, offset) }
        let (end, overflows) = offset.addingReportingOverflow(length)
        guard !overflows, end <= UInt64(MemoryContents.byteCountMax) else {
            throw failure(EFBIG, .allocate, offset)
        }
        guard length > 0 else { return }
        let fits = node.contents.withLock { $0.allocate(from: Int(offset), to: Int(end)) }
        if !fits { throw failure(ENOSPC, .allocate, offset) }
    }

    func map(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) throws(FileSystemError) {
        let node = try opened(.map, offset)
        guard let space = space as? MemoryAddressSpace, let start = Int(exactly: offset) else {
            throw failure(EINVAL, .map, offset)
        }
        do throws(Errno) {
            try node.contents.withLock { contents throws(Errno) in
                try contents.map(from: start, length: length, into: space, at: position)
            }
        } catch {
            throw failure(error.code, .map, offset)
        }
    }

    func close() throws(FileSystemError) {
        node.withLock { $0 = nil }
    }

    private func opened(_ call: SystemCall, _ offset: UInt64? = nil) throws(FileSystemError) -> MemoryNode {
        guard let node = node.withLock({ $0 }) else { throw failure(EBADF, call, offset) }
        return node
    }

    private func failure(_ code: Int32, _ call: SystemCall, _ offset: UInt64?) -> FileSystemError {
        FileSystemError(code: code, call: call, path: path.description, offset: offset)
    }
}
