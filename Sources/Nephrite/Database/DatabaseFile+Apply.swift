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
        prepareDirectory()
        for (part, lsn) in parts {
            let context = DatabaseIndex.Context(
                identity: identity, lsn: lsn, epoch: epoch, bucketCapacity: layout.bucketCapacity)
            Self.apply(part.batch.operations, to: &index, reclaim: &reclaim, context)
            pendingInserts -= part.insertCount
            lastCommitLSN = lsn
            pending.remove(part.batch, serial: part.serial)
            noteStored(part.batch)
            cell.metrics.commits.add(1)
            cell.metrics.recordsWritten.add(UInt64(part.storeCount))
            cell.metrics.recordsDeleted.add(UInt64(part.batch.operations.count - part.storeCount))
        }
        guard index.fingerprint == expected.fingerprint, index.liveCount == expected.liveCount else {
            throw .corruption(
                "The index after commit \(lastCommitLSN) is not what the log recorded.", database: identity.name)
        }
        isDirectoryPrepared = false
        updatedAt = context.configuration.environment.clock.wallNanoseconds()
        return makeSnapshot()
    }

    /// Readies the directory for the next commits to be applied; what is staged meanwhile does not change it.
    func prepareDirectory() {
        guard !isDirectoryPrepared else { return }
        isDirectoryPrepared = true
        index.directory.prepareToChange(epoch: epoch)
    }

    private static func apply(
        _ operations: [BatchOperation], to index: inout DatabaseIndex, reclaim: inout ReclaimQueue,
        _ context: DatabaseIndex.Context
    ) {
        for position in operations.indices {
            if position + BatchJudge.prefetchDistance < operations.count {
                index.directory.prefetch(hash: operations[position + BatchJudge.prefetchDistance].idHash)
            }
            let operation = operations[position]
            let previous = operation.previousSlot == BatchOperation.noSlot ? nil : operation.previousSlot
            let retired: RecordEntry?
            switch operation.kind {
            case .store:
                let store = DatabaseIndex.Store(
                    idHash: operation.idHash, slot: operation.slot, payloadUnit: operation.payloadUnit,
                    payloadLength: operation.payloadLength, idLength: operation.idLength,
                    contentChecksum: operation.contentChecksum)
                retired = index.store(store, replacing: previous, context)
            case .delete:
                retired = index.delete(slot: operation.previousSlot, context)
            }
            if let retired, let previous {
                reclaim.append(
                    ReclaimQueue.Item(
                        lsn: context.lsn, slot: previous, payloadUnit: retired.payloadUnit,
                        payloadUnitCount: retired.payloadUnitCount))
            }
        }
    }

    /// Makes space reusable that neither the durable checkpoint nor any snapshot reaches.
    func reclaimSpace() {
        for item in reclaim.take(checkpointLSN: checkpointLSN, oldestSnapshotLSN: cell.ledger.oldestVersion) {
            slots.release(item.slot)
            payload.release(item.payloadUnit, count: item.payloadUnitCount)
        }
    }
}
