/// Carries out steps in a store and reads states back: the child of `nephrite-torture` runs it with several writers at
/// once, its disk-full part with one, and both hand what they find to an `ExerciseOracle`.
package import Nephrite

/// A store answered something that no step can have led to.
package struct ExerciseFailure: Error, CustomStringConvertible {
    /// What was wrong.
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// One store under exercise.
package struct ExerciseRun: Sendable {
    package let store: VectorStore

    package init(_ store: VectorStore) { self.store = store }

    /// Sizes that bring rotation, checkpoints, the bulk path and eviction into every run.
    ///
    /// - Parameters:
    ///   - seed: what they follow from.
    ///   - isRoomy: whether the disk has room for segments of the usual 64 MiB, which it then gets now and then.
    package static func configuration(_ seed: UInt64, isRoomy: Bool = false) -> StoreConfiguration {
        var random = SplitMix(state: seed)
        var configuration = StoreConfiguration()
        configuration.logSegmentByteCount =
            [64 << 10, 256 << 10, 1 << 20, isRoomy ? 64 << 20 : 4 << 20][random.below(4)]
        configuration.logByteLimit = [256 << 10, 1 << 20, 4 << 20, 256 << 20][random.below(4)]
        configuration.bulkByteThreshold = [8 << 10, 1 << 20][random.below(2)]
        configuration.maximumOpenFiles = [5, 100][random.below(2)]
        return configuration
    }

    /// Creates the databases that all writers share, where they are missing.
    package func prepare() async throws {
        let present = Set(try await store.databases().map(\.name))
        for (name, dimension) in ExerciseState.shared.sorted(by: { $0.key < $1.key }) where !present.contains(name) {
            try await store.createDatabase(name, options: DatabaseOptions(dimension: dimension))
        }
    }

    /// What each writer has in the store now.
    ///
    /// - Throws: `ExerciseFailure` for a record that no step can have written, or a count that is not that of the records.
    package func states(writerCount: Int) async throws -> [ExerciseState] {
        var states = Array(repeating: ExerciseState(), count: writerCount)
        for description in try await store.databases() {
            let name = description.name
            let database = try await store.database(name)
            for writer in states.indices where name == ExerciseState.scratch(writer) {
                states[writer].databases[name] = [:]
            }
            var count = 0
            for try await record in try await database.records() {
                count += 1
                guard let writer = ExerciseState.writer(ofID: record.id), states.indices.contains(writer),
                    let token = try ExerciseState.token(of: record, in: name),
                    states[writer].databases[name]?.updateValue(token, forKey: record.id) == nil
                else { throw ExerciseFailure("No step has written the record \(record.id) of \(name) as it is.") }
            }
            let counted = try await database.count()
            guard counted == count else {
                throw ExerciseFailure("\(name) counts \(counted) records and has \(count).")
            }
        }
        return states
    }

    /// Reads every record of a writer in the shared databases, by id.
    ///
    /// - Throws: `ExerciseFailure` when one is not what `state` says, or is there and should not be.
    package func expect(_ state: ExerciseState, of writer: Int) async throws {
        for name in ExerciseState.shared.keys.sorted() {
            let database = try await store.database(name)
            for number in 0..<ExerciseSteps.idCount {
                let id = ExerciseSteps.id(writer, number)
                let found = try await database.record(for: id)
                let token = try found.map { try ExerciseState.token(of: $0, in: name) }
                guard token == state.databases[name]?[id].map(Optional.some) else {
                    throw ExerciseFailure("\(name)/\(id) reads as \(String(describing: token)).")
                }
            }
        }
    }

    /// Carries out the step that follows `state`, and reads back what it wrote.
    ///
    /// - Throws: `StoreError` from the store, `ExerciseFailure` when the store answered wrong.
    package func perform(_ step: ExerciseStep, _ state: ExerciseState) async throws {
        switch step {
        case .checkpoint: try await store.checkpoint()
        case .create(let name):
            try await store.createDatabase(
                name, options: DatabaseOptions(dimension: ExerciseState.dimension(name)))
        case .drop(let name): try await store.dropDatabase(name)
        case .change(let changes, .single): try await single(changes[0], state)
        case .change(let changes, .batch): try await batch(changes, state)
        case .change(let changes, .transaction):
            while true {
                do {
                    return try await transaction(changes, state)
                } catch let error as StoreError where error.code == .conflict {
                    // A database that was closed when the transaction began has been written to by others since.
                }
            }
        }
    }

    private func transaction(_ changes: [ExerciseChange], _ state: ExerciseState) async throws {
        try await store.transaction { transaction in
            for change in changes {
                if let record = try record(change) {
                    try await transaction.upsert(record, into: change.database)
                } else {
                    let found = try await transaction.delete(change.id, from: change.database)
                    try expect(found == exists(change, state), "delete of \(change.id) in a transaction")
                }
            }
        }
    }

    private func single(_ change: ExerciseChange, _ state: ExerciseState) async throws {
        let database = try await store.database(change.database)
        guard let record = try record(change) else {
            let found = try await database.delete(change.id)
            return try expect(found == exists(change, state), "delete of \(change.id)")
        }
        switch (change.token ?? 0) % 3 {
        case 0: try await database.upsert(record)
        default:
            if exists(change, state) {
                try await database.update(record)
            } else {
                try await database.insert(record)
            }
        }
        let read = try await database.record(for: change.id)
        try expect(read.map { $0.vector == record.vector } ?? false, "reading \(change.id) back")
    }

    private func batch(_ changes: [ExerciseChange], _ state: ExerciseState) async throws {
        let database = try await store.database(changes[0].database)
        let records = try changes.compactMap(record)
        if records.isEmpty {
            let deleted = try await database.delete(changes.map(\.id))
            try expect(deleted == changes.filter { exists($0, state) }.count, "delete of \(changes.count) records")
        } else if records.count.isMultiple(of: 2) {
            try await database.upsert(records)
        } else {
            try await database.upsert(
                ids: records.map(\.id), vectors: records.flatMap(\.vector), metadata: records.map(\.metadata))
        }
    }

    private func record(_ change: ExerciseChange) throws -> VectorRecord? {
        guard let token = change.token else { return nil }
        return try ExerciseState.record(change.id, token, in: change.database)
    }

    private func exists(_ change: ExerciseChange, _ state: ExerciseState) -> Bool {
        state.databases[change.database]?[change.id] != nil
    }

    private func expect(_ condition: Bool, _ what: String) throws {
        if !condition { throw ExerciseFailure("The store answered wrong: \(what).") }
    }
}
