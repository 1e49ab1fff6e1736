/// A file system that watches the order of writes and syncs: every simulation puts it between the engine and its disk,
/// drivers tell it what was acknowledged, and it notes what was done before the sync that must precede it.
package import StorageIO
import Synchronization

/// Checks the ordering rules of DurabilityAndRecovery (O1–O8 and O11) at run time.
///
/// It reads what the engine writes: log records, file headers, catalogues. What the disk answers is passed on unchanged.
package final class WriteOrderChecker: FileSystem {
    let disk: SimulatedFileSystem
    private let state = Mutex(OrderState())

    /// A checker for one store's life on a disk.
    package init(_ disk: SimulatedFileSystem) { self.disk = disk }

    /// The rules that were broken, in the order in which it happened; the first twenty.
    package var violations: [String] { state.withLock { $0.violations } }

    // MARK: What the driver knows

    /// A durable write was acknowledged; 0 for a version that is not known.
    package func noteAcknowledged(version: UInt64) {
        guard version > 0 else { return }
        observe { $0.acknowledged(version, on: $1) }
    }

    /// The creation of a database was acknowledged.
    package func noteCreated(_ name: String) { observe { $0.acknowledgedCreation(of: name, on: $1) } }

    /// The dropping of a database was acknowledged.
    package func noteDropped(_ name: String) { observe { $0.acknowledgedDrop(of: name, on: $1) } }

    /// Has the state look at something, unless the machine has stopped.
    func observe(_ body: (inout OrderState, SimulatedFileSystem) -> Void) {
        guard !disk.hasCrashed else { return }
        state.withLock { body(&$0, disk) }
    }

    // MARK: Calls

    package var rootDescription: String { disk.rootDescription }

    package func openRoot(createIfMissing: Bool) throws(FileSystemError) {
        try disk.openRoot(createIfMissing: createIfMissing)
    }

    package func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock {
        let lock = try disk.lockRoot(exclusive: exclusive)
        observe { $0.locked(disk: $1) }
        return CheckedLock(lock) { [self] in observe { state, _ in state.isLocked = false } }
    }

    package func createDirectory(_ path: StoragePath) throws(FileSystemError) {
        observe { state, _ in state.change("directory \(path) is created") }
        try disk.createDirectory(path)
        observe { state, _ in state.nameAppeared(path) }
    }

    package func removeDirectory(_ path: StoragePath) throws(FileSystemError) {
        observe { state, _ in state.change("directory \(path) is removed") }
        try disk.removeDirectory(path)
    }

    package func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] { try disk.list(path) }

    package func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile {
        if mode == .createNew { observe { state, _ in state.change("\(path) is created") } }
        let file = try disk.open(path, mode)
        let id = state.withLock { $0.opened(path, mode, on: disk) }
        return CheckedFile(file, id: id, checker: self)
    }

    package func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
        observe { $0.willRename(source, to: target, on: $1) }
        try disk.rename(source, to: target)
        observe { state, _ in state.renamed(source, to: target) }
    }

    package func unlink(_ path: StoragePath) throws(FileSystemError) {
        observe { $0.willUnlink(path, on: $1) }
        try disk.unlink(path)
        observe { state, _ in state.unlinked(path) }
    }

    package func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError) {
        do {
            try disk.synchronizeDirectory(path)
        } catch {
            observe { state, _ in state.directorySyncFailed(path) }
            throw error
        }
        observe { $0.directorySynced(path, on: $1) }
    }

    package func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace {
        try disk.reserveAddressSpace(byteCount: byteCount)
    }
}

/// A file whose writes and syncs the checker sees.
private final class CheckedFile: StorageFile {
    let path: StoragePath
    private let file: any StorageFile
    private let id: Int
    private let checker: WriteOrderChecker

    init(_ file: any StorageFile, id: Int, checker: WriteOrderChecker) {
        self.file = file
        self.id = id
        self.checker = checker
        path = file.path
    }

    func size() throws(FileSystemError) -> UInt64 { try file.size() }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
        try unsafe file.read(into: buffer, at: offset)
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
        checker.observe { [id] in $0.willWrite(id, at: offset, on: $1) }
        let length = unsafe buffers.reduce(0) { $0 + UInt64($1.count) }
        do {
            let count = try unsafe file.write(buffers, at: offset)
            checker.observe { [id] in $0.wrote(id, offset..<offset + UInt64(count), on: $1) }
            return count
        } catch {
            // A part of it may be in the file.
            checker.observe { [id] state, _ in state.writeFailed(id, offset..<offset + length) }
            throw error
        }
    }

    func synchronizeData() throws(FileSystemError) {
        try sync { () throws(FileSystemError) in try file.synchronizeData() }
    }

    func synchronize() throws(FileSystemError) {
        try sync { () throws(FileSystemError) in try file.synchronize() }
    }

    private func sync(_ body: () throws(FileSystemError) -> Void) throws(FileSystemError) {
        do {
            try body()
        } catch {
            checker.observe { [id] state, _ in state.syncFailed(id) }
            throw error
        }
        checker.observe { [id] in $0.synced(id, on: $1) }
    }

    func allocate(offset: UInt64, length: UInt64) throws(FileSystemError) {
        checker.observe { [id] state, _ in state.willAllocate(id) }
        try file.allocate(offset: offset, length: length)
        checker.observe { [id] state, _ in state.allocated(id) }
    }

    func map(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) throws(FileSystemError) {
        try file.map(offset: offset, length: length, into: space, at: position)
    }

    func close() throws(FileSystemError) { try file.close() }
}

/// A lock whose release the checker sees.
private final class CheckedLock: StorageLock {
    private let lock: any StorageLock
    private let onRelease: @Sendable () -> Void

    init(_ lock: any StorageLock, onRelease: @escaping @Sendable () -> Void) {
        self.lock = lock
        self.onRelease = onRelease
    }

    func release() {
        onRelease()
        lock.release()
    }
}
