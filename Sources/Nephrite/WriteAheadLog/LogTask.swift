/// The log's one writer: drains the queue, writes and syncs each group, has it applied and published, and resumes those
/// who wait (O2). It runs on the store's log thread; everything here that blocks, blocks that thread only.
import StorageFormat
import StorageIO
import Synchronization

struct LogTask {
    /// Groups of at least this size are handed to the disk before they are waited for.
    private static let writebackByteCount = 64 << 10

    let log: WriteAheadLog
    var segment: SegmentWriter
    /// The last commit that a sync marker or a later record declares to be on disk.
    private var markedLSN: UInt64
    /// Commits that a full disk kept out of the log, for as long as one that was staged on top of them may be on its way.
    private var undone: Set<UInt64> = [] {
        didSet { log.undoneCount.store(undone.count, ordering: .relaxed) }
    }

    init(log: WriteAheadLog, segment: SegmentWriter) {
        self.log = log
        self.segment = segment
        markedLSN = segment.lastLSN
    }

    /// Writes everything that waits, and a sync marker when nothing waits any more.
    mutating func processAll() async {
        while true {
            // Asked before the queue is drained: what is being prepared now was prepared after the undoing.
            let isPreparing = log.preparing.load(ordering: .acquiring) > 0
            let batch = log.queue.drain()
            if batch.isEmpty {
                if !isPreparing, !undone.isEmpty { undone = [] }
                break
            }
            await process(batch)
        }
        writeMarker()
        zeroAhead()
    }

    private mutating func process(_ batch: CommitQueue.Batch) async {
        var waiting = ArraySlice(await withoutOrphans(batch.commits))
        while let first = waiting.first {
            if let failure = log.queue.failure {
                for commit in waiting { commit.finish(.failure(failure)) }
                break
            }
            let fitting = fittingPrefix(of: waiting)
            if fitting.commits.isEmpty {
                do {
                    try seal()
                } catch {
                    fence(StoreError(error), unknown: [], unwritten: Array(waiting))
                    break
                }
                do {
                    try rotate(minimumByteCount: first.byteCount, commits: waiting)
                } catch  where error.isOutOfSpace {
                    await rollBack(Array(waiting), because: StoreError(error))
                    break
                } catch {
                    fence(StoreError(error), unknown: [], unwritten: Array(waiting))
                    break
                }
                continue
            }
            waiting.removeFirst(fitting.commits.count)
            if let failed = await commit(fitting.commits, byteCount: fitting.byteCount) {
                await failed.settle(in: &self, rest: Array(waiting))
                break
            }
        }
        for note in batch.notes { write(note: note) }
        if !batch.syncWaiters.isEmpty { synchronize(for: batch.syncWaiters) }
    }

    private func fittingPrefix(of commits: ArraySlice<StagedCommit>) -> (commits: [StagedCommit], byteCount: Int) {
        var byteCount = 0
        var count = 0
        for commit in commits {
            guard segment.hasRoom(for: byteCount + commit.byteCount) else { break }
            byteCount += commit.byteCount
            count += 1
        }
        return (Array(commits.prefix(count)), byteCount)
    }

    // MARK: One group

    /// Why a group did not become durable.
    private enum Failure {
        case outOfSpace([StagedCommit], FileSystemError)
        case fatal([StagedCommit], StoreError)

        func settle(in task: inout LogTask, rest: [StagedCommit]) async {
            switch self {
            case .outOfSpace(let commits, let error): await task.rollBack(commits + rest, because: StoreError(error))
            case .fatal(let commits, let error): task.fence(error, unknown: commits, unwritten: rest)
            }
        }
    }

