/// Where commits wait for the log task: database actors append, the log task drains everything that waits at once
/// (group commit). The order of appending is the order of LSNs, of the log, and of applying.
import Synchronization

final class CommitQueue: Sendable {
    /// What the log task takes in one go.
    struct Batch {
        var commits: [StagedCommit] = []
        /// Records without effect on any state: checkpoint records.
        var notes: [LogBuffer] = []
        /// Waiters for everything appended so far to be on disk.
        var syncWaiters: [CheckedContinuation<Void, any Error>] = []

        var isEmpty: Bool { commits.isEmpty && notes.isEmpty && syncWaiters.isEmpty }
    }

    struct State {
        var batch = Batch()
        var nextLSN: UInt64
        var waitingByteCount = 0
        var failure: StoreError?
        var roomWaiters: [CheckedContinuation<Void, Never>] = []
        /// The log task, once cancellation has ended its stream and it serves the rest of the shutdown.
        var drainWaiter: CheckedContinuation<Bool, Never>?
        var isFinished = false
    }

    private let state: Mutex<State>
    private let byteLimit: Int
    /// Wakes the log task: one element stands for "there is something", however much.
    let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation

    init(nextLSN: UInt64, byteLimit: Int) {
        state = Mutex(State(nextLSN: nextLSN))
        self.byteLimit = byteLimit
        (wakeups, wakeup) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: Writers

    /// Suspends while more than the limit waits for the log; a failed store lets everyone through to its error.
    func waitForRoom() async {
        while state.withLock({ $0.waitingByteCount > byteLimit && $0.failure == nil }) {
            await withCheckedContinuation { continuation in
                let resumeNow = state.withLock { state in
                    if state.waitingByteCount <= byteLimit || state.failure != nil { return true }
                    state.roomWaiters.append(continuation)
                    return false
                }
                if resumeNow { continuation.resume() }
            }
        }
    }

    /// Appends a commit and gives it the next LSN.
    func append(_ commit: StagedCommit) throws(StoreError) {
        let outcome: Result<CheckedContinuation<Bool, Never>?, StoreError> = state.withLock { state in
            if let failure = state.refusal { return .failure(failure) }
            commit.assign(lsn: state.nextLSN)
            state.nextLSN += 1
            state.batch.commits.append(commit)
            state.waitingByteCount += commit.byteCount
            return .success(state.takeDrainWaiter())
        }
        wake(try outcome.get())
    }

    /// Appends a record that no one waits for.
    func append(note: LogBuffer) {
        let waiter = state.withLock { state in
            if state.refusal == nil { state.batch.notes.append(note) }
            return state.takeDrainWaiter()
        }
        wake(waiter)
    }

    /// Returns when everything appended before is on disk.
    func synchronize() async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            let outcome: Result<CheckedContinuation<Bool, Never>?, StoreError> = state.withLock { state in
                if let failure = state.refusal { return .failure(failure) }
                state.batch.syncWaiters.append(continuation)
                return .success(state.takeDrainWaiter())
            }
            switch outcome {
            case .success(let waiter): wake(waiter)
            case .failure(let error): continuation.resume(throwing: error)
            }
        }
    }

    private func wake(_ waiter: CheckedContinuation<Bool, Never>?) {
        wakeup.yield()
        waiter?.resume(returning: true)
    }

    /// The LSN that was given last.
    var lastLSN: UInt64 { state.withLock { $0.nextLSN - 1 } }

    // MARK: The log task

    /// Everything that waits, in order.
    func drain() -> Batch {
        let (batch, waiters) = state.withLock { $0.takeAll() }
        for waiter in waiters { waiter.resume() }
        return batch
    }

    /// Whether nothing waits.
    var isEmpty: Bool { state.withLock { $0.batch.isEmpty } }

    /// Refuses everything from now on with `error`, and returns what waited.
    func fail(_ error: StoreError) -> Batch {
        let (batch, waiters) = state.withLock { state in
            if state.failure == nil { state.failure = error }
            return state.takeAll()
        }
        for waiter in waiters { waiter.resume() }
        return batch
    }

    /// The error that stopped the log, if one did.
    var failure: StoreError? { state.withLock { $0.failure } }

    /// For the log task after its stream has ended: true when there is something to do, false when all is over.
    func waitWhileDraining() async -> Bool {
        await withCheckedContinuation { continuation in
            let now: Bool? = state.withLock { state in
                if !state.batch.isEmpty { return true }
                if state.isFinished { return false }
                state.drainWaiter = continuation
                return nil
            }
            if let now { continuation.resume(returning: now) }
        }
    }

    /// Ends the log task once nothing waits.
    func finish() {
        let waiter = state.withLock { state in
            state.isFinished = true
            return state.takeDrainWaiter()
        }
        wakeup.finish()
        waiter?.resume(returning: false)
    }
}

extension CommitQueue.State {
    /// Why nothing is taken any more: a failure, or the end of the log task, which no one may wait for in vain.
    fileprivate var refusal: StoreError? { failure ?? (isFinished ? .closed("wal") : nil) }

    /// Empties the queue: what waited in it, and who waited for room, to be resumed.
    fileprivate mutating func takeAll() -> (CommitQueue.Batch, [CheckedContinuation<Void, Never>]) {
        defer {
            batch = CommitQueue.Batch()
            waitingByteCount = 0
            roomWaiters = []
        }
        return (batch, roomWaiters)
    }

    fileprivate mutating func takeDrainWaiter() -> CheckedContinuation<Bool, Never>? {
        defer { drainWaiter = nil }
        return drainWaiter
    }
}
