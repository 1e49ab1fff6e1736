/// Checks a snapshot of a database from end to end: every record against its checksum, ids against slots in both
/// directions, space against space, sums against what the commits left behind. `check()` runs it on an I/O thread.
import StorageFormat

struct IntegrityCheck {
    private static let damageLimit = 1_000

    let snapshot: DatabaseSnapshot

    func run() -> DatabaseIntegrity {
        var report = DatabaseIntegrity(
            name: snapshot.identity.name, recordCount: 0, checkedByteCount: 0, damages: [])
        var fingerprint = StateFingerprint.empty
        var payload = PayloadAllocator(highWater: payloadEnd)
        if payloadEnd > 0 { payload.release(0, count: payloadEnd) }
        snapshot.records.forEachActive { slot, entry in
            report.recordCount += 1
            report.checkedByteCount += entry.payloadLength + snapshot.identity.vectorByteCount
            fingerprint.insert(
                idHash: entry.idHash, lsn: entry.lsn,
                contentChecksum: snapshot.identity.tag(contentChecksum: entry.tag, slot: UInt32(slot)))
            check(UInt32(slot), entry, &payload, &report)
        }
        if report.recordCount != snapshot.count {
            add(
                "count", "The record table holds \(report.recordCount) records, \(snapshot.count) are counted.", [],
                &report)
        }
        if fingerprint != snapshot.fingerprint {
            add("fingerprint", "The records are not those that the last commit left.", [], &report)
        }
        if snapshot.directory.count != snapshot.count {
            add("directory", "The id directory counts \(snapshot.directory.count) ids.", [], &report)
        }
        CodeCheck(snapshot: snapshot).run(&report)
        return report
    }

    /// The payload heap's length in units, as far as records reach.
    private var payloadEnd: Int {
        var end = 0
        snapshot.records.forEachActive { _, entry in end = max(end, Int(entry.payloadUnit) + entry.payloadUnitCount) }
        return end
    }

    private func check(
        _ slot: UInt32, _ entry: RecordEntry, _ payload: inout PayloadAllocator, _ report: inout DatabaseIntegrity
    ) {
        let found = snapshot.identity.tag(
            contentChecksum: snapshot.contentChecksum(slot: slot, entry: entry), slot: slot)
        let id = unsafe UnsafeRawBufferPointer(start: snapshot.payloadAddress(entry), count: Int(entry.idLength))
        let isItsHash = unsafe IDHash.hash(id, key: snapshot.identity.hashKey) == entry.idHash
        if found != entry.tag {
            // A damaged id must not be reported as if it were the record's.
            add(
                "checksum",
                "The record of slot \(slot) does not match its checksum\(isItsHash ? "." : ", and its id is damaged.")",
                isItsHash ? [snapshot.id(of: entry)] : [], &report)
            return
        }
        if !payload.claimIfFree(entry.payloadUnit, count: entry.payloadUnitCount) {
            add(
                "overlap", "The record of slot \(slot) shares payload space with another.", [snapshot.id(of: entry)],
                &report)
        }
        if !isItsHash {
            add("hash", "The record of slot \(slot) has the hash of another id.", [snapshot.id(of: entry)], &report)
        } else if unsafe snapshot.find(id)?.slot != slot {
            add(
                "directory", "The id of slot \(slot) leads elsewhere: it is missing or there twice.",
                [snapshot.id(of: entry)], &report)
        }
        let metadata = unsafe UnsafeRawBufferPointer(
            start: snapshot.payloadAddress(entry) + Int(entry.idLength),
            count: entry.payloadLength - Int(entry.idLength))
        if unsafe !metadata.isEmpty, unsafe (try? MetadataCodec.validate(metadata)) == nil {
            add("metadata", "The metadata of slot \(slot) cannot be read.", [snapshot.id(of: entry)], &report)
        }
        let vector = snapshot.vector(slot: slot)
        if !vector.allSatisfy(\.isFinite) {
            add("vector", "The vector of slot \(slot) is not finite.", [snapshot.id(of: entry)], &report)
        }
    }

    private func add(
        _ kind: String, _ message: String, _ ids: [String], _ report: inout DatabaseIntegrity
    ) {
        guard report.damages.count < Self.damageLimit else { return }
        report.damages.append(
            Damage(
                kind: kind, message: message,
                path: "\(snapshot.identity.name)/\(DatabaseIdentity.dataFileName)", offset: nil, ids: ids))
    }
}
