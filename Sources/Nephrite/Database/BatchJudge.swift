/// Whether a batch may be written: its operations against everything applied and everything staged before it. Staging asks,
/// and does what follows from it.
import StorageFormat
import StorageIO

struct BatchJudge {
    let batch: OperationBatch
    /// The batch's place in the order of what the database has staged.
    let serial: UInt32
    let applied: AppliedState
    let identity: DatabaseIdentity

    /// How many operations ahead a bucket is fetched.
    static let prefetchDistance = 8

    /// What a batch that may be written does.
    struct Judgement {
        /// For each operation the slot of the record that it replaces or deletes, `noSlot` if there is none.
        var previousSlots: [UInt32] = []
        /// The sum of the fingerprints of those records.
        var removed = StateFingerprint.empty
        /// Records added minus records deleted.
        var liveDelta = 0
        /// Stores of new ids.
        var inserts = 0
        /// The LSNs of the commits not yet applied that it builds on.
        var dependsOn: Set<UInt64> = []
    }

    /// A record as of everything staged so far.
    private struct Current {
        let slot: UInt32
        let lsn: UInt64
        let contentChecksum: UInt32
        let isPending: Bool
    }

    private enum Lookup {
        case absent(pendingLSN: UInt64)
        case present(Current)
        case prepared
        case duplicate
    }

    /// Judges the batch and makes it pending; nil if it must wait for a prepared transaction.
    ///
    /// - Throws: what is wrong with it, with nothing changed.
    func judge(in pending: inout PendingWrites) throws(StoreError) -> Judgement? {
        pending.begin(batch, serial: serial)
        var judgement = Judgement()
        // What is pending refers to the batch, too, and reads it: its operations are not written before all are judged.
        let operations = batch.operations
        judgement.previousSlots.reserveCapacity(operations.count)
        for index in operations.indices {
            let operation = operations[index]
            if index + Self.prefetchDistance < operations.count {
                let hash = operations[index + Self.prefetchDistance].idHash
                applied.index.directory.prefetch(hash: hash)
                pending.prefetch(hash: hash)
            }
            var previousSlot = BatchOperation.noSlot
            var failure: StoreError?
            switch unsafe lookUp(batch.id(operation), hash: operation.idHash, in: pending) {
            case .prepared:
                pending.remove(batch, serial: serial, operationCount: index)
                if case .unchanged = operation.condition { throw conflict(operation) }
                return nil
            case .duplicate:
                failure = StoreError(
                    .duplicateID, "The batch has this id twice.", database: identity.name,
                    ids: [batch.idText(operation)], remedy: "Keep one of the two; a batch has no order.")
            case .absent(let pendingLSN):
                failure = judge(operation, current: nil)
                if pendingLSN > 0 { judgement.dependsOn.insert(pendingLSN) }
                if operation.kind == .store {
                    judgement.liveDelta += 1
                    judgement.inserts += 1
                }
            case .present(let current):
                failure = judge(operation, current: current.lsn)
                if current.isPending { judgement.dependsOn.insert(current.lsn) }
                judgement.removed.insert(
                    idHash: operation.idHash, lsn: current.lsn, contentChecksum: current.contentChecksum)
                previousSlot = current.slot
                if operation.kind == .delete { judgement.liveDelta -= 1 }
            }
            if let failure {
                pending.remove(batch, serial: serial, operationCount: index)
                throw failure
            }
            judgement.previousSlots.append(previousSlot)
            pending.add(operation, index: index, serial: serial)
        }
        return judgement
    }

    private func lookUp(_ id: UnsafeRawBufferPointer, hash: UInt64, in pending: borrowing PendingWrites) -> Lookup {
        if let place = unsafe pending.find(id, hash: hash) {
            if place.serial == serial { return .duplicate }
            let lsn = pending.lsn(serial: place.serial)
            if lsn == 0 { return .prepared }
            let operation = pending.operation(place)
            guard operation.kind == .store else { return .absent(pendingLSN: lsn) }
            return .present(
                Current(
                    slot: operation.slot, lsn: lsn, contentChecksum: operation.contentChecksum, isPending: true))
        }
        guard let slot = unsafe applied.slot(of: id, hash: hash) else { return .absent(pendingLSN: 0) }
        let entry = applied.index.records[Int(slot)]
        return .present(
            Current(
                slot: slot, lsn: entry.lsn,
                contentChecksum: identity.tag(contentChecksum: entry.tag, slot: slot), isPending: false))
    }

    private func judge(_ operation: BatchOperation, current: UInt64?) -> StoreError? {
        #if NEPHRITE_MUTANTS
            if case .version = operation.condition, Mutant.isActive(.ignoreExpectedVersion) { return nil }
            if case .unchanged = operation.condition, Mutant.isActive(.ignoreConflict) { return nil }
        #endif
        switch operation.condition {
        case .none:
            return operation.kind == .delete && current == nil ? notFound(operation) : nil
        case .mustNotExist:
            guard let current else { return nil }
            return StoreError(
                .recordExists, "A record of this id is there, written by commit \(current).",
                database: identity.name, ids: [batch.idText(operation)],
                remedy: "Use update to change it, or upsert for either.")
        case .mustExist:
            return current == nil ? notFound(operation) : nil
        case .version(let expected):
            if current == expected { return nil }
            return StoreError(
                .versionMismatch,
                "The record has \(current.map { "version \($0)" } ?? "been deleted"), not version \(expected).",
                database: identity.name, ids: [batch.idText(operation)],
                remedy: "Read it again and decide with what it holds now.")
        case .unchanged(let expected):
            return current == expected ? nil : conflict(operation)
        }
    }

    private func notFound(_ operation: BatchOperation) -> StoreError {
        StoreError(
            .recordNotFound, "There is no record of this id.", database: identity.name,
            ids: [batch.idText(operation)], remedy: "Use insert to add it, or upsert for either.")
    }

    private func conflict(_ operation: BatchOperation) -> StoreError {
        StoreError(
            .conflict, "Another commit changed the record after the transaction began.", database: identity.name,
            ids: [batch.idText(operation)], remedy: "Run the transaction again; it sees the new state.")
    }
}