    private mutating func commit(_ commits: [StagedCommit], byteCount: Int) async -> Failure? {
        let isDurable = mustSync(commits)
        do {
            if let failure = try write(commits, byteCount: byteCount) { return failure }
            // The disk works on the log while vectors go to their slots, which nothing reaches before the commit is
            // applied.
            if isDurable, byteCount >= Self.writebackByteCount {
                try segment.file.startWriteback(offset: segment.position - UInt64(byteCount), length: UInt64(byteCount))
            }
            for commit in commits {
                for part in commit.parts where part.batch.bulk == nil {
                    try part.dataFile.place(
                        part.batch, layout: part.layout, vectorByteCount: part.file.identity.vectorByteCount)
                }
            }
        } catch {
            return .fatal(commits, StoreError(error))
        }
        do {
            publish(commits, try await isDurable ? syncAndApply(commits) : apply(commits))
        } catch {
            return .fatal(commits, .wrapping(error))
        }
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.publishBeforeSync) { try? segment.file.synchronizeData() }
        #endif
        for commit in commits { commit.finish(.success(commit.lsn)) }
        noteRelaxed(commits)
        log.noteWritten(byteCount: byteCount)
        return nil
    }

    /// Syncs the log and meanwhile has the databases apply the group: nobody sees it before both are done, and should the
    /// sync fail, nobody ever will.
    private func syncAndApply(_ commits: [StagedCommit]) async throws -> [Applied] {
        if commits.contains(where: { $0.layoutChange != nil }) {
            // Extents are not used before they are on disk (O5).
            try await synchronize(with: commits)
            return try await apply(commits)
        }
        return try await withThrowingTaskGroup(of: [Applied].self) { group in
            group.addTask(executorPreference: log.applyExecutor) { try await Self.applyToAll(commits) }
            try await synchronize(with: commits)
            return try await group.next() ?? []
        }
    }

    /// Syncs the log, and returns when what it refers to is on disk, too (O3).
    private func synchronize(with commits: [StagedCommit]) async throws(FileSystemError) {
        try segment.file.synchronizeData()
        log.metrics.syncs.add(1)
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.publishBeforeData) { return log.noteSynced(segment.lastLSN) }
        #endif
        for commit in commits {
            for part in commit.parts { try await part.dataSync?.take().get() }
        }
        log.noteSynced(segment.lastLSN)
    }

    private func synchronize() throws(FileSystemError) {
        try segment.file.synchronizeData()
        log.metrics.syncs.add(1)
        log.noteSynced(segment.lastLSN)
    }

    private func apply(_ commits: [StagedCommit]) async throws -> [Applied] {
        // Whoever holds an actor goes on with what others have queued there, and with what follows in those tasks:
        // on the log's only thread a caller that loops without waiting would keep the log from ever going on.
        try await withTaskExecutorPreference(log.applyExecutor) { try await Self.applyToAll(commits) }
    }

    private func mustSync(_ commits: [StagedCommit]) -> Bool {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.publishBeforeSync) { return false }
        #endif
        return commits.contains(where: \.isDurable)
    }

    /// Seals and writes a group; on a full disk it takes the group back.
    private mutating func write(_ commits: [StagedCommit], byteCount: Int) throws(FileSystemError) -> Failure? {
        let mark = segment.mark
        let states = commits.flatMap { $0.parts.map { ($0.logState, $0.logState.fingerprint, $0.logState.liveCount) } }
        var buffers: [UnsafeRawBufferPointer] = unsafe []
        // A commit's records stay as they are from staging on: the actor compares ids with them while they are sealed.
        // So the commit record has a buffer of its own.
        var commitRecords: [LogBuffer] = []
        commitRecords.reserveCapacity(commits.count)
        for commit in commits { unsafe commitRecords.append(seal(commit, into: &buffers)) }
        defer { withExtendedLifetime(commitRecords) {} }
        do {
            try unsafe segment.write(buffers, byteCount: byteCount)
        } catch  where error.isOutOfSpace {
            for (state, fingerprint, liveCount) in states.reversed() {
                state.fingerprint = fingerprint
                state.liveCount = liveCount
            }
            try segment.rollBack(to: mark, byteCount: byteCount)
            // Whoever waits is told that nothing was changed: what the disk may have got of it already must not come back.
            try segment.file.synchronizeData()
            return .outOfSpace(commits, error)
        }
        log.metrics.commits.add(UInt64(commits.count))
        log.metrics.logBytesWritten.add(UInt64(byteCount))
        return nil
    }

    /// Seals a commit and adds its bytes; returns the buffer that holds its commit record.
    private mutating func seal(_ commit: StagedCommit, into buffers: inout [UnsafeRawBufferPointer]) -> LogBuffer {
        var hash: UInt64 = 0
        var operationCount = 0
        var states: [CommittedState] = []
        for part in commit.parts {
            for offset in part.recordOffsets { seal(part.batch.log, at: offset, lsn: commit.lsn, hash: &hash) }
            operationCount += part.batch.operations.count
            states.append(part.advanceLogState(lsn: commit.lsn))
            log.retention.noteCommit(database: part.file.identity.number, lsn: commit.lsn)
        }
        if let change = commit.layoutChange {
            log.retention.noteCommit(database: change.file.identity.number, lsn: commit.lsn)
        }
        if let records = commit.administration {
            var offset = 0
            while offset < records.count {
                let length = records.recordLength(at: offset)
                seal(records, at: offset, lsn: commit.lsn, hash: &hash)
                operationCount += 1
                offset += length
            }
        }
        for part in commit.parts { unsafe buffers.append(part.batch.log.bytes) }
        if let records = commit.administration { unsafe buffers.append(records.bytes) }
        let body = CommitBody(operationCount: UInt32(operationCount), batchHash: hash, databases: states)
        let last = LogBuffer(capacity: LogCodec.paddedByteCount(bodyLength: body.encodedByteCount))
        let offset = last.appendRecord(.commit, database: 0, bodyLength: body.encodedByteCount)
        let bodyOffset = offset + LogRecordHeader.byteCount
        unsafe body.encode(into: last.mutableBytes(bodyOffset..<bodyOffset + body.encodedByteCount))
        seal(last, at: offset, lsn: commit.lsn, hash: &hash)
        segment.lastLSN = commit.lsn
        unsafe buffers.append(last.bytes)
        return last
    }

    private mutating func seal(_ buffer: LogBuffer, at offset: Int, lsn: UInt64, hash: inout UInt64) {
        let record = unsafe buffer.mutableBytes(offset..<offset + buffer.recordLength(at: offset))
        unsafe segment.seal(record, lsn: lsn, syncedUpTo: syncedUpTo(lsn))
        hash = unsafe CommitBody.hash(UnsafeRawBufferPointer(record), continuing: hash)
    }

    private func syncedUpTo(_ lsn: UInt64) -> UInt64 {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.claimUnsynced) { return lsn }
        #endif
        return log.syncedLSN
    }

    /// The state of a database after a group.
    private struct Applied: Sendable {
        let file: DatabaseFile
        let snapshot: DatabaseSnapshot
    }

    /// Has each database apply its part of the group.
    private static func applyToAll(_ commits: [StagedCommit]) async throws -> [Applied] {
        // A layout change comes before every commit that uses it: such a commit is staged after the change is adopted.
        for commit in commits {
            if let change = commit.layoutChange { await change.file.adopt(change) }
        }
        var order: [DatabaseFile] = []
        var parts: [ObjectIdentifier: [(part: CommitPart, lsn: UInt64)]] = [:]
        for commit in commits {
            for part in commit.parts {
                if parts[ObjectIdentifier(part.file), default: []].isEmpty { order.append(part.file) }
                parts[ObjectIdentifier(part.file), default: []].append((part, commit.lsn))
            }
        }
        var applied: [Applied] = []
        for file in order {
            #if NEPHRITE_MUTANTS
                if Mutant.isActive(.applyOutOfOrder) { parts[ObjectIdentifier(file)]!.reverse() }
                if Mutant.isActive(.publishHalf), let other = applied.last { other.file.cell.publish(other.snapshot) }
            #endif
            let own = parts[ObjectIdentifier(file)]!
            let state = own[0].part.logState
            let snapshot = try await file.apply(
                own, expecting: (fingerprint: state.fingerprint, liveCount: state.liveCount))
            applied.append(Applied(file: file, snapshot: snapshot))
        }
        for commit in commits {
            if let change = commit.layoutChange { await change.file.noteLayout(lsn: commit.lsn) }
        }
        return applied
    }

    /// Makes a group visible at once, in all its databases.
    private func publish(_ commits: [StagedCommit], _ applied: [Applied]) {
        log.publication.withLock { _ in
            for state in applied { state.file.cell.publish(state.snapshot) }
            if let last = commits.last { log.notePublished(last.lsn) }
        }
    }

    private func noteRelaxed(_ commits: [StagedCommit]) {
        guard let relaxed = commits.last(where: { !$0.isDurable }), log.syncedLSN < relaxed.lsn else { return }
        for part in relaxed.parts {
            if case .relaxed(let interval) = part.file.identity.options.durability {
                log.noteRelaxed(intervalNanoseconds: interval.nanoseconds)
            }
        }
    }

    // MARK: Segments, notes and markers

    /// Syncs the full segment, notes behind the last commit included: the next segment's header vouches for all of it.
    private func seal() throws(FileSystemError) {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.skipSealSync) { return }
        #endif
        try segment.file.synchronizeData()
        if log.syncedLSN < segment.lastLSN { log.noteSynced(segment.lastLSN) }
    }

    /// Starts the next segment; on a nearly full disk a shorter one will do.
    private mutating func rotate(
        minimumByteCount: Int, commits: ArraySlice<StagedCommit>
    ) throws(FileSystemError) {
        let needed = SegmentHeader.recordsOffset + minimumByteCount
        var byteCount = max(log.segmentByteCount, needed)
        var mayUseReserve = commits.allSatisfy(\.freesSpace)
        while true {
            do {
                try startSegment(byteCount: byteCount)
                return
            } catch  where error.isOutOfSpace {
                if byteCount > max(needed, 1 << 16) {
                    byteCount = max(needed, byteCount / 8)
                } else if mayUseReserve {
                    mayUseReserve = false
                    try? log.fileSystem.unlink(WriteAheadLog.reservePath)
                } else {
                    log.requestCheckpoint()
                    throw error
                }
            }
        }
    }

    private mutating func startSegment(byteCount: Int) throws(FileSystemError) {
        let old = segment
        let header = SegmentHeader(
            storeUUID: log.storeUUID, sequence: old.header.sequence + 1, saltLow: log.random.next(),
            saltHigh: log.random.next(), previousSequence: old.header.sequence, previousByteCount: old.position,
            previousLastLSN: old.lastLSN, previousLastChecksum: old.previousChecksum, flags: .hasPrevious,
            firstLSN: old.lastLSN + 1, createdAt: log.clock.wallNanoseconds(), byteCount: UInt64(byteCount),
            oldestNeededLSN: min(log.retention.oldestNeededLSN, old.lastLSN + 1))
        segment = try SegmentWriter.create(header, on: log.fileSystem)
        log.retention.noteSealed(.init(sequence: old.header.sequence, lastLSN: old.lastLSN))
        try? old.file.close()
    }

    private mutating func write(note: LogBuffer) {
        guard log.queue.failure == nil, segment.hasRoom(for: note.count) else { return }
        let mark = segment.mark
        do {
            do {
                unsafe segment.seal(
                    note.mutableBytes(0..<note.count), lsn: segment.lastLSN, syncedUpTo: log.syncedLSN)
                try unsafe segment.write([note.bytes], byteCount: note.count, isSynced: false)
                markedLSN = log.syncedLSN
            } catch  where error.isOutOfSpace {
                try segment.rollBack(to: mark, byteCount: note.count)
            }
        } catch {
            fence(StoreError(error), unknown: [], unwritten: [])
        }
    }

    /// Declares the last synced commit to be so, when no later record has.
    private mutating func writeMarker() {
        guard markedLSN < log.syncedLSN, log.queue.failure == nil else { return }
        let marker = LogBuffer(capacity: 64)
        _ = marker.appendRecord(.syncMarker, database: 0, bodyLength: 0)
        write(note: marker)
    }

    /// Readies the segment for small commits to come, now that nothing waits.
    private mutating func zeroAhead() {
        guard log.queue.failure == nil else { return }
        do {
            try segment.zeroAheadWhileIdle()
        } catch {
            fence(StoreError(error), unknown: [], unwritten: [])
        }
    }

    private mutating func synchronize(for waiters: [CheckedContinuation<Void, any Error>]) {
        do {
            if let failure = log.queue.failure { throw failure }
            if log.syncedLSN < segment.lastLSN { try synchronize() }
            for waiter in waiters { waiter.resume() }
        } catch {
            let failure = StoreError.wrapping(error)
            fence(failure, unknown: [], unwritten: [])
            for waiter in waiters { waiter.resume(throwing: failure.fenced()) }
        }
    }

    /// The last act: a marker that is itself synced, so that the last batch is provably on disk.
    mutating func close() {
        if log.queue.failure == nil, log.syncedLSN < segment.lastLSN { synchronize(for: []) }
        writeMarker()
        if log.queue.failure == nil { try? segment.file.synchronizeData() }
        try? segment.file.close()
    }

    // MARK: Failures

    /// Stops all writing (O8): those whose records reached the file learn that their outcome is unknown.
    private func fence(_ error: StoreError, unknown: [StagedCommit], unwritten: [StagedCommit]) {
        log.fence(error)
        for commit in unknown { commit.finish(.failure(error.outcomeUnknown())) }
        for commit in unwritten { commit.finish(.failure(error.fenced())) }
    }

    /// Undoes commits that a full disk kept out of the log, and those staged on top of them; the store stays healthy.
    private mutating func rollBack(_ commits: [StagedCommit], because error: StoreError) async {
        undone.formUnion(commits.map(\.lsn))
        await undo(commits)
        for commit in commits { commit.finish(.failure(error)) }
    }

    /// Has the databases take commits back, newest first.
    private func undo(_ commits: [StagedCommit]) async {
        await withTaskExecutorPreference(log.applyExecutor) {
            for commit in commits.reversed() { await commit.undo() }
        }
    }

    /// The commits that were not staged on top of one that was undone; staging goes on until a database has undone its
    /// part, and a transaction or a bulk batch may prepare before and be enqueued after. The others are undone, too.
    private mutating func withoutOrphans(_ commits: [StagedCommit]) async -> [StagedCommit] {
        guard !undone.isEmpty else { return commits }
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.keepOrphans) { return commits }
        #endif
        var kept: [StagedCommit] = []
        var orphans: [StagedCommit] = []
        for commit in commits {
            if commit.parts.contains(where: { !$0.dependsOn.isDisjoint(with: undone) }) {
                undone.insert(commit.lsn)
                orphans.append(commit)
            } else {
                kept.append(commit)
            }
        }
        await undo(orphans)
        for commit in orphans {
            commit.finish(
                .failure(
                    StoreError(
                        .diskFull, "A write that this one was to follow did not fit on the disk; nothing was changed.",
                        remedy: "Make room on the disk, then write again.")))
        }
        return kept
    }
}

extension CommitPart {
    /// Moves the database's log-order state past this part; the log task calls it once, when it seals the part.
    fileprivate func advanceLogState(lsn: UInt64) -> CommittedState {
        var fingerprint = logState.fingerprint - removed
        for operation in batch.operations where operation.kind == .store {
            fingerprint.insert(
                idHash: operation.idHash, lsn: lsn, contentChecksum: operation.contentChecksum)
        }
        logState.fingerprint = fingerprint
        logState.liveCount += liveDelta
        return CommittedState(
            database: file.identity.number, liveCount: UInt64(logState.liveCount), fingerprint: fingerprint)
    }
}

extension StagedCommit {
    /// Whether it only deletes, so that it may use the reserve of a full disk.
    fileprivate var freesSpace: Bool {
        parts.allSatisfy { $0.batch.operations.allSatisfy { $0.kind == .delete } }
    }

    fileprivate func undo() async {
        for part in parts { await part.file.undo(part) }
    }
}
