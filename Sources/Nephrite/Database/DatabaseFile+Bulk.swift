/// Bulk batches: their vectors are written to slots that nothing reaches while the caller's thread encodes the rows and
/// this actor judges them; then the payloads are, and all of it is synced before the batch goes to the commit queue.
import StorageFormat
import StorageIO
import Synchronization

extension DatabaseFile {
    /// Slots for the rows of a batch that is still to be encoded.
    struct Reservation: Sendable {
        let slots: [UInt32]
        let layout: FileLayout
    }

    /// What became of a bulk batch while its vectors were being written.
    enum JudgedBulk: Sendable {
        case staged(CommitPart)
        /// A commit that is being prepared has one of its ids; how often something had changed by then.
        case inTheWay(OperationBatch, changeCount: UInt64)
        /// With the batch, if it had its space.
        case refused(any Error, OperationBatch?)
    }

    /// Encodes rows, writes and commits them, and returns their version once they are durable, applied and visible.
    nonisolated func commitBulk(
        _ rows: RowSource, _ condition: WriteCondition, _ encoder: BatchEncoder
    ) async throws -> RecordVersion {
        try Task.checkCancellation()
        try rows.checkShape(identity)
        await context.log.queue.waitForRoom()
        try await context.pacer.waitForTurn(byteCount: rows.count * identity.vectorByteCount)
        let vectors = try encoder.contiguous(rows)
        let reservation = try await reserve(slotCount: rows.count)
        let outcome = try await place(rows, vectors, condition, encoder, reservation)
        switch outcome {
        case .success(let version): return version
        // What was in the way has gone, and the batch is written to new slots.
        case .failure(let again): return try await commitInTurn(again.batch)
        }
    }

    /// A batch that is to be tried once more.
    private struct Again: Error { let batch: OperationBatch }

    private nonisolated func place(
        _ rows: RowSource, _ vectors: [Float], _ condition: WriteCondition, _ encoder: BatchEncoder,
        _ reservation: Reservation
    ) async throws -> Result<RecordVersion, Again> {
        // Like a transaction that prepares: the log task must remember what it undid until this is in the queue.
        context.log.preparing.add(1, ordering: .acquiringAndReleasing)
        defer { context.log.preparing.subtract(1, ordering: .acquiringAndReleasing) }
        let dataFile = dataFile
        let byteCount = identity.vectorByteCount
        let placement = VectorPlacement(vectors, slots: reservation.slots, layout: reservation.layout)
        let work = BulkWork()
        return try await whileWriting({ await dataFile.place(placement, for: work, vectorByteCount: byteCount) }) {
            var judged: JudgedBulk
            do {
                let batch = try encoder.encodeBulk(rows, vectors, condition)
                judged = await judge(batch, at: reservation, work)
            } catch {
                judged = .refused(error, nil)
            }
            // Unless the batch has its space, nothing follows the vectors.
            work.payloads.give(nil)
            if let version = try await settle(judged, work, reservation) { return .success(version) }
            guard case .inTheWay(let batch, _) = judged else {
                preconditionFailure("only what was in the way is waited for")
            }
            return .failure(Again(batch: batch))
        }
    }

    /// Runs `body` while an I/O thread is at work for it.
    private nonisolated func whileWriting<Outcome: Sendable>(
        _ write: @Sendable @escaping () async -> Result<Void, FileSystemError>,
        _ body: () async throws -> Outcome
    ) async throws -> Outcome {
        try await withTaskGroup(of: Result<Void, FileSystemError>.self) { group in
            group.addTask(executorPreference: context.io.executor) { await write() }
            let outcome: Result<Outcome, any Error>
            do {
                outcome = .success(try await body())
            } catch {
                outcome = .failure(error)
            }
            // A failed sync may have marked pages clean that never reached the disk; whether or not anything refers to them,
            // the file can no longer be trusted to report errors (O8).
            if case .failure(let error) = await group.next(), error.call == .synchronizeData {
                context.fence(StoreError(error, database: identity.name))
            }
            return outcome
        }.get()
    }

