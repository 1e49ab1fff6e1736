/// Which databases a damaged store has: from the catalogue, from the log's create and delete records, and from the headers
/// of the data files where the catalogue is gone. Salvage goes through them one by one.
import StorageFormat
import StorageIO

struct SalvageCatalogue {
    let fileSystem: any FileSystem
    private(set) var entries: [CatalogueEntry] = []
    private(set) var damages: [Damage] = []
    private var deleted: Set<UInt32> = []
    private var deletedUUIDs: Set<StorageUUID> = []

    init(fileSystem: any FileSystem) { self.fileSystem = fileSystem }

    /// Everything that can be found out; `catalogue` is nil if it cannot be read.
    mutating func gather(_ catalogue: Catalogue?, _ log: SalvageLog) throws(StoreError) {
        entries = catalogue?.entries ?? []
        apply(log, after: catalogue?.catalogueLSN ?? 0)
        try addUnclaimed(log, catalogueIsLost: catalogue == nil)
        entries.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    private mutating func apply(_ log: SalvageLog, after lsn: UInt64) {
        for operation in log.administration where operation.lsn > lsn {
            if operation.header.type == .createDatabase {
                guard let entry = try? unsafe CatalogueEntry.decode(operation.bytes),
                    !entries.contains(where: { $0.number == entry.number })
                else { continue }
                // Of two databases of one name the later one has it.
                entries.removeAll { $0.name == entry.name }
                entries.append(entry)
            } else if let body = try? unsafe DeleteDatabaseBody.decode(operation.bytes) {
                deleted.insert(body.number)
                for entry in entries where entry.number == body.number { deletedUUIDs.insert(entry.uuid) }
                entries.removeAll { $0.number == body.number }
            }
        }
    }

    /// Adds directories that hold a database and that no entry claims.
    private mutating func addUnclaimed(_ log: SalvageLog, catalogueIsLost: Bool) throws(StoreError) {
        let directories: [DirectoryEntry]
        do {
            directories = try fileSystem.list(.root)
        } catch {
            throw StoreError(error)
        }
        for directory in directories where directory.kind == .directory && DatabaseName.isValid(directory.name) {
            guard directory.name != "wal", !entries.contains(where: { $0.name == directory.name }),
                let header = header(directory.name), !deletedUUIDs.contains(header.uuid),
                !entries.contains(where: { $0.uuid == header.uuid })
            else { continue }
            // A database that was never used, or whose creation was cut short, is no loss.
            if header.generation == 1, header.extents.isEmpty, !catalogueIsLost { continue }
            let number = number(of: header, in: log)
            if let number, deleted.contains(number) { continue }
            entries.append(
                CatalogueEntry(
                    number: number ?? unusedNumber(), name: directory.name, dimension: header.dimension,
                    metric: header.metric, durability: .durable, uuid: header.uuid, createdAt: header.createdAt))
            damages.append(
                Damage(
                    kind: catalogueIsLost ? "mended" : "orphan",
                    message: catalogueIsLost
                        ? "Its entry in the catalogue was rebuilt from the file's header; it is durable from now on."
                        : "No entry of the catalogue claims it; it may have been dropped.",
                    path: "\(directory.name)/\(DatabaseIdentity.dataFileName)", offset: nil, ids: []))
        }
    }

    private func header(_ name: String) -> FileHeader? {
        guard let file = try? fileSystem.open(StoragePath(name, DatabaseIdentity.dataFileName), .read) else {
            return nil
        }
        defer { try? file.close() }
        return SalvageFile.newestHeader(of: file)
    }

    /// The number that a database has in the log, proven by a record whose id has its hash under the database's own key.
    private func number(of header: FileHeader, in log: SalvageLog) -> UInt32? {
        for number in log.operations.keys.sorted() where !entries.contains(where: { $0.number == number }) {
            for operation in log.operations[number] ?? [] {
                let found: (StoreReference, UnsafeRawBufferPointer)?
                switch operation.header.type {
                case .store, .update:
                    let body = try? unsafe StoreBody.decode(operation.bytes, dimension: header.dimension)
                    unsafe found = body.map {
                        unsafe ($0.reference, UnsafeRawBufferPointer(rebasing: operation.bytes[$0.id]))
                    }
                case .delete:
                    let body = try? unsafe DeleteBody.decode(operation.bytes)
                    unsafe found = body.map {
                        unsafe ($0.reference, UnsafeRawBufferPointer(rebasing: operation.bytes[$0.id]))
                    }
                default: unsafe found = nil
                }
                guard let (reference, id) = unsafe found else { continue }
                if unsafe IDHash.hash(id, key: header.idHashKey) == reference.idHash { return number }
                break
            }
        }
        return nil
    }

    private func unusedNumber() -> UInt32 {
        var number = UInt32.max
        while entries.contains(where: { $0.number == number }) { number -= 1 }
        return number
    }
}
