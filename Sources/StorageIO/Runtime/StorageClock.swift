/// Time and chance as the engine sees them: injected, so that the simulation can replay both.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A clock that the engine reads and sleeps by.
public protocol StorageClock: Sendable {
    /// Nanoseconds since some fixed moment; never goes back.
    func monotonicNanoseconds() -> UInt64

    /// Nanoseconds since 1970-01-01 00:00 UTC; may jump when the machine's clock is set.
    func wallNanoseconds() -> UInt64

    /// Waits.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    func sleep(nanoseconds: UInt64) async throws
}

/// The machine's clocks.
public struct SystemClock: StorageClock {
    /// Creates a clock; all of them agree.
    public init() {}

    /// `CLOCK_MONOTONIC`.
    public func monotonicNanoseconds() -> UInt64 { Self.now(CLOCK_MONOTONIC) }

    /// `CLOCK_REALTIME`; less than a second for a clock that is set before 1970.
    public func wallNanoseconds() -> UInt64 { Self.now(CLOCK_REALTIME) }

    /// Sleeps on Swift's continuous clock.
    public func sleep(nanoseconds: UInt64) async throws {
        try await ContinuousClock().sleep(for: .nanoseconds(Int64(clamping: nanoseconds)))
    }

    private static func now(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        let result = unsafe clock_gettime(clock, &time)
        precondition(result == 0, "the system lacks a clock that POSIX requires")
        return UInt64(max(0, time.tv_sec)) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// Where the engine gets salts and identifiers from.
public protocol RandomSource: Sendable {
    /// Sixty-four random bits.
    func next() -> UInt64

    /// Fills memory with random bytes.
    func fill(_ buffer: UnsafeMutableRawBufferPointer)
}

extension RandomSource {
    /// Fills memory from ``next()``, low bytes first.
    public func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var word: UInt64 = 0
        for index in buffer.indices {
            if index % 8 == 0 { word = next() }
            unsafe buffer[index] = UInt8(truncatingIfNeeded: word)
            word >>= 8
        }
    }
}

/// The system's cryptographic generator.
public struct SystemRandomSource: RandomSource {
    /// Creates a source.
    public init() {}

    /// Sixty-four random bits.
    public func next() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}

extension Duration {
    /// The duration in nanoseconds, between 0 and 292 years.
    package var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? UInt64(Int64.max) : product &+ UInt64(attoseconds / 1_000_000_000)
    }
}
