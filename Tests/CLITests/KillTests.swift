/// Real kills: `nephrite exercise` writes at random from four tasks and acknowledges each step on a pipe, SIGKILL ends it
/// at a random point, and the store that is left must be exactly what was acknowledged, plus at most the one step that
/// each task had under way.
///
/// Eight rounds in plain `swift test`; 200 with NEPHRITE_LONG=1. The steps follow from the round's number, the moment of
/// the kill does not; a round that fails says its seed and leaves the store where it is.
import Foundation
import Nephrite
import Testing

@testable import NephriteCLI

@Suite(.timeLimit(.minutes(20))) struct KillTests {
    private static let writerCount = 4
    private static let isLong = ProcessInfo.processInfo.environment["NEPHRITE_LONG"] == "1"

    /// What the rounds went through, all in all.
    private struct Totals {
        var acknowledged = 0
        var underWay = 0
        var replayed = 0
        var torn = 0
        var killedRecoveries = 0
    }

    @Test("a killed process loses nothing it acknowledged and leaves nothing in part")
    func killed() async throws {
        let directory = try TemporaryDirectory()
        let store = directory.path("store")
        var random = SplitMix(state: 2)
        var states = Array(repeating: ExerciseState(), count: Self.writerCount)
        var totals = Totals()
        for round in 0..<(Self.isLong ? 200 : 8) {
            let seed = UInt64(1000 + round)
            let steps = try killExercise(store, seed: seed, random: &random)
            totals.acknowledged += steps.reduce(0, +)
            if random.below(3) == 0, try killRecovery(store, random: &random) { totals.killedRecoveries += 1 }
            do {
                try await verify(store, &states, seed: seed, steps: steps, &totals)
            } catch {
                let kept = FileManager.default.temporaryDirectory.appendingPathComponent("nephrite-killed-\(seed)")
                try? FileManager.default.moveItem(atPath: store, toPath: kept.path)
                Issue.record(
                    "round \(round), seed \(seed), \(steps) steps acknowledged, store kept in \(kept.path): \(error)")
                return
            }
        }
        #expect(totals.acknowledged > 0)
        print(
            "KillTests: \(totals.acknowledged) steps acknowledged, \(totals.underWay) under way and kept, "
                + "\(totals.replayed) commits replayed, \(totals.torn) torn bytes cut, "
                + "\(totals.killedRecoveries) recoveries killed")
    }

    /// Runs the exercise and kills it; the steps that each writer had acknowledged.
    private func killExercise(_ store: String, seed: UInt64, random: inout SplitMix) throws -> [Int] {
        let process = NephriteProcess.make([
            "exercise", "--store", store, "--seed", String(seed), "--writers", String(Self.writerCount),
        ])
        let output = Pipe()
        process.standardOutput = output
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        var received = Data()
        var lineCount = 0
        var isAlive = true
        let limit = random.below(8) == 0 ? random.below(4) : random.below(Self.isLong ? 1500 : 500)
        // What is in the pipe when it dies was acknowledged: read to the end.
        while case let data = output.fileHandleForReading.availableData, !data.isEmpty {
            received.append(data)
            lineCount += data.count { $0 == UInt8(ascii: "\n") }
            if isAlive, lineCount > limit {
                spin(random.below(300_000))
                kill(process.processIdentifier, SIGKILL)
                isAlive = false
            }
        }
        process.waitUntilExit()
        let message = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(process.terminationReason == .uncaughtSignal, "seed \(seed): \(message)")
        #expect(process.terminationStatus == SIGKILL, "seed \(seed): \(message)")
        var steps = Array(repeating: 0, count: Self.writerCount)
        for line in String(decoding: received, as: UTF8.self).split(separator: "\n") {
            let numbers = line.split(separator: " ").compactMap { Int($0) }
            guard numbers.count == 2, numbers[1] == steps[numbers[0]] + 1 else {
                Issue.record("seed \(seed): an acknowledgement is out of order: \(line)")
                continue
            }
            steps[numbers[0]] = numbers[1]
        }
        return steps
    }

    /// Opens the store in a process that is killed once its recovery has begun to change something: a new segment.
    private func killRecovery(_ store: String, random: inout SplitMix) throws -> Bool {
        let before = try logFiles(store)
        let process = NephriteProcess.make(["count", "--store", store, "narrow"])
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        while process.isRunning, try logFiles(store) == before {}
        spin(random.below(3_000_000))
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal
    }

    private func logFiles(_ store: String) throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: store + "/wal"))
    }

    /// Lets some time pass that no clock decides.
    private func spin(_ count: Int) {
        var random = SplitMix(state: 0)
        for _ in 0..<count { _ = random.next() }
        #expect(random.state != 0 || count == 0)
    }

    /// Opens what is left and compares it with what each writer may have left, which becomes the next round's start.
    private func verify(
        _ path: String, _ states: inout [ExerciseState], seed: UInt64, steps: [Int], _ totals: inout Totals
    ) async throws {
        let (found, report, recovery) = try await withVectorStore(at: path) { store in
            let found = try await ExerciseCommand.states(store, writerCount: Self.writerCount)
            for description in try await store.databases() {
                let count = try await store.database(description.name).count()
                let expected = found.reduce(0) { $0 + ($1.databases[description.name]?.count ?? 0) }
                #expect(count == expected, "seed \(seed): the count of \(description.name)")
            }
            return (found, try await store.check(), store.recoveryReport)
        }
        #expect(report.isSound, "seed \(seed): \(report)")
        #expect(report.orphans.isEmpty, "seed \(seed)")
        totals.replayed += recovery?.replayedCommitCount ?? 0
        totals.torn += recovery?.tornByteCount ?? 0
        for writer in states.indices {
            var history = ExerciseSteps(seed: seed, writer: writer)
            var acknowledged = states[writer]
            for _ in 0..<steps[writer] { acknowledged.apply(history.next(acknowledged)) }
            let underWay = history.next(acknowledged)
            var after = acknowledged
            after.apply(underWay)
            guard found[writer] == acknowledged || found[writer] == after else {
                throw Mismatch(
                    writer: writer, underWay: underWay, differences: differences(found[writer], acknowledged))
            }
            if found[writer] != acknowledged { totals.underWay += 1 }
            states[writer] = found[writer]
        }
    }

    private func differences(_ found: ExerciseState, _ expected: ExerciseState) -> [String] {
        var lines: [String] = []
        for name in Set(found.databases.keys).union(expected.databases.keys).sorted() {
            guard let there = found.databases[name], let due = expected.databases[name] else {
                lines.append("\(name) is \(found.databases[name] == nil ? "missing" : "there")")
                continue
            }
            for id in Set(there.keys).union(due.keys).sorted() where there[id] != due[id] {
                lines.append(
                    "\(name)/\(id): \(there[id].map { "\($0)" } ?? "-"), not \(due[id].map { "\($0)" } ?? "-")")
            }
        }
        return lines
    }

    private struct Mismatch: Error {
        let writer: Int
        let underWay: ExerciseStep
        let differences: [String]
    }

    @Test("the steps of a seed are the same each time, and of all kinds")
    func reproducible() {
        var state = ExerciseState()
        var first = ExerciseSteps(seed: 7, writer: 2)
        var second = first
        var kinds: Set<String> = []
        for _ in 0..<600 {
            let step = first.next(state)
            #expect(step == second.next(state))
            state.apply(step)
            switch step {
            case .change(_, let form): kinds.insert("\(form)")
            case .create: kinds.insert("create")
            case .drop: kinds.insert("drop")
            case .checkpoint: kinds.insert("checkpoint")
            }
        }
        #expect(kinds.count == 6)
        #expect(state.databases.values.contains { $0.count > 50 })
    }
}
