/// The bulk commits at the end of the log whose vectors and payloads may not have reached the disk although their records
/// have, because both are synced at once (O3). Opening a store ends the log before the first that has lost something, as if
/// its record had been torn: neither it nor anything behind it was acknowledged.
import StorageFormat
import StorageIO

struct UnsyncedTail {
    let fileSystem: any FileSystem
    let log: LogScan.Outcome
    let catalogue: Catalogue
    /// Whether what is found whole is made durable: the page cache may hold what the disk does not, even after a sync, and
    /// recovery is about to do what cannot be undone because of commits behind it.
    let makesDurable: Bool

    /// A database file to which such commits refer.
    private struct Target {
        let file: any StorageFile
        let layout: FileLayout
        let vectorByteCount: Int
        let stride: Int
        /// Commits up to it are in a checkpoint, and so on disk.
        let checkpointLSN: UInt64
    }

    /// Which of the log's commits is the first that refers to bytes which are not those it was written with; nil if there is
    /// none.
    ///
    /// Rows that a later commit of the log replaces or deletes are not looked at: if there was a checkpoint behind that commit,
    /// their space may have been used again, though the header that says so is lost. Of a database that cannot be opened, and
    /// of a record that refers to space which the file does not have, replay tells what is wrong. Where the log is damaged in
    /// its middle, what could vouch for a commit may be behind the damage, and nothing is judged.
    ///
    /// - Throws: what keeps the bytes from being read: nothing is cut off on the word of a disk that cannot read.
    func firstLoss() throws(StoreError) -> Int? {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.trustUnsyncedTail) { return nil }
        #endif
        let proven = max(log.syncedLSN, catalogue.lastLSN)
        let suspects = log.commits.indices.filter {
            log.commits[$0].lsn > proven && log.commits[$0].contents.mayPrecedeData
        }
        if suspects.isEmpty || !log.beyond.isEmpty { return nil }
        let entries = try entries()
        var targets: [UInt32: Target?] = [:]
        defer { for target in targets.values { try? target?.file.close() } }
        var end = log.commits.count
        // What a commit that is cut off has replaced counts again.
        while let loss = try firstLoss(of: suspects.prefix { $0 < end }, before: end, entries, &targets) { end = loss }
        if makesDurable {
            for number in targets.keys.sorted() {
                guard case .some(.some(let target)) = targets[number] else { continue }
                do throws(FileSystemError) {
                    try target.file.synchronizeData()
                } catch {
                    throw StoreError(error, database: entries[number]?.name)
                }
            }
        }
        return end < log.commits.count ? end : nil
    }

    /// The first of some commits that has lost a row which the log still refers to at the commit before `end`.
    private func firstLoss(
        of suspects: ArraySlice<Int>, before end: Int, _ entries: [UInt32: CatalogueEntry],
        _ targets: inout [UInt32: Target?]
    ) throws(StoreError) -> Int? {
        guard let first = suspects.first else { return nil }
        let newest = try newestMentions(first..<end)
        for index in suspects {
            let commit = log.commits[index]
            var isWhole = true
            unsafe try log.forEachRecord(of: commit) { (header, body) throws(StoreError) in
                guard isWhole, header.type == .bulkStore, let entry = entries[header.database] else { return }
                if targets[header.database] == nil {
                    targets.updateValue(try target(entry), forKey: header.database)
                }
                guard case .some(.some(let target)) = targets[header.database], commit.lsn > target.checkpointLSN
                else { return }
                do throws(FileSystemError) {
                    isWhole = try unsafe holds(body, in: target) { newest[header.database]?[$0.idHash] == index }
                } catch {
                    throw StoreError(error, database: entry.name)
                }
            }
            if !isWhole { return index }
        }
        return nil
    }

    /// For each id of each database the last of some commits that has a record of it.
    private func newestMentions(_ commits: Range<Int>) throws(StoreError) -> [UInt32: [UInt64: Int]] {
        var newest: [UInt32: [UInt64: Int]] = [:]
        for index in commits {
            unsafe try log.forEachRecord(of: log.commits[index]) { (header, body) throws(StoreError) in
                switch header.type {
                case .store, .update, .delete:
                    guard let reference = unsafe try? StoreReference.decode(body) else { return }
                    newest[header.database, default: [:]][reference.idHash] = index
                case .bulkStore:
                    guard let bulk = unsafe try? BulkStoreBody.decode(body) else { return }
                    for row in 0..<bulk.count {
                        guard let reference = unsafe try? bulk.reference(at: row, in: body) else { continue }
                        newest[header.database, default: [:]][reference.idHash] = index
                    }
                default: break
                }
            }
        }
        return newest
    }

    /// The databases that are there after the log's last commit, by number.
    private func entries() throws(StoreError) -> [UInt32: CatalogueEntry] {
        var entries = Dictionary(catalogue.entries.map { ($0.number, $0) }) { first, _ in first }
        for commit in log.commits where commit.contents.changesCatalogue && commit.lsn > catalogue.catalogueLSN {
            unsafe try log.forEachRecord(of: commit) { (header, body) throws(StoreError) in
                do throws(FormatError) {
                    switch header.type {
                    case .createDatabase:
                        let entry = try unsafe CatalogueEntry.decode(body)
                        entries[entry.number] = entry
                    case .deleteDatabase: entries[try unsafe DeleteDatabaseBody.decode(body).number] = nil
                    default: break
                    }
                } catch {
                    throw StoreError(error, path: "wal")
                }
            }
        }
        return entries
    }

    private func target(_ entry: CatalogueEntry) throws(StoreError) -> Target? {
        // What a crash tore of the other generation does not matter.
        let loader = DatabaseLoader(entry: entry, fileSystem: fileSystem, reservation: 0, purpose: .recovery)
        guard let (file, header) = try loader.newestHeader(makesDurable ? .readWrite : .read) else { return nil }
        var layout = FileLayout(extents: header.extents)
        for commit in log.commits where commit.contents.database == entry.number {
            unsafe try log.forEachRecord(of: commit) { (record, body) throws(StoreError) in
                guard record.type == .resize, let resize = try? unsafe ResizeBody.decode(body) else { return }
                for extent in resize.extents
                where !layout.extents.contains(where: { $0.startUnit == extent.startUnit }) { layout.add(extent) }
            }
        }
        return Target(
            file: file, layout: layout, vectorByteCount: entry.dimension * MemoryLayout<Float>.size,
            stride: vectorStride(dimension: entry.dimension), checkpointLSN: header.checkpointLSN)
    }

    /// Whether the file holds the rows of a bulk record that count.
    private func holds(
        _ body: UnsafeRawBufferPointer, in target: Target, _ counts: (StoreReference) -> Bool
    ) throws(FileSystemError) -> Bool {
        let unit = FormatLimits.payloadUnitByteCount
        guard let bulk = try? unsafe BulkStoreBody.decode(body) else { return true }
        for index in 0..<bulk.count {
            guard let reference = try? unsafe bulk.reference(at: index, in: body),
                Int(reference.slot) < target.layout.slotCapacity(stride: target.stride),
                Int(reference.payloadUnit) + (reference.payloadLength + unit - 1) / unit
                    <= target.layout.payloadUnitCapacity
            else { return true }
            guard counts(reference) else { continue }
            var row = Row()
            try row.read(
                target.layout.vectors, at: UInt64(reference.slot) * UInt64(target.stride), target.vectorByteCount,
                of: target.file)
            try row.read(
                target.layout.payload, at: UInt64(reference.payloadUnit) * UInt64(unit), reference.payloadLength,
                of: target.file)
            if row.checksum != reference.contentChecksum { return false }
            if makesDurable { try row.write(to: target.file) }
        }
        return true
    }

    /// The vector, id and metadata of a record as they lie in the file.
    private struct Row {
        private var parts: [(offset: UInt64, bytes: [UInt8])] = []

        var checksum: UInt32 {
            parts.reduce(0) { checksum, part in
                unsafe part.bytes.withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: checksum) }
            }
        }

        /// Reads a range of an area; of a file that ends too early fewer bytes, which have another checksum.
        mutating func read(
            _ area: AreaMap, at offset: UInt64, _ byteCount: Int, of file: any StorageFile
        ) throws(FileSystemError) {
            try area.forEachPart(offset: offset, byteCount: UInt64(byteCount)) {
                (fileOffset, length) throws(FileSystemError) in
                parts.append((fileOffset, try file.readBytes(count: Int(length), at: fileOffset)))
            }
        }

        /// Writes the same bytes once more.
        func write(to file: any StorageFile) throws(FileSystemError) {
            for part in parts { try file.writeBytes(part.bytes, at: part.offset) }
        }
    }
}
