// Seeded random workloads: writers, transactions, checkpoints and evictions at once, crashed at random calls, recovered,
// and crashed again while they recover. NEPHRITE_LONG=1 runs 10,000 seeds; a failure prints its seed, and
// `NEPHRITE_SEED=<seed> swift test --filter RandomCrashTests` replays it alone.
import Nephrite
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct RandomCrashTests {
    static let baseDisk = Result {
        let disk = SimulatedFileSystem()
        try Simulation.run(disk) { store in try await RandomWorkload.prepare(store) }
        return disk.crashImage(.keepAll)
    }

    struct Image: Sendable {
        let disk: SimulatedFileSystem
        let label: String
        let eventCount: Int
    }

    static func settings(_ seed: UInt64) -> SimulationSettings {
        var settings = SimulationSettings()
        settings.seed = seed
        settings.maximumOpenFiles = seed % 3 == 0 ? 2 : 100
        settings.logByteLimit = seed % 2 == 0 ? 40 << 10 : 1 << 20
        settings.bulkByteThreshold = seed % 5 == 0 ? 4 << 10 : 16 << 10
        return settings
    }

    /// Takes an image of about every `period`-th state-changing call.
    static func collect(
        _ images: Box<[Image]>, seed: UInt64, period: Int, _ eventCount: @escaping @Sendable () -> Int
    ) -> SimulatedFileSystem.SnapshotHook {
        let generator = Box(SeededGenerator(seed: seed ^ 0xC0FFEE))
        return { number, disk in
            let (isChosen, kind, choice) = generator.update {
                ($0.next(below: period) == 0, $0.next(below: 8), $0.next())
            }
            guard isChosen else { return }
            let image =
                switch kind {
                case 0: disk.processKillImage()
                case 1: disk.crashImage(.loseAll)
                case 2: disk.crashImage(.keepAll)
                default: disk.crashImage(.random(seed: choice))
                }
            let taken = Image(disk: image, label: "call \(number), kind \(kind), \(choice)", eventCount: eventCount())
            images.update { $0.append(taken) }
        }
    }

    /// What one seed gave: failures, how many states were recovered, and a hash over all calls.
    static func simulate(_ seed: UInt64) throws -> (failures: [String], stateCount: Int, hash: UInt64) {
        let disk = try baseDisk.get().crashImage(.keepAll)
        let run = Box(RandomRun())
        let images = Box<[Image]>([])
        var generator = SeededGenerator(seed: seed)
        let writers = 2 + generator.next(below: 5)
        let steps = Campaign.isLong ? 3 + generator.next(below: 8) : 2 + generator.next(below: 5)
        disk.snapshotHook = collect(images, seed: seed, period: 50 + writers * steps) { run.value.events.count }
        var failures: [String] = []
        do {
            try Simulation.run(disk, settings(seed)) { store in
                await RandomWorkload(seed: seed, run: run, store: store).runAll(writers: writers, steps: steps)
            }
        } catch {
            failures.append("the run failed: \(error)")
        }
        disk.snapshotHook = nil
        failures += run.value.problems
        let all =
            images.value + [
                Image(disk: disk.crashImage(.loseAll), label: "the end", eventCount: run.value.events.count)
            ]
        var stateCount = 0
        var hash = disk.traceHash
        for image in all {
            let outcome = recover(image, seed: seed, events: run.value.events)
            failures += outcome.failures
            stateCount += outcome.stateCount
            hash = hash &* 31 &+ outcome.hash
        }
        return (failures, stateCount, hash)
    }

    /// Recovers an image, collecting images of the recovery, which must recover to an allowed state, too.
    private static func recover(
        _ image: Image, seed: UInt64, events: [HistoryEvent]
    ) -> (failures: [String], stateCount: Int, hash: UInt64) {
        let oracle = HistoryOracle(
            initial: RandomWorkload.initial, events: Array(events.prefix(image.eventCount)))
        let nested = Box<[Image]>([])
        var failures: [String] = []
        var count = 1
        do {
            // A reader sees what recovery is about to make, and does not make it.
            let seen = seed % 4 == 1 ? try Simulation.readOnly(image.disk.crashImage(.keepAll), seed: seed) : nil
            image.disk.snapshotHook = collect(nested, seed: seed &+ 7, period: 90) { image.eventCount }
            let goesOn = seed % 4 == 0
            let state =
                goesOn
                ? try Simulation.recoverAndGoOn(image.disk.crashImage(.keepAll), seed: seed)
                : try Simulation.recover(image.disk, seed: seed)
            image.disk.snapshotHook = nil
            if let verdict = oracle.verdict(state) { failures.append("\(image.label): \(verdict)") }
            if let seen {
                let differences = seen.model.differences(from: state.model) + seen.problems
                if seen.versions != state.versions || !differences.isEmpty {
                    failures.append("\(image.label): read-only differs: \(differences)")
                }
            }
        } catch {
            failures.append("\(image.label): does not open: \(error)")
        }
        for second in nested.value {
            count += 1
            do {
                let state = try Simulation.recover(second.disk, seed: seed &+ 1)
                if let verdict = oracle.verdict(state) {
                    failures.append("\(image.label), then \(second.label): \(verdict)")
                }
            } catch {
                failures.append("\(image.label), then \(second.label): does not open: \(error)")
            }
        }
        return (failures, count, image.disk.traceHash)
    }

    @Test("Random workloads that crash lose nothing acknowledged and invent nothing", arguments: 0..<4)
    func randomWorkloads(lane: Int) throws {
        if let seed = Campaign.seed {
            guard lane == 0 else { return }
            let outcome = try Self.simulate(seed)
            #expect(outcome.failures.isEmpty, "\(outcome.failures.joined(separator: "\n"))")
            return
        }
        var stateCount = 0
        var failed = 0
        for index in 0..<(Campaign.isLong ? 2_500 : 75) {
            let seed = UInt64(index * 4 + lane)
            let outcome = try Self.simulate(seed)
            stateCount += outcome.stateCount
            if !outcome.failures.isEmpty {
                failed += 1
                Issue.record(
                    """
                    NEPHRITE_SEED=\(seed) swift test --filter RandomCrashTests
                    \(outcome.failures.prefix(4).joined(separator: "\n"))
                    """)
            }
            if failed == 5 { break }
        }
        print("random crash states of lane \(lane): \(stateCount)")
    }

    @Test("A seed replays call by call", arguments: [3, 17, 42] as [UInt64])
    func replay(seed: UInt64) throws {
        let one = try Self.simulate(seed)
        let two = try Self.simulate(seed)
        #expect(one.hash == two.hash)
        #expect(one.stateCount == two.stateCount)
    }
}
