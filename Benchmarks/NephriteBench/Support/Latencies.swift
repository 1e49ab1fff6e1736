/// Time and its percentiles: every measurement takes its clock from here and hands its samples here.

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The monotonic clock, in nanoseconds.
@inline(__always)
func nanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Seconds since a reading of ``nanoseconds()``.
func seconds(since start: UInt64) -> Double {
    Double(nanoseconds() - start) / 1e9
}

/// Samples of how long something took.
struct Latencies: Sendable {
    /// The samples in nanoseconds, in the order they were taken.
    private(set) var samples: [UInt64] = []

    /// Makes room, so that recording allocates nothing while something is timed.
    init(capacity: Int = 0) { samples.reserveCapacity(capacity) }

    /// How many there are.
    var count: Int { samples.count }

    /// Their sum in seconds.
    var totalSeconds: Double { Double(samples.reduce(0, &+)) / 1e9 }

    /// Adds a sample.
    @inline(__always)
    mutating func record(_ nanoseconds: UInt64) { samples.append(nanoseconds) }

    /// Adds another series' samples.
    mutating func merge(_ other: Latencies) { samples += other.samples }

    /// Percentiles in nanoseconds; the nearest rank, as the peers' harness takes it. 0 without samples.
    func percentiles(_ wanted: [Double]) -> [Double] {
        let sorted = samples.sorted()
        return wanted.map { percent in
            sorted.isEmpty ? 0 : Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * percent / 100))])
        }
    }

    /// p50, p95, p99 and the mean, each divided by `unit` nanoseconds.
    func summary(unit: Double) -> JSONValue {
        guard !samples.isEmpty else { return .null }
        let found = percentiles([50, 95, 99])
        return [
            "p50": .number(found[0] / unit), "p95": .number(found[1] / unit), "p99": .number(found[2] / unit),
            "mean": .number(totalSeconds * 1e9 / Double(count) / unit),
        ]
    }
}

/// The middle value, or the upper one of two.
func median(_ values: [Double]) -> Double {
    values.isEmpty ? .nan : values.sorted()[values.count / 2]
}
