/// A database's directory: built beside and renamed into place when a database is created, renamed to the trash and
/// emptied when it is dropped (O1). The registry calls it on I/O threads, recovery to finish what a crash interrupted.
import StorageFormat
import StorageIO

struct DatabaseDirectory {
    static let trashPrefix = ".trash-"
    static let creatingPrefix = ".creating-"
    /// Of the header that a new database's file has before the log says that there is such a database.
    static let firstGeneration: UInt64 = 1

    let fileSystem: any FileSystem

    /// Creates the directory and data file of a new database, durably, under its name.
    func create(_ entry: CatalogueEntry, hashKey: IDHashKey, incarnation: UInt64) throws(FileSystemError) {
        let building = Self.creatingPrefix + String(entry.number)
        try removeIfThere(building)
        try fileSystem.createDirectory(StoragePath(building))
        do throws(FileSystemError) {
            let file = try fileSystem.open(StoragePath(building, DatabaseIdentity.dataFileName), .createNew)
            do throws(FileSystemError) {
                try Self.writeFirst(Self.firstHeader(entry, hashKey: hashKey, incarnation: incarnation), to: file)
            } catch {
                try? file.close()
                throw error
            }
            try file.close()
            try fileSystem.synchronizeDirectory(StoragePath(building))
            try fileSystem.rename(StoragePath(building), to: StoragePath(entry.name))
        } catch {
            try? removeIfThere(building)
            throw error
        }
        try fileSystem.synchronizeDirectory(.root)
    }

    /// Allocates the first unit of a data file and writes its header, durably.
    private static func writeFirst(_ header: FileHeader, to file: any StorageFile) throws(FileSystemError) {
        try file.allocate(offset: 0, length: UInt64(FormatLimits.extentUnitByteCount))
        let bytes = headerPages(header)
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.trustNeverWritten) {
                let start = FileHeader.firstPage(generation: header.generation) * FileHeader.byteCount
                try file.writeBytes(Array(bytes[start..<start + 2 * FileHeader.byteCount]), at: UInt64(start))
            } else {
                try file.writeBytes(bytes, at: 0)
            }
        #else
            try file.writeBytes(bytes, at: 0)
        #endif
        try file.synchronize()
    }

    /// All four header pages. Those of the generation that is still to come are written too, as zeros: where ext4 journals
    /// data or does not order it, a block that was allocated and never written shows what a deleted file had there after
    /// a power cut, and header pages of a dropped database would be taken for damage of this one.
    private static func headerPages(_ header: FileHeader) -> [UInt8] {
        let first = FileHeader.firstPage(generation: header.generation)
        return (0..<FileHeader.pageCount).flatMap { page in
            page == first || page == first + 1
                ? header.encode(pageIndex: page) : [UInt8](repeating: 0, count: FileHeader.byteCount)
        }
    }

    /// The header of an empty database: no extents, the directory derived.
    private static func firstHeader(_ entry: CatalogueEntry, hashKey: IDHashKey, incarnation: UInt64) -> FileHeader {
        let salt = ChecksumSalt(uuid: entry.uuid, incarnation: incarnation)
        return FileHeader(
            dimension: entry.dimension, metric: entry.metric, flags: [], vectorCount: 0, deletedCount: 0,
            indexOffset: 0, dataOffset: 0, generation: firstGeneration, checkpointLSN: 0, uuid: entry.uuid,
            incarnation: incarnation, idHashKey: hashKey, fingerprint: .empty, slotCount: 0,
            directoryBucketCount: UInt64(FormatLimits.bucketsPerPage), createdAt: entry.createdAt,
            updatedAt: entry.createdAt, recordPageCount: 0, directoryPageCount: 0,
            pageTableChecksum: salt.seed(.pageTable, position: 1), payloadUnitCount: 0, lastCommitLSN: 0,
            logSequence: 0, previousHeaderChecksum: 0, extents: [])
    }

    /// Moves a dropped database's directory out of sight, durably.
    func moveToTrash(name: String, number: UInt32) throws(FileSystemError) {
        let trash = Self.trashPrefix + String(number)
        try removeIfThere(trash)
        do {
            try fileSystem.rename(StoragePath(name), to: StoragePath(trash))
        } catch  where error.isNotFound {
            return
        }
        try fileSystem.synchronizeDirectory(.root)
    }

    /// Removes what lies in the trash of a database.
    func emptyTrash(number: UInt32) throws(FileSystemError) { try removeIfThere(Self.trashPrefix + String(number)) }

    /// Removes a directory of ours with its files; it is no error if it is not there.
    func removeIfThere(_ name: String) throws(FileSystemError) {
        let entries: [DirectoryEntry]
        do {
            entries = try fileSystem.list(StoragePath(name))
        } catch  where error.isNotFound {
            return
        }
        for entry in entries { try fileSystem.unlink(StoragePath(name, entry.name)) }
        try fileSystem.removeDirectory(StoragePath(name))
    }

    /// Removes a directory under a database's name that no catalogue entry claims, durably out of sight first: were it
    /// emptied under its name, a crash could bring it back with somebody else's bytes in its file (see
    /// ``SegmentWriter/remove(_:on:)``), and it would be kept as evidence of something.
    func removeUnclaimed(_ name: String) throws(FileSystemError) {
        let trash = Self.trashPrefix + name
        try removeIfThere(trash)
        try fileSystem.rename(StoragePath(name), to: StoragePath(trash))
        try fileSystem.synchronizeDirectory(.root)
        try removeIfThere(trash)
    }

    /// Whether a directory that no catalogue entry claims holds nothing but a database that was never used.
    func isUnused(_ name: String) -> Bool {
        guard let header = header(name) else {
            return (try? fileSystem.list(StoragePath(name)))?.isEmpty ?? false
        }
        return header.generation == Self.firstGeneration && header.vectorCount == 0 && header.extents.isEmpty
    }

    /// Whether the directory of a database's name holds that database, and not another one of the same name.
    func holds(_ entry: CatalogueEntry) -> Bool { header(entry.name)?.uuid == entry.uuid }

    private func header(_ name: String) -> FileHeader? {
        guard let file = try? fileSystem.open(StoragePath(name, DatabaseIdentity.dataFileName), .read) else {
            return nil
        }
        defer { try? file.close() }
        guard let size = try? file.size(),
            let bytes = try? file.readBytes(count: FileHeader.pageCount * FileHeader.byteCount, at: 0),
            let found = try? unsafe bytes.withUnsafeBytesTyped({ (bytes) throws(FormatError) in
                try unsafe FileHeader.newest(pages: bytes, fileSize: size)
            })
        else { return nil }
        return found.header
    }
}
