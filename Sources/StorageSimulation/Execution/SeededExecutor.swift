/// One thread, one seed, one order: runs the engine's tasks and actors so that a seed replays a whole run.
import Synchronization

/// Why a simulation ended without a result.
public enum SimulationError: Error, Sendable, Hashable {
    /// The task waits for something that nothing left in the simulation can do; after so many steps.
    case deadlock(seed: UInt64, steps: Int)
    /// The task did not end within the limit.
    case stepLimitExceeded(seed: UInt64, steps: Int)
}

/// A task executor that runs every job on the thread that calls ``run(_:)``, and picks the next one of all that
/// are ready with a seeded generator.
///
/// Child tasks and default actors run on the preferred executor of the task that uses them, so one executor
/// holds a whole engine, provided that it keeps to structured concurrency, a ``VirtualClock`` and a
/// ``SimulatedFileSystem``. One `await` of anything outside makes the run end with a deadlock.
public final class SeededExecutor: TaskExecutor {
    private struct State {
        var ready: [UnownedJob] = []
        var generator: SeededGenerator
        var stepCount = 0
        var scheduleHash: UInt64 = 0
    }

    /// The seed that decides the order.
    public let seed: UInt64
    /// The clock that is advanced when nothing is ready.
    public let clock: VirtualClock
    private let stepLimit: Int
    private let state: Mutex<State>

    /// Creates an executor.
    ///
    /// - Parameter stepLimit: how many jobs one ``run(_:)`` may take.
    public init(seed: UInt64, clock: VirtualClock = VirtualClock(), stepLimit: Int = 10_000_000) {
        self.seed = seed
        self.clock = clock
        self.stepLimit = stepLimit
        state = Mutex(State(generator: SeededGenerator(seed: seed)))
    }

    /// How many jobs have run.
    public var stepCount: Int { state.withLock { $0.stepCount } }

    /// A hash over all choices made: equal for equal schedules.
    public var scheduleHash: UInt64 { state.withLock { $0.scheduleHash } }

    /// Takes a job that is ready; called by the runtime.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.ready.append(job) }
    }

    /// Runs an operation to its end on the calling thread, and everything it starts.
    ///
    /// - Throws: what the operation throws, or ``SimulationError``.
    public func run<Success: Sendable>(
        _ operation: @escaping @Sendable () async throws -> Success
    ) throws -> Success {
        let outcome = Outcome<Success>()
        let task = Task(executorPreference: self) {
            do {
                outcome.set(.success(try await operation()))
            } catch {
                outcome.set(.failure(error))
            }
        }
        do {
            try run(until: { outcome.isSet })
        } catch {
            // Let the operation unwind, so that a failed run does not leave its resources behind.
            task.cancel()
            try? run(until: { outcome.isSet })
            throw error
        }
        try drain()
        guard let result = outcome.value else { preconditionFailure("the run ended without a result") }
        return try result.get()
    }

    /// Runs jobs until a condition holds, advancing the clock whenever nothing is ready.
    public func run(until isDone: @Sendable () -> Bool) throws {
        let first = stepCount
        while !isDone() {
            if runOneJob() {
                guard stepCount - first <= stepLimit else {
                    throw SimulationError.stepLimitExceeded(seed: seed, steps: stepCount - first)
                }
            } else if !clock.advanceToNextSleeper() {
                throw SimulationError.deadlock(seed: seed, steps: stepCount - first)
            }
        }
    }

    /// Runs what is still ready, without advancing the clock.
    private func drain() throws {
        let first = stepCount
        while runOneJob() {
            guard stepCount - first <= stepLimit else {
                throw SimulationError.stepLimitExceeded(seed: seed, steps: stepCount - first)
            }
        }
    }

    private func runOneJob() -> Bool {
        let job = state.withLock { state -> UnownedJob? in
            guard !state.ready.isEmpty else { return nil }
            let index = state.generator.next(below: state.ready.count)
            state.stepCount += 1
            state.scheduleHash = SplitMix64.mix(
                state.scheduleHash ^ UInt64(index) ^ UInt64(state.ready.count) << 32)
            return state.ready.remove(at: index)
        }
        guard let job else { return false }
        unsafe job.runSynchronously(on: asUnownedTaskExecutor())
        return true
    }
}

/// Where a run's task puts its result.
private final class Outcome<Success: Sendable>: Sendable {
    private let result = Mutex<Result<Success, any Error>?>(nil)

    var isSet: Bool { result.withLock { $0 != nil } }
    var value: Result<Success, any Error>? { result.withLock { $0 } }

    func set(_ value: Result<Success, any Error>) { result.withLock { $0 = value } }
}
