/// Simulation: whole engines on simulated disks, one seed after the other, with faults, crashes, and crashes of the
/// recoveries; `CrashCampaign` of StorageSimulation does the work, and runs each seed twice.
import Foundation
import NephriteExercise
import StorageSimulation

/// Runs seeds with all that there is in each.
struct SimulatePart: TorturePart {
    static let name = "simulate"
    static let summary = "whole engines on simulated disks: workload, faults, crashes in crashes, by seed"

    func obstacle(_ mounts: Mounts) -> String? { nil }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        try await Self.run(.whole, session, &report)
    }

    /// Runs seeds of a scale.
    static func run(
        _ scale: CampaignPlan.Scale, _ session: Session, _ report: inout PartReport
    ) async throws {
        let laneCount = max(1, ProcessInfo.processInfo.activeProcessorCount)
        let name = report.part
        try await Lanes.run(laneCount, session, &report) { lane, rounds in
            var report = PartReport(part: name)
            while session.goesOn(report), report.rounds < rounds {
                let seed = session.options.seed &+ UInt64(report.rounds * laneCount + lane)
                let outcome = try await CrashCampaign.run(seed: seed, scale: scale)
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

/// Runs as many seeds as possible, with little in each.
struct SeedsPart: TorturePart {
    static let name = "seeds"
    static let summary = "the same with a few operations and a crash or two: very many seeds"

    func obstacle(_ mounts: Mounts) -> String? { nil }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        try await SimulatePart.run(.small, session, &report)
    }
}

/// Recovers as many crash states as possible.
struct StatesPart: TorturePart {
    static let name = "states"
    static let summary = "the same, stopped at every other call in several ways: very many crash states"

    func obstacle(_ mounts: Mounts) -> String? { nil }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        try await SimulatePart.run(.dense, session, &report)
    }
}
