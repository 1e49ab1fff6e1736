/// Reads a database file into memory: header, page table, index pages, each checked before it is believed. The registry
/// opens databases with it, recovery loads those that the log has more to say about.
import StorageFormat
import StorageIO

struct DatabaseLoader {
    let entry: CatalogueEntry
    let fileSystem: any FileSystem
    let reservation: Int
    /// What the file is loaded for.
    let purpose: Purpose

    enum Purpose {
        /// To replay the log on it. An older generation will do because the log holds everything since, and torn header
        /// pages are what a crash leaves: they are written anew without a word.
        case recovery
        /// To use it. Damaged header pages are written anew, and reported.
        case use
        /// To read it. Nothing is written.
        case reading
    }

    private var path: StoragePath { StoragePath(entry.name, DatabaseIdentity.dataFileName) }
    private var location: String { path.description }

    func load() throws(StoreError) -> LoadedDatabase {
        do {
            let file = try fileSystem.open(path, .readWrite)
            do throws(StoreError) {
                return try load(file)
            } catch {
                try? file.close()
                throw error
            }
        } catch let error as FileSystemError {
            if error.isNotFound {
                throw .corruption(
                    "The data file of a database in the catalogue is missing.", database: entry.name, path: location)
            }
            throw StoreError(error, database: entry.name)
        } catch {
            throw .wrapping(error, database: entry.name)
        }
    }

    /// The last commit that is in the newest generation; nil if the file cannot be opened, or its header cannot be read or
    /// does not fit the catalogue, which whoever opens the database is told.
    ///
    /// - Throws: `tooManyOpenFiles`, which says nothing about the file.
    func newestCheckpointLSN() throws(StoreError) -> UInt64? {
        guard let (file, header) = try newestHeader() else { return nil }
        try? file.close()
        return header.checkpointLSN
    }

    /// The file, open, and the header of its newest generation; nil and errors as for
    /// ``newestCheckpointLSN()``.
    func newestHeader(_ mode: OpenMode = .read) throws(StoreError) -> (file: any StorageFile, header: FileHeader)? {
        let file: any StorageFile
        do throws(FileSystemError) {
            file = try fileSystem.open(path, mode)
        } catch {
            guard error.isTooManyOpenFiles else { return nil }
            throw StoreError(error, database: entry.name)
        }
        guard let header = try? readHeader(file).0 else {
            try? file.close()
            return nil
        }
        return (file, header)
    }

    /// Wraps a file system call so that its error names the database.
    private func io<R>(_ body: () throws(FileSystemError) -> R) throws(StoreError) -> R {
        do {
            return try body()
        } catch {
            throw StoreError(error, database: entry.name)
        }
    }

    private func damaged(_ message: String, offset: UInt64? = nil) -> StoreError {
        .corruption(message, database: entry.name, path: location, offset: offset)
    }

    private func load(_ file: any StorageFile) throws(StoreError) -> LoadedDatabase {
        let (header, older, otherIsLost, damagedPages) = try readHeader(file)
        let options = DatabaseOptions(entry)
        let identity = DatabaseIdentity(
            number: entry.number, name: entry.name, options: options, uuid: entry.uuid,
            incarnation: header.incarnation, hashKey: header.idHashKey,
            salt: ChecksumSalt(uuid: entry.uuid, incarnation: header.incarnation), createdAt: header.createdAt,
            stride: vectorStride(dimension: entry.dimension))
        let layout = FileLayout(extents: header.extents)
        let region = Int(header.generation % 2)
        let table = try readPageTable(file, header, layout.pageTable[region], identity.salt, region)
        let recordPages = try readPages(
            file, count: Int(header.recordPageCount), area: layout.recordTable[region], kind: .recordPage,
            checksums: table[..<Int(header.recordPageCount)], salt: identity.salt)
        let records = RecordTable(pages: recordPages, slotCount: Int(header.slotCount))
        let state = try checkRecords(records, header, layout, identity)
        var damages = try mend(damagedPages, of: [header] + [older].compactMap { $0 }, in: file)
        let (directory, isOnDisk) = try loadDirectory(file, header, layout, table, identity, records, &damages)
        let mapping = try io { () throws(FileSystemError) in
            try DataMapping.map(layout, of: file, on: fileSystem, reservation: reservation)
        }
        return LoadedDatabase(
            identity: identity,
            dataFile: DataFile(file: file, fileSystem: fileSystem, stride: identity.stride), layout: layout,
            mapping: mapping,
            index: DatabaseIndex(
                records: records, directory: directory, liveCount: Int(header.vectorCount),
                deletedCount: Int(header.deletedCount), fingerprint: header.fingerprint),
            lastCommitLSN: header.lastCommitLSN, slots: state.slots, payload: state.payload,
            updatedAt: header.updatedAt, directoryIsOnDisk: isOnDisk, generation: header.generation,
            checkpointLSN: header.checkpointLSN,
            previousCheckpointLSN: older?.checkpointLSN ?? header.checkpointLSN,
            headerChecksum: header.checksum, otherGenerationIsLost: otherIsLost, damages: damages)
    }

