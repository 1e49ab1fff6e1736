/// The names of a file system in memory: ``MemoryFileSystem`` hands paths in under its lock, and gets files back.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Directories and files by name, with the errors that POSIX has for each operation.
struct MemoryTree {
    private enum Entry {
        case file(MemoryNode)
        case directory
    }

    private var entries: [StoragePath: Entry] = [.root: .directory]

    /// The file at a path.
    func file(_ path: StoragePath) throws(Errno) -> MemoryNode {
        switch try entry(path) {
        case .file(let node): return node
        case .directory: throw Errno(code: EISDIR)
        }
    }

    mutating func create(_ path: StoragePath, budget: MemoryBudget) throws(Errno) -> MemoryNode {
        try checkParent(of: path)
        guard entries[path] == nil else { throw Errno(code: EEXIST) }
        let node = MemoryNode(budget: budget)
        entries[path] = .file(node)
        return node
    }

    mutating func createIfMissing(_ path: StoragePath, budget: MemoryBudget) throws(Errno) {
        if entries[path] == nil { _ = try create(path, budget: budget) }
    }

    mutating func createDirectory(_ path: StoragePath) throws(Errno) {
        try checkParent(of: path)
        guard entries[path] == nil else { throw Errno(code: EEXIST) }
        entries[path] = .directory
    }

    mutating func removeDirectory(_ path: StoragePath) throws(Errno) {
        guard case .directory = try entry(path) else { throw Errno(code: ENOTDIR) }
        guard path != .root else { throw Errno(code: EBUSY) }
        guard !hasChildren(path) else { throw Errno(code: ENOTEMPTY) }
        entries[path] = nil
    }

    func list(_ path: StoragePath) throws(Errno) -> [DirectoryEntry] {
        guard case .directory = try entry(path) else { throw Errno(code: ENOTDIR) }
        var result: [DirectoryEntry] = []
        for (child, entry) in entries where child != .root && child.parent == path {
            let name = child.components[path.components.count]
            if case .file = entry {
                result.append(DirectoryEntry(name: name, kind: .file))
            } else {
                result.append(DirectoryEntry(name: name, kind: .directory))
            }
        }
        return result.sorted { $0.name < $1.name }
    }

    mutating func unlink(_ path: StoragePath) throws(Errno) {
        _ = try file(path)
        entries[path] = nil
    }

    mutating func rename(_ source: StoragePath, to target: StoragePath) throws(Errno) {
        guard source != .root, target != .root else { throw Errno(code: EBUSY) }
        let moved = try entry(source)
        try checkParent(of: target)
        if source == target { return }
        if target.components.starts(with: source.components) { throw Errno(code: EINVAL) }
        if let replaced = entries[target] {
            switch (moved, replaced) {
            case (.file, .directory): throw Errno(code: EISDIR)
            case (.directory, .file): throw Errno(code: ENOTDIR)
            case (.directory, .directory) where hasChildren(target): throw Errno(code: ENOTEMPTY)
            default: break
            }
        }
        // The order does not leak: each entry moves to a place of its own.
        for (path, entry) in entries where path.components.starts(with: source.components) {
            entries[path] = nil
            let rest = path.components.dropFirst(source.components.count)
            entries[target.appending(rest)] = entry
        }
    }

    private func entry(_ path: StoragePath) throws(Errno) -> Entry {
        if let entry = entries[path] { return entry }
        try checkParent(of: path)
        throw Errno(code: ENOENT)
    }

    /// Refuses a path whose parent is missing or is a file.
    private func checkParent(of path: StoragePath) throws(Errno) {
        guard path != .root else { return }
        guard case .directory = try entry(path.parent) else { throw Errno(code: ENOTDIR) }
    }

    private func hasChildren(_ path: StoragePath) -> Bool {
        entries.keys.contains { $0 != .root && $0.parent == path }
    }
}
