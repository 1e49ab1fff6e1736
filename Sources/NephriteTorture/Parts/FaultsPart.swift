/// The n-th system call fails, for each n, each error, once and for good, in each phase of the engine's life: `FaultMatrix`
/// of StorageSimulation does the work.
import Foundation
import StorageSimulation

/// Has calls fail.
struct FaultsPart: TorturePart {
    static let name = "faults"
    static let summary = "the n-th system call fails: every n, every error, once and for good, in every phase"

    func obstacle(_ mounts: Mounts) -> String? { nil }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        let laneCount = max(1, ProcessInfo.processInfo.activeProcessorCount)
        let matrix = FaultMatrix.all
        try await Lanes.run(laneCount, session, &report) { lane, rounds in
            var report = PartReport(part: Self.name)
            var own = Array(stride(from: lane, to: matrix.count, by: laneCount))
            var call = 1
            // All rows at the first call, then all at the second, and each until its phase has no more calls.
            while !own.isEmpty {
                for row in own {
                    guard session.goesOn(report), report.rounds < rounds else { return report }
                    let outcome = matrix[row].run(call: call)
                    for failure in outcome.failures {
                        report.fail("\(matrix[row]), call \(call): \(failure)", seed: UInt64(call))
                    }
                    guard outcome.struck else {
                        own.removeAll { $0 == row }
                        continue
                    }
                    report.rounds += 1
                    report.states += outcome.stateCount
                }
                call += 1
            }
            report.count("lanes complete")
            return report
        }
    }
}
