/// What the order checker knows: files and names that are not on disk yet, and what broke a rule. ``WriteOrderChecker``
/// hands it every call.
import StorageFormat
import StorageIO

/// A file as it stands between its writes and its syncs.
struct FileOrder {
    enum Kind {
        case segment
        case data
        case catalogue
        case other
    }

    var path: StoragePath
    let kind: Kind
    /// Whether this store made it; log segments of earlier lives are never written.
    let isNew: Bool
    /// Bytes or a size that no sync has made durable.
    var isUnsynced = false
    /// A sync failed: what it should have made durable may be lost for good.
    var isPoisoned = false
}

struct OrderState {
    private(set) var violations: [String] = []
    var isLocked = false
    var files: [Int: FileOrder] = [:]
    var ids: [StoragePath: Int] = [:]
    private var nextID = 1
    /// Names that no sync of their directory has made durable, by directory.
    private var unsyncedNames: [StoragePath: Set<StoragePath>] = [:]
    /// Names whose directory failed to sync.
    private var lostNames: Set<StoragePath> = []

    var log = LogOrder()
    /// Where the files are that an earlier life left; only while the store is opened.
    var inheritedDisk: SimulatedFileSystem?
    var databases: [UInt32: DatabaseOrder] = [:]
    /// Which database a directory belongs to, as the log tells it.
    var numbers: [String: UInt32] = [:]
    /// The catalogue that the root directory names durably, and the one that a rename has put in its place.
    var catalogue: Catalogue?
    var renamedCatalogue: Catalogue?

    mutating func violate(_ rule: String, _ what: String) {
        if violations.count < 20 { violations.append("\(rule): \(what)") }
    }

    // MARK: Locking and opening

    /// Something is about to change.
    mutating func change(_ what: String) {
        if !isLocked { violate("O11", "\(what) without the lock") }
    }

    mutating func locked(disk: SimulatedFileSystem) {
        isLocked = true
        loadStore(disk)
    }

    mutating func opened(_ path: StoragePath, _ mode: OpenMode, on disk: SimulatedFileSystem) -> Int {
        if mode != .createNew, let id = ids[path] { return id }
        let id = nextID
        nextID += 1
        var kind = FileOrder.Kind.other
        if path.components.first == "wal", path.components.last?.contains(".wal") == true { kind = .segment }
        if path.components.last == "vectors.jvdb" { kind = .data }
        if path.components.first == "CATALOG.tmp" { kind = .catalogue }
        files[id] = FileOrder(path: path, kind: kind, isNew: mode == .createNew)
        ids[path] = id
        if mode == .createNew {
            nameAppeared(path)
            if kind == .segment { log.segments[id] = SegmentOrder(id: id, path: path, isNew: true) }
        }
        return id
    }

    // MARK: Names

    mutating func nameAppeared(_ path: StoragePath) {
        unsyncedNames[path.parent, default: []].insert(path)
        lostNames.remove(path)
    }

    /// Whether a crash would leave the name.
    func isNameDurable(_ path: StoragePath) -> Bool {
        if path.components.count == 2, !isNameDurable(path.parent) { return false }
        return !lostNames.contains(path) && !(unsyncedNames[path.parent]?.contains(path) ?? false)
    }

    func hasUnsyncedNames(in directory: StoragePath) -> Bool {
        !(unsyncedNames[directory]?.isEmpty ?? true) || lostNames.contains { $0.parent == directory }
    }

    mutating func directorySyncFailed(_ path: StoragePath) {
        lostNames.formUnion(unsyncedNames.removeValue(forKey: path) ?? [])
    }

    mutating func directorySynced(_ path: StoragePath, on disk: SimulatedFileSystem) {
        unsyncedNames[path] = nil
        if path == .root, let renamed = renamedCatalogue, isNameDurable(StoragePath("CATALOG")) {
            catalogue = renamed
            renamedCatalogue = nil
        }
        if path == StoragePath("wal") { advanceLog(on: disk) }
    }

    mutating func moveName(_ source: StoragePath, to target: StoragePath) {
        unsyncedNames[source.parent]?.remove(source)
        nameAppeared(target)
        if let id = ids.removeValue(forKey: source) {
            ids[target] = id
            files[id]?.path = target
            log.segments[id]?.path = target
        }
        for (path, id) in ids where path.components.count == 2 && path.parent == source {
            let moved = StoragePath(target.components[0], path.components[1])
            ids[path] = nil
            ids[moved] = id
            files[id]?.path = moved
        }
        if let names = unsyncedNames.removeValue(forKey: source) {
            unsyncedNames[target] = Set(names.map { StoragePath(target.components[0], $0.components[1]) })
        }
    }

    mutating func unlinked(_ path: StoragePath) {
        unsyncedNames[path.parent]?.remove(path)
        guard let id = ids.removeValue(forKey: path) else { return }
        files[id] = nil
        log.segments[id] = nil
    }

    // MARK: Writing

    mutating func willWrite(_ id: Int, at offset: UInt64, on disk: SimulatedFileSystem) {
        guard let file = files[id] else { return }
        change("\(file.path) is written")
        if file.isPoisoned, file.kind != .data { violate("O8", "\(file.path) is written although a sync of it failed") }
        if file.kind == .segment {
            willWriteLog(id, at: offset, on: disk)
        } else {
            readLog(on: disk)
            if file.kind == .data { willWriteData(id, at: offset) }
        }
        files[id]?.isUnsynced = true
    }

    mutating func wrote(_ id: Int, _ range: Range<UInt64>, on disk: SimulatedFileSystem) {
        if files[id]?.kind == .data { wroteData(id, range, on: disk) }
    }

    mutating func writeFailed(_ id: Int, _ range: Range<UInt64>) {
        if files[id]?.kind == .data { noteUnsyncedData(id, range) }
    }

    mutating func willAllocate(_ id: Int) {
        guard let file = files[id] else { return }
        change("\(file.path) grows")
        // The reserve's size is nobody's promise.
        if file.path != StoragePath("wal", "reserve") { files[id]?.isUnsynced = true }
    }

    mutating func allocated(_ id: Int) {}

    // MARK: Syncing

    mutating func syncFailed(_ id: Int) { files[id]?.isPoisoned = true }

    mutating func synced(_ id: Int, on disk: SimulatedFileSystem) {
        guard let file = files[id], !file.isPoisoned else { return }
        readLog(on: disk)
        files[id]?.isUnsynced = false
        switch file.kind {
        case .segment:
            log.segments[id]?.markSynced()
            advanceLog(on: disk)
        case .data: dataSynced(id)
        case .catalogue, .other: break
        }
    }
}
