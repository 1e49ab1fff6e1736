// The n-th system call of a standard workload fails, for every n (a sample of them without NEPHRITE_LONG=1): whatever
// fails is a typed error, nothing hangs, nothing acknowledged is lost, and nothing refused is there after a reopen.
import Nephrite
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct FaultTests {
    enum Kind: String, CaseIterable, Sendable {
        case inputOutput, noSpace, noSpaceForever, interrupted, short, partial, syncLosesSome, syncKeepsAll

        func fault(at call: Int) -> Fault {
            let syncs: Set<SystemCall> = [.synchronizeData, .synchronize, .synchronizeDirectory]
            return switch self {
            case .inputOutput: Fault(.fail(ErrorNumber.inputOutput), .at(call))
            case .noSpace: Fault(.fail(ErrorNumber.noSpace), .at(call), calls: [.write, .allocate, .createDirectory])
            case .noSpaceForever:
                Fault(.fail(ErrorNumber.noSpace), .from(call), calls: [.write, .allocate, .createDirectory])
            case .interrupted: Fault(.fail(ErrorNumber.interrupted), .at(call), calls: [.read, .write])
            case .short: Fault(.short(bytes: 700), .at(call), calls: [.read, .write])
            case .partial: Fault(.failAfter(bytes: 900, code: ErrorNumber.noSpace), .at(call), calls: [.write])
            case .syncLosesSome:
                Fault(.failSync(ErrorNumber.inputOutput, losing: .some(seed: UInt64(call))), .at(call), calls: syncs)
            case .syncKeepsAll: Fault(.failSync(ErrorNumber.noSpace, losing: .nothing), .at(call), calls: syncs)
            }
        }

        var isHarmless: Bool { self == .interrupted || self == .short }
    }

    /// One writer that notes what it did, so that the history is exact.
    static func standardWorkload(_ store: VectorStore, _ run: Box<RandomRun>) async {
        var workload = RandomWorkload(seed: 5, run: run, store: store)
        workload.acceptsFailures = true
        await workload.runAll(writers: 2, steps: 12)
    }

    /// Runs the workload with a fault; what is wrong afterwards, and whether the fault struck.
    static func simulate(_ kind: Kind, call: Int) -> (failures: [String], struck: Bool) {
        let run = Box(RandomRun())
        var failures: [String] = []
        guard let disk = try? CrashCampaign.baseDisk.get().crashImage(.keepAll) else { return (["no base"], true) }
        disk.inject(FaultPlan([kind.fault(at: call)]))
        var settings = SimulationSettings()
        settings.seed = 5
        settings.logByteLimit = 40 << 10
        settings.maximumOpenFiles = 2
        do {
            try Simulation.run(disk, settings) { store in await standardWorkload(store, run) }
        } catch let error as StoreError {
            if kind.isHarmless { failures.append("not retried: \(error)") }
        } catch {
            failures.append("untyped: \(error)")
        }
        let struck = disk.trace.contains {
            $0.code != 0 && $0.code != ErrorNumber.noEntry && $0.code != ErrorNumber.exists
        }
        failures += run.value.problems
        let oracle = HistoryOracle(initial: RandomWorkload.initial, events: run.value.events)
        let images: [(String, SimulatedFileSystem)] = [
            ("killed", disk.processKillImage()), ("lose all", disk.crashImage(.loseAll)),
            ("keep all", disk.crashImage(.keepAll)), ("random", disk.crashImage(.random(seed: UInt64(call)))),
        ]
        for (label, image) in images {
            do {
                let state = try Simulation.recover(image, seed: UInt64(call))
                if let verdict = oracle.verdict(state) { failures.append("\(label): \(verdict)") }
            } catch {
                failures.append("\(label): does not open: \(error)")
            }
        }
        return (failures, struck)
    }

    @Test("A failing call is a typed error, and reopening finds what was acknowledged", arguments: Kind.allCases)
    func everyCall(kind: Kind) throws {
        var call = 1
        var count = 0
        var failed = 0
        var idle = 0
        while idle < 3 && failed < 4 {
            let outcome = Self.simulate(kind, call: call)
            count += 1
            idle = outcome.struck || kind == .short ? 0 : idle + 1
            if kind == .short, call > 400 { break }
            if !outcome.failures.isEmpty {
                failed += 1
                Issue.record(
                    "\(kind) at its call \(call): \(outcome.failures.prefix(4).joined(separator: "\n"))")
            }
            call += Campaign.isLong ? 1 : 17
        }
        #expect(count > 3)
        print("faults \(kind): \(count) runs, \(count * 4) states, up to call \(call)")
    }

    @Test("A disk of any size is full at some point, and nothing is lost", arguments: 0..<2)
    func diskFull(lane: Int) throws {
        let used = try CrashCampaign.baseDisk.get()
        for step in 0..<(Campaign.isLong ? 60 : 6) {
            let budget = UInt64((step * 2 + lane) * (Campaign.isLong ? 64 : 600) << 10)
            let run = Box(RandomRun())
            let disk = used.crashImage(.keepAll)
            disk.setCapacity(byteCount: budget)
            var settings = SimulationSettings()
            settings.seed = budget
            settings.logByteLimit = 40 << 10
            do {
                try Simulation.run(disk, settings) { store in
                    await Self.standardWorkload(store, run)
                    // Space returns: the store goes on without being reopened.
                    disk.setCapacity(byteCount: nil)
                    try await store.database("a").upsert(Values.record(id: "after", number: 77))
                    try await store.checkpoint()
                }
                run.update {
                    $0.events.append(
                        .begin(
                            9_999, .upsert(database: "a", id: "after", Values.model(number: 77)), isDurable: true,
                            numbers: []))
                    $0.events.append(.acknowledged(9_999, version: 0, at: 0))
                }
            } catch let error as StoreError {
                #expect(error.code == .diskFull, "budget \(budget): \(error)")
            }
            #expect(run.value.problems.isEmpty, "budget \(budget): \(run.value.problems)")
            disk.setCapacity(byteCount: nil)
            let oracle = HistoryOracle(initial: RandomWorkload.initial, events: run.value.events)
            for choice in [CrashChoice.loseAll, .keepAll, .random(seed: budget)] {
                let verdict = oracle.verdict(try Simulation.recover(disk.crashImage(choice)))
                #expect(verdict == nil, "budget \(budget), \(choice)")
            }
        }
    }

    /// The bytes of all files.
    static func usedByteCount(_ disk: SimulatedFileSystem) throws -> UInt64 {
        var paths: [StoragePath] = []
        for entry in try disk.list(.root) {
            if entry.kind == .file {
                paths.append(StoragePath(entry.name))
            } else {
                paths += try disk.list(StoragePath(entry.name)).map { StoragePath(entry.name, $0.name) }
            }
        }
        return paths.reduce(0) { $0 + UInt64(disk.contents(of: $1)?.count ?? 0) }
    }

    @Test("On a full disk deletes and checkpoints still work")
    func deletesOnAFullDisk() throws {
        let disk = try CrashCampaign.baseDisk.get().crashImage(.keepAll)
        try Simulation.run(disk) { store in
            let database = try await store.database("a")
            for index in 0..<40 { try await database.upsert(Values.record(id: "y\(index)", number: index)) }
            disk.setCapacity(byteCount: try Self.usedByteCount(disk))
            var refused = 0
            for index in 0..<200 {
                do {
                    try await database.upsert(Values.record(id: "z\(index)", number: index))
                } catch let error as StoreError where error.code == .diskFull {
                    refused += 1
                    if refused > 3 { break }
                }
            }
            #expect(refused > 3)
            for index in 0..<40 { #expect(try await database.delete("y\(index)")) }
            try await store.checkpoint()
            disk.setCapacity(byteCount: nil)
            try await database.upsert(Values.record(id: "back", number: 5))
        }
        let state = try Simulation.recover(disk.crashImage(.loseAll))
        #expect(state.problems.isEmpty)
        #expect(state.model["a", "back"] == Values.model(number: 5))
        #expect(state.model["a", "y3"] == nil)
    }
}
