/// The oracle of the kill and power-cut campaigns, and the lines it is fed with: right histories pass, wrong ones do not.
import NephriteExercise
import Testing

@Suite struct ExerciseOracleTests {
    /// A child that took some steps of each writer from given states, and what each writer has then.
    private func child(
        seed: UInt64, steps: [Int], from states: [ExerciseState]
    ) -> (lines: [ExerciseLine], after: [ExerciseState]) {
        var lines: [ExerciseLine] = [.opening]
        var after = states
        for (writer, state) in states.enumerated() {
            lines.append(.recovered(writer: writer, digest: state.digest))
        }
        for writer in states.indices {
            var history = ExerciseSteps(seed: seed, writer: writer)
            for count in 0..<steps[writer] {
                after[writer].apply(history.next(after[writer]))
                lines.append(.acknowledged(writer: writer, count: count + 1))
            }
        }
        return (lines, after)
    }

    /// How many steps of the first writer to take so that the last one and the two that follow all change something.
    private func busyCount(seed: UInt64) throws -> Int {
        var history = ExerciseSteps(seed: seed, writer: 0)
        var states = [ExerciseState()]
        for _ in 0..<200 {
            var next = states[states.count - 1]
            next.apply(history.next(next))
            states.append(next)
        }
        return try #require((20..<190).first { count in Set(states[count - 1...count + 2].map(\.digest)).count == 4 })
    }

    /// A state with the step that the child had under way when it had taken `count`.
    private func withNext(_ state: ExerciseState, seed: UInt64, writer: Int, after count: Int) -> ExerciseState {
        var history = ExerciseSteps(seed: seed, writer: writer)
        var past = ExerciseState()
        for _ in 0..<count { past.apply(history.next(past)) }
        var next = state
        next.apply(history.next(state))
        return next
    }

    @Test("What was acknowledged may be found, with or without the step under way")
    func possible() throws {
        var oracle = ExerciseOracle(writerCount: 2)
        let count = try busyCount(seed: 1)
        let first = child(seed: 1, steps: [count, 0], from: [ExerciseState(), ExerciseState()])
        try oracle.take(first.lines, seed: 1)
        #expect(oracle.acknowledgedCount == count)
        let kept = withNext(first.after[0], seed: 1, writer: 0, after: count)
        #expect(kept != first.after[0])
        var other = oracle
        try other.take(found: [kept, first.after[1]])
        #expect(other.keptCount == 1)
        #expect(other.candidates == [[kept], [first.after[1]]])
        try oracle.take(found: first.after)
        #expect(oracle.keptCount == 0)
    }

    @Test("A child that was killed while it opened the store decides nothing; the next one does")
    func nested() throws {
        var oracle = ExerciseOracle(writerCount: 1)
        let count = try busyCount(seed: 1)
        let first = child(seed: 1, steps: [count], from: [ExerciseState()])
        try oracle.take(first.lines, seed: 1)
        try oracle.take([.opening], seed: 2)
        try oracle.take([], seed: 3)
        #expect(oracle.candidates[0].count == 2)
        let kept = withNext(first.after[0], seed: 1, writer: 0, after: count)
        let second = child(seed: 4, steps: [10], from: [kept])
        try oracle.take(second.lines, seed: 4)
        try oracle.take(found: second.after)
    }

    @Test("Steps acknowledged while the disk was dying may be missing from the end; those before may not")
    func uncertain() throws {
        let count = try busyCount(seed: 1)
        let child = child(seed: 1, steps: [count], from: [ExerciseState()])
        let states = (0...count).map { self.child(seed: 1, steps: [$0], from: [ExerciseState()]).after[0] }
        var oracle = ExerciseOracle(writerCount: 1)
        // One line says what was recovered; the last two acknowledgements are uncertain.
        try oracle.take(child.lines, seed: 1, certainCount: child.lines.count - 2)
        #expect(oracle.acknowledgedCount == count - 2)
        for state in states.suffix(3) {
            var copy = oracle
            try copy.take(found: [state])
            #expect(copy.keptCount == 0)
        }
        let lost = try #require(states.last { state in !states.suffix(3).contains(state) })
        #expect(throws: ExerciseFailure.self) { try oracle.take(found: [lost]) }
    }

