/// A random but reproducible history of one writer: the hidden command `exercise` carries it out, and the test that kills
/// that command works out from the same seed what must be there.
import Nephrite

/// What one writer has in each database: id to token. A record's vector and metadata follow from its token.
struct ExerciseState: Sendable, Equatable {
    /// The databases all writers share, with their dimensions.
    static let shared = ["narrow": 8, "wide": 96]

    /// The writer's records; its scratch database has an entry only while it exists.
    var databases: [String: [String: UInt64]] = ["narrow": [:], "wide": [:]]

    /// The dimension of a database.
    static func dimension(_ database: String) -> Int { shared[database] ?? 8 }

    /// The database that only one writer uses, and creates and drops.
    static func scratch(_ writer: Int) -> String { "scratch-\(writer)" }

    /// The writer whose record it is.
    static func writer(ofID id: String) -> Int? {
        guard id.first == "w", let end = id.firstIndex(of: "-") else { return nil }
        return Int(id[id.index(after: id.startIndex)..<end])
    }

    /// The record that a token stands for: every bit of it follows from the token.
    static func record(_ id: String, _ token: UInt64, in database: String) throws -> VectorRecord {
        var random = SplitMix(state: token)
        let vector = (0..<dimension(database)).map { _ in Float(random.below(2_000_001)) / 1000 - 1000 }
        let text = String(repeating: "x", count: random.below(90))
        let metadata: Metadata = ["token": .integer(Int64(bitPattern: token)), "text": .string(text)]
        return VectorRecord(id: id, vector: vector, metadata: metadata)
    }

    /// The token of a record, nil when anything of the record is not what its token says.
    static func token(of record: VectorRecord, in database: String) throws -> UInt64? {
        guard case .integer(let number)? = record.metadata["token"] else { return nil }
        let token = UInt64(bitPattern: number)
        let expected = try Self.record(record.id, token, in: database)
        let isSame =
            record.metadata == expected.metadata
            && record.vector.elementsEqual(expected.vector) { $0.bitPattern == $1.bitPattern }
        return isSame ? token : nil
    }

    /// What a step leaves behind.
    mutating func apply(_ step: ExerciseStep) {
        switch step {
        case .change(let changes, _):
            for change in changes { databases[change.database, default: [:]][change.id] = change.token }
        case .create(let database): databases[database] = [:]
        case .drop(let database): databases[database] = nil
        case .checkpoint: break
        }
    }
}

/// One record that a step writes, or removes when there is no token.
struct ExerciseChange: Sendable, Equatable {
    var database: String
    var id: String
    var token: UInt64?
}

/// One operation, which is either done as a whole or not at all.
enum ExerciseStep: Sendable, Equatable {
    /// How changes are made.
    enum Form: Sendable { case single, batch, transaction }

    case change([ExerciseChange], Form)
    case create(String)
    case drop(String)
    case checkpoint
}

/// Makes the steps of one writer. The same seed and the same states give the same steps.
struct ExerciseSteps: Sendable {
    private static let idCount = 150

    let writer: Int
    private var random: SplitMix

    init(seed: UInt64, writer: Int) {
        self.writer = writer
        random = SplitMix(state: seed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(writer))
    }

    /// The step after `state`.
    mutating func next(_ state: ExerciseState) -> ExerciseStep {
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

    private mutating func id() -> String { "w\(writer)-\(random.below(Self.idCount))" }

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
struct SplitMix: Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
