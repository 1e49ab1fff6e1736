/// A file system in memory: stores that need no disk and tests hand it requests, and it answers as a disk would.
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Files that live as long as this object and whoever holds them open.
///
/// Names, errors, locks, mappings and files that are unlinked while open behave as with ``POSIXFileSystem``.
/// A mapping is a copy that every write to the file is mirrored into, so a mapped file takes its size twice. Mapping
/// a second file over a range that is mapped already is not supported: the first would go on writing there.
public final class MemoryFileSystem: FileSystem {
    /// `memory:` and the name.
    public let rootDescription: String
    private let budget: MemoryBudget
    private let state = Mutex(State())

    private struct State {
        var isRootOpen = false
        var tree: MemoryTree?
        /// The number of shared holders, or -1 for an exclusive one.
        var lockHolders = 0
    }

    /// Creates an empty file system without a root directory.
    ///
    /// - Parameters:
    ///   - name: For messages.
    ///   - capacity: How many bytes the files may hold together, counted in blocks of 4 KiB; nil for no limit.
    ///     Beyond it writes and allocations fail with `ENOSPC`.
    public init(name: String, capacity: Int? = nil) {
        rootDescription = "memory:\(name)"
        budget = MemoryBudget(capacity: capacity)
    }

    /// The bytes that files hold, in blocks of 4 KiB, with those that are unlinked but open.
    public var usedByteCount: Int { budget.usedByteCount }

    /// What the capacity leaves; nil without one.
    public var availableByteCount: UInt64? { budget.availableByteCount }

    /// Opens the root directory.
    public func openRoot(createIfMissing: Bool) throws(FileSystemError) {
        let isOpen = state.withLock { state in
            if state.tree == nil && createIfMissing { state.tree = MemoryTree() }
            state.isRootOpen = state.tree != nil
            return state.isRootOpen
        }
        guard isOpen else { throw failure(Errno(code: ENOENT), .openRoot, .root) }
    }

    /// Takes the lock.
    public func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock {
        let path = StoragePath(POSIXLock.fileName)
        do throws(Errno) {
            try state.withLock { state throws(Errno) in
                guard state.isRootOpen, state.tree != nil else { throw Errno(code: EBADF) }
                guard exclusive ? state.lockHolders == 0 : state.lockHolders >= 0 else {
                    throw Errno(code: EWOULDBLOCK)
                }
                try state.tree?.createIfMissing(path, budget: budget)
                state.lockHolders = exclusive ? -1 : state.lockHolders + 1
            }
        } catch {
            throw failure(error, .lock, path)
        }
        return MemoryLock(of: self)
    }

    fileprivate func unlock() {
        state.withLock { $0.lockHolders = $0.lockHolders < 0 ? 0 : $0.lockHolders - 1 }
    }

    /// Creates a directory.
    public func createDirectory(_ path: StoragePath) throws(FileSystemError) {
        try withTree(.createDirectory, path) { tree throws(Errno) in try tree.createDirectory(path) }
    }

    /// Removes an empty directory.
    public func removeDirectory(_ path: StoragePath) throws(FileSystemError) {
        try withTree(.removeDirectory, path) { tree throws(Errno) in try tree.removeDirectory(path) }
    }

    /// The entries of a directory, sorted by name.
    public func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] {
        try withTree(.list, path) { tree throws(Errno) in try tree.list(path) }
    }

    /// Opens a file.
    public func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile {
        let budget = budget
        let node = try withTree(.open, path) { tree throws(Errno) in
            mode == .createNew ? try tree.create(path, budget: budget) : try tree.file(path)
        }
        return MemoryFile(path: path, node: node, isWritable: mode != .read)
    }

    /// Renames a file or directory, replacing a file at the target.
    public func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
        try withTree(.rename, source) { tree throws(Errno) in try tree.rename(source, to: target) }
    }

    /// Removes a file's name.
    public func unlink(_ path: StoragePath) throws(FileSystemError) {
        try withTree(.unlink, path) { tree throws(Errno) in try tree.unlink(path) }
    }

    /// Checks that the directory exists; memory has nothing to make durable.
    public func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError) {
        try withTree(.synchronizeDirectory, path) { tree throws(Errno) in _ = try tree.list(path) }
    }

    /// Reserves addresses that files are mirrored into.
    public func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace {
        do throws(Errno) {
            return try MemoryAddressSpace(byteCount: byteCount)
        } catch {
            throw failure(error, .reserveAddressSpace, .root)
        }
    }

    private func withTree<Result: Sendable>(
        _ call: SystemCall, _ path: StoragePath, _ body: (inout MemoryTree) throws(Errno) -> Result
    ) throws(FileSystemError) -> Result {
        do throws(Errno) {
            return try state.withLock { state throws(Errno) in
                guard state.isRootOpen, var tree = state.tree.take() else { throw Errno(code: EBADF) }
                defer { state.tree = tree }
                return try body(&tree)
            }
        } catch {
            throw failure(error, call, path)
        }
    }

    private func failure(_ error: Errno, _ call: SystemCall, _ path: StoragePath) -> FileSystemError {
        FileSystemError(code: error.code, call: call, path: path == .root ? rootDescription : path.description)
    }
}

/// A held lock of a file system in memory.
final class MemoryLock: StorageLock {
    private let fileSystem: Mutex<MemoryFileSystem?>

    init(of fileSystem: MemoryFileSystem) {
        self.fileSystem = Mutex(fileSystem)
    }

    deinit { release() }

    func release() {
        let held = fileSystem.withLock { $0.take() }
        held?.unlock()
    }
}
