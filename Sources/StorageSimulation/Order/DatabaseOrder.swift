/// One database as the order checker sees it: which slots hold what, which pages and slots are not on disk yet, and what
/// the header on disk promises.
import StorageFormat
import StorageIO

struct DatabaseOrder {
    /// What the log has put into a slot.
    struct Slot {
        let lsn: UInt64
        /// The commit that took it away again.
        var freedAt: UInt64?
        /// How often the bytes are still to be written behind the log's record.
        var placements: Int
    }

    let number: UInt32
    let stride: Int
    let vectorByteCount: Int
    var extents: [Extent] = []
    var slots: [UInt32: Slot] = [:]
    var slotOfID: [UInt64: UInt32] = [:]
    /// Slots with bytes that no sync has made durable.
    var unsyncedSlots: Set<UInt32> = []
    /// The first bulk commit whose record precedes its vectors to the disk.
    var firstUnsyncedBulk: UInt64?
    /// Whether each region of the index has such bytes.
    var hasUnsyncedIndex = [false, false]
    /// What each commit recorded as the state after it.
    var states: [(lsn: UInt64, fingerprint: StateFingerprint)] = []
    /// The newest header that is on disk, and the one before it.
    var generation: UInt64 = 0
    var checkpointLSN: UInt64 = 0
    var previousCheckpointLSN: UInt64 = 0
    /// Whether the file is older than the catalogue says: a header was lost, and the database is refused.
    var isOutdated = false
    /// Whether this life of the store has put a newer header on disk.
    var isCheckpointed = false
    /// A header that was written and not synced.
    var written: (generation: UInt64, checkpointLSN: UInt64)?
    var lastLSN: UInt64 = 0
    var hasFile = false

    init(_ entry: CatalogueEntry) {
        number = entry.number
        stride = vectorStride(dimension: entry.dimension)
        vectorByteCount = entry.dimension * MemoryLayout<Float>.size
    }

    /// What a place in the file belongs to.
    enum Place {
        case header
        case slots(Range<UInt32>)
        case index(region: Int)
        case other
    }

    func place(_ range: Range<UInt64>) -> Place {
        let unit = UInt64(FormatLimits.extentUnitByteCount)
        if range.lowerBound < unit { return .header }
        var areaOffset: UInt64 = 0
        for extent in extents {
            let start = UInt64(extent.startUnit) * unit
            let length = UInt64(extent.unitCount) * unit
            if (start..<start + length).contains(range.lowerBound) {
                let within = range.lowerBound - start
                if extent.kind.isShadowed { return .index(region: within < length / 2 ? 0 : 1) }
                guard extent.kind == .vectors else { return .other }
                let first = (areaOffset + within + UInt64(stride) - 1) / UInt64(stride)
                let last = (areaOffset + within + UInt64(range.count) - 1) / UInt64(stride)
                return last < first ? .other : .slots(UInt32(first)..<UInt32(last + 1))
            }
            if extent.kind == .vectors { areaOffset += length }
        }
        return .other
    }

    /// Whether the file holds the record that a reference of the bulk path describes.
    func holds(_ reference: StoreReference, _ path: StoragePath, on disk: SimulatedFileSystem) -> Bool {
        let vector = read(.vectors, Int(reference.slot) * stride, vectorByteCount, path, disk)
        let payload = read(
            .payload, Int(reference.payloadUnit) * FormatLimits.payloadUnitByteCount, reference.payloadLength, path,
            disk)
        return unsafe (vector + payload).withUnsafeBytes { unsafe CRC32C.checksum($0) } == reference.contentChecksum
    }

    /// Bytes of an area, which follow one another in its extents.
    private func read(
        _ kind: Extent.Kind, _ offset: Int, _ count: Int, _ path: StoragePath, _ disk: SimulatedFileSystem
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        var areaOffset = 0
        for extent in extents where extent.kind == kind {
            let start = Int(extent.startUnit) * FormatLimits.extentUnitByteCount
            let length = Int(extent.unitCount) * FormatLimits.extentUnitByteCount
            let from = max(offset + bytes.count, areaOffset) - areaOffset
            let part = min(count - bytes.count, length - from)
            if part > 0 { bytes += disk.volatileBytes(of: path, from: start + from, upTo: start + from + part) ?? [] }
            areaOffset += length
        }
        return bytes
    }

