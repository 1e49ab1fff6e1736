/// A file system whose changes stay in memory, over another one that is only read: stores that are opened for reading, and
/// salvage, hand it every request, so that recovery can do its work without a byte changing on disk.
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Shows what another file system holds and keeps every change to itself; all of them are gone with the last reference.
///
/// The names are read when the root is opened, which is never made; the lock is a shared one. Blocks of 4 KiB that were
/// written are kept in memory, everything else is read from the file system underneath. Mappings are private: a page
/// takes memory of its own from when it is written.
public final class OverlayFileSystem: FileSystem {
    /// Where the root of the file system underneath is.
    public let rootDescription: String
    private let base: any FileSystem
    private let readsBadSectorsAsZeros: Bool
    private let tree = Mutex<OverlayTree?>(nil)

    /// - Parameters:
    ///   - base: what is shown and never changed.
    ///   - readsBadSectorsAsZeros: whether a block that the device cannot read (`EIO`) is shown as zeros, for whoever has
    ///     checksums to notice and wants what is beside it.
    public init(over base: any FileSystem, readsBadSectorsAsZeros: Bool = false) {
        self.base = base
        self.readsBadSectorsAsZeros = readsBadSectorsAsZeros
        rootDescription = base.rootDescription
    }

    /// Opens the root, which must exist, and reads the names in it.
    public func openRoot(createIfMissing: Bool) throws(FileSystemError) {
        guard tree.withLock({ $0 == nil }) else { return }
        try base.openRoot(createIfMissing: false)
        var read = OverlayTree()
        for entry in try base.list(.root) {
            try read.add(entry, at: StoragePath(entry.name))
            guard entry.kind == .directory else { continue }
            for inner in try base.list(StoragePath(entry.name)) {
                try read.add(inner, at: StoragePath(entry.name, inner.name))
            }
        }
        let names = read
        tree.withLock { tree in
            if tree == nil { tree = names }
        }
    }

    /// Takes a shared lock where there is a lock file and locks work; a medium that cannot be written to may have neither,
    /// and nobody who could be locked out.
    public func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock {
        let path = StoragePath(POSIXLock.fileName)
        let isThere = try withTree(.lock, path) { (tree) throws(Errno) in (try? tree.file(path)) != nil }
        guard isThere else { return AbsentLock() }
        do {
            return try base.lockRoot(exclusive: false)
        } catch  where error.isReadOnly || error.isPermission || error.code == ENOTSUP || error.code == ENOLCK {
            return AbsentLock()
        }
    }

    /// Adds a directory, in memory.
    public func createDirectory(_ path: StoragePath) throws(FileSystemError) {
        try withTree(.createDirectory, path) { (tree) throws(Errno) in try tree.createDirectory(path) }
    }

    /// Forgets an empty directory.
    public func removeDirectory(_ path: StoragePath) throws(FileSystemError) {
        try withTree(.removeDirectory, path) { (tree) throws(Errno) in try tree.removeDirectory(path) }
    }

    /// The entries of a directory, sorted by name.
    public func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] {
        try withTree(.list, path) { (tree) throws(Errno) in try tree.list(path) }
    }

    /// Opens a file; the one underneath is opened for reading, whatever the mode.
    public func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile {
        let node = try withTree(.open, path) { (tree) throws(Errno) in
            mode == .createNew ? try tree.create(path) : try tree.file(path)
        }
        var underneath: (any StorageFile)?
        if let basePath = node.basePath {
            let file = try base.open(basePath, .read)
            do {
                try node.learnSize(of: file)
            } catch {
                try? file.close()
                throw error
            }
            underneath = file
        }
        return OverlayFile(
            path: path, node: node, base: underneath, isWritable: mode != .read,
            readsBadSectorsAsZeros: readsBadSectorsAsZeros)
    }

    /// Renames in memory.
    public func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
        try withTree(.rename, source) { (tree) throws(Errno) in try tree.rename(source, to: target) }
    }

    /// Forgets a file's name.
    public func unlink(_ path: StoragePath) throws(FileSystemError) {
        try withTree(.unlink, path) { (tree) throws(Errno) in try tree.unlink(path) }
    }

    /// Checks that the directory is there; there is nothing to make durable.
    public func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError) {
        try withTree(.synchronizeDirectory, path) { (tree) throws(Errno) in _ = try tree.list(path) }
    }

    /// Reserves address space of the file system underneath.
    public func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace {
        try base.reserveAddressSpace(byteCount: byteCount)
    }

    private func withTree<Result: Sendable>(
        _ call: SystemCall, _ path: StoragePath, _ body: (inout OverlayTree) throws(Errno) -> Result
    ) throws(FileSystemError) -> Result {
        do throws(Errno) {
            return try tree.withLock { tree throws(Errno) in
                guard var opened = tree.take() else { throw Errno(code: EBADF) }
                defer { tree = opened }
                return try body(&opened)
            }
        } catch {
            throw FileSystemError(
                code: error.code, call: call, path: path == .root ? rootDescription : path.description)
        }
    }
}

