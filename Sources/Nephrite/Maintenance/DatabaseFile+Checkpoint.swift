/// Checkpoints as the database actor runs them: it freezes a state in O(1), an I/O thread writes it while writers go on,
/// and what the checkpoint no longer reaches becomes reusable.
import StorageFormat
import StorageIO

extension DatabaseFile {
    /// Whether anything would be lost with the log.
    var isDirty: Bool { max(lastCommitLSN, lastLayoutLSN) > checkpointLSN }

    /// Brings everything applied so far into the file (O4). Several callers at once share one checkpoint's worth of work.
    ///
    /// - Parameter force: also when nothing has changed, so that the previous generation catches up.
    func checkpoint(force: Bool = false) async throws {
        while isCheckpointing {
            await waitForChange()
        }
        try checkOpen()
        guard force || isDirty else { return }
        isCheckpointing = true
        defer {
            isCheckpointing = false
            wakeWaiters()
        }
        let plan = makePlan()
        // What the plan makes durable is what a stamp of the codes may speak of.
        let planned = codes.hasUnstamped ? makeSnapshot() : nil
        recordRegions[plan.region] = 0
        directoryRegions[plan.region] = 0
        // Also a relaxed commit must be in the log before it is in a header, or its LSN could be given out twice.
        try await context.log.synchronize(through: plan.lsn)
        let name = identity.name
        let result: Result<UInt32, CheckpointFailure> = await context.io.run {
            do throws(CheckpointFailure) {
                return .success(try CheckpointWriter(plan: plan).write())
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let checksum):
            finish(plan, headerChecksum: checksum)
            if let planned { await stampCodes(asOf: planned) }
        case .failure(let error):
            let failure = StoreError(error.cause, database: name)
            if error.isFatal { context.fence(failure) }
            throw failure
        }
    }

    /// What is damaged of the newest checkpoint where it lies in the file. Writers and checkpoints go on meanwhile; what is
    /// found while a checkpoint began may be its work, and is looked at again.
    func damagesOnDisk() async -> [Damage] {
        var attempt = 1
        while true {
            while isCheckpointing { await waitForChange() }
            if isClosed { return [] }
            // Where one checkpoint follows upon another, the next one waits in the end.
            let keepsOthersWaiting = attempt == 3
            isCheckpointing = keepsOthersWaiting
            let begun = epoch
            let check = CheckpointCheck(identity: identity, file: dataFile.file, generation: generation)
            let damages = await context.io.run { check.run() }
            if keepsOthersWaiting {
                isCheckpointing = false
                wakeWaiters()
            }
            if damages.isEmpty || epoch == begun { return damages }
            attempt += 1
        }
    }

    /// Everything of the database up to it is applied.
    private var lsnToCheckpoint: UInt64 {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.claimUnappliedCommits) { return max(lastCommitLSN, context.log.syncedLSN) }
        #endif
        // A growth may be the last thing that a checkpoint before this file was opened held: it does not go back behind that.
        return max(lastCommitLSN, lastLayoutLSN, checkpointLSN)
    }

    private func makePlan() -> CheckpointPlan {
        let next = generation + 1
        let region = Int(next % 2)
        let plan = CheckpointPlan(
            identity: identity, dataFile: dataFile, layout: layout, index: index.shared,
            lsn: lsnToCheckpoint, lastCommitLSN: lastCommitLSN,
            payloadHighWater: payload.highWater, updatedAt: updatedAt, generation: next,
            previousHeaderChecksum: headerChecksum, recordsCurrentThrough: recordRegions[region],
            directoryCurrentThrough: directoryRegions[region], epoch: epoch, logSequence: 0)
        epoch += 1
        return plan
    }

    private func finish(_ plan: CheckpointPlan, headerChecksum: UInt32) {
        generation = plan.generation
        checkpointLSN = plan.lsn
        self.headerChecksum = headerChecksum
        recordRegions[plan.region] = plan.epoch
        if plan.includesDirectory { directoryRegions[plan.region] = plan.epoch }
        context.log.retention.noteCheckpoint(database: identity.number, lsn: plan.lsn)
        context.generations.note(plan.generation, of: identity.number)
        let note = LogBuffer(capacity: 64)
        note.appendRecord(
            .checkpoint, database: identity.number,
            body: CheckpointBody(generation: plan.generation, checkpointLSN: plan.lsn).encode())
        context.log.queue.append(note: note)
        context.metrics.checkpoints.add(1)
        cell.metrics.checkpoints.add(1)
        reclaimSpace()
    }
}