    private func reserve(slotCount: Int) async throws -> Reservation {
        try await makeRoom(for: SpaceNeed(slots: slotCount, ids: slotCount, payloadUnits: 0))
        let reserved = Self.allocate(slotCount, from: &slots)
        codes.forget(slots: reserved)
        return Reservation(slots: reserved, layout: layout)
    }

    /// In one access to what the actor holds, rather than in one for each slot.
    private static func allocate(_ count: Int, from slots: inout SlotAllocator) -> [UInt32] {
        (0..<count).map { _ in slots.allocate() }
    }

    /// Gives a batch its space, has its payloads written, and judges it meanwhile.
    private func judge(
        _ batch: OperationBatch, at reservation: Reservation, _ work: BulkWork
    ) async -> JudgedBulk {
        do {
            let need = SpaceNeed(batch)
            try await makeRoom(for: SpaceNeed(slots: 0, ids: need.ids, payloadUnits: need.payloadUnits))
            try checkOpen()
        } catch {
            return .refused(error, nil)
        }
        Self.allocate(&batch.operations, at: reservation.slots, and: &payload)
        work.payloads.give(PayloadPlacement(batch, layout: layout))
        return judgePlaced(batch)
    }

    /// Judges a batch that has its space while an I/O thread is at work on it.
    private func judgePlaced(_ batch: OperationBatch) -> JudgedBulk {
        prepareDirectory()
        do throws(StoreError) {
            if let part = try stage(batch) { return .staged(part) }
            return .inTheWay(batch, changeCount: changeCount)
        } catch {
            return .refused(error, batch)
        }
    }

    /// Places and commits a bulk batch that has room but no space of its own yet.
    ///
    /// - Returns: nil if a commit was in the way that was being prepared, once that may have changed.
    func placeAndWait(_ batch: OperationBatch) async throws -> RecordVersion? {
        try checkOpen()
        guard let bulk = batch.bulk else { preconditionFailure("only a bulk batch is placed before it is logged") }
        context.log.preparing.add(1, ordering: .acquiringAndReleasing)
        defer { context.log.preparing.subtract(1, ordering: .acquiringAndReleasing) }
        allocate(batch)
        let placement = VectorPlacement(bulk.vectors, slots: batch.operations.lazy.map(\.slot), layout: layout)
        let work = BulkWork()
        work.payloads.give(PayloadPlacement(batch, layout: layout))
        let dataFile = dataFile
        let byteCount = identity.vectorByteCount
        return try await whileWriting({ await dataFile.place(placement, for: work, vectorByteCount: byteCount) }) {
            try await self.judgeAndSettle(batch, work)
        }
    }

    private func judgeAndSettle(_ batch: OperationBatch, _ work: BulkWork) async throws -> RecordVersion? {
        try await settle(judgePlaced(batch), work, nil)
    }

    /// Enqueues a batch that was judged and is on disk, and waits for its outcome; gives back the space of any other.
    ///
    /// - Returns: nil if a commit was in the way that was being prepared, once that may have changed.
    private func settle(
        _ judged: JudgedBulk, _ work: BulkWork, _ reservation: Reservation?
    ) async throws -> RecordVersion? {
        let placed = await work.written.take()
        let part: CommitPart
        switch judged {
        case .staged(let judged): part = judged
        case .inTheWay(let batch, let seen):
            // What was in the way may have gone while the I/O thread was at work, and would wake nobody any more.
            if changeCount == seen { await waitForChange() }
            release(batch)
            return nil
        case .refused(let error, let batch):
            // Not before now: the I/O thread was writing there.
            if let batch {
                release(batch)
            } else if let reservation {
                for slot in reservation.slots { slots.release(slot) }
                wakeWaiters()
            }
            throw error
        }
        if case .success(.written) = placed { part.dataSync = work.synced }
        do {
            if case .failure(let error) = placed {
                throw StoreError(error, database: identity.name)
            }
            try checkOpen()
        } catch {
            undo(part)
            throw error
        }
        // Who waits because of an id of this batch goes on when this actor is free: then the batch is in the queue.
        wakeWaiters()
        return try await enqueue(part)
    }
}
