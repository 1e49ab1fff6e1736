/// Simulation: whole engines on simulated disks, one seed after the other, with faults, crashes, and crashes of the
/// recoveries; `CrashCampaign` of StorageSimulation does the work, and runs each seed twice.
import Foundation
import NephriteExercise
import StorageSimulation

/// Runs seeds.
struct SimulatePart: TorturePart {
    static let name = "simulate"
    static let summary = "whole engines on simulated disks: workload, faults, crashes in crashes, by seed"

    func obstacle(_ mounts: Mounts) -> String? { nil }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        let laneCount = max(1, ProcessInfo.processInfo.activeProcessorCount)
        try await Lanes.run(laneCount, session, &report) { lane, rounds in
            var report = PartReport(part: Self.name)
            while session.goesOn(report), report.rounds < rounds {
                let seed = session.options.seed &+ UInt64(report.rounds * laneCount + lane)
                let outcome = try await CrashCampaign.run(seed: seed)
                report.rounds += 1
                report.states += outcome.crashStateCount
                report.count("operations", outcome.operationCount)
                report.count("system calls", outcome.callCount)
                if !outcome.failures.isEmpty {
                    report.fail(outcome.report ?? outcome.failures.joined(separator: "; "), seed: seed)
                }
            }
            return report
        }
    }
}
