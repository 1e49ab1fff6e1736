/// The write-ahead log as the rest of the engine sees it: one per store, a queue in front of the log task, and what is
/// known to be on disk. Database actors append commits; checkpoints and the flush scheduler ask for syncs.
import StorageFormat
import StorageIO
import Synchronization

final class WriteAheadLog: Sendable {
    let queue: CommitQueue
    let retention: LogRetention
    /// Where database actors apply commits: never the log's own thread.
    let applyExecutor: any TaskExecutor
    let fileSystem: any FileSystem
    let clock: any StorageClock
    let random: any RandomSource
    let storeUUID: StorageUUID
    let segmentByteCount: Int
    let metrics: StoreMetrics
    /// Wakes the checkpointer when the log has grown past its limit.
    let checkpointWakeups: AsyncStream<Void>
    private let checkpointWakeup: AsyncStream<Void>.Continuation
    /// Wakes the flush scheduler when something was acknowledged that is not on disk.
    let relaxedWakeups: AsyncStream<Void>
    private let relaxedWakeup: AsyncStream<Void>.Continuation
    private let byteLimit: Int
    private let shortestRelaxedInterval = Atomic<UInt64>(.max)
    private let synced: Atomic<UInt64>
    private let published: Atomic<UInt64>
    /// Held while a group's snapshots are made visible, so that a transaction sees all of a commit or none of it.
    let publication = Mutex<Void>(())
    /// Transactions over several databases, and bulk batches, that have begun to prepare and whose commit has no outcome
    /// yet: what they are judged by may be undone before they are in the queue.
    let preparing = Atomic<Int>(0)
    /// How many undone commits the log task remembers, for tests.
    let undoneCount = Atomic<Int>(0)
    /// Held while segments are deleted, which several checkpoints may ask for at once.
    let deletion = Mutex<Void>(())

    init(
        nextLSN: UInt64, fileSystem: any FileSystem, storeUUID: StorageUUID, configuration: StoreConfiguration,
        sealed: [LogRetention.SealedSegment], metrics: StoreMetrics
    ) {
        queue = CommitQueue(nextLSN: nextLSN, byteLimit: configuration.commitQueueByteLimit)
        retention = LogRetention(sealed: sealed)
        self.fileSystem = fileSystem
        applyExecutor = configuration.environment.executor ?? globalConcurrentExecutor
        clock = configuration.environment.clock
        random = configuration.environment.random
        self.storeUUID = storeUUID
        segmentByteCount = max(configuration.logSegmentByteCount, 1 << 16)
        byteLimit = configuration.logByteLimit
        self.metrics = metrics
        synced = Atomic(nextLSN - 1)
        published = Atomic(nextLSN - 1)
        (checkpointWakeups, checkpointWakeup) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (relaxedWakeups, relaxedWakeup) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// The newest LSN known to be on disk.
    var syncedLSN: UInt64 { synced.load(ordering: .acquiring) }

    /// The newest commit that readers see; read it with `publication` held to have it agree with snapshots.
    var publishedLSN: UInt64 { published.load(ordering: .acquiring) }

    func notePublished(_ lsn: UInt64) { published.store(lsn, ordering: .releasing) }

    func noteSynced(_ lsn: UInt64) { synced.store(lsn, ordering: .releasing) }

    /// Returns when the log is on disk through `lsn`; at once if it is already.
    func synchronize(through lsn: UInt64) async throws {
        if syncedLSN >= lsn { return }
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.checkpointBeforeLog) { return }
        #endif
        try await queue.synchronize()
    }

    func noteWritten(byteCount: Int) {
        if retention.noteBytes(byteCount) >= byteLimit { checkpointWakeup.yield() }
    }

    func noteRelaxed(intervalNanoseconds: UInt64) {
        var current = shortestRelaxedInterval.load(ordering: .relaxed)
        while intervalNanoseconds < current {
            let (exchanged, original) = shortestRelaxedInterval.compareExchange(
                expected: current, desired: intervalNanoseconds, ordering: .relaxed)
            if exchanged { break }
            current = original
        }
        relaxedWakeup.yield()
    }

    /// The shortest interval that any relaxed commit was promised, in nanoseconds.
    var relaxedInterval: UInt64 { shortestRelaxedInterval.load(ordering: .relaxed) }

    /// Asks for a checkpoint of what is dirty.
    func requestCheckpoint() { checkpointWakeup.yield() }

    /// Refuses everything from now on; what waited in the queue was never written.
    func fence(_ error: StoreError) {
        let fenced = error.fenced()
        let rest = queue.fail(fenced)
        for commit in rest.commits { commit.finish(.failure(fenced)) }
        for waiter in rest.syncWaiters { waiter.resume(throwing: fenced) }
    }

    /// The name of the file that is given up when a full disk leaves no room for a segment, so that deletes still work.
    static let reservePath = StoragePath("wal", "reserve")
    static let reserveByteCount: UInt64 = 1 << 20

    /// Makes sure the reserve is there; a disk without room for it is no error.
    func replenishReserve() {
        guard let file = try? fileSystem.open(Self.reservePath, .createNew) else { return }
        do {
            try file.allocate(offset: 0, length: Self.reserveByteCount)
        } catch {
            try? fileSystem.unlink(Self.reservePath)
        }
        try? file.close()
    }

    /// Runs the log until it is finished: the body of the log's task in `run()`.
    ///
    /// Cancellation ends only the stream of wake-ups; the task goes on to serve what the shutdown still commits.
    func run(from segment: SegmentWriter) async {
        var task = LogTask(log: self, segment: segment)
        for await _ in queue.wakeups { await task.processAll() }
        while await queue.waitWhileDraining() { await task.processAll() }
        task.close()
    }
}
