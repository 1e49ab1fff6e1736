/// Everything a simulated disk knows: ``SimulatedFileSystem`` guards it with a mutex and hands it the calls.
import StorageIO

/// The state of a simulated disk, with one method per system call that works on names.
///
/// Two layers: `volatile` is what calls see, `durable` what a crash leaves; `pending` lists, in order, what is
/// in the first and not yet in the second.
struct DiskState: Sendable {
    static let rootInode = 0

    var inodes: [Inode] = [Inode(isDirectory: true)]
    var pending: [PendingOperation] = []
    var mappings: [Int: [FileMapping]] = [:]
    var rootExists = true
    var exclusiveHolder = false
    var sharedHolders = 0
    var callCount = 0
    var crashedAtCall: Int?
    var faults: FaultPlan = .none
    var trace = CallTrace()
    var capacityByteCount: UInt64?
    /// Files that are gone, oldest first.
    var graves: [DeletedFile] = []
    /// Whether opening a file or syncing a directory failed: nobody can be expected to hold a file open then until its
    /// end is on disk, so that no blocks are given away.
    var hasFailedOnNames = false
    /// Whether the sync of a directory failed and lost changes of names.
    var hasLostNames = false
    /// How often what a crash leaves for certain has changed.
    var durableVersion = 0

    // MARK: Names

    /// The inode of a path, as calls see it.
    func resolve(_ path: StoragePath, _ call: SystemCall) throws(FileSystemError) -> Int {
        guard rootExists else { throw fault(ErrorNumber.noEntry, call, path) }
        var inode = DiskState.rootInode
        for component in path.components {
            guard inodes[inode].isDirectory else { throw fault(ErrorNumber.notDirectory, call, path) }
            guard let next = inodes[inode].entries[component] else { throw fault(ErrorNumber.noEntry, call, path) }
            inode = next
        }
        return inode
    }

    /// The directory that holds a path, and the last component.
    func resolveParent(_ path: StoragePath, _ call: SystemCall) throws(FileSystemError) -> (Int, String) {
        guard let name = path.components.last else { throw fault(ErrorNumber.invalid, call, path) }
        let parent = try resolve(path.parent, call)
        guard inodes[parent].isDirectory else { throw fault(ErrorNumber.notDirectory, call, path) }
        return (parent, name)
    }

    func fault(
        _ code: Int32, _ call: SystemCall, _ path: StoragePath, offset: UInt64? = nil
    ) -> FileSystemError {
        FileSystemError(code: code, call: call, path: path.description, offset: offset)
    }

    mutating func createDirectory(_ path: StoragePath) throws(FileSystemError) {
        _ = try makeEntry(path, isDirectory: true, .createDirectory)
    }

    mutating func removeDirectory(_ path: StoragePath) throws(FileSystemError) {
        let (parent, name) = try resolveParent(path, .removeDirectory)
        let inode = try resolve(path, .removeDirectory)
        guard inodes[inode].isDirectory else { throw fault(ErrorNumber.notDirectory, .removeDirectory, path) }
        guard inodes[inode].entries.isEmpty else { throw fault(ErrorNumber.notEmpty, .removeDirectory, path) }
        change(EntryChange(removed: .init(directory: parent, name: name, inode: inode)), path)
    }

