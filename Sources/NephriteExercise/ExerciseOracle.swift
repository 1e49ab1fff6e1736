/// Says exactly what a killed child may have left: takes the lines of one child after the other, each of which opened
/// what the one before it left, and refuses whatever is neither what was acknowledged nor that plus the step under way.

/// What may be in a store that children write to and are killed in.
package struct ExerciseOracle: Sendable {
    /// The states each writer may have left: what was acknowledged and, if a step was under way, that with the step;
    /// then those without the steps whose acknowledgement is uncertain.
    package private(set) var candidates: [[ExerciseState]]
    /// Steps acknowledged so far.
    package private(set) var acknowledgedCount = 0
    /// How often a step that was under way turned out to have been made.
    package private(set) var keptCount = 0
    /// States of writers compared with what they may be.
    package private(set) var comparisonCount = 0

    /// An empty store.
    package init(writerCount: Int) {
        candidates = Array(repeating: [ExerciseState()], count: writerCount)
    }

    /// Takes all lines of a child that was started with `seed` and has ended.
    ///
    /// - Parameter certainCount: how many of the lines were said while the disk did what it promised: a step that was
    ///   acknowledged later may be missing, with all steps of its writer after it. All lines unless given.
    /// - Throws: `ExerciseFailure` when it found something else than the children before it left, or answered out of order.
    package mutating func take(
        _ lines: [ExerciseLine], seed: UInt64, certainCount: Int? = nil
    ) throws(ExerciseFailure) {
        for writer in candidates.indices {
            var found: ExerciseState?
            var history = ExerciseSteps(seed: seed, writer: writer)
            var count = 0
            var refusal: String?
            var uncertain: [ExerciseState] = []
            for (index, line) in lines.enumerated() {
                switch line {
                case .recovered(writer, let digest): found = try state(of: writer, digest: digest)
                case .acknowledged(writer, let number):
                    guard number == count + 1, var state = found, refusal == nil else {
                        throw ExerciseFailure("Writer \(writer) acknowledged step \(number) after step \(count).")
                    }
                    count = number
                    if index >= certainCount ?? lines.count { uncertain.append(state) }
                    state.apply(history.next(state))
                    found = state
                case .failed(writer, let code, _): refusal = code
                default: break
                }
            }
            acknowledgedCount += count - uncertain.count
            guard let state = found else { continue }
            candidates[writer] =
                Self.possible(after: state, next: history.next(state), refusal: refusal)
                + uncertain.reversed()
        }
    }

    /// Compares what was read from the store, closed cleanly afterwards, with what may be there.
    ///
    /// - Throws: `ExerciseFailure` with the differences.
    package mutating func take(found states: [ExerciseState]) throws(ExerciseFailure) {
        for (writer, found) in states.enumerated() {
            let state = try state(of: writer, digest: found.digest, found: found)
            candidates[writer] = [state]
        }
    }

    /// What a writer may have left whose step `next` was under way, or was refused with an error.
    private static func possible(
        after state: ExerciseState, next step: ExerciseStep, refusal: String?
    ) -> [ExerciseState] {
        var after = state
        after.apply(step)
        // Of a refused change nothing may ever be seen; creating and dropping have more than one step of their own.
        if case .change = step, let refusal, refusal != "outcomeUnknown" { return [state] }
        return after == state ? [state] : [state, after]
    }

    private mutating func state(
        of writer: Int, digest: UInt64, found: ExerciseState? = nil
    ) throws(ExerciseFailure) -> ExerciseState {
        comparisonCount += 1
        guard let index = candidates[writer].firstIndex(where: { $0.digest == digest }) else {
            let differences = found.map { $0.differences(from: candidates[writer][0]) } ?? []
            throw ExerciseFailure(
                "What writer \(writer) has is neither what was acknowledged nor that with the step under way. "
                    + differences.joined(separator: "; "))
        }
        keptCount += index == 1 ? 1 : 0
        return candidates[writer][index]
    }
}
