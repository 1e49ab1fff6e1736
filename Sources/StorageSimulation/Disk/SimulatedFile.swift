/// An open file of a ``SimulatedFileSystem``: hands its calls to the disk's state.
import StorageIO
import Synchronization

final class SimulatedFile: StorageFile {
    let path: StoragePath
    private let fileSystem: SimulatedFileSystem
    private let inode: Int
    private let isWritable: Bool
    private let isOpen = Mutex(true)

    init(fileSystem: SimulatedFileSystem, inode: Int, path: StoragePath, isWritable: Bool) {
        self.fileSystem = fileSystem
        self.inode = inode
        self.path = path
        self.isWritable = isWritable
    }

    private func check(_ call: SystemCall, writing: Bool = false) throws(FileSystemError) {
        guard isOpen.withLock({ $0 }), isWritable || !writing else {
            throw FileSystemError(code: ErrorNumber.badDescriptor, call: call, path: path.description)
        }
    }

    func size() throws(FileSystemError) -> UInt64 {
        try fileSystem.perform(.size, path) { (state, _) throws(FileSystemError) in
            try check(.size)
            return UInt64(state.inodes[inode].volatile.size)
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
        try fileSystem.perform(.read, path, offset: offset, length: UInt64(buffer.count)) {
            (state, effect) throws(FileSystemError) in
            try check(.read)
            var count = buffer.count
            if case .short(let limit) = effect { count = min(count, max(1, limit)) }
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            return unsafe state.read(inode, into: part, at: offset)
        }
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
        let length = unsafe buffers.reduce(0) { $0 + UInt64($1.count) }
        let hash = unsafe CallTrace.hash(of: buffers)
        return try fileSystem.perform(.write, path, offset: offset, length: length, dataHash: hash) {
            (state, effect) throws(FileSystemError) in
            try check(.write, writing: true)
            let request = DiskState.WriteRequest(inode: inode, path: path, offset: offset, effect: effect)
            return try unsafe state.write(buffers, request)
        }
    }

    func synchronizeData() throws(FileSystemError) { try synchronize(.synchronizeData) }

    func synchronize() throws(FileSystemError) { try synchronize(.synchronize) }

    private func synchronize(_ call: SystemCall) throws(FileSystemError) {
        try fileSystem.perform(call, path) { (state, effect) throws(FileSystemError) in
            try check(call)
            let failure = effect?.syncFailure
            state.synchronize(inode, losing: failure?.loss)
            if let failure { throw state.fault(failure.code, call, path) }
        }
    }

    func allocate(offset: UInt64, length: UInt64) throws(FileSystemError) {
        try fileSystem.perform(.allocate, path, offset: offset, length: length) {
            (state, _) throws(FileSystemError) in
            try check(.allocate, writing: true)
            try state.allocate(inode, path, offset: offset, length: length)
        }
    }

    func map(
        offset: UInt64, length: Int, into space: any AddressSpace, at position: Int
    ) throws(FileSystemError) {
        try fileSystem.perform(.map, path, offset: offset, length: UInt64(clamping: length)) {
            (state, _) throws(FileSystemError) in
            try check(.map)
            let mapping = FileMapping(
                space: space as? SimulatedAddressSpace, position: position, offset: Int(clamping: offset),
                length: length)
            try state.map(inode, path, mapping)
        }
    }

    /// Closes; as on Linux the descriptor is gone even when closing fails.
    func close() throws(FileSystemError) {
        let wasOpen = isOpen.withLock { open in
            defer { open = false }
            return open
        }
        guard wasOpen else { return }
        try fileSystem.perform(.close, path) { (state, effect) throws(FileSystemError) in
            state.close(inode)
            if case .fail(let code) = effect { throw state.fault(code, .close, path) }
        }
    }
}