    func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] {
        let inode = try resolve(path, .list)
        guard inodes[inode].isDirectory else { throw fault(ErrorNumber.notDirectory, .list, path) }
        return inodes[inode].entries.sorted { $0.key < $1.key }.map { name, entry in
            DirectoryEntry(name: name, kind: inodes[entry].isDirectory ? .directory : .file)
        }
    }

    mutating func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> Int {
        let inode: Int
        if mode == .createNew {
            inode = try makeEntry(path, isDirectory: false, .open)
        } else {
            inode = try resolve(path, .open)
            guard !inodes[inode].isDirectory else { throw fault(ErrorNumber.isDirectory, .open, path) }
        }
        inodes[inode].openCount += 1
        return inode
    }

    mutating func unlink(_ path: StoragePath) throws(FileSystemError) {
        let (parent, name) = try resolveParent(path, .unlink)
        let inode = try resolve(path, .unlink)
        guard !inodes[inode].isDirectory else { throw fault(ErrorNumber.isDirectory, .unlink, path) }
        change(EntryChange(removed: .init(directory: parent, name: name, inode: inode)), path)
    }

    mutating func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
        let (sourceParent, sourceName) = try resolveParent(source, .rename)
        let inode = try resolve(source, .rename)
        let (targetParent, targetName) = try resolveParent(target, .rename)
        guard targetParent != inode else { throw fault(ErrorNumber.invalid, .rename, target) }
        if let existing = inodes[targetParent].entries[targetName] {
            if existing == inode { return }
            switch (inodes[inode].isDirectory, inodes[existing].isDirectory) {
            case (false, true): throw fault(ErrorNumber.isDirectory, .rename, target)
            case (true, false): throw fault(ErrorNumber.notDirectory, .rename, target)
            case (true, true) where !inodes[existing].entries.isEmpty:
                throw fault(ErrorNumber.notEmpty, .rename, target)
            default: break
            }
        }
        let removed = EntryChange.Entry(directory: sourceParent, name: sourceName, inode: inode)
        let added = EntryChange.Entry(directory: targetParent, name: targetName, inode: inode)
        change(EntryChange(removed: removed, added: added), source)
    }

    private mutating func makeEntry(
        _ path: StoragePath, isDirectory: Bool, _ call: SystemCall
    ) throws(FileSystemError) -> Int {
        let (parent, name) = try resolveParent(path, call)
        guard inodes[parent].entries[name] == nil else { throw fault(ErrorNumber.exists, call, path) }
        let inode = inodes.count
        inodes.append(Inode(isDirectory: isDirectory))
        change(EntryChange(added: .init(directory: parent, name: name, inode: inode)), path)
        return inode
    }

    /// Applies a change to what calls see and notes it as pending.
    private mutating func change(_ change: EntryChange, _ path: StoragePath) {
        if let removed = change.removed { inodes[removed.directory].entries[removed.name] = nil }
        if let added = change.added {
            inodes[added.directory].entries[added.name] = added.inode
            inodes[added.inode].name = added.name
        }
        pending.append(PendingOperation(callNumber: callCount, path: path, effect: .entry(change)))
    }

    /// Makes the names of one directory durable.
    ///
    /// A rename across directories goes to disk whole with its source directory. With its target alone only the
    /// new name does: until the source is synced a crash may show both names, but never none.
    mutating func synchronizeDirectory(_ path: StoragePath, losing loss: SyncLoss?) throws(FileSystemError) {
        let inode = try resolve(path, .synchronizeDirectory)
        guard inodes[inode].isDirectory else { throw fault(ErrorNumber.notDirectory, .synchronizeDirectory, path) }
        if loss != nil { hasFailedOnNames = true }
        if loss == .nothing { return }
        if loss != nil { hasLostNames = true }
        durableVersion += 1
        var kept: [PendingOperation] = []
        for (index, operation) in pending.enumerated() {
            guard case .entry(let change) = operation.effect,
                change.removed?.directory == inode || change.added?.directory == inode
            else {
                kept.append(operation)
                continue
            }
            guard loss?.survives(index) ?? true else { continue }
            if let removed = change.removed, removed.directory != inode {
                EntryChange(added: change.added).apply(to: &inodes)
                let rest = PendingOperation(
                    callNumber: operation.callNumber, path: operation.path,
                    effect: .entry(EntryChange(removed: removed)))
                kept.append(rest)
            } else {
                change.apply(to: &inodes)
            }
        }
        pending = kept
        releaseUnreachableFiles()
    }

    /// Frees the contents of files that no name, handle or pending change leads to.
    private mutating func releaseUnreachableFiles() {
        var reachable = Array(repeating: false, count: inodes.count)
        for inode in inodes where inode.isDirectory {
            for target in inode.entries.values { reachable[target] = true }
            for target in inode.durableEntries.values { reachable[target] = true }
        }
        for operation in pending {
            guard case .entry(let change) = operation.effect else { continue }
            if let target = change.added?.inode { reachable[target] = true }
            if let target = change.removed?.inode { reachable[target] = true }
        }
        let isGone = inodes.indices.map { index in
            index != DiskState.rootInode && !reachable[index] && inodes[index].openCount == 0
                && !inodes[index].isDirectory
        }
        pending.removeAll { operation in operation.fileInode.map { isGone[$0] } ?? false }
        for index in inodes.indices where isGone[index] {
            bury(inodes[index])
            inodes[index] = Inode(isDirectory: false)
        }
    }

    // MARK: Lock

    mutating func lock(exclusive: Bool) throws(FileSystemError) {
        guard rootExists else { throw fault(ErrorNumber.noEntry, .lock, .root) }
        guard !exclusiveHolder && !(exclusive && sharedHolders > 0) else {
            throw fault(ErrorNumber.wouldBlock, .lock, StoragePath("LOCK"))
        }
        if inodes[DiskState.rootInode].entries["LOCK"] == nil {
            _ = try makeEntry(StoragePath("LOCK"), isDirectory: false, .lock)
        }
        if exclusive { exclusiveHolder = true } else { sharedHolders += 1 }
    }

    mutating func unlock(exclusive: Bool) {
        if exclusive { exclusiveHolder = false } else { sharedHolders -= 1 }
    }
}

extension SyncLoss {
    /// Whether a pending operation became durable although the sync failed.
    func survives(_ index: Int) -> Bool {
        switch self {
        case .everything: false
        case .nothing: true
        case .some(let seed): SplitMix64.mix(seed &+ UInt64(index) &* 0xD6E8_FEB8_6659_FD93) & 1 == 1
        }
    }
}
