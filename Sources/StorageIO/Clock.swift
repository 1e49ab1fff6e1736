/// The seams for time and randomness: the engine asks these, so that a simulation can decide them.

/// Where the engine gets the time from and how it waits.
public protocol StorageClock: Sendable {
    /// Nanoseconds since an arbitrary start; never goes back.
    func monotonicNanoseconds() -> UInt64
    /// Nanoseconds since 1970-01-01T00:00:00Z; advisory, may jump.
    func wallNanoseconds() -> UInt64
    /// Waits at least this long; throws `CancellationError` when the task is cancelled.
    func sleep(nanoseconds: UInt64) async throws
}

/// Where the engine gets random bits from (UUIDs, salts).
public protocol RandomSource: Sendable {
    /// The next 64 random bits.
    func next() -> UInt64
}
