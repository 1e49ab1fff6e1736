/// Counts the bytes that a phase of recovery has dealt with and tells whoever opened the store, a few hundred times at most
/// for each gigabyte. The log scan and the replay feed it.

struct RecoveryMeter {
    private static let stepByteCount = 4 << 20

    private let report: (@Sendable (RecoveryProgress) -> Void)?
    private let phase: RecoveryProgress.Phase
    private let total: Int
    private var done = 0
    private var reported = 0

    /// - Parameter report: nil if nobody wants to know.
    init(_ phase: RecoveryProgress.Phase, total: Int, _ report: (@Sendable (RecoveryProgress) -> Void)?) {
        self.phase = phase
        self.total = total
        self.report = report
        tell()
    }

    private func tell() { report?(RecoveryProgress(phase: phase, byteCount: done, totalByteCount: total)) }

    mutating func advance(_ byteCount: Int) {
        done = min(total, done + byteCount)
        guard done - reported >= Self.stepByteCount else { return }
        reported = done
        tell()
    }

    /// The phase is over, whatever of it was left out.
    mutating func finish() {
        guard reported != total || done != total else { return }
        done = total
        reported = total
        tell()
    }
}
