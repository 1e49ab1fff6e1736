/// Staging: a batch is checked against everything applied and everything staged before it, gets its slots, and goes to
/// the commit queue, all without a suspension in between (C2). A bulk batch is written to its slots meanwhile: until it is
/// in the queue, whoever needs one of its ids waits, as for a transaction that prepares.
import StorageFormat
import StorageIO
import Synchronization

extension DatabaseFile {
    /// Commits a batch and returns its version once it is durable as promised, applied and visible.
    func commit(_ batch: OperationBatch) async throws -> RecordVersion {
        try Task.checkCancellation()
        await context.log.queue.waitForRoom()
        try await context.pacer.waitForTurn(byteCount: batch.byteCount)
        return try await commitInTurn(batch)
    }

    /// The same for a batch that has had to wait already.
    func commitInTurn(_ batch: OperationBatch) async throws -> RecordVersion {
        while true {
            try await makeRoom(for: SpaceNeed(batch))
            if batch.bulk != nil {
                if let version = try await placeAndWait(batch) { return version }
                continue
            }
            if let version = try await stageAndWait(batch) { return version }
            // A commit that is being prepared has one of the ids; it goes first.
            await waitForChange()
        }
    }

    /// Deletes the ids that are there, in one commit; how many there were.
    func delete(_ ids: [String], condition: WriteCondition) async throws -> (count: Int, version: RecordVersion?) {
        try Task.checkCancellation()
        await context.log.queue.waitForRoom()
        let encoder = BatchEncoder(identity: identity, bulkByteThreshold: .max)
        while true {
            try checkOpen()
            let batch = OperationBatch(log: LogBuffer(capacity: 96 * ids.count + 160), operations: [])
            let applied = applied
            for id in ids where isPresent(id, in: applied) {
                encoder.append(delete: id, condition: condition, to: batch)
            }
            if batch.operations.isEmpty { return (0, nil) }
            if let version = try await stageAndWait(batch) { return (batch.operations.count, version) }
            await waitForChange()
        }
    }

    private func isPresent(_ id: String, in applied: AppliedState) -> Bool {
        var id = id
        return id.withUTF8 { utf8 in
            let bytes = UnsafeRawBufferPointer(utf8)
            let hash = unsafe IDHash.hash(bytes, key: identity.hashKey)
            if let place = unsafe pending.find(bytes, hash: hash) { return pending.operation(place).kind == .store }
            return unsafe applied.slot(of: bytes, hash: hash) != nil
        }
    }

    /// Stages a batch, enqueues it and waits for its outcome; nil if a commit that is being prepared is in the way.
    ///
    /// There is room for the batch.
    private func stageAndWait(_ batch: OperationBatch) async throws -> RecordVersion? {
        try checkOpen()
        guard let part = try stage(batch) else { return nil }
        return try await enqueue(part)
    }

