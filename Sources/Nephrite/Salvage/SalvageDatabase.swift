/// Brings together what a data file and the log know of one database and finds the newest version of every record that can
/// be proven to be what was written. The store's salvage copies the outcome.
import StorageFormat
import StorageIO

struct SalvageDatabase {
    /// Where a version of a record is.
    private enum Source {
        case file(SalvageFile.Place)
        case log(SalvageLog.Operation)
    }

    private struct Version {
        let lsn: UInt64
        let idHash: UInt64
        let source: Source
    }

    private struct Loss {
        let lsn: UInt64
        let idHash: UInt64
        let id: String?
        let slot: UInt32?
        let reason: String
    }

    let entry: CatalogueEntry
    private var file: SalvageFile?
    private let dimension: Int
    private var newest: [RecordID: Version] = [:]
    /// For each hash the newest delete. Two ids of one hash are as likely as a checksum that matches by chance.
    private var deletes: [UInt64: UInt64] = [:]
    private var losses: [Loss] = []
    /// The newest loss of each hash.
    private var newestLoss: [UInt64: UInt64] = [:]
    /// Bytes that may yet be read: entries of a hostile file could all name the same megabyte.
    private var budget: UInt64 = 0
    private var expectedCount: Int?
    private(set) var report: SalvagedDatabase

    init(_ entry: CatalogueEntry, log: SalvageLog, on fileSystem: any FileSystem) {
        self.entry = entry
        dimension = entry.dimension
        report = SalvagedDatabase(
            name: entry.name, recoveredCount: 0, lostCount: 0, lost: [], unidentifiedLossCount: 0, outdated: [],
            mayIncludeDeleted: false, damages: [])
        let operations = log.operations[entry.number] ?? []
        var opened: SalvageFile?
        do throws(StoreError) {
            opened = try SalvageFile(entry, on: fileSystem)
        } catch {
            report.damages.append(Damage(error))
        }
        for operation in operations where operation.header.type == .resize {
            if let body = try? unsafe ResizeBody.decode(operation.bytes) { opened?.add(body.extents) }
        }
        var isWhole = false
        var isOutdated = false
        var checkpointLSN: UInt64 = 0
        if var reading = opened {
            budget = 8 * min(reading.fileSize, 1 << 50) + (64 << 20)
            isWhole = gather(&reading)
            isOutdated = reading.isOutdated
            checkpointLSN = reading.header.checkpointLSN
            report.damages += reading.damages
            expectedCount = Int(clamping: reading.header.vectorCount)
            file = reading
        }
        report.mayIncludeDeleted = !isWhole || isOutdated
        for operation in operations {
            // What a whole checkpoint holds needs nothing from before it, but for the bytes of records that are damaged.
            take(operation, rescuing: isWhole && operation.lsn <= checkpointLSN)
        }
        if let last = log.lastStates[entry.number], last.lsn > checkpointLSN {
            expectedCount = Int(clamping: last.state.liveCount)
        }
        settle()
    }

    // MARK: Gathering

    /// Takes what the file holds; whether no page of its record table is damaged.
    private mutating func gather(_ file: inout SalvageFile) -> Bool {
        var found: [(UInt32, RecordEntry, Bool)] = []
        let damagedPageCount = file.forEachEntry { found.append(($0, $1, $2)) }
        for (slot, entry, isCertain) in found {
            guard entry.isActive else {
                // What marks a deleted record cannot be checked by itself.
                if isCertain { deletes[entry.idHash] = max(deletes[entry.idHash] ?? 0, entry.lsn) }
                continue
            }
            let place = file.place(slot, entry)
            switch read(place, entry.lsn, in: file) {
            case .whole(let record):
                offer(RecordID(record.id), Version(lsn: entry.lsn, idHash: entry.idHash, source: .file(place)))
            case .damaged(let id, let reason):
                // An entry on a damaged page may never have been one.
                guard isCertain || id != nil else { continue }
                note(Loss(lsn: entry.lsn, idHash: entry.idHash, id: id, slot: slot, reason: reason))
            }
        }
        return damagedPageCount == 0
    }

    private mutating func offer(_ id: RecordID, _ version: Version) {
        if let known = newest[id], known.lsn >= version.lsn { return }
        newest[id] = version
    }

    private mutating func note(_ loss: Loss) {
        losses.append(loss)
        newestLoss[loss.idHash] = max(newestLoss[loss.idHash] ?? 0, loss.lsn)
    }

    private mutating func read(
        _ place: SalvageFile.Place, _ lsn: UInt64, in file: SalvageFile
    ) -> SalvageFile.Reading {
        let cost = UInt64(place.payloadLength + dimension * 4)
        guard cost <= budget else {
            return .damaged(id: nil, reason: "More is said to be in the file than there can be.")
        }
        budget -= cost
        return file.record(place, version: lsn)
    }