    /// Takes the state of a file as the store found it.
    mutating func load(_ path: StoragePath, on disk: SimulatedFileSystem) {
        let pages = FileHeader.pageCount * FileHeader.byteCount
        guard let size = disk.volatileByteCount(of: path),
            let bytes = disk.volatileBytes(of: path, from: 0, upTo: pages),
            let header = unsafe bytes.withUnsafeBytes({
                unsafe try? FileHeader.newest(pages: $0, fileSize: UInt64(size)).header
            })
        else { return }
        hasFile = true
        extents = header.extents
        generation = header.generation
        checkpointLSN = header.checkpointLSN
        previousCheckpointLSN = header.checkpointLSN
        lastLSN = max(lastLSN, header.lastCommitLSN)
        var slot = 0
        for extent in extents where extent.kind == .recordTable {
            let half = Int(extent.unitCount) * FormatLimits.extentUnitByteCount / 2
            let start = Int(extent.startUnit) * FormatLimits.extentUnitByteCount + Int(header.generation % 2) * half
            let count = min(half / RecordEntry.byteCount, Int(header.slotCount) - slot)
            guard
                let entries = disk.volatileBytes(of: path, from: start, upTo: start + count * RecordEntry.byteCount)
            else { return }
            unsafe entries.withUnsafeBytes { entries in
                for index in 0..<entries.count / RecordEntry.byteCount {
                    let entry = unsafe entries.loadUnaligned(
                        fromByteOffset: index * RecordEntry.byteCount, as: RecordEntry.self)
                    guard entry.isActive else { continue }
                    slots[UInt32(slot + index)] = Slot(lsn: entry.lsn, placements: 0)
                    slotOfID[entry.idHash] = UInt32(slot + index)
                }
            }
            slot += count
        }
    }

    /// Whether a slot may be given to a new record; what is wrong otherwise.
    func objection(toReusing slot: UInt32) -> String? {
        guard let held = slots[slot] else { return nil }
        guard let freedAt = held.freedAt else { return "slot \(slot), which holds a live record of commit \(held.lsn)" }
        if freedAt <= checkpointLSN { return nil }
        return "slot \(slot), freed by commit \(freedAt), while the header on disk is of commit \(checkpointLSN)"
    }

    /// The file was synced: what was written is on disk, the header too.
    mutating func synced() {
        unsyncedSlots = []
        firstUnsyncedBulk = nil
        hasUnsyncedIndex = [false, false]
        guard let written else { return }
        previousCheckpointLSN = checkpointLSN
        (generation, checkpointLSN) = written
        isCheckpointed = true
        self.written = nil
    }

    /// Frees the slot of an id.
    mutating func free(_ idHash: UInt64, at lsn: UInt64) {
        guard let slot = slotOfID.removeValue(forKey: idHash) else { return }
        slots[slot]?.freedAt = lsn
    }
}

extension OrderState {
    func database(of id: Int) -> UInt32? {
        guard let file = files[id], file.kind == .data else { return nil }
        return numbers[file.path.components[0]]
    }

    // MARK: The log's records

    /// Takes a record in. Those that the store inherited are believed.
    mutating func apply(_ record: LogRecordHeader, _ body: UnsafeRawBufferPointer, inherited: Bool) {
        switch record.type {
        case .createDatabase: unsafe created(body, lsn: record.lsn, inherited: inherited)
        case .deleteDatabase:
            if let number = unsafe try? DeleteDatabaseBody.decode(body).number { log.dropped[number] = record.lsn }
        case .commit:
            guard let commit = unsafe try? CommitBody.decode(body) else { return }
            for state in commit.databases {
                databases[state.database]?.states.append((record.lsn, state.fingerprint))
                databases[state.database]?.lastLSN = record.lsn
            }
        default:
            guard let order = databases[record.database], record.lsn > order.checkpointLSN else { return }
            unsafe change(order, record, body, inherited: inherited)
        }
    }

    private mutating func change(
        _ old: DatabaseOrder, _ record: LogRecordHeader, _ body: UnsafeRawBufferPointer, inherited: Bool
    ) {
        var order = old
        switch record.type {
        case .store, .update:
            guard let reference = unsafe try? StoreReference.decode(body) else { return }
            store(reference, in: &order, record.lsn, isBulk: false, inherited: inherited)
        case .bulkStore:
            guard let bulk = unsafe try? BulkStoreBody.decode(body) else { return }
            for index in 0..<bulk.count {
                guard let reference = unsafe try? bulk.reference(at: index, in: body) else { continue }
                let mayPrecedeData = record.flags & LogRecordHeader.mayPrecedeData != 0
                if inherited, mayPrecedeData, record.lsn > log.provenLSN {
                    // What is there may be in the page cache only.
                    order.firstUnsyncedBulk = order.firstUnsyncedBulk ?? record.lsn
                } else if !inherited, order.unsyncedSlots.contains(reference.slot) {
                    if !mayPrecedeData {
                        violate(
                            "O3",
                            "commit \(record.lsn) refers to slot \(reference.slot) before its vector is on disk")
                    }
                    order.firstUnsyncedBulk = order.firstUnsyncedBulk ?? record.lsn
                }
                store(reference, in: &order, record.lsn, isBulk: true, inherited: inherited)
            }
        case .delete:
            if let reference = unsafe try? StoreReference.decode(body) { order.free(reference.idHash, at: record.lsn) }
        case .resize:
            guard let resize = unsafe try? ResizeBody.decode(body) else { return }
            for extent in resize.extents where !order.extents.contains(where: { $0.startUnit == extent.startUnit }) {
                order.extents.append(extent)
            }
            order.lastLSN = record.lsn
        default: break
        }
        databases[record.database] = order
    }