    @Test("A lost step, a step too many, a changed record and a missing database are refused")
    func impossible() throws {
        var oracle = ExerciseOracle(writerCount: 1)
        let count = try busyCount(seed: 1)
        let first = child(seed: 1, steps: [count], from: [ExerciseState()])
        try oracle.take(first.lines, seed: 1)
        var wrong = [child(seed: 1, steps: [count - 1], from: [ExerciseState()]).after[0]]
        wrong.append(child(seed: 1, steps: [count + 2], from: [ExerciseState()]).after[0])
        var changed = first.after[0]
        let name = try #require(changed.databases.first { !$0.value.isEmpty }?.key)
        let id = try #require(changed.databases[name]?.keys.sorted().first)
        changed.databases[name]?[id]? += 1
        wrong.append(changed)
        var missing = first.after[0]
        missing.databases[name] = nil
        wrong.append(missing)
        for state in wrong {
            var copy = oracle
            #expect(throws: ExerciseFailure.self) { try copy.take(found: [state]) }
            var another = oracle
            #expect(throws: ExerciseFailure.self) {
                try another.take([.recovered(writer: 0, digest: state.digest)], seed: 9)
            }
        }
    }

    @Test("Of a change that was refused nothing may be found, unless its outcome is unknown")
    func refused() throws {
        let seed = try #require(
            (UInt64(1)...50).first { seed in
                var history = ExerciseSteps(seed: seed, writer: 0)
                let step = history.next(ExerciseState())
                var after = ExerciseState()
                after.apply(step)
                guard case .change = step, after != ExerciseState() else { return false }
                return true
            })
        let made = withNext(ExerciseState(), seed: seed, writer: 0, after: 0)
        for (code, mayBeThere) in [("fenced", false), ("diskFull", false), ("outcomeUnknown", true)] {
            var oracle = ExerciseOracle(writerCount: 1)
            var lines = child(seed: seed, steps: [0], from: [ExerciseState()]).lines
            lines.append(ExerciseLine.failed(writer: 0, code: code, message: "the disk is gone"))
            try oracle.take(lines, seed: seed)
            if mayBeThere {
                try oracle.take(found: [made])
            } else {
                #expect(throws: ExerciseFailure.self) { try oracle.take(found: [made]) }
            }
        }
    }

    @Test("Acknowledgements out of order, or after a refusal, are refused")
    func order() {
        let start = ExerciseLine.recovered(writer: 0, digest: ExerciseState().digest)
        let wrong: [[ExerciseLine]] = [
            [start, .acknowledged(writer: 0, count: 2)],
            [start, .acknowledged(writer: 0, count: 1), .acknowledged(writer: 0, count: 1)],
            [.acknowledged(writer: 0, count: 1)],
            [start, .failed(writer: 0, code: "fenced", message: "-"), .acknowledged(writer: 0, count: 1)],
        ]
        for lines in wrong {
            var oracle = ExerciseOracle(writerCount: 1)
            #expect(throws: ExerciseFailure.self) { try oracle.take(lines, seed: 1) }
        }
    }

    @Test(
        "A line that is written is read again",
        arguments: [
            ExerciseLine.opening, .recovered(writer: 3, digest: 0xFEED_0000_0000_0001),
            .acknowledged(writer: 0, count: 12),
            .failed(writer: 1, code: "fenced", message: "two words and a \u{1F4A5}"),
            .reread(writer: 2),
        ])
    func line(_ line: ExerciseLine) {
        #expect(ExerciseLine(line.text) == line)
    }

    @Test(
        "What no child says is no line",
        arguments: ["", "ack", "ack 0", "ack x 1", "ack -1 1", "ack 0 1 2", "recovered 0 xyz", "opening now", "hello"])
    func noLine(_ text: String) {
        #expect(ExerciseLine(text) == nil)
    }

    @Test("The steps of a seed are the same each time, and of all kinds")
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