    private mutating func take(_ operation: SalvageLog.Operation, rescuing: Bool) {
        func isWanted(_ reference: StoreReference) -> Bool {
            !rescuing || newestLoss[reference.idHash] == operation.lsn
        }
        switch operation.header.type {
        case .store, .update:
            guard let body = try? unsafe StoreBody.decode(operation.bytes, dimension: dimension),
                isWanted(body.reference)
            else { return }
            switch Self.record(operation, dimension: dimension) {
            case .whole(let record):
                offer(
                    RecordID(record.id),
                    Version(lsn: operation.lsn, idHash: body.reference.idHash, source: .log(operation)))
            case .damaged(let id, let reason):
                note(Loss(lsn: operation.lsn, idHash: body.reference.idHash, id: id, slot: nil, reason: reason))
            }
        case .delete:
            guard !rescuing, let body = try? unsafe DeleteBody.decode(operation.bytes) else { return }
            deletes[body.reference.idHash] = max(deletes[body.reference.idHash] ?? 0, operation.lsn)
        case .bulkStore:
            guard !rescuing, let body = try? unsafe BulkStoreBody.decode(operation.bytes) else { return }
            for index in 0..<body.count {
                guard let reference = try? unsafe body.reference(at: index, in: operation.bytes) else { continue }
                take(reference, lsn: operation.lsn)
            }
        default: return
        }
    }

    /// Takes a record that the bulk path wrote to the file.
    private mutating func take(_ reference: StoreReference, lsn: UInt64) {
        let place = SalvageFile.Place(
            slot: reference.slot, payloadUnit: reference.payloadUnit, payloadLength: reference.payloadLength,
            idLength: Int(reference.idLength), idHash: reference.idHash, contentChecksum: reference.contentChecksum)
        let reading = file.map { read(place, lsn, in: $0) }
        switch reading ?? .damaged(id: nil, reason: "The data file cannot be read.") {
        case .whole(let record):
            offer(RecordID(record.id), Version(lsn: lsn, idHash: reference.idHash, source: .file(place)))
        case .damaged(let id, let reason):
            note(Loss(lsn: lsn, idHash: reference.idHash, id: id, slot: reference.slot, reason: reason))
        }
    }

    // MARK: The outcome

    /// Drops what was deleted, and tells what is lost from what has a later version.
    private mutating func settle() {
        newest = newest.filter { $0.value.lsn >= deletes[$0.value.idHash] ?? 0 }
        var reached: [UInt64: UInt64] = deletes
        for version in newest.values { reached[version.idHash] = max(reached[version.idHash] ?? 0, version.lsn) }
        let ids = Dictionary(newest.map { ($0.value.idHash, $0.key.text) }, uniquingKeysWith: { first, _ in first })
        var counted: Set<UInt64> = []
        for loss in losses.sorted(by: { ($0.lsn, $0.idHash) > ($1.lsn, $1.idHash) })
        where reached[loss.idHash] ?? 0 < loss.lsn && counted.insert(loss.idHash).inserted {
            if let id = ids[loss.idHash] {
                if report.outdated.count < SalvagedDatabase.listLimit { report.outdated.append(id) }
                continue
            }
            noteLoss(LostRecord(id: loss.id, slot: loss.slot.map(Int.init), reason: loss.reason))
        }
        report.outdated.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        report.lost.sort { ($0.slot ?? .max) < ($1.slot ?? .max) }
        report.recoveredCount = newest.count
        if let expectedCount {
            report.unidentifiedLossCount = max(0, expectedCount - report.recoveredCount - report.lostCount)
        }
        losses = []
        newestLoss = [:]
        deletes = [:]
    }

    private mutating func noteLoss(_ record: LostRecord) {
        report.lostCount += 1
        if report.lost.count < SalvagedDatabase.listLimit { report.lost.append(record) }
    }

    /// The options that the database is created with anew.
    var options: DatabaseOptions { DatabaseOptions(entry) }

    /// The ids that were recovered, in the order in which they were written.
    func ids() -> [RecordID] {
        newest.sorted { one, other in
            one.value.lsn != other.value.lsn ? one.value.lsn < other.value.lsn : one.key.precedes(other.key)
        }.map(\.key)
    }

    /// Reads a recovered record; nil if its bytes have changed since they were checked.
    func record(_ id: RecordID) -> VectorRecord? {
        guard let version = newest[id] else { return nil }
        let reading: SalvageFile.Reading? =
            switch version.source {
            case .file(let place): file?.record(place, version: version.lsn)
            case .log(let operation): Self.record(operation, dimension: dimension)
            }
        guard case .whole(let record)? = reading else { return nil }
        return record
    }

    /// The record in a store or update of the log.
    private static func record(_ operation: SalvageLog.Operation, dimension: Int) -> SalvageFile.Reading {
        let bytes = unsafe operation.bytes
        guard let body = try? unsafe StoreBody.decode(bytes, dimension: dimension),
            let id = unsafe String(validating: bytes[body.id], as: UTF8.self)
        else { return .damaged(id: nil, reason: "Its record in the log cannot be read.") }
        return unsafe SalvageFile.record(
            id: id, vector: Array(bytes[body.vector]), metadata: Array(bytes[body.metadata]), version: operation.lsn)
    }

    /// Notes that a record could not be read a second time.
    mutating func noteVanished(_ id: RecordID) {
        report.recoveredCount -= 1
        noteLoss(LostRecord(id: id.text, slot: nil, reason: "Its bytes changed while it was copied."))
    }
}
