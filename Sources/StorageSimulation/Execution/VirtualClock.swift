/// Time that stands still unless told otherwise: the engine sleeps on it, ``SeededExecutor`` advances it.
public import StorageIO
import Synchronization

/// A clock for simulations. A sleeping task waits until somebody advances the clock to its deadline.
public final class VirtualClock: StorageClock {
    private struct Sleeper {
        let deadline: UInt64
        let id: UInt64
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now: UInt64 = 0
        var wallStart: UInt64
        var nextID: UInt64 = 0
        var sleepers: [Sleeper] = []
        var cancelledBeforeSleep: Set<UInt64> = []
    }

    private let state: Mutex<State>

    /// Creates a clock at monotonic time 0.
    public init(wallStartNanoseconds: UInt64 = 1_700_000_000_000_000_000) {
        state = Mutex(State(wallStart: wallStartNanoseconds))
    }

    /// Nanoseconds since the clock was created.
    public func monotonicNanoseconds() -> UInt64 { state.withLock { $0.now } }

    /// Nanoseconds since 1970, moved by ``stepWall(byNanoseconds:)``.
    public func wallNanoseconds() -> UInt64 { state.withLock { $0.wallStart &+ $0.now } }

    /// How many tasks are asleep.
    public var sleeperCount: Int { state.withLock { $0.sleepers.count } }

    /// Waits until the clock has advanced by this much.
    public func sleep(nanoseconds: UInt64) async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        defer { state.withLock { _ = $0.cancelledBeforeSleep.remove(id) } }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if state.cancelledBeforeSleep.contains(id) { return true }
                    let (deadline, overflow) = state.now.addingReportingOverflow(nanoseconds)
                    state.sleepers.append(
                        Sleeper(deadline: overflow ? .max : deadline, id: id, continuation: continuation))
                    return false
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) }
            }
        } onCancel: {
            let sleeper = state.withLock { state -> Sleeper? in
                guard let index = state.sleepers.firstIndex(where: { $0.id == id }) else {
                    state.cancelledBeforeSleep.insert(id)
                    return nil
                }
                return state.sleepers.remove(at: index)
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Advances by a time and wakes everybody whose deadline has come.
    public func advance(by nanoseconds: UInt64) {
        let target = state.withLock { state in
            let (sum, overflow) = state.now.addingReportingOverflow(nanoseconds)
            return overflow ? .max : sum
        }
        wake(at: target)
    }

    /// Advances to the earliest deadline and wakes everybody who has it.
    ///
    /// - Returns: whether anybody was asleep.
    public func advanceToNextSleeper() -> Bool {
        let deadline = state.withLock { state in state.sleepers.map(\.deadline).min() }
        guard let deadline else { return false }
        wake(at: deadline)
        return true
    }

    /// Sets the wall clock forward or back, as an administrator or NTP would.
    public func stepWall(byNanoseconds step: Int64) {
        state.withLock { $0.wallStart = $0.wallStart &+ UInt64(bitPattern: step) }
    }

    private func wake(at time: UInt64) {
        let due = state.withLock { state in
            state.now = max(state.now, time)
            let due = state.sleepers.filter { $0.deadline <= state.now }
            state.sleepers.removeAll { $0.deadline <= state.now }
            return due.sorted { ($0.deadline, $0.id) < ($1.deadline, $1.id) }
        }
        for sleeper in due { sleeper.continuation.resume() }
    }
}
