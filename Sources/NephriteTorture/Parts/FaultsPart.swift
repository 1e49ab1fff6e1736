/// The n-th system call fails, for each n, each error, once and for good, in each phase of the engine's life: `FaultMatrix`
/// of StorageSimulation does the work.
import Foundation
import StorageSimulation

/// Has calls fail.
struct FaultsPart: TorturePart {
    static let name = "faults"
    static let summary = "the n-th system call fails: every n, every error, once and for good, in every phase"

    func obstacle(_ mounts: Mounts) -> String? { nil }

    /// What the lanes share: where they are, and the rows that have no more calls.
    private struct Progress: Sendable {
        var number: Int
        var ended: Set<Int> = []
    }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        let matrix = FaultMatrix.all
        // All rows at the first call, then all at the second, and each until its phase has no more calls. A seed is a
        // place in this order; the first one is 1.
        let progress = Box(Progress(number: Int(truncatingIfNeeded: session.options.seed &- 1) & Int.max))
        let laneCount = max(1, ProcessInfo.processInfo.activeProcessorCount)
        try await Lanes.run(laneCount, session, &report) { _, rounds in
            var report = PartReport(part: Self.name)
            while session.goesOn(report), report.rounds < rounds {
                let number = progress.update { (progress) -> Int? in
                    guard progress.ended.count < matrix.count else { return nil }
                    while progress.ended.contains(progress.number % matrix.count) { progress.number += 1 }
                    defer { progress.number += 1 }
                    return progress.number
                }
                guard let number else {
                    report.count("lanes complete")
                    break
                }
                let (row, call) = (number % matrix.count, number / matrix.count + 1)
                let outcome = matrix[row].run(call: call)
                for failure in outcome.failures {
                    report.fail("\(matrix[row]), call \(call): \(failure)", seed: UInt64(number + 1))
                }
                if outcome.struck {
                    report.states += outcome.stateCount
                } else {
                    progress.update { _ = $0.ended.insert(row) }
                }
                if outcome.struck || !outcome.failures.isEmpty { report.rounds += 1 }
            }
            return report
        }
    }
}
