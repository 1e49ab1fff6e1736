/// The log as the order checker reads it: which commits stand in which segment, and which of them are on disk.
import StorageFormat
import StorageIO

/// What one commit changes.
struct CommitOrder {
    let lsn: UInt64
    /// Databases whose records or extents it changes; 0 stands for the catalogue.
    var databases: Set<UInt32> = []
    let end: Int
}

struct SegmentOrder {
    let id: Int
    var path: StoragePath
    let isNew: Bool
    var header: SegmentHeader?
    var position = SegmentHeader.recordsOffset
    var chain: UInt32 = 0
    var commits: [CommitOrder] = []
    /// How much of it, header first, is on disk.
    var syncedPosition = 0
    /// The newest commit that it says was on disk when it was written.
    var provenLSN: UInt64 = 0

    init(id: Int, path: StoragePath, isNew: Bool) {
        self.id = id
        self.path = path
        self.isNew = isNew
    }

    var isHeaderSynced: Bool { syncedPosition >= SegmentHeader.recordsOffset }

    mutating func markSynced() { syncedPosition = position }
}

struct LogOrder {
    var segments: [Int: SegmentOrder] = [:]
    /// The newest commit that was read, in any segment.
    var newestLSN: UInt64 = 0
    /// Every commit up to it is on disk.
    var syncedLSN: UInt64 = 0
    /// The newest commit that stood in the log when the store was opened.
    var inheritedLSN: UInt64 = 0
    /// The newest commit that the log says was on disk by then.
    var provenLSN: UInt64 = 0
    /// The first commit of that log whose vectors were not: recovery ends the log before it.
    var cutLSN = UInt64.max
    /// When each database was created and dropped.
    var created: [String: UInt64] = [:]
    var dropped: [UInt32: UInt64] = [:]
}

extension OrderState {
    // MARK: Writing

    mutating func willWriteLog(_ id: Int, at offset: UInt64, on disk: SimulatedFileSystem) {
        guard let segment = log.segments[id] else { return }
        if !segment.isNew { violate("O7", "\(segment.path), a segment of an earlier life, is written") }
        if offset >= UInt64(SegmentHeader.recordsOffset), !segment.path.components[1].hasSuffix(".tmp") {
            if !segment.isHeaderSynced, segment.position == SegmentHeader.recordsOffset {
                violate("O4", "records in \(segment.path) before its header is on disk")
            }
            if !isNameDurable(segment.path) { violate("O4", "records in \(segment.path) before its name is on disk") }
        } else if offset == 0 {
            // The new header vouches for all of the segment before it.
            readLog(on: disk)
            for other in log.segments.values
            where other.isNew && other.id != id && other.syncedPosition < other.position
                && other.position > SegmentHeader.recordsOffset
            {
                violate("O4", "\(segment.path) is begun before \(other.path) is on disk to its end")
            }
        }
    }

    // MARK: Reading

    /// Reads what was written to the segments since it last looked. It looks late: what a full disk kept out is
    /// overwritten with zeros before anything else is done.
    mutating func readLog(on disk: SimulatedFileSystem) {
        for id in log.segments.keys.sorted() where log.segments[id]!.isNew && files[id]?.isUnsynced == true {
            readSegment(id, on: disk)
        }
    }

    mutating func readSegment(_ id: Int, on disk: SimulatedFileSystem) {
        guard var segment = log.segments[id] else { return }
        // Most of a segment is zeros that nobody has to look at: it is read in pieces as large as its commits need.
        var byteCount = 8 << 10
        while true {
            let base = segment.header == nil ? 0 : segment.position
            guard let bytes = disk.volatileBytes(of: segment.path, from: base, upTo: base + byteCount) else { return }
            let isAll = unsafe bytes.withUnsafeBytes { unsafe read(&segment, $0, base: base) }
            if isAll || bytes.count < byteCount { break }
            byteCount *= 4
        }
        log.segments[id] = segment
    }

    /// Takes in the commits that stand whole in `bytes`; whether nothing follows them.
    private mutating func read(_ segment: inout SegmentOrder, _ bytes: UnsafeRawBufferPointer, base: Int) -> Bool {
        if segment.header == nil, let header = unsafe try? SegmentHeader.decode(bytes) {
            segment.header = header
            segment.chain = header.saltSeed
            segment.provenLSN = header.previousLastLSN
        }
        guard let header = segment.header else { return true }
        var records: [(LogRecordHeader, Range<Int>)] = []
        var position = segment.position - base
        var chain = segment.chain
        var scan = unsafe LogCodec.read(bytes, at: position, saltSeed: header.saltSeed)
        while case .record(let record, let body, let next) = scan, record.previousChecksum == chain {
            chain = record.checksum
            position = next
            segment.provenLSN = max(segment.provenLSN, record.syncedUpTo)
            scan = unsafe LogCodec.read(bytes, at: position, saltSeed: header.saltSeed)
            let isNote = record.type == .syncMarker || record.type == .checkpoint
            if !isNote { records.append((record, body)) }
            guard isNote || record.type == .commit else { continue }
            segment.position = base + position
            segment.chain = chain
            if isNote {
                checkClaim(record, segment)
            } else if unsafe segment.isNew || !isCut(records, bytes) {
                unsafe segment.commits.append(commit(records, end: segment.position, bytes, segment))
                records = []
            } else {
                return true
            }
        }
        return scan == .end && position < bytes.count
    }