    private mutating func store(
        _ reference: StoreReference, in order: inout DatabaseOrder, _ lsn: UInt64, isBulk: Bool, inherited: Bool
    ) {
        if !inherited {
            if let objection = order.objection(toReusing: reference.slot) {
                violate("O4", "commit \(lsn) uses \(objection)")
            }
        }
        order.free(reference.idHash, at: lsn)
        // Recovery writes what the log has as often as it is tried, and what the bulk path wrote twice each time.
        let placements = inherited ? Int.max : isBulk ? 0 : 1
        order.slots[reference.slot] = .init(lsn: lsn, placements: placements)
        order.slotOfID[reference.idHash] = reference.slot
    }

    /// A commit that is on disk by what the log says, or by what a caller was told, has its vectors there, too.
    mutating func checkBulkData(through lsn: UInt64, _ claim: String) {
        guard let first = databases.values.compactMap(\.firstUnsyncedBulk).min(), first <= lsn else { return }
        violate("O3", "\(claim) before the vectors of commit \(first) are on disk")
    }

    // MARK: The data file

    mutating func willWriteData(_ id: Int, at offset: UInt64) {
        guard let number = database(of: id), let order = databases[number] else { return }
        let path = files[id]!.path
        switch order.place(offset..<offset + 1) {
        case .header:
            // Vectors may still go there, for readers: the log has them.
            if files[id]!.isPoisoned { violate("O8", "a header of \(path) is written although a sync of it failed") }
        case .index(let region):
            if region == Int(order.generation % 2) {
                violate("O4", "region \(region) of \(path) is overwritten, and the header on disk refers to it")
            }
        case .slots, .other: break
        }
    }

    mutating func wroteData(_ id: Int, _ range: Range<UInt64>, on disk: SimulatedFileSystem) {
        guard let number = database(of: id), var order = databases[number] else { return }
        switch order.place(range) {
        case .header:
            databases[number] = order
            wroteHeader(id, number, range, on: disk)
            return
        case .index(let region): order.hasUnsyncedIndex[region] = true
        case .slots(let slots):
            for slot in slots {
                if let placements = order.slots[slot]?.placements, placements > 0 {
                    order.slots[slot]?.placements = placements - 1
                } else {
                    if let objection = order.objection(toReusing: slot) { violate("O4", "bytes go to \(objection)") }
                    order.slots[slot] = nil
                }
                order.unsyncedSlots.insert(slot)
            }
        case .other: break
        }
        databases[number] = order
    }

    mutating func noteUnsyncedData(_ id: Int, _ range: Range<UInt64>) {
        guard let number = database(of: id), let order = databases[number] else { return }
        switch order.place(range) {
        case .index(let region): databases[number]?.hasUnsyncedIndex[region] = true
        case .slots(let slots): databases[number]?.unsyncedSlots.formUnion(slots)
        case .header, .other: break
        }
    }

    /// A header was written: everything that it refers to is on disk, and it says what the log says.
    private mutating func wroteHeader(
        _ id: Int, _ number: UInt32, _ range: Range<UInt64>, on disk: SimulatedFileSystem
    ) {
        guard let order = databases[number], let path = files[id]?.path,
            let bytes = disk.volatileBytes(of: path, from: 0, upTo: FileHeader.pageCount * FileHeader.byteCount)
        else { return }
        let newest = unsafe bytes.withUnsafeBytes { bytes in
            (0..<FileHeader.pageCount).compactMap { page in
                let start = page * FileHeader.byteCount
                // Recovery writes pages again as they were, beside newer ones that it had reason not to believe.
                guard start + FileHeader.byteCount <= bytes.count,
                    range.overlaps(UInt64(start)..<UInt64(start + FileHeader.byteCount))
                else { return FileHeader?.none }
                return unsafe try? FileHeader.decode(
                    UnsafeRawBufferPointer(rebasing: bytes[start..<start + FileHeader.byteCount]), pageIndex: page)
            }.max { $0.generation < $1.generation }
        }
        guard let header = newest, header.generation > order.generation,
            header.generation != order.written?.generation
        else { return }
        databases[number]?.written = (header.generation, header.checkpointLSN)
        if order.hasUnsyncedIndex[Int(header.generation % 2)] {
            violate("O4", "header \(header.generation) of \(path) before its index is on disk")
        }
        let missing = order.unsyncedSlots.filter { slot in
            order.slots[slot].map { $0.freedAt == nil && $0.lsn <= header.checkpointLSN } ?? false
        }
        if let slot = missing.min() {
            violate("O4", "header \(header.generation) of \(path) before the vector in slot \(slot) is on disk")
        }
        checkBulkData(through: header.checkpointLSN, "header \(header.generation) of \(path) is written")
        if header.checkpointLSN > log.syncedLSN {
            violate(
                "O4",
                "header \(header.generation) of \(path) holds commit \(header.checkpointLSN), which the log can lose")
        }
        if let last = order.states.last(where: { $0.lsn <= header.checkpointLSN }),
            last.fingerprint != header.fingerprint
        {
            violate("O4", "header \(header.generation) of \(path) is not the state after commit \(last.lsn)")
        }
    }

    mutating func dataSynced(_ id: Int) {
        if let number = database(of: id) { databases[number]?.synced() }
    }
}
