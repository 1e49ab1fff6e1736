/// The store as a whole in the eyes of the order checker: what was there when it was opened, databases that come and go,
/// and the catalogue.
import StorageFormat
import StorageIO

extension OrderState {
    // MARK: Opening

    /// Reads what an earlier life left: the catalogue, the data files it names, and the log.
    mutating func loadStore(_ disk: SimulatedFileSystem) {
        inheritedDisk = disk
        defer { inheritedDisk = nil }
        guard let bytes = disk.volatileBytes(of: StoragePath("CATALOG"), from: 0),
            let found = unsafe bytes.withUnsafeBytes({ unsafe try? Catalogue.decodeFile($0).0 })
        else { return }
        catalogue = found
        log.syncedLSN = max(found.lastLSN, found.catalogueLSN)
        log.newestLSN = log.syncedLSN
        log.inheritedLSN = log.syncedLSN
        for entry in found.entries { appeared(entry, disk) }
        if !found.isCleanShutdown { log.newestLSN = 0 }
        for file in disk.files() where file.path.components.first == "wal" {
            guard SegmentHeader.sequence(fileName: file.path.components[1]) != nil else { continue }
            let id = opened(file.path, .read, on: disk)
            log.segments[id] = SegmentOrder(id: id, path: file.path, isNew: false)
        }
        if !found.isCleanShutdown {
            let current = currentSegments(disk)
            // What later records say of a commit is to be known when it is read.
            var rehearsal = self
            rehearsal.log.provenLSN = .max
            for id in current { rehearsal.readSegment(id, on: disk) }
            log.provenLSN = rehearsal.log.segments.values.map(\.provenLSN).max() ?? 0
            for id in current { readSegment(id, on: disk) }
        }
        log.inheritedLSN = max(log.newestLSN, log.inheritedLSN)
        log.newestLSN = log.inheritedLSN
    }

    /// The inherited segments that no later one replaces, in order.
    private func currentSegments(_ disk: SimulatedFileSystem) -> [Int] {
        var current: [(id: Int, sequence: UInt64)] = []
        let all = log.segments.values.sorted { $0.path.components[1] < $1.path.components[1] }
        for segment in all {
            guard let bytes = disk.volatileBytes(of: segment.path, from: 0, upTo: SegmentHeader.recordsOffset),
                let header = unsafe bytes.withUnsafeBytes({ unsafe try? SegmentHeader.decode($0) })
            else { continue }
            if header.flags.contains(.replacesPrevious) {
                let kept = header.flags.contains(.hasPrevious) ? header.previousSequence : 0
                current.removeAll { $0.sequence > kept }
            }
            current.append((segment.id, header.sequence))
        }
        return current.map(\.id)
    }

    /// A database is known from now on; its file may be there already.
    mutating func appeared(_ entry: CatalogueEntry, _ disk: SimulatedFileSystem?) {
        numbers[entry.name] = entry.number
        guard databases[entry.number] == nil else { return }
        var order = DatabaseOrder(entry)
        let path = StoragePath(entry.name, "vectors.jvdb")
        if let disk, disk.volatileByteCount(of: path) != nil {
            order.load(path, on: disk)
            order.isOutdated = order.generation < entry.generation
        } else {
            order.generation = 1
        }
        databases[entry.number] = order
    }

    // MARK: Creating and dropping

    mutating func created(_ body: UnsafeRawBufferPointer, lsn: UInt64, inherited: Bool) {
        guard let entry = unsafe try? CatalogueEntry.decode(body) else { return }
        log.created[entry.name] = lsn
        appeared(entry, inherited ? inheritedDisk : nil)
        guard !inherited else { return }
        if !isNameDurable(StoragePath(entry.name)) {
            violate("O1", "the creation of \(entry.name) is logged before its directory's name is on disk")
        }
    }

    mutating func acknowledgedCreation(of name: String, on disk: SimulatedFileSystem) {
        readLog(on: disk)
        if let lsn = log.created[name] { checkBulkData(through: lsn, "the creation of \(name) is acknowledged") }
        if log.created[name] ?? .max > log.syncedLSN {
            violate("O1", "the creation of \(name) is acknowledged before its record is on disk")
        }
    }

