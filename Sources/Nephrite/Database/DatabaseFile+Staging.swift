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
        let isDurable = identity.options.durability == .durable || part.dataSync != nil
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

    // MARK: Judging

    /// Judges a batch and gives it slots; nil if it must wait for a prepared transaction. Throws with nothing changed.
    func stage(_ batch: OperationBatch) throws(StoreError) -> CommitPart? {
        let serial = nextSerial
        nextSerial &+= 1
        let judge = BatchJudge(batch: batch, serial: serial, applied: applied, identity: identity)
        guard let judgement = try judge.judge(in: &pending) else { return nil }
        Self.note(judgement.previousSlots, in: &batch.operations)
        pendingInserts += judgement.inserts
        if batch.bulk == nil { allocate(batch) }
        let recordOffsets = finishRecords(batch)
        return CommitPart(
            file: self, dataFile: dataFile, layout: layout, batch: batch, recordOffsets: recordOffsets,
            removed: judgement.removed, liveDelta: judgement.liveDelta, logState: logState,
            dependsOn: judgement.dependsOn, insertCount: judgement.inserts, serial: serial)
    }

    private static func note(_ previousSlots: [UInt32], in operations: inout [BatchOperation]) {
        for index in operations.indices { operations[index].previousSlot = previousSlots[index] }
    }

    // MARK: Space

    /// Gives every store operation a slot and payload space; there is room for all of them.
    func allocate(_ batch: OperationBatch) {
        Self.allocate(&batch.operations, from: &slots, and: &payload)
        // As wherever slots are handed out: what a slot held before has no code from here on.
        codes.forget(slots: batch.operations.lazy.filter { $0.kind == .store }.map(\.slot))
    }

    /// Gives operations the slots that were reserved for them, and payload space.
    static func allocate(
        _ operations: inout [BatchOperation], at reserved: [UInt32], and payload: inout PayloadAllocator
    ) {
        for index in operations.indices {
            operations[index].slot = reserved[index]
            operations[index].payloadUnit = payload.allocate(operations[index].payloadUnitCount)
        }
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
