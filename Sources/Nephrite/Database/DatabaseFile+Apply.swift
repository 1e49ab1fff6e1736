/// Applying: the log task hands over commits that are durable, in LSN order; the index changes, and a snapshot of the
/// result is returned for publication.
import StorageFormat
import StorageIO

extension DatabaseFile {
    /// Applies the parts of a group.
    ///
    /// - Throws: `corruption` if the outcome is not what the log recorded; then the store must be fenced.
    func apply(
        _ parts: [(part: CommitPart, lsn: UInt64)],
        expecting expected: (fingerprint: StateFingerprint, liveCount: Int)
    ) throws(StoreError) -> DatabaseSnapshot {
        for (part, lsn) in parts {
            for operation in part.batch.operations { apply(operation, lsn: lsn) }
            liveCount += part.liveDelta
            lastCommitLSN = lsn
            pending.remove(part.batch, serial: part.serial)
            cell.metrics.commits.add(1)
        }
        guard fingerprint == expected.fingerprint, liveCount == expected.liveCount else {
            throw .corruption(
                "The index after commit \(lastCommitLSN) is not what the log recorded.", database: identity.name)
        }
        updatedAt = context.configuration.environment.clock.wallNanoseconds()
        return makeSnapshot()
    }

    private func apply(_ operation: BatchOperation, lsn: UInt64) {
        if operation.previousSlot != BatchOperation.noSlot {
            retire(slot: operation.previousSlot, lsn: lsn)
        }
        guard operation.kind == .store else {
            directory.remove(hash: operation.idHash, slot: operation.previousSlot, epoch: epoch)
            cell.metrics.recordsDeleted.add(1)
            return
        }
        let entry = RecordEntry(
            idHash: operation.idHash, payloadUnit: operation.payloadUnit, payloadLength: operation.payloadLength,
            flags: .active, lsn: lsn,
            tag: identity.tag(contentChecksum: operation.contentChecksum, slot: operation.slot),
            idLength: operation.idLength)
        if records[Int(operation.slot)].isDeleted { deletedCount -= 1 }
        records.set(entry, at: Int(operation.slot), epoch: epoch)
        fingerprint.insert(idHash: operation.idHash, lsn: lsn, contentChecksum: operation.contentChecksum)
        if operation.previousSlot == BatchOperation.noSlot {
            pendingInserts -= 1
            insertIntoDirectory(hash: operation.idHash, slot: operation.slot)
        } else {
            directory.replace(
                hash: operation.idHash, oldSlot: operation.previousSlot, newSlot: operation.slot, epoch: epoch)
        }
        cell.metrics.recordsWritten.add(1)
    }

    func insertIntoDirectory(hash: UInt64, slot: UInt32) {
        directory.insert(
            hash: hash, slot: slot, epoch: epoch, mayGrow: directory.bucketCount * 2 <= layout.bucketCapacity,
            isLive: isLive)
    }

    /// Whether a slot is active with a given hash fragment, for buckets on the move.
    private func isLive(_ slot: UInt32, _ fragment: UInt32) -> Bool {
        let entry = records[Int(slot)]
        return entry.isActive && UInt32(truncatingIfNeeded: entry.idHash >> 32) == fragment
    }

    /// Marks a slot's record as gone; its space waits until nothing can reach it.
    private func retire(slot: UInt32, lsn: UInt64) {
        let old = records[Int(slot)]
        assert(old.isActive, "a commit replaces a record that is not there")
        fingerprint.remove(
            idHash: old.idHash, lsn: old.lsn, contentChecksum: identity.tag(contentChecksum: old.tag, slot: slot))
        let gone = RecordEntry(
            idHash: old.idHash, payloadUnit: old.payloadUnit, payloadLength: old.payloadLength, flags: .deleted,
            lsn: lsn, tag: old.tag, idLength: Int(old.idLength))
        records.set(gone, at: Int(slot), epoch: epoch)
        deletedCount += 1
        reclaim.append(
            ReclaimQueue.Item(
                lsn: lsn, slot: slot, payloadUnit: old.payloadUnit, payloadUnitCount: old.payloadUnitCount))
    }

    /// Makes space reusable that neither the durable checkpoint nor any snapshot reaches.
    func reclaimSpace() {
        for item in reclaim.take(checkpointLSN: checkpointLSN, oldestSnapshotLSN: cell.ledger.oldestVersion) {
            slots.release(item.slot)
            payload.release(item.payloadUnit, count: item.payloadUnitCount)
        }
    }
}
