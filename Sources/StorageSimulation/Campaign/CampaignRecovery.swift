/// Recovers what crashes left, stops the machine again while it recovers, and judges every state that comes out.
import Nephrite
import StorageIO

struct CampaignRecovery {
    let plan: CampaignPlan
    let events: [HistoryEvent]
    private(set) var hash: UInt64
    private(set) var failures: [String] = []
    private(set) var stateCount = 0
    private var lifeCount: UInt64 = 0
    var callCount = 0

    init(plan: CampaignPlan, events: [HistoryEvent], hash: UInt64) {
        self.plan = plan
        self.events = events
        self.hash = hash
    }

    /// A relaxed commit that was acknowledged this long before a crash must be on disk, if nothing failed or delayed.
    private static let relaxedLimitNanoseconds: UInt64 = 300_000_000

    /// A seed for one more life of the store: no two lives may choose the same salts, as stale bytes of one would be
    /// valid in the other.
    private mutating func nextLife() -> UInt64 {
        lifeCount += 1
        return SplitMix64.mix(SplitMix64.mix(plan.seed) &+ lifeCount)
    }

    private func oracle(_ image: CrashImage) -> HistoryOracle {
        let limit = plan.disk == .sound ? (nanoseconds: Self.relaxedLimitNanoseconds, now: image.time) : nil
        return HistoryOracle(
            initial: RandomWorkload.initial, events: Array(events.prefix(image.eventCount)),
            promise: plan.disk == .lying ? .suffixMayBeLost : .exact, relaxedLimit: limit)
    }

    /// Recovers an image and what crashes of its recovery leave, down to `CrashCampaign.depth`.
    mutating func recover(_ image: CrashImage, depth: Int) {
        stateCount += 1
        if plan.rottenBitCount > 0, depth == 1 { rot(image) }
        let nested = Box<[CrashImage]>([])
        let isDeepest = depth == CrashCampaign.depth
        if !isDeepest {
            let collector = ImageCollector(
                seed: plan.seed &+ UInt64(depth * 7 + stateCount), period: 50, images: nested
            ) { (image.eventCount, image.time) }
            image.disk.snapshotHook = collector.hook
        }
        if plan.faultsInRecovery, depth < CrashCampaign.depth {
            failThenRecover(image, depth: depth)
        } else {
            judge(image)
        }
        image.disk.snapshotHook = nil
        hash = hash &* 31 &+ image.disk.traceHash
        callCount += image.disk.callCount
        // One of those inside suffices: there are many seeds.
        guard failures.isEmpty, let second = nested.value.first else { return }
        recover(
            CrashImage(
                disk: second.disk, label: "\(image.label), then \(second.label)", eventCount: image.eventCount,
                time: image.time), depth: depth + 1)
    }

    private mutating func judge(_ image: CrashImage) {
        let seed = nextLife()
        do {
            if plan.disk == .lying {
                try judgeDamaged(image, seed: seed)
                return
            }
            let goesOn = seed % plan.goingOnPeriod == 0 ? image.disk.crashImage(.keepAll) : nil
            // A reader sees what recovery is about to make, and does not make it.
            let seen =
                seed % plan.goingOnPeriod == 1 && plan.disk == .sound
                ? try Simulation.readOnly(image.disk.crashImage(.keepAll), seed: seed) : nil
            var state = try recover(image.disk, seed: seed)
            // The directory of a dropped database is back when the disk lost its renaming in a sync that it said had failed:
            // it is reported, and in nobody's way but of its name.
            if image.disk.hasLostNames { state.problems.removeAll { $0.contains("orphan ") } }
            if let verdict = oracle(image).verdict(state) { failures.append("\(image.label): \(verdict)") }
            if let seen {
                let differences = seen.model.differences(from: state.model) + seen.problems
                if seen.versions != state.versions || !differences.isEmpty {
                    failures.append("\(image.label): read-only differs: \(differences)")
                }
            }
            guard let goesOn, plan.disk != .small else { return }
            var again = try Simulation.recoverAndGoOn(goesOn, seed: nextLife())
            if goesOn.hasLostNames { again.problems.removeAll { $0.contains("orphan ") } }
            if let verdict = oracle(image).verdict(again) { failures.append("\(image.label), going on: \(verdict)") }
            hash = hash &* 31 &+ goesOn.traceHash
        } catch {
            failures.append("\(image.label): does not open: \(error)")
        }
    }

    /// Recovers; on a disk that is too full to open the store, there is room the second time.
    private func recover(_ disk: SimulatedFileSystem, seed: UInt64) throws -> ReadState {
        do {
            return try Simulation.recover(disk, seed: seed)
        } catch let error as StoreError where error.code == .diskFull && plan.disk == .small {
            let roomy = disk.crashImage(.keepAll)
            roomy.setCapacity(byteCount: nil)
            return try Simulation.recover(roomy, seed: ~seed)
        }
    }

    /// Recovers with calls that fail; whatever comes of it, recovering again without gives an allowed state.
    private mutating func failThenRecover(_ image: CrashImage, depth: Int) {
        image.disk.inject(FaultPlan(plan.faults, seed: plan.seed &+ UInt64(stateCount)))
        do {
            _ = try Simulation.recover(image.disk, seed: nextLife())
        } catch let error as StoreError {
            if error.code == .corruption { failures.append("\(image.label), failing: \(error)") }
        } catch {
            failures.append("\(image.label), failing: untyped: \(error)")
        }
        let stale = plan.seed &+ UInt64(depth)
        let choices: [(String, SimulatedFileSystem)] = [
            ("killed", image.disk.processKillImage()),
            ("crashed", image.disk.crashImage(.random(seed: stale), staleSeed: stale)),
        ]
        for (label, disk) in choices {
            disk.setTraceCapacity(0)
            stateCount += 1
            judge(
                CrashImage(
                    disk: disk, label: "\(image.label), failing recovery, \(label)", eventCount: image.eventCount,
                    time: image.time))
            hash = hash &* 31 &+ disk.traceHash
            callCount += disk.callCount
        }
    }

    // MARK: Damage

    /// Flips bits of a file, each file as likely as its length.
    private func rot(_ image: CrashImage) {
        var generator = SeededGenerator(seed: plan.seed ^ UInt64(stateCount) << 32)
        let files = image.disk.files()
        let total = files.reduce(0) { $0 + $1.byteCount }
        guard total > 0 else { return }
        for _ in 0..<plan.rottenBitCount {
            var position = generator.next(below: total)
            for file in files {
                if position < file.byteCount {
                    image.disk.flipBit(file.path, bit: position * 8 + generator.next(below: 8))
                    break
                }
                position -= file.byteCount
            }
        }
    }

    /// What is damaged is reported, what is not reported is right: nothing is there that nobody wrote, and if nothing is
    /// reported then only the newest commits may be missing.
    private mutating func judgeDamaged(_ image: CrashImage, seed: UInt64) throws {
        var settings = SimulationSettings()
        settings.seed = seed
        let state: ReadState
        do {
            state = try Simulation.runAndAbandon(image.disk, settings) { store in
                try await Simulation.readDamaged(store)
            }
        } catch is StoreError {
            return
        } catch let error as WriteOrderViolation
            where error.violations.allSatisfy({ $0.hasPrefix("O4: the catalogue knows of header") })
        {
            // The disk has put the header elsewhere than it said; whoever opens that database is told.
            return
        }
        let oracle = oracle(image)
        for line in oracle.inventions(in: state) { failures.append("\(image.label): \(line)") }
        if state.reports.isEmpty, let verdict = oracle.verdict(state) { failures.append("\(image.label): \(verdict)") }
    }
}
