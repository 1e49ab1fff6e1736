/// The child that is killed, whose power is cut, whose syncs fail: writes at random from several tasks at once and says
/// so on standard output, a line for each step that is durable. The parts start it, and an `ExerciseOracle` judges it.
import CTorture
import Foundation
import Nephrite
import NephriteExercise

/// `nephrite-torture child STORE SEED WRITERS ROOM`
enum ExerciseChild {
    /// What the child ends with.
    enum Code {
        /// The store, or what is in it, is wrong.
        static let wrong: Int32 = 1
        /// The store threw an error in the middle of writing.
        static let stopped: Int32 = 3
        /// The store could not be opened.
        static let refused: Int32 = 4
    }

    /// The words that start a child; `isRoomy` lets it use segments of 64 MiB.
    static func words(store: String, seed: UInt64, writerCount: Int, isRoomy: Bool) -> [String] {
        ["child", store, String(seed), String(writerCount), isRoomy ? "roomy" : "small"]
    }

    /// Runs until it is killed, or until each writer was refused a step.
    static func run(_ words: [String]) async -> Int32 {
        _ = torture_die_with_parent()
        guard words.count == 5, let seed = UInt64(words[2]), let writerCount = Int(words[3]) else { return 64 }
        var isOpen = false
        do {
            say(.opening)
            let configuration = ExerciseRun.configuration(seed, isRoomy: words[4] == "roomy")
            try await withVectorStore(at: words[1], configuration: configuration) { store in
                let run = ExerciseRun(store)
                try await run.prepare()
                let states = try await run.states(writerCount: writerCount)
                isOpen = true
                for (writer, state) in states.enumerated() {
                    say(.recovered(writer: writer, digest: state.digest))
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (writer, state) in states.enumerated() {
                        group.addTask { try await write(run, ExerciseSteps(seed: seed, writer: writer), from: state) }
                    }
                    try await group.waitForAll()
                }
            }
            return Code.stopped
        } catch let error as StoreError where isOpen {
            complain("closing: \(error)")
            return Code.stopped
        } catch let error as StoreError {
            complain("opening: \(error)")
            return Code.refused
        } catch {
            complain("\(error)")
            return Code.wrong
        }
    }

    /// Takes steps until one is refused; then reads everything again, which must be what was acknowledged.
    private static func write(_ run: ExerciseRun, _ steps: ExerciseSteps, from state: ExerciseState) async throws {
        var steps = steps
        var state = state
        for count in 1... {
            let step = steps.next(state)
            do {
                try await run.perform(step, state)
            } catch let error as StoreError {
                say(.failed(writer: steps.writer, code: error.code.description, message: error.description))
                return try await reread(run, state, of: steps.writer)
            }
            state.apply(step)
            say(.acknowledged(writer: steps.writer, count: count))
        }
    }

    /// Reads go on when writing has stopped, but for what cannot be read from a disk that is gone.
    private static func reread(_ run: ExerciseRun, _ state: ExerciseState, of writer: Int) async throws {
        do {
            try await run.expect(state, of: writer)
            say(.reread(writer: writer))
        } catch let error as StoreError {
            complain("reading again: \(error)")
        }
    }

    /// A whole line in one call: a line that is there was said.
    private static func say(_ line: ExerciseLine) {
        let bytes = Array((line.text + "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe Foundation.write(1, $0.baseAddress, $0.count) }
    }

    private static func complain(_ message: String) {
        try? FileHandle.standardError.write(contentsOf: Data((message + "\n").utf8))
    }
}
