/// What one writer of an exercise has in the store: `ExerciseSteps` follow from it, `ExerciseRun` reads it back, and
/// `ExerciseOracle` says which of them may be found.
package import Nephrite

/// What one writer has in each database: id to token. A record's vector and metadata follow from its token.
package struct ExerciseState: Sendable, Equatable {
    /// The databases all writers share, with their dimensions.
    package static let shared = ["narrow": 8, "wide": 96]

    /// The writer's records; its scratch database has an entry only while it exists.
    package var databases: [String: [String: UInt64]] = ["narrow": [:], "wide": [:]]

    /// The dimension of a database.
    package static func dimension(_ database: String) -> Int { shared[database] ?? 8 }

    /// The database that only one writer uses, and creates and drops.
    package static func scratch(_ writer: Int) -> String { "scratch-\(writer)" }

    /// The writer whose record it is.
    package static func writer(ofID id: String) -> Int? {
        guard id.first == "w", let end = id.firstIndex(of: "-") else { return nil }
        return Int(id[id.index(after: id.startIndex)..<end])
    }

    /// The record that a token stands for: every bit of it follows from the token.
    package static func record(_ id: String, _ token: UInt64, in database: String) throws -> VectorRecord {
        var random = SplitMix(state: token)
        let vector = (0..<dimension(database)).map { _ in Float(random.below(2_000_001)) / 1000 - 1000 }
        let text = String(repeating: "x", count: random.below(90))
        let metadata: Metadata = ["token": .integer(Int64(bitPattern: token)), "text": .string(text)]
        return VectorRecord(id: id, vector: vector, metadata: metadata)
    }

    /// The token of a record, nil when anything of the record is not what its token says.
    package static func token(of record: VectorRecord, in database: String) throws -> UInt64? {
        guard case .integer(let number)? = record.metadata["token"] else { return nil }
        let token = UInt64(bitPattern: number)
        let expected = try Self.record(record.id, token, in: database)
        let isSame =
            record.metadata == expected.metadata
            && record.vector.elementsEqual(expected.vector) { $0.bitPattern == $1.bitPattern }
        return isSame ? token : nil
    }

    /// A state without records.
    package init() {}

    /// A number that depends on every id and token of the state, and not on their order: what a child that was killed
    /// and the parent that killed it compare.
    package var digest: UInt64 {
        databases.reduce(0) { sum, database in
            let name = Self.hash(database.key)
            return database.value.reduce(sum &+ mixed(name)) { sum, record in
                sum &+ mixed(mixed(name ^ Self.hash(record.key)) ^ record.value)
            }
        }
    }

    private func mixed(_ value: UInt64) -> UInt64 {
        var random = SplitMix(state: value)
        return random.next()
    }

    /// Fowler, Noll and Vo's FNV-1a.
    private static func hash(_ text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// Where two states differ, in words; the first `limit` differences.
    package func differences(from other: ExerciseState, limit: Int = 20) -> [String] {
        var lines: [String] = []
        for name in Set(databases.keys).union(other.databases.keys).sorted() {
            guard let there = databases[name], let due = other.databases[name] else {
                lines.append("\(name) is \(databases[name] == nil ? "missing" : "there")")
                continue
            }
            for id in Set(there.keys).union(due.keys).sorted() where there[id] != due[id] {
                lines.append(
                    "\(name)/\(id): \(there[id].map { "\($0)" } ?? "-"), not \(due[id].map { "\($0)" } ?? "-")")
            }
        }
        return Array(lines.prefix(limit))
    }

    /// What a step leaves behind.
    package mutating func apply(_ step: ExerciseStep) {
        switch step {
        case .change(let changes, _):
            for change in changes { databases[change.database, default: [:]][change.id] = change.token }
        case .create(let database): databases[database] = [:]
        case .drop(let database): databases[database] = nil
        case .checkpoint: break
        }
    }
}