    /// Gives a staged part its place in the log and waits for its outcome.
    func enqueue(_ part: CommitPart) async throws -> RecordVersion {
        let isDurable = identity.options.durability == .durable
        return try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<RecordVersion, any Error>) in
            let commit = StagedCommit(parts: [part], isDurable: isDurable, continuation: continuation)
            do throws(StoreError) {
                try context.log.queue.append(commit)
                pending.setLSN(commit.lsn, serial: part.serial)
            } catch {
                undo(part)
                commit.finish(.failure(error))
            }
        }
    }

    /// How many operations ahead a bucket is fetched.
    static let prefetchDistance = 8

    // MARK: Judging

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

    private func lookUp(
        _ id: UnsafeRawBufferPointer, hash: UInt64, serial: UInt32, in applied: AppliedState
    ) -> Lookup {
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

    /// Judges a batch and gives it slots; nil if it must wait for a prepared transaction. Throws with nothing changed.
    func stage(_ batch: OperationBatch) throws(StoreError) -> CommitPart? {
        let serial = nextSerial
        nextSerial &+= 1
        pending.begin(batch, serial: serial)
        var removed = StateFingerprint.empty
        var liveDelta = 0
        var inserts = 0
        var dependsOn: Set<UInt64> = []
        let applied = applied
        for index in batch.operations.indices {
            // A batch that waited for a prepared transaction is judged a second time.
            batch.operations[index].previousSlot = BatchOperation.noSlot
            let operation = batch.operations[index]
            if index + Self.prefetchDistance < batch.operations.count {
                let hash = batch.operations[index + Self.prefetchDistance].idHash
                applied.index.directory.prefetch(hash: hash)
                pending.prefetch(hash: hash)
            }
            var failure: StoreError?
            switch unsafe lookUp(batch.id(operation), hash: operation.idHash, serial: serial, in: applied) {
            case .prepared:
                pending.remove(batch, serial: serial, operationCount: index)
                if case .unchanged = operation.condition { throw conflict(batch.idText(operation)) }
                return nil
            case .duplicate:
                failure = StoreError(
                    .duplicateID, "The batch has this id twice.", database: identity.name,
                    ids: [batch.idText(operation)], remedy: "Keep one of the two; a batch has no order.")
            case .absent(let pendingLSN):
                failure = judge(operation, batch, current: nil)
                if pendingLSN > 0 { dependsOn.insert(pendingLSN) }
                if operation.kind == .store {
                    liveDelta += 1
                    inserts += 1
                }
            case .present(let current):
                failure = judge(operation, batch, current: current.lsn)
                if current.isPending { dependsOn.insert(current.lsn) }
                removed.insert(
                    idHash: operation.idHash, lsn: current.lsn, contentChecksum: current.contentChecksum)
                batch.operations[index].previousSlot = current.slot
                if operation.kind == .delete { liveDelta -= 1 }
            }
            if let failure {
                pending.remove(batch, serial: serial, operationCount: index)
                throw failure
            }
            pending.add(operation, index: index, serial: serial)
        }
        pendingInserts += inserts
        if batch.bulk == nil { allocate(batch) }
        let recordOffsets = finishRecords(batch)
        return CommitPart(
            file: self, dataFile: dataFile, layout: layout, batch: batch, recordOffsets: recordOffsets,
            removed: removed, liveDelta: liveDelta, logState: logState, dependsOn: dependsOn, insertCount: inserts,
            serial: serial)
    }

    private func judge(_ operation: BatchOperation, _ batch: OperationBatch, current: UInt64?) -> StoreError? {
        #if NEPHRITE_MUTANTS
            if case .version = operation.condition, Mutant.isActive(.ignoreExpectedVersion) { return nil }
            if case .unchanged = operation.condition, Mutant.isActive(.ignoreConflict) { return nil }
        #endif
        switch operation.condition {
        case .none:
            return operation.kind == .delete && current == nil ? notFound(batch.idText(operation)) : nil
        case .mustNotExist:
            guard let current else { return nil }
            return StoreError(
                .recordExists, "A record of this id is there, written by commit \(current).",
                database: identity.name, ids: [batch.idText(operation)],
                remedy: "Use update to change it, or upsert for either.")
        case .mustExist:
            return current == nil ? notFound(batch.idText(operation)) : nil
        case .version(let expected):
            if current == expected { return nil }
            return StoreError(
                .versionMismatch,
                "The record has \(current.map { "version \($0)" } ?? "been deleted"), not version \(expected).",
                database: identity.name, ids: [batch.idText(operation)],
                remedy: "Read it again and decide with what it holds now.")
        case .unchanged(let expected):
            return current == expected ? nil : conflict(batch.idText(operation))
        }
    }

    private func notFound(_ id: String) -> StoreError {
        StoreError(
            .recordNotFound, "There is no record of this id.", database: identity.name, ids: [id],
            remedy: "Use insert to add it, or upsert for either.")
    }

    private func conflict(_ id: String) -> StoreError {
        StoreError(
            .conflict, "Another commit changed the record after the transaction began.", database: identity.name,
            ids: [id], remedy: "Run the transaction again; it sees the new state.")
    }

    // MARK: Space

    /// Gives every store operation a slot and payload space; there is room for all of them.
    func allocate(_ batch: OperationBatch) {
        Self.allocate(&batch.operations, from: &slots, and: &payload)
        // As wherever slots are handed out: what a slot held before has no code from here on.
        codes.forget(slots: batch.operations.lazy.filter { $0.kind == .store }.map(\.slot))
    }

    private static func allocate(
        _ operations: inout [BatchOperation], from slots: inout SlotAllocator, and payload: inout PayloadAllocator
    ) {
        for index in operations.indices where operations[index].kind == .store {
            operations[index].slot = slots.allocate()
            operations[index].payloadUnit = payload.allocate(operations[index].payloadUnitCount)
        }
    }

    /// Gives back what ``allocate(_:)`` gave; nothing ever reached it.
    func release(_ batch: OperationBatch) {
        for operation in batch.operations where operation.kind == .store {
            slots.release(operation.slot)
            payload.release(operation.payloadUnit, count: operation.payloadUnitCount)
        }
        wakeWaiters()
    }

    /// Writes slots and types into the log records, and lists where the records begin.
    private func finishRecords(_ batch: OperationBatch) -> [Int] {
        var offsets: [Int] = []
        offsets.reserveCapacity(batch.bulk == nil ? batch.operations.count : 1)
        let start = unsafe batch.log.start
        let isBulk = batch.bulk != nil
        for operation in batch.operations {
            let slot = operation.kind == .store ? operation.slot : operation.previousSlot
            unsafe start.storeBytes(of: slot, toByteOffset: operation.referenceOffset, as: UInt32.self)
            unsafe start.storeBytes(
                of: operation.payloadUnit, toByteOffset: operation.referenceOffset + 4, as: UInt32.self)
            if !isBulk {
                if operation.kind == .store, operation.previousSlot != BatchOperation.noSlot {
                    unsafe start.storeBytes(
                        of: LogRecordType.update.rawValue, toByteOffset: operation.recordOffset + 16, as: UInt8.self)
                }
                offsets.append(operation.recordOffset)
            } else if offsets.isEmpty {
                offsets.append(operation.recordOffset)
            }
        }
        return offsets
    }

    /// Takes back a staged part that did not reach the log.
    func undo(_ part: CommitPart) {
        pending.remove(part.batch, serial: part.serial)
        pendingInserts -= part.insertCount
        release(part.batch)
    }
}
