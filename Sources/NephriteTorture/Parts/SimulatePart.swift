/// Simulation: whole engines on simulated disks, one seed after the other, with faults, crashes, and crashes of the
/// recoveries; `CrashCampaign` of StorageSimulation does the work, and runs each seed twice.
import Foundation
import NephriteExercise
import StorageSimulation

/// A part that runs seeds, one scale of them.
protocol SeedPart: TorturePart {
    /// How much there is in a seed.
    static var scale: CampaignPlan.Scale { get }
}

extension SeedPart {
    func obstacle(_ mounts: Mounts) -> String? { nil }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        let laneCount = max(1, ProcessInfo.processInfo.activeProcessorCount)
        let name = report.part
        try await Lanes.run(laneCount, session, &report) { lane, rounds in
            var report = PartReport(part: name)
            while session.goesOn(report), report.rounds < rounds {
                let seed = session.options.seed &+ UInt64(report.rounds * laneCount + lane)
                let outcome = try await CrashCampaign.run(seed: seed, scale: Self.scale)
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

/// Runs seeds with all that there is in each.
struct SimulatePart: SeedPart {
    static let name = "simulate"
    static let summary = "whole engines on simulated disks: workload, faults, crashes in crashes, by seed"
    static let scale = CampaignPlan.Scale.whole
}

/// Runs as many seeds as possible, with little in each.
struct SeedsPart: SeedPart {
    static let name = "seeds"
    static let summary = "the same with a few operations and a crash or two: very many seeds"
    static let scale = CampaignPlan.Scale.small
}

/// Recovers as many crash states as possible.
struct StatesPart: SeedPart {
    static let name = "states"
    static let summary = "the same, stopped at every other call in several ways: very many crash states"
    static let scale = CampaignPlan.Scale.dense
}