/// The lock of a store that cannot be locked.
private final class AbsentLock: StorageLock {
    func release() {}
}

/// The names of an overlay: two levels below the root, as a store has them.
struct OverlayTree {
    private enum Entry {
        case directory
        case file(OverlayNode)
        /// A link, a device: shown, and not to be opened.
        case other
    }

    private var entries: [StoragePath: Entry] = [.root: .directory]

    mutating func add(_ entry: DirectoryEntry, at path: StoragePath) throws(FileSystemError) {
        switch entry.kind {
        case .directory: entries[path] = .directory
        case .file: entries[path] = .file(OverlayNode(basePath: path))
        case .other: entries[path] = .other
        }
    }

    private func requireDirectory(_ path: StoragePath) throws(Errno) {
        switch entries[path] {
        case .directory: return
        case nil: throw Errno(code: ENOENT)
        default: throw Errno(code: ENOTDIR)
        }
    }

    private func children(_ path: StoragePath) -> [StoragePath] {
        let depth = path.components.count + 1
        return entries.keys.filter { $0.components.count == depth && $0.parent == path }
    }

    func list(_ path: StoragePath) throws(Errno) -> [DirectoryEntry] {
        try requireDirectory(path)
        return children(path).map { child in
            let kind: DirectoryEntry.Kind =
                switch entries[child] {
                case .directory: .directory
                case .file: .file
                default: .other
                }
            return DirectoryEntry(name: child.components[path.components.count], kind: kind)
        }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    func file(_ path: StoragePath) throws(Errno) -> OverlayNode {
        switch entries[path] {
        case .file(let node): return node
        case .directory: throw Errno(code: EISDIR)
        case .other: throw Errno(code: ELOOP)
        case nil:
            try requireDirectory(path.parent)
            throw Errno(code: ENOENT)
        }
    }

    mutating func create(_ path: StoragePath) throws(Errno) -> OverlayNode {
        try requireDirectory(path.parent)
        guard entries[path] == nil else { throw Errno(code: EEXIST) }
        let node = OverlayNode(basePath: nil)
        entries[path] = .file(node)
        return node
    }

    mutating func createDirectory(_ path: StoragePath) throws(Errno) {
        try requireDirectory(path.parent)
        guard entries[path] == nil else { throw Errno(code: EEXIST) }
        entries[path] = .directory
    }

    mutating func removeDirectory(_ path: StoragePath) throws(Errno) {
        guard path != .root else { throw Errno(code: EBUSY) }
        try requireDirectory(path)
        guard children(path).isEmpty else { throw Errno(code: ENOTEMPTY) }
        entries[path] = nil
    }

    mutating func unlink(_ path: StoragePath) throws(Errno) {
        switch entries[path] {
        case .directory: throw Errno(code: EISDIR)
        case nil: throw Errno(code: ENOENT)
        default: entries[path] = nil
        }
    }

    mutating func rename(_ source: StoragePath, to target: StoragePath) throws(Errno) {
        guard source != .root, target != .root else { throw Errno(code: EBUSY) }
        guard let moved = entries[source] else { throw Errno(code: ENOENT) }
        try requireDirectory(target.parent)
        guard source != target else { return }
        if target.components.starts(with: source.components) { throw Errno(code: EINVAL) }
        switch (moved, entries[target]) {
        case (.directory, .directory):
            guard children(target).isEmpty else { throw Errno(code: ENOTEMPTY) }
        case (.directory, .some): throw Errno(code: ENOTDIR)
        case (_, .directory): throw Errno(code: EISDIR)
        default: break
        }
        for child in children(source) {
            let moving = entries.removeValue(forKey: child)
            entries[target.appending(child.components.suffix(1))] = moving
        }
        entries[source] = nil
        entries[target] = moved
    }
}
