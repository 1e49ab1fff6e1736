/// The index of a database as one value: record table, id directory, counts and fingerprint, changed together by commits.
/// The database actor applies commits to it, recovery replays the log on it, snapshots and checkpoints keep copies.
import StorageFormat

struct DatabaseIndex: Sendable {
    var records: RecordTable
    var directory: IDDirectory
    var liveCount: Int
    /// Slots of deleted or replaced records that have not been used again.
    var deletedCount: Int
    var fingerprint: StateFingerprint

    /// The index as of now, for a checkpoint.
    var shared: DatabaseIndex {
        var copy = self
        copy.directory = directory.shared
        return copy
    }

    /// A record to be put at a slot.
    struct Store {
        let idHash: UInt64
        let slot: UInt32
        let payloadUnit: UInt32
        let payloadLength: Int
        let idLength: Int
        let contentChecksum: UInt32
    }

    /// What a commit needs to know to change the index.
    struct Context {
        let identity: DatabaseIdentity
        let lsn: UInt64
        let epoch: UInt64
        /// Buckets that the file's directory region has room for.
        let bucketCapacity: Int
    }

    /// Puts a record in place of the one at `previous`, or as a new one.
    ///
    /// - Returns: the entry that was retired, whose space waits to be used again.
    @inline(__always)
    mutating func store(_ store: Store, replacing previous: UInt32?, _ context: Context) -> RecordEntry? {
        let retired = previous.map { retire(slot: $0, context) }
        let entry = RecordEntry(
            idHash: store.idHash, payloadUnit: store.payloadUnit, payloadLength: store.payloadLength, flags: .active,
            lsn: context.lsn,
            tag: context.identity.tag(contentChecksum: store.contentChecksum, slot: store.slot),
            idLength: store.idLength)
        if records.set(entry, at: Int(store.slot), epoch: context.epoch).isDeleted {
            // A hostile header may have said that there are none.
            deletedCount = max(0, deletedCount - 1)
        }
        liveCount += 1
        fingerprint.insert(idHash: store.idHash, lsn: context.lsn, contentChecksum: store.contentChecksum)
        if let previous {
            directory.replace(hash: store.idHash, oldSlot: previous, newSlot: store.slot, epoch: context.epoch)
        } else {
            directory.insert(
                hash: store.idHash, slot: store.slot, epoch: context.epoch,
                mayGrow: directory.bucketCount * 2 <= context.bucketCapacity, records: records)
        }
        return retired
    }

    /// Removes the record at a slot.
    ///
    /// - Returns: the entry that was retired.
    mutating func delete(slot: UInt32, _ context: Context) -> RecordEntry {
        let retired = retire(slot: slot, context)
        directory.remove(hash: retired.idHash, slot: slot, epoch: context.epoch)
        return retired
    }

    /// Marks a slot's record as gone.
    private mutating func retire(slot: UInt32, _ context: Context) -> RecordEntry {
        let old = records[Int(slot)]
        precondition(old.isActive, "a commit replaces or deletes a record that is not there")
        fingerprint.remove(
            idHash: old.idHash, lsn: old.lsn,
            contentChecksum: context.identity.tag(contentChecksum: old.tag, slot: slot))
        let gone = RecordEntry(
            idHash: old.idHash, payloadUnit: old.payloadUnit, payloadLength: old.payloadLength, flags: .deleted,
            lsn: context.lsn, tag: old.tag, idLength: Int(old.idLength))
        _ = records.set(gone, at: Int(slot), epoch: context.epoch)
        deletedCount += 1
        liveCount -= 1
        return old
    }

    /// Moves every bucket that is still in the directory's smaller table.
    mutating func settleDirectory(epoch: UInt64) { directory.move(.max, epoch: epoch, records: records) }
}
