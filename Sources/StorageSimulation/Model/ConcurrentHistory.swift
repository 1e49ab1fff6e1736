/// The oracle for many writers: tests note when each operation began and ended, and check a recovered state.

/// What concurrent writers did, and which recovered states it allows.
///
/// An operation that ended before another began comes before it in every commit order; otherwise the order is
/// open. An operation that never ended may have been committed or not.
public struct ConcurrentHistory: Sendable {
    /// What became of an operation.
    public enum Outcome: Sendable, Hashable {
        /// Submitted, and nothing known: in flight at the crash, or reported as unknown.
        case unknown
        /// Acknowledged: it must have happened.
        case acknowledged
        /// Refused: it must not have happened.
        case refused
    }

    private struct Entry: Sendable {
        let operation: ModelOperation
        let begin: Int
        var end: Int?
        var outcome: Outcome

        /// Whether this one was acknowledged before the other began.
        func precedes(_ other: Entry) -> Bool {
            guard outcome == .acknowledged, let end else { return false }
            return end < other.begin
        }
    }

    private let initial: ModelState
    private var entries: [Entry] = []
    private var time = 0

    /// Creates a history that starts from a state.
    public init(initial: ModelState = ModelState()) { self.initial = initial }

    /// Notes that an operation is submitted now; its index.
    public mutating func begin(_ operation: ModelOperation) -> Int {
        time += 1
        entries.append(Entry(operation: operation, begin: time, outcome: .unknown))
        return entries.count - 1
    }

    /// Notes that an operation was acknowledged now.
    public mutating func acknowledge(_ index: Int) { end(index, .acknowledged) }

    /// Notes that an operation was refused now, and certainly did nothing.
    public mutating func refuse(_ index: Int) { end(index, .refused) }

    private mutating func end(_ index: Int, _ outcome: Outcome) {
        precondition(entries[index].end == nil, "the operation has ended before")
        time += 1
        entries[index].end = time
        entries[index].outcome = outcome
    }

    // MARK: The commit order is known

    /// Checks a recovered state against a total order of commits, given by the store's versions.
    ///
    /// - Parameter order: the operations that were committed, first to last.
    /// - Returns: what is wrong, or `nil`.
    public func mismatch(of recovered: ModelState, commitOrder order: [Int]) -> String? {
        let committed = Set(order)
        guard committed.count == order.count else { return "an operation was committed twice" }
        for (index, entry) in entries.enumerated() {
            if entry.outcome == .acknowledged && !committed.contains(index) {
                return "operation \(index) was acknowledged but is not committed"
            }
            if entry.outcome == .refused && committed.contains(index) {
                return "operation \(index) was refused but is committed"
            }
        }
        var latestBegin = 0
        for index in order {
            if entries[index].outcome == .acknowledged, let end = entries[index].end, end < latestBegin {
                return "operation \(index) is committed after one that began when it had ended"
            }
            latestBegin = max(latestBegin, entries[index].begin)
        }
        var state = initial
        for index in order {
            do {
                try state.apply(entries[index].operation)
            } catch {
                return "operation \(index) cannot be committed at its place: \(error)"
            }
        }
        let lines = recovered.differences(from: state)
        return lines.isEmpty ? nil : lines.joined(separator: "\n")
    }

    // MARK: The commit order is unknown

    /// A record, or a whole database when `id` is `nil`.
    private struct Key: Hashable, Comparable {
        let database: String
        let id: String?

        static func < (one: Key, other: Key) -> Bool {
            (one.database, one.id ?? "") < (other.database, other.id ?? "")
        }
    }

    /// The value that an operation leaves at a key; a database that exists counts as an empty record.
    private struct Effect: Hashable {
        let record: ModelRecord?
    }

