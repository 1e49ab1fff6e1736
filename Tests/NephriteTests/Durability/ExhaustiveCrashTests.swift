// Every workload of up to two steps (three with NEPHRITE_LONG=1), stopped before every system call of its last step and
// of the shutdown after it, in every way a crash may choose; then what recovers is stopped the same way.
//
// A failure prints steps, call and choice; the run is deterministic, so the same test fails again at the same place.
import Foundation
import Nephrite
import StorageIO
import StorageSimulation
import Testing

enum Campaign {
    /// Whether the long campaigns run (NEPHRITE_LONG=1).
    static let isLong = ProcessInfo.processInfo.environment["NEPHRITE_LONG"] == "1"
    /// A seed to replay alone (NEPHRITE_SEED).
    static let seed = ProcessInfo.processInfo.environment["NEPHRITE_SEED"].flatMap { UInt64($0) }
    /// The scale of that seed (NEPHRITE_SCALE).
    static let scale =
        ProcessInfo.processInfo.environment["NEPHRITE_SCALE"].flatMap { CampaignPlan.Scale(rawValue: $0) } ?? .whole
    /// The first steps to go through: all, unless NEPHRITE_STEP names some (`growth,drop`).
    static let firstSteps = ProcessInfo.processInfo.environment["NEPHRITE_STEP"].map { names in
        WorkloadStep.allCases.filter { names.split(separator: ",").contains(Substring($0.rawValue)) }
    }
}

@Suite(.timeLimit(.minutes(20)))
struct ExhaustiveCrashTests {
    static let baseDisk = Result { try Workload.baseDisk() }

    /// Runs steps and collects crash points before the calls of the last one, and of the shutdown if asked.
    static func crashPoints(_ steps: [WorkloadStep], shutdown: Bool) throws -> [CrashPoint] {
        let disk = try baseDisk.get().crashImage(.keepAll)
        let progress = Box(Workload.start())
        let points = Box<[CrashPoint]>([])
        let names = steps.map(\.rawValue).joined(separator: ", ")
        let collect: SimulatedFileSystem.SnapshotHook = { number, disk in
            let now = progress.value
            var images = CrashChoice.selection(disk.pendingOperations, seed: UInt64(number)).map { choice in
                CrashPoint(
                    disk: disk.crashImage(choice), label: "[\(names)] before call \(number), \(choice)",
                    progress: now)
            }
            images.append(
                CrashPoint(
                    disk: disk.processKillImage(), label: "[\(names)] before call \(number), killed",
                    progress: now))
            let all = images
            points.update { $0 += all }
        }
        try Simulation.run(disk) { store in
            let workload = Workload(progress: progress, store: store)
            for (round, step) in steps.enumerated() {
                if round == steps.count - 1 { disk.snapshotHook = collect }
                try await workload.make(step, round: round)
            }
            if !shutdown { disk.snapshotHook = nil }
        }
        disk.snapshotHook = nil
        let final = try Simulation.recover(disk.crashImage(.loseAll))
        if let verdict = Oracle.verdict(final, progress.value) { Issue.record("[\(names)] closed: \(verdict)") }
        return points.value
    }

    @Test(
        "A workload stopped at any call recovers to what was acknowledged",
        arguments: Campaign.firstSteps ?? WorkloadStep.allCases)
    func everyCall(first: WorkloadStep) throws {
        var workloads: [[WorkloadStep]] = [[first]] + WorkloadStep.allCases.map { [first, $0] }
        if Campaign.isLong {
            for second in WorkloadStep.allCases { workloads += WorkloadStep.allCases.map { [first, second, $0] } }
        }
        var stateCount = 0
        var failures: [String] = []
        for (workloadIndex, steps) in workloads.enumerated() {
            let points = try Self.crashPoints(steps, shutdown: steps.count == 1)
            for (index, point) in points.enumerated() {
                // A plain run takes a sample that is spread over calls and choices; a long one takes all.
                guard Campaign.isLong || (index + workloadIndex) % 24 == 0 else { continue }
                stateCount += 1
                if let verdict = Oracle.verdict(point) { failures.append(verdict) }
                if failures.count > 5 { break }
            }
            if failures.count > 5 { break }
        }
        #expect(failures.isEmpty, "\(failures.joined(separator: "\n"))")
        #expect(stateCount > 5)
        print("exhaustive crash states after \(first): \(stateCount)")
    }

    @Test("A recovery that is stopped at any call recovers again", arguments: WorkloadStep.allCases)
    func nested(step: WorkloadStep) throws {
        let points = try Self.crashPoints([step], shutdown: true)
        var stateCount = 0
        var failures: [String] = []
        for (index, point) in points.enumerated() where failures.count < 5 {
            guard Campaign.isLong ? index % 4 == 0 : index % 36 == 5 else { continue }
            let second = Box<[CrashPoint]>([])
            let disk = point.disk.crashImage(.keepAll)
            disk.snapshotHook = { number, disk in
                for choice in [CrashChoice.loseAll, .keepAll, .random(seed: UInt64(number))] {
                    guard Campaign.isLong || (number + index) % 4 == 0 else { continue }
                    let image = CrashPoint(
                        disk: disk.crashImage(choice), label: "\(point.label), then call \(number), \(choice)",
                        progress: point.progress)
                    second.update { $0.append(image) }
                }
            }
            if let verdict = Oracle.verdict(CrashPoint(disk: disk, label: point.label, progress: point.progress)) {
                failures.append(verdict)
            }
            disk.snapshotHook = nil
            for image in second.value {
                stateCount += 1
                if let verdict = Oracle.verdict(image) { failures.append(verdict) }
            }
        }
        #expect(failures.isEmpty, "\(failures.joined(separator: "\n"))")
        print("nested crash states of \(step): \(stateCount)")
    }
}