    // MARK: Header

    private func readHeader(_ file: any StorageFile) throws(StoreError) -> (
        FileHeader, older: FileHeader?, otherIsLost: Bool, damagedPages: [Int]
    ) {
        let size = try io { () throws(FileSystemError) in try file.size() }
        let bytes = try io { () throws(FileSystemError) in
            try file.readBytes(count: FileHeader.pageCount * FileHeader.byteCount, at: 0)
        }
        do {
            let found = try unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                try unsafe FileHeader.newest(pages: bytes, fileSize: size)
            }
            // If both copies of the other generation are damaged, it may have been the newer one.
            let other = FileHeader.firstPage(generation: found.header.generation + 1)
            let otherIsLost = found.damagedPages.contains(other) && found.damagedPages.contains(other + 1)
            if otherIsLost, purpose != .recovery {
                throw damaged(
                    "Both copies of one generation of the header are damaged, or the file is cut short; it may be the "
                        + "newer generation.")
            }
            guard found.header.uuid == entry.uuid else {
                throw damaged("The file belongs to another database than the catalogue says.")
            }
            guard found.header.dimension == entry.dimension, found.header.metric == entry.metric else {
                throw damaged("The file's dimension or metric is not what the catalogue says.")
            }
            guard reachesCatalogue(found.header) else { throw outdated(found.header.generation) }
            return (found.header, found.alternatives.first, otherIsLost, found.damagedPages)
        } catch let error as FormatError {
            throw StoreError(error, path: location, database: entry.name)
        } catch let error as StoreError {
            throw error
        } catch {
            throw .wrapping(error)
        }
    }

    /// Whether the newest header is at least the one that was there when the store was last shut down cleanly. One that is
    /// older is whole and true, and yet not the last: the log that could bring it up to date was let go then.
    private func reachesCatalogue(_ header: FileHeader) -> Bool {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.skipGenerationCheck) { return true }
        #endif
        return header.generation >= entry.generation
    }

    private func outdated(_ generation: UInt64) -> StoreError {
        StoreError(
            .corruption,
            "The newest header in the file is of generation \(generation), but the store was shut down with generation "
                + "\(entry.generation): the disk has lost a checkpoint, or an older file was put in its place.",
            database: entry.name, path: location,
            offset: UInt64(FileHeader.firstPage(generation: entry.generation) * FileHeader.byteCount),
            remedy:
                "Put the newer file back if there is one; else keep the files as evidence. `nephrite salvage`, or "
                + "VectorStore.salvage(to:), copies what the older generation holds into a new store.")
    }

    /// Writes damaged header pages anew from their twins, unless the file is only read, and tells what there is to tell.
    ///
    /// Nothing depends on the order of these writes: a page that is torn once more is as damaged as before, and its twin
    /// is not touched. A generation that is lost with both its pages is left to the next checkpoint, which writes there.
    private func mend(
        _ damagedPages: [Int], of headers: [FileHeader], in file: any StorageFile
    ) throws(StoreError) -> [Damage] {
        var damages: [Damage] = []
        for page in damagedPages {
            let isMended = purpose == .reading ? false : try mend(page, of: headers, in: file)
            if purpose == .recovery { continue }
            damages.append(
                .mended(
                    "Page \(page) of the file's four header pages was damaged; "
                        + (isMended ? "it was written anew." : "another one was used."), path: location,
                    offset: UInt64(page * FileHeader.byteCount)))
        }
        return damages
    }

    /// Writes one page anew; false if nothing says what was on it.
    private func mend(_ page: Int, of headers: [FileHeader], in file: any StorageFile) throws(StoreError) -> Bool {
        let bytes: [UInt8]
        if let header = headers.first(where: { FileHeader.firstPage(generation: $0.generation) == page & ~1 }) {
            bytes = header.encode(pageIndex: page)
        } else {
            // Beside a page that was never written lies what a crash left of a first checkpoint.
            guard purpose == .recovery else { return false }
            bytes = try io { () throws(FileSystemError) in
                try file.readBytes(count: FileHeader.byteCount, at: UInt64((page ^ 1) * FileHeader.byteCount))
            }
            guard bytes.allSatisfy({ $0 == 0 }) else { return false }
        }
        do throws(FileSystemError) {
            try file.writeBytes(bytes, at: UInt64(page * FileHeader.byteCount))
        } catch {
            // A disk that takes no writes can be read.
            if purpose == .use { return false }
            throw StoreError(error, database: entry.name)
        }
        try io { () throws(FileSystemError) in try file.synchronizeData() }
        return true
    }

    /// Writes the newest generation's header pages once more, as they are, and syncs the file: a process that was killed
    /// before it synced them, or whose sync failed, leaves a header that can be read and is not on disk. What the header
    /// refers to was synced before it was written.
    func makeHeaderDurable(of loaded: LoadedDatabase) throws(StoreError) {
        try io { () throws(FileSystemError) in
            let file = loaded.dataFile.file
            let offset = UInt64(FileHeader.firstPage(generation: loaded.generation) * FileHeader.byteCount)
            try file.writeBytes(file.readBytes(count: 2 * FileHeader.byteCount, at: offset), at: offset)
            try file.synchronizeData()
        }
    }

    // MARK: Pages

    private func readPageTable(
        _ file: any StorageFile, _ header: FileHeader, _ area: AreaMap, _ salt: ChecksumSalt, _ region: Int
    ) throws(StoreError) -> [PageTableEntry] {
        let count = Int(header.recordPageCount) + Int(header.directoryPageCount)
        let byteCount = count * PageTableEntry.byteCount
        guard UInt64(byteCount) <= area.byteCount else { throw damaged("The page table is larger than its region.") }
        let bytes = try readArea(file, area, byteCount: byteCount)
        let seed = salt.seed(.pageTable, position: UInt64(region))
        let checksum = unsafe bytes.withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: seed) }
        guard checksum == header.pageTableChecksum else {
            throw damaged("The page table's checksum does not match.", offset: area.pieces.first?.fileOffset)
        }
        return unsafe bytes.withUnsafeBytes { bytes in
            (0..<count).map { unsafe bytes.loadUnaligned(fromByteOffset: $0 * 8, as: PageTableEntry.self) }
        }
    }

    private func readArea(_ file: any StorageFile, _ area: AreaMap, byteCount: Int) throws(StoreError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount)
        try area.forEachPart(offset: 0, byteCount: UInt64(byteCount)) { (offset, length) throws(StoreError) in
            bytes += try io { () throws(FileSystemError) in try file.readBytes(count: Int(length), at: offset) }
        }
        guard bytes.count == byteCount else { throw damaged("The file ends before its index does.") }
        return bytes
    }

    private func readPages(
        _ file: any StorageFile, count: Int, area: AreaMap, kind: ChecksumSalt.Kind,
        checksums: ArraySlice<PageTableEntry>, salt: ChecksumSalt
    ) throws(StoreError) -> PagedTable {
        var table = PagedTable(epoch: LoadedDatabase.epoch)
        guard UInt64(count * IndexPage.byteCount) <= area.byteCount else {
            throw damaged("The index is larger than its region.")
        }
        guard count > 0 else { return table }
        var index = 0
        try area.forEachPart(offset: 0, byteCount: UInt64(count * IndexPage.byteCount)) {
            (offset, length) throws(StoreError) in
            var done: UInt64 = 0
            while done < length {
                let part = Int(min(length - done, 1 << 20))
                let run = unsafe table.pool.takeRun(part / IndexPage.byteCount)
                let buffer = unsafe UnsafeMutableRawBufferPointer(start: run.start, count: part)
                let read = try io { () throws(FileSystemError) in
                    try unsafe file.readFully(into: buffer, at: offset + done)
                }
                guard read == part else { throw damaged("The file ends before its index does.") }
                for position in unsafe 0..<run.count {
                    let bytes = unsafe UnsafeRawBufferPointer(
                        start: run[position].bytes, count: IndexPage.byteCount)
                    let seed = salt.seed(kind, position: UInt64(index))
                    let checksum = unsafe CRC32C.checksum(bytes, continuing: seed)
                    guard Self.isExpected(checksum, checksums[checksums.startIndex + index]) else {
                        throw damaged(
                            "Index page \(index) (\(kind)) does not match its checksum.",
                            offset: offset + done + UInt64(position * IndexPage.byteCount))
                    }
                    unsafe table.append(
                        IndexPage(
                            reading: run[position], epoch: LoadedDatabase.epoch, isRecords: kind == .recordPage,
                            pool: table.pool))
                    index += 1
                }
                done += UInt64(part)
            }
        }
        return table
    }

    private static func isExpected(_ checksum: UInt32, _ entry: PageTableEntry) -> Bool {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.skipPageChecks) { return true }
        #endif
        return checksum == entry.checksum
    }

    // MARK: What the pages say

    /// Checks every entry against the file's bounds and the header's sums, and derives the free space.
    private func checkRecords(
        _ records: RecordTable, _ header: FileHeader, _ layout: FileLayout, _ identity: DatabaseIdentity
    ) throws(StoreError) -> (slots: SlotAllocator, payload: PayloadAllocator) {
        let highWater = Int(header.payloadUnitCount)
        guard records.slotCount <= layout.slotCapacity(stride: identity.stride),
            highWater <= layout.payloadUnitCapacity
        else { throw damaged("The file's areas are smaller than its header says.") }
        var fingerprint = StateFingerprint.empty
        var live = 0
        var slots = SlotAllocator(highWater: records.slotCount)
        var payload = PayloadAllocator(highWater: highWater)
        if highWater > 0 { payload.release(0, count: highWater) }
        var nextSlot = 0
        try records.forEachActive { (slot, entry) throws(StoreError) in
            let units = entry.payloadUnitCount
            guard slot < records.slotCount, (1...FormatLimits.idByteCount).contains(Int(entry.idLength)),
                Int(entry.idLength) <= entry.payloadLength, Int(entry.payloadUnit) + units <= highWater,
                payload.claimIfFree(entry.payloadUnit, count: units)
            else { throw damaged("The record table's entry of slot \(slot) contradicts the file.") }
            for free in nextSlot..<slot { slots.release(UInt32(free)) }
            nextSlot = slot + 1
            live += 1
            fingerprint.insert(
                idHash: entry.idHash, lsn: entry.lsn,
                contentChecksum: identity.tag(contentChecksum: entry.tag, slot: UInt32(slot)))
        }
        for free in nextSlot..<max(nextSlot, records.slotCount) { slots.release(UInt32(free)) }
        guard live == Int(header.vectorCount), fingerprint == header.fingerprint else {
            throw damaged("The record table is not the one the header describes: count or fingerprint differ.")
        }
        return (slots, payload)
    }

    /// The directory as it was written, or, since it can be derived, rebuilt from the record table.
    private func loadDirectory(
        _ file: any StorageFile, _ header: FileHeader, _ layout: FileLayout, _ table: [PageTableEntry],
        _ identity: DatabaseIdentity, _ records: RecordTable, _ damages: inout [Damage]
    ) throws(StoreError) -> (IDDirectory, isOnDisk: Bool) {
        if header.directoryIsValid {
            do throws(StoreError) {
                let pages = try readPages(
                    file, count: Int(header.directoryPageCount), area: layout.directory[Int(header.generation % 2)],
                    kind: .directoryPage, checksums: table[Int(header.recordPageCount)...], salt: identity.salt)
                let directory = IDDirectory(
                    pages: pages, bucketCount: Int(header.directoryBucketCount), count: Int(header.vectorCount))
                if directory.isPlausible { return (directory, true) }
                damages.append(
                    .mended("The id directory has more or fewer ids than records; it was rebuilt.", path: location))
            } catch {
                guard error.code == .corruption else { throw error }
                damages.append(
                    .mended(
                        error.message + " The id directory was rebuilt from the record table.", path: location,
                        offset: error.offset))
            }
        }
        return (Self.rebuildDirectory(records, liveCount: Int(header.vectorCount), layout: layout), false)
    }

    static func rebuildDirectory(_ records: RecordTable, liveCount: Int, layout: FileLayout) -> IDDirectory {
        var buckets = IDDirectory.minimumBucketCount
        while liveCount * 4 > buckets * 3, buckets * 2 <= layout.bucketCapacity { buckets *= 2 }
        var directory = IDDirectory(bucketCount: buckets, epoch: LoadedDatabase.epoch)
        records.forEachActive { slot, entry in
            directory.insert(
                hash: entry.idHash, slot: UInt32(slot), epoch: LoadedDatabase.epoch, mayGrow: false,
                records: records)
        }
        return directory
    }
}

extension Durability {
    var format: FormatDurability {
        switch self {
        case .durable: .durable
        case .relaxed(let interval): .relaxed(nanoseconds: interval.nanoseconds)
        }
    }

    init(_ format: FormatDurability) {
        switch format {
        case .durable: self = .durable
        case .relaxed(let nanoseconds): self = .relaxed(every: .nanoseconds(Int64(clamping: nanoseconds)))
        }
    }
}
