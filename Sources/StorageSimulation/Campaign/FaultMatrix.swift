/// The n-th system call fails, for every n, in every way, once and for good, in every kind of work: what fails is a typed
/// error, and a store that is opened again without the failure holds what was acknowledged. Tests run a sample, and all
/// of it with NEPHRITE_LONG=1.
import Nephrite
import StorageIO

/// A part of the matrix.
package struct FaultMatrix: Sendable, CustomStringConvertible {
    /// What the store does when the call fails.
    package enum Phase: String, Sendable, CaseIterable {
        /// Opening, writing, reading, evicting, closing.
        case normal
        /// Opening what a crash left.
        case recovery
        /// Checkpoints of several databases, and the shutdown.
        case checkpoint
        /// A batch for which the file has to grow.
        case resize
    }

    /// How the call fails.
    package enum Failure: String, Sendable, CaseIterable {
        case inputOutput, noSpace, quota, interrupted, wouldBlock, tooManyOpenFiles, noMemory, accessDenied, readOnly
        case fileTooLarge, short, partial, late, full, syncLosesSome, syncKeepsAll
    }

    package let phase: Phase
    package let failure: Failure
    /// Whether every later call fails, too.
    package let isForever: Bool

    /// A part of the matrix.
    package init(_ phase: Phase, _ failure: Failure, isForever: Bool) {
        self.phase = phase
        self.failure = failure
        self.isForever = isForever
    }

    /// All parts.
    package static let all = Phase.allCases.flatMap { phase in
        Failure.allCases.flatMap { failure in
            [false, true].map { FaultMatrix(phase, failure, isForever: $0) }
        }
    }

    package var description: String { "\(failure.rawValue) \(isForever ? "for good" : "once") in \(phase.rawValue)" }

    /// What one failing call led to.
    package struct Outcome: Sendable {
        /// What is wrong; empty when nothing is.
        package var failures: [String] = []
        /// Whether the work got as far as the call.
        package var struck = false
        /// How many states were recovered.
        package var stateCount = 0
    }

    private func fault(at call: Int) -> Fault {
        let trigger = isForever ? Fault.Trigger.from(call) : .at(call)
        let syncs: Set<SystemCall> = [.synchronizeData, .synchronize, .synchronizeDirectory]
        func fail(_ code: Int32) -> Fault { Fault(.fail(code), trigger) }
        return switch failure {
        case .inputOutput: fail(ErrorNumber.inputOutput)
        case .noSpace: fail(ErrorNumber.noSpace)
        case .quota: fail(ErrorNumber.quotaExceeded)
        case .interrupted: fail(ErrorNumber.interrupted)
        case .wouldBlock: fail(ErrorNumber.wouldBlock)
        case .tooManyOpenFiles: fail(ErrorNumber.tooManyOpenFiles)
        case .noMemory: fail(ErrorNumber.noMemory)
        case .accessDenied: fail(ErrorNumber.accessDenied)
        case .readOnly: fail(ErrorNumber.readOnlyFileSystem)
        case .fileTooLarge: fail(ErrorNumber.fileTooLarge)
        case .short: Fault(.short(bytes: 700), trigger, calls: [.read, .write])
        case .partial: Fault(.failAfter(bytes: 900, code: ErrorNumber.noSpace), trigger, calls: [.write])
        case .full: Fault(.fail(ErrorNumber.noSpace), trigger, calls: [.write, .allocate, .createDirectory])
        case .late: Fault(.failAfter(bytes: 9_000, code: ErrorNumber.noSpace), trigger, calls: [.write])
        case .syncLosesSome:
            Fault(.failSync(ErrorNumber.inputOutput, losing: .some(seed: UInt64(call))), trigger, calls: syncs)
        case .syncKeepsAll: Fault(.failSync(ErrorNumber.noSpace, losing: .nothing), trigger, calls: syncs)
        }
    }

    /// Has the call `call` fail, counted from 1 over the calls that this failure concerns.
    package func run(call: Int) -> Outcome {
        var outcome = Outcome()
        let run = Box(RandomRun())
        do {
            let disk = try base.crashImage(.keepAll)
            let calls = Box(0)
            let fault = fault(at: call)
            disk.callHook = { made in
                guard fault.calls?.contains(made.call) ?? true else { return }
                calls.update { $0 += 1 }
            }
            let failure = work(on: disk, FaultPlan([fault]), calls, run)
            disk.callHook = nil
            if let failure { outcome.failures.append(failure) }
            outcome.struck = calls.value >= call
            outcome.failures += run.value.problems
            judge(disk, run.value.events, seed: UInt64(call), &outcome)
        } catch {
            outcome.failures.append("no base: \(error)")
        }
        return outcome
    }

    /// Does the phase's work with the plan in force; what is wrong with how it ended, or nil.
    private func work(
        on disk: SimulatedFileSystem, _ plan: FaultPlan, _ calls: Box<Int>, _ run: Box<RandomRun>
    ) -> String? {
        var settings = SimulationSettings()
        settings.seed = 0x5EED
        settings.logByteLimit = 40 << 10
        settings.maximumOpenFiles = phase == .normal ? 2 : 100
        let strike: @Sendable () -> Void = {
            calls.update { $0 = 0 }
            disk.inject(plan)
        }
        if phase == .normal || phase == .recovery { strike() }
        do {
            try Simulation.run(disk, settings) { [phase] store in
                var workload = RandomWorkload(seed: 5, run: run, store: store)
                workload.acceptsFailures = true
                switch phase {
                case .normal: await workload.runAll(writers: 2, steps: 12)
                case .recovery: _ = try await Simulation.read(store)
                case .checkpoint:
                    await workload.runAll(writers: 2, steps: 6)
                    strike()
                    for _ in 0..<2 { await workload.tolerate { try await store.checkpoint() } }
                case .resize:
                    strike()
                    for round in 0..<2 { await workload.grow(round: round) }
                }
            }
        } catch let error as StoreError {
            if error.code == .corruption { return "\(error)" }
        } catch {
            return "untyped: \(error)"
        }
        return nil
    }

    /// Opens what the failure left without it, however the process ended.
    private func judge(
        _ disk: SimulatedFileSystem, _ events: [HistoryEvent], seed: UInt64, _ outcome: inout Outcome
    ) {
        let oracle = HistoryOracle(initial: initial, events: events)
        let images: [(String, SimulatedFileSystem)] = [
            ("killed", disk.processKillImage()), ("nothing kept", disk.crashImage(.loseAll, staleSeed: seed)),
            ("everything kept", disk.crashImage(.keepAll)),
            ("random", disk.crashImage(.random(seed: seed), staleSeed: seed)),
        ]
        for (label, image) in images {
            outcome.stateCount += 1
            do {
                // Another seed than the one before: salts are never the same.
                let state = try Simulation.recover(image, seed: seed &+ 0x10_0000)
                if let verdict = oracle.verdict(state) { outcome.failures.append("\(label): \(verdict)") }
            } catch {
                outcome.failures.append("\(label): does not open: \(error)")
            }
        }
    }

    // MARK: Where each phase starts

    private var base: SimulatedFileSystem {
        get throws { phase == .recovery ? try Self.crashed.get().disk : try CrashCampaign.baseDisk.get() }
    }

    private var initial: ModelState {
        phase == .recovery ? (try? Self.crashed.get().state) ?? ModelState() : RandomWorkload.initial
    }

    /// A store that was killed amid its work, and what it holds.
    private static let crashed = Result { () throws -> (disk: SimulatedFileSystem, state: ModelState) in
        let disk = try CrashCampaign.baseDisk.get().crashImage(.keepAll)
        let image = Box<SimulatedFileSystem?>(nil)
        var settings = SimulationSettings()
        settings.seed = 0x11FE
        settings.logByteLimit = 40 << 10
        try Simulation.run(disk, settings) { store in
            let run = Box(RandomRun())
            await RandomWorkload(seed: 3, run: run, store: store).runAll(writers: 3, steps: 8)
            let taken = disk.crashImage(.keepAll)
            image.update { $0 = taken }
        }
        let left = image.value!
        let state = try Simulation.recover(left.crashImage(.keepAll))
        return (left, state.model)
    }
}

extension RandomWorkload {
    /// Runs something that may fail, with a typed error that is no corruption.
    func tolerate(_ body: () async throws -> Void) async {
        do {
            try await body()
        } catch let error as StoreError {
            noteFailure(error, of: "work")
        } catch {
            note("untyped: \(error)")
        }
    }

    /// Writes a batch for which both databases' files have to grow.
    func grow(round: Int) async {
        for name in ["a", "r"] {
            let rows = (0..<40).map { (id: "g\(round)-\($0)", number: number()) }
            let batch = ModelOperation.batch(
                rows.map { .upsert(database: name, id: $0.id, Values.model(number: $0.number)) })
            await perform(batch, durable: name == "a", numbers: rows.map(\.number)) {
                try await store.database(name).upsert(rows.map { Values.record(id: $0.id, number: $0.number) })
            }
        }
    }
}
