/// The steps of a random but reproducible history of one writer: `ExerciseRun` carries them out in a child that is
/// killed, and `ExerciseOracle` works out from the same seed what must be there.

/// One record that a step writes, or removes when there is no token.
package struct ExerciseChange: Sendable, Equatable {
    package var database: String
    package var id: String
    package var token: UInt64?
}

/// One operation, which is either done as a whole or not at all.
package enum ExerciseStep: Sendable, Equatable {
    /// How changes are made.
    package enum Form: Sendable { case single, batch, transaction }

    case change([ExerciseChange], Form)
    case create(String)
    case drop(String)
    case checkpoint
}

/// Makes the steps of one writer. The same seed and the same states give the same steps.
package struct ExerciseSteps: Sendable {
    /// How many ids each writer uses in each database.
    package static let idCount = 150

    /// An id of a writer.
    package static func id(_ writer: Int, _ number: Int) -> String { "w\(writer)-\(number)" }

    package let writer: Int
    private var random: SplitMix

    package init(seed: UInt64, writer: Int) {
        self.writer = writer
        random = SplitMix(state: seed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(writer))
    }

    /// The step after `state`.
    package mutating func next(_ state: ExerciseState) -> ExerciseStep {
        let scratch = ExerciseState.scratch(writer)
        let databases = ["narrow", "wide"] + (state.databases[scratch] == nil ? [] : [scratch])
        let database = databases[random.below(databases.count)]
        switch random.below(100) {
        case 0..<45: return .change([put(database)], .single)
        case 45..<60: return .change([remove(database)], .single)
        case 60..<75: return .change(several(upTo: 120) { $0.put(database) }, .batch)
        case 75..<80: return .change(several(upTo: 40) { $0.remove(database) }, .batch)
        case 80..<96:
            return .change(
                several(upTo: 12) { steps in
                    let database = databases[steps.random.below(databases.count)]
                    return steps.random.below(3) == 0 ? steps.remove(database) : steps.put(database)
                }, .transaction)
        case 96..<98: return .checkpoint
        default: return state.databases[scratch] == nil ? .create(scratch) : .drop(scratch)
        }
    }

    private mutating func id() -> String { Self.id(writer, random.below(Self.idCount)) }

    private mutating func put(_ database: String) -> ExerciseChange {
        ExerciseChange(database: database, id: id(), token: random.next() >> 1)
    }

    private mutating func remove(_ database: String) -> ExerciseChange {
        ExerciseChange(database: database, id: id(), token: nil)
    }

    /// Changes of different records.
    private mutating func several(
        upTo limit: Int, _ make: (inout Self) -> ExerciseChange
    ) -> [ExerciseChange] {
        var changes: [ExerciseChange] = []
        var seen: Set<[String]> = []
        for _ in 0...random.below(limit) {
            let change = make(&self)
            if seen.insert([change.database, change.id]).inserted { changes.append(change) }
        }
        return changes
    }
}

/// Steele, Lea and Flood's SplitMix64.
package struct SplitMix: Sendable {
    var state: UInt64

    package init(state: UInt64) { self.state = state }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1.
    package mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
