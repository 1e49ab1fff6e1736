/// Whether a worker without a job should look for one for a while before it sleeps: yes if jobs lately came that soon.

/// Waking a thread takes some 10 microseconds, and 60 where its core went to sleep as well (measured on a virtual machine). A worker
/// that is still awake has the next job at once. So that a queue with little to do costs nothing, a worker looks for its next job
/// only if at least half of the last eight came while looking would have found them. (Spinning for a bounded time before blocking:
/// Karlin, Li, Manasse and Owicki 1991.)
struct IdleSpin: Sendable {
    private static let leastShortWaits = 4

    /// How long a worker looks, in nanoseconds; 0 for workers that always sleep.
    let limit: UInt64
    /// A bit for each of the last eight waits, set for one shorter than the limit.
    private var shortWaits: UInt8 = 0

    init(limit: UInt64) { self.limit = limit }

    /// Whether a worker that finds no job should look on.
    var isWorthwhile: Bool { shortWaits.nonzeroBitCount >= Self.leastShortWaits }

    /// Notes how long a worker had nothing to do: until it saw a job, or, if it slept, until one came, and not until it was awake.
    mutating func noteWait(nanoseconds: UInt64) { shortWaits = shortWaits << 1 | (nanoseconds < limit ? 1 : 0) }
}
