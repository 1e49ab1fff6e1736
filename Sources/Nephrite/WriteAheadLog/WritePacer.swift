/// Leaves searches their cores: writers come here before a large batch is staged, and wait their turn while searches keep
/// all cores busy. The searcher's load says whether they do.
import StorageIO
import Synchronization

/// A batch takes its bytes out of a budget that refills with time. The processor's share that writing takes is about
/// proportional to them, and so is what searches have to go through afterwards.
final class WritePacer: Sendable {
    /// Batches of fewer bytes never wait: who writes a record at a time wants it written, and is slow enough.
    static let smallByteCount = 32 << 10
    /// How often it is looked whether searches still keep all cores busy.
    static let stepNanoseconds: UInt64 = 2_000_000
    /// A batch waits no longer.
    static let longestNanoseconds: UInt64 = 1_000_000_000

    private let load: SearchLoad
    private let clock: any StorageClock
    private let isLimited: Bool
    private let budget: Mutex<WriteBudget>

    /// - Parameter byteRate: bytes a second for each core; `Int.max` for no limit.
    init(byteRate: Int, load: SearchLoad, clock: any StorageClock) {
        self.load = load
        self.clock = clock
        isLimited = byteRate < .max
        budget = Mutex(
            WriteBudget(bytesPerSecond: Double(byteRate) * Double(load.coreCount), at: clock.monotonicNanoseconds()))
    }

    /// Returns when a batch may be written.
    ///
    /// - Throws: `CancellationError`; nothing was taken out of the budget then.
    func waitForTurn(byteCount: Int) async throws {
        guard isLimited, byteCount >= Self.smallByteCount, load.isHeavy else { return }
        let start = clock.monotonicNanoseconds()
        while load.isHeavy {
            let now = clock.monotonicNanoseconds()
            let wait = budget.withLock { $0.take(byteCount, at: now) }
            let waited = now &- start
            if wait == 0 || waited >= Self.longestNanoseconds { return }
            try await clock.sleep(nanoseconds: min(wait, Self.stepNanoseconds, Self.longestNanoseconds - waited))
        }
    }
}

/// Bytes that may be written, refilled at a constant rate.
struct WriteBudget {
    private let bytesPerSecond: Double
    /// What may be written at once after a pause: as much as comes in a tenth of a second.
    private let largest: Double
    private var byteCount: Double
    private var time: UInt64

    init(bytesPerSecond: Double, at now: UInt64) {
        self.bytesPerSecond = bytesPerSecond
        largest = bytesPerSecond / 10
        byteCount = largest
        time = now
    }

    /// Takes a batch out of the budget if there is anything in it. A batch of more than there is leaves a debt, of a second's
    /// worth at most, which the next one waits for.
    ///
    /// - Returns: 0, or the nanoseconds after which to ask again; then nothing was taken.
    mutating func take(_ count: Int, at now: UInt64) -> UInt64 {
        let elapsed = now > time ? Double(now - time) / 1e9 : 0
        time = max(time, now)
        byteCount = min(largest, byteCount + elapsed * bytesPerSecond)
        if byteCount > 0 {
            byteCount = max(byteCount - Double(count), -bytesPerSecond)
            return 0
        }
        return UInt64(-byteCount / bytesPerSecond * 1e9) + 1
    }
}