    /// Checks a recovered state when the order of concurrent commits is unknown.
    ///
    /// For each record and each database, the recovered value must be one that may have been written last; and
    /// when only one operation can explain a value, everything else it wrote must be there too, or have been
    /// overwritten by something that may have come later. It raises no false alarm; it is sharpest when every
    /// operation writes a different value.
    ///
    /// - Returns: what is wrong, or `nil`.
    public func mismatch(of recovered: ModelState) -> String? {
        let effects = entries.map { $0.outcome == .refused ? [:] : self.effects(of: $0.operation) }
        var keys = self.keys(of: recovered).union(self.keys(of: initial))
        for written in effects { keys.formUnion(written.keys) }
        var explanations: [Key: [Int?]] = [:]
        for key in keys.sorted() {
            let found = value(of: key, in: recovered)
            let candidates = self.candidates(for: key, effects).filter { value($0, key, effects) == found }
            guard !candidates.isEmpty else {
                let name = [key.database, key.id ?? ""].joined(separator: "/")
                return "\(name) is \(found.record?.description ?? "missing"), which nobody can have written last"
            }
            explanations[key] = candidates
        }
        return brokenBatch(effects, explanations)
    }

    /// An operation that is certainly there in part and certainly not in another part.
    private func brokenBatch(_ effects: [[Key: Effect]], _ explanations: [Key: [Int?]]) -> String? {
        for (index, keys) in effects.enumerated() where keys.count > 1 {
            guard keys.keys.contains(where: { explanations[$0] == [index] }) else { continue }
            for key in keys.keys.sorted() {
                let canBeLater = (explanations[key] ?? []).contains { candidate in
                    guard let candidate else { return false }
                    return candidate == index || !entries[candidate].precedes(entries[index])
                }
                guard canBeLater else {
                    return "operation \(index) is there only in part: \(key.database)/\(key.id ?? "") is older"
                }
            }
        }
        return nil
    }

    /// Who may have written a key last; `nil` stands for the initial state.
    private func candidates(for key: Key, _ effects: [[Key: Effect]]) -> [Int?] {
        let writers = entries.indices.filter { effects[$0][key] != nil }
        let acknowledged = writers.filter { entries[$0].outcome == .acknowledged }
        var result: [Int?] = acknowledged.isEmpty ? [nil] : []
        for writer in writers where !acknowledged.contains(where: { entries[writer].precedes(entries[$0]) }) {
            result.append(writer)
        }
        return result
    }

    private func value(_ writer: Int?, _ key: Key, _ effects: [[Key: Effect]]) -> Effect {
        guard let writer, let effect = effects[writer][key] else { return value(of: key, in: initial) }
        return effect
    }

    private func value(of key: Key, in state: ModelState) -> Effect {
        guard let id = key.id else {
            return Effect(record: state.databases[key.database] == nil ? nil : ModelRecord(vector: []))
        }
        return Effect(record: state[key.database, id])
    }

    private func keys(of state: ModelState) -> Set<Key> {
        var keys: Set<Key> = []
        for (database, records) in state.databases {
            keys.insert(Key(database: database, id: nil))
            for id in records.keys { keys.insert(Key(database: database, id: id)) }
        }
        return keys
    }

    private func effects(of operation: ModelOperation) -> [Key: Effect] {
        switch operation {
        case .upsert(let database, let id, let record), .insert(let database, let id, let record),
            .update(let database, let id, let record):
            return [Key(database: database, id: id): Effect(record: record)]
        case .delete(let database, let id):
            return [Key(database: database, id: id): Effect(record: nil)]
        case .create(let database):
            return [Key(database: database, id: nil): Effect(record: ModelRecord(vector: []))]
        case .drop(let database):
            var effects = [Key(database: database, id: nil): Effect(record: nil)]
            for id in idsEverWritten(in: database) {
                effects[Key(database: database, id: id)] = Effect(record: nil)
            }
            return effects
        case .batch(let operations):
            return operations.reduce(into: [:]) { result, part in
                result.merge(effects(of: part)) { _, later in later }
            }
        }
    }

    private func idsEverWritten(in database: String) -> Set<String> {
        var ids = Set(initial.databases[database].map { Array($0.keys) } ?? [])
        func collect(_ operation: ModelOperation) {
            switch operation {
            case .upsert(database, let id, _), .insert(database, let id, _), .update(database, let id, _):
                ids.insert(id)
            case .batch(let operations): operations.forEach(collect)
            default: break
            }
        }
        for entry in entries { collect(entry.operation) }
        return ids
    }
}