    mutating func acknowledgedDrop(of name: String, on disk: SimulatedFileSystem) {
        readLog(on: disk)
        guard let number = numbers[name] else { return }
        if let lsn = log.dropped[number] { checkBulkData(through: lsn, "the drop of \(name) is acknowledged") }
        if log.dropped[number] ?? .max > log.syncedLSN {
            violate("O1", "the drop of \(name) is acknowledged before its record is on disk")
        }
    }

    private func isLive(_ name: String) -> Bool {
        guard let number = numbers[name] else { return false }
        return log.dropped[number] ?? .max > log.syncedLSN
    }

    // MARK: Names

    mutating func willRename(_ source: StoragePath, to target: StoragePath, on disk: SimulatedFileSystem) {
        readLog(on: disk)
        change("\(source) is renamed")
        for (path, id) in ids where path == source || path.parent == source && path.components.count == 2 {
            guard let file = files[id], !target.components[0].hasPrefix(".trash-") else { continue }
            if file.isUnsynced || file.isPoisoned { violate("O1", "\(path) is renamed before it is on disk") }
        }
        if source.components.count == 1, !target.components[0].hasPrefix("."), hasUnsyncedNames(in: source) {
            violate("O1", "\(source) is renamed before the names in it are on disk")
        }
        if target.components[0].hasPrefix(".trash-"), let number = numbers[source.components[0]],
            let lsn = log.dropped[number]
        {
            checkBulkData(through: lsn, "\(source) goes to the trash")
        }
        if target.components[0].hasPrefix(".trash-"), isLive(source.components[0]) {
            violate("O1", "\(source) goes to the trash before the log has its drop on disk")
        }
        if target == StoragePath("CATALOG") { willReplaceCatalogue(from: source, on: disk) }
    }

    mutating func renamed(_ source: StoragePath, to target: StoragePath) { moveName(source, to: target) }

    mutating func willUnlink(_ path: StoragePath, on disk: SimulatedFileSystem) {
        readLog(on: disk)
        change("\(path) is removed")
        if let id = ids[path], files[id]?.kind == .segment { willUnlinkSegment(id, on: disk) }
        if path.components.count == 2, path.components[1] == "vectors.jvdb", isLive(path.components[0]) {
            violate("O1", "\(path), the file of a database that is there, is removed")
        }
    }

    // MARK: The catalogue

    /// The new catalogue says nothing that the log or the files could still lose.
    private mutating func willReplaceCatalogue(from source: StoragePath, on disk: SimulatedFileSystem) {
        guard let bytes = disk.volatileBytes(of: source, from: 0),
            let next = unsafe bytes.withUnsafeBytes({ unsafe try? Catalogue.decodeFile($0).0 })
        else { return }
        renamedCatalogue = next
        // After a clean shutdown nobody looks for that commit in the log; it may be one that a full disk kept out.
        let claimed = next.isCleanShutdown ? next.catalogueLSN : max(next.catalogueLSN, next.lastLSN)
        checkBulkData(through: claimed, "the catalogue knows of commit \(claimed)")
        if claimed > log.syncedLSN {
            violate("O1", "the catalogue knows of commit \(claimed), on disk is only commit \(log.syncedLSN)")
        }
        for entry in next.entries {
            guard let order = databases[entry.number] else { continue }
            let known = catalogue?.entries.first { $0.number == entry.number }?.generation ?? 0
            if entry.generation > max(order.generation, known) {
                violate("O4", "the catalogue knows of header \(entry.generation) of \(entry.name) before it is on disk")
            }
            guard next.isCleanShutdown else { continue }
            if order.isCheckpointed, entry.generation < order.generation {
                violate(
                    "O4",
                    "the shutdown is called clean, and nothing says that \(entry.name) has header \(order.generation)")
            }
            if order.lastLSN > order.checkpointLSN {
                violate(
                    "O4", "the shutdown is called clean before commit \(order.lastLSN) of \(entry.name) is in its file")
            }
        }
    }
}
