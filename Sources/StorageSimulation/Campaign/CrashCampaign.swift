/// The campaign: one seed is one whole simulation (workload, faults, crashes, recoveries that are crashed in turn), run
/// twice and compared call by call. `swift test` and `nephrite-torture simulate` run as many seeds as they have time for.
import Nephrite
import StorageIO

/// What one seed of the campaign gave.
package struct CampaignOutcome: Sendable {
    /// The seed.
    package let seed: UInt64
    /// What is wrong; empty when nothing is.
    package let failures: [String]
    /// How many crash states were recovered.
    package let crashStateCount: Int
    /// How many operations and reads the workload made.
    package let operationCount: Int
    /// How many system calls were made.
    package let callCount: Int
    /// A hash over all system calls of the workload and of every recovery, equal for equal seeds in any process.
    package let traceHash: UInt64
    /// The same over the system calls of the workload alone.
    let workloadHash: UInt64
    /// For a seed that failed: what is wrong, the smallest plan that still fails, and the command that replays it.
    package internal(set) var report: String?
}

/// Runs seeds.
package enum CrashCampaign {
    /// How deep crashes in recoveries are nested.
    static let depth = 3

    /// Runs a seed twice; a failure is made as small as it gets, and reported.
    ///
    /// The second run repeats the workload, and for one seed in eight also every recovery. Everything that is wrong is in
    /// the outcome.
    ///
    /// - Parameters:
    ///   - scale: how much of everything the seed is; the same seed is something else at another scale.
    ///   - minimises: whether a failure is made smaller and reported, which may take a hundred runs.
    ///
    /// - Throws: only if the disk that every seed starts from cannot be made.
    package static func run(
        seed: UInt64, scale: CampaignPlan.Scale = .whole, minimises: Bool = true
    ) async throws -> CampaignOutcome {
        let plan = CampaignPlan(seed: seed, scale: scale)
        var outcome = try run(plan)
        guard !outcome.failures.isEmpty, minimises else { return outcome }
        var minimiser = CampaignMinimiser(plan, outcome)
        outcome.report = try minimiser.report()
        return outcome
    }

    /// Runs a plan twice and compares.
    static func run(_ plan: CampaignPlan) throws -> CampaignOutcome {
        let first = try simulate(plan)
        guard first.failures.isEmpty else { return first }
        let isWhole = SplitMix64.mix(plan.seed) % 8 == 0
        let second = try simulate(plan, recovers: isWhole)
        let isEqual = isWhole ? first.traceHash == second.traceHash : first.workloadHash == second.workloadHash
        guard !isEqual else { return first }
        return CampaignOutcome(
            seed: plan.seed, failures: ["two runs of the seed made different system calls"],
            crashStateCount: first.crashStateCount, operationCount: first.operationCount, callCount: first.callCount,
            traceHash: first.traceHash, workloadHash: first.workloadHash)
    }

    /// The disk that every run starts from: a store that was shut down cleanly, and what was deleted before that.
    package static let baseDisk = Result {
        let disk = SimulatedFileSystem()
        var settings = SimulationSettings()
        settings.seed = 0xBA5E
        try Simulation.run(disk, settings) { store in
            try await RandomWorkload.litter(store)
            try await RandomWorkload.prepare(store)
        }
        return disk.crashImage(.keepAll)
    }

    /// What the crashes of a seed's workload leave on a disk that does nothing wrong, for tests of what reads such disks.
    package static func crashDisks(seed: UInt64) throws -> [(label: String, disk: SimulatedFileSystem)] {
        var plan = CampaignPlan(seed: seed)
        plan.disk = .sound
        let disk = try baseDisk.get().crashImage(.keepAll)
        let images = Box<[CrashImage]>([])
        let collector = ImageCollector(seed: seed, period: plan.crashPeriod, images: images) { (0, 0) }
        disk.snapshotHook = collector.hook
        if let failure = work(on: disk, plan, VirtualClock(), Box(RandomRun()), collector) {
            throw CampaignFailure(description: failure)
        }
        return images.value.map { ($0.label, $0.disk) }
    }

    /// Runs a plan once.
    ///
    /// - Parameter recovers: whether what the crashes leave is recovered; without it nobody watches the workload, and its
    ///   system calls have to be the same.
    static func simulate(_ plan: CampaignPlan, recovers: Bool = true) throws -> CampaignOutcome {
        let disk = try baseDisk.get().crashImage(.keepAll)
        let clock = VirtualClock()
        disk.setTraceCapacity(0)
        let run = Box(RandomRun())
        let images = Box<[CrashImage]>([])
        let collector = ImageCollector(
            seed: plan.seed, period: plan.crashPeriod, takesMany: plan.scale == .dense, images: images
        ) { (run.value.events.count, clock.monotonicNanoseconds()) }
        if recovers { disk.snapshotHook = collector.hook }
        disk.inject(plan.faultPlan)
        disk.setCapacity(byteCount: plan.capacityByteCount)
        var failures: [String] = []
        if let failure = work(on: disk, plan, clock, run, recovers ? collector : nil) { failures.append(failure) }
        disk.snapshotHook = nil
        failures += run.value.problems
        let events = run.value.events
        collector.add("the end", disk.crashImage(plan.disk == .lying ? .keepAll : .loseAll))
        var recovery = CampaignRecovery(plan: plan, events: events, hash: disk.traceHash)
        recovery.callCount = disk.callCount
        for image in recovers ? images.value : [] { recovery.recover(image, depth: 1) }
        return CampaignOutcome(
            seed: plan.seed, failures: failures + recovery.failures, crashStateCount: recovery.stateCount,
            operationCount: run.value.operationCount + run.value.readCount, callCount: recovery.callCount,
            traceHash: recovery.hash, workloadHash: disk.traceHash)
    }

    /// Runs the workload; what is wrong with how it ended, or nil.
    private static func work(
        on disk: SimulatedFileSystem, _ plan: CampaignPlan, _ clock: VirtualClock, _ run: Box<RandomRun>,
        _ collector: ImageCollector?
    ) -> String? {
        var settings = plan.settings
        settings.clock = clock
        let checker = collector.map { _ in WriteOrderChecker(disk) }
        settings.checker = checker
        settings.isChecked = checker != nil
        do {
            try Simulation.run(disk, settings) { store in
                var workload = RandomWorkload(seed: plan.seed, run: run, store: store)
                workload.acceptsFailures = plan.disk == .failing || plan.disk == .small
                workload.acceptsDamage = plan.disk == .lying
                workload.checker = checker
                workload.clock = clock
                workload.kept = plan.kept
                await workload.runAll(writers: plan.writers, steps: plan.steps, readers: plan.readers)
                // After a while in which nobody writes, relaxed commits are on disk as well.
                guard plan.disk == .sound else { return }
                try await clock.sleep(nanoseconds: 400_000_000)
                collector?.add("idle", disk.crashImage(.loseAll))
            }
        } catch let error as StoreError {
            let mayFail = plan.disk == .failing || plan.disk == .small
            if error.code == .corruption ? plan.disk != .lying : !mayFail { return "the run failed: \(error)" }
        } catch {
            return "the run failed: \(error)"
        }
        return nil
    }
}

/// A workload that did not run as it must on a sound disk.
package struct CampaignFailure: Error, CustomStringConvertible {
    /// What went wrong.
    package let description: String
}