    /// Whether recovery leaves out an inherited commit, and so all that follow it: its record got to the disk, what it refers
    /// to did not, and nothing says that it was there.
    private mutating func isCut(
        _ records: [(LogRecordHeader, Range<Int>)], _ bytes: UnsafeRawBufferPointer
    ) -> Bool {
        let lsn = records.last!.0.lsn
        guard lsn < log.cutLSN, lsn > log.provenLSN, let disk = inheritedDisk else { return lsn >= log.cutLSN }
        for (record, range) in records
        where record.type == .bulkStore && record.flags & LogRecordHeader.mayPrecedeData != 0 {
            let body = unsafe UnsafeRawBufferPointer(rebasing: bytes[range])
            guard let order = databases[record.database], lsn > order.checkpointLSN, order.hasFile,
                let name = numbers.first(where: { $0.value == record.database })?.key,
                let bulk = unsafe try? BulkStoreBody.decode(body)
            else { continue }
            let path = StoragePath(name, "vectors.jvdb")
            let isWhole = (0..<bulk.count).allSatisfy { index in
                guard let reference = unsafe try? bulk.reference(at: index, in: body) else { return true }
                return order.holds(reference, path, on: disk)
            }
            if !isWhole { log.cutLSN = lsn }
        }
        return lsn >= log.cutLSN
    }

    /// A record may only say of commits that they are on disk if they are.
    private mutating func checkClaim(_ record: LogRecordHeader, _ segment: SegmentOrder) {
        guard segment.isNew, !segment.path.components[1].hasSuffix(".tmp") else { return }
        checkBulkData(through: record.syncedUpTo, "a record says that commit \(record.syncedUpTo) is on disk")
        guard record.syncedUpTo > log.syncedLSN else { return }
        violate("O2", "a record behind commit \(log.newestLSN) says that commit \(record.syncedUpTo) is on disk")
    }

    /// Takes a whole commit in.
    private mutating func commit(
        _ records: [(LogRecordHeader, Range<Int>)], end: Int, _ bytes: UnsafeRawBufferPointer, _ segment: SegmentOrder
    ) -> CommitOrder {
        let lsn = records.last!.0.lsn
        var commit = CommitOrder(lsn: lsn, end: end)
        let isKnown = lsn <= log.newestLSN
        for (record, range) in records {
            let body = unsafe UnsafeRawBufferPointer(rebasing: bytes[range])
            if !isKnown { checkClaim(record, segment) }
            switch record.type {
            case .createDatabase, .deleteDatabase: commit.databases.insert(0)
            case .commit: break
            default: commit.databases.insert(record.database)
            }
            if !isKnown { unsafe apply(record, body, inherited: !segment.isNew) }
        }
        log.newestLSN = max(log.newestLSN, lsn)
        return commit
    }

    // MARK: Durability

    /// Takes note of commits that have become durable.
    mutating func advanceLog(on disk: SimulatedFileSystem) {
        for segment in log.segments.values where segment.isNew && !segment.path.components[1].hasSuffix(".tmp") {
            guard isNameDurable(segment.path), segment.isHeaderSynced, files[segment.id]?.isPoisoned == false
            else { continue }
            // A recovery's segment holds all that was found, under a name that replaces what was there.
            if log.inheritedLSN > log.syncedLSN { log.syncedLSN = log.inheritedLSN }
            if let last = segment.commits.last(where: { $0.end <= segment.syncedPosition }) {
                log.syncedLSN = max(log.syncedLSN, last.lsn)
            }
        }
    }

    mutating func acknowledged(_ version: UInt64, on disk: SimulatedFileSystem) {
        readLog(on: disk)
        checkBulkData(through: version, "commit \(version) is acknowledged")
        if version > log.newestLSN {
            violate("O2", "commit \(version) is acknowledged and not in the log")
        } else if version > log.syncedLSN {
            violate("O2", "commit \(version) is acknowledged, on disk is only commit \(log.syncedLSN)")
        }
    }

    // MARK: Unlinking

    mutating func willUnlinkSegment(_ id: Int, on disk: SimulatedFileSystem) {
        guard let segment = log.segments[id], !segment.path.components[1].hasSuffix(".tmp") else { return }
        readLog(on: disk)
        if catalogue?.isCleanShutdown == true, (segment.header?.sequence ?? 0) < catalogue!.nextSegmentSequence {
            return
        }
        let older = log.segments.values.filter { other in
            !other.path.components[1].hasSuffix(".tmp")
                && other.header?.sequence ?? .max < segment.header?.sequence ?? 0
        }
        if let left = older.first, segment.commits.contains(where: { !isInAnotherSegment($0.lsn, but: id) }) {
            violate("O4", "\(segment.path) is removed before the older \(left.path)")
        }
        for commit in segment.commits where !isInAnotherSegment(commit.lsn, but: id) {
            for database in commit.databases where isNeeded(commit.lsn, by: database) {
                violate("O4", "\(segment.path) is removed, and database \(database) needs its commit \(commit.lsn)")
                return
            }
        }
    }

    private func isInAnotherSegment(_ lsn: UInt64, but id: Int) -> Bool {
        log.segments.values.contains { other in
            guard other.id != id, !other.path.components[1].hasSuffix(".tmp") else { return false }
            return other.commits.contains { commit in
                // What an earlier life left is believed to be on disk.
                commit.lsn == lsn
                    && (!other.isNew || isNameDurable(other.path) && commit.end <= other.syncedPosition)
            }
        }
    }

    private func isNeeded(_ lsn: UInt64, by database: UInt32) -> Bool {
        if database == 0 { return (catalogue?.catalogueLSN ?? 0) < lsn }
        if let dropped = log.dropped[database] { return dropped > log.syncedLSN }
        // The clean shutdown that such a file belies has let go of what it is missing.
        guard let order = databases[database], !order.isOutdated else { return false }
        return order.previousCheckpointLSN < lsn
    }
}
