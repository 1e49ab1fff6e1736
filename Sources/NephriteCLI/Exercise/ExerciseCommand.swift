/// The hidden command that the kill test starts and kills: several writers carry out random steps at once, and each step
/// that is durable is acknowledged by a line on standard output.
import Nephrite

/// `nephrite exercise`: a line `WRITER STEPS` after each step that is durable.
enum ExerciseCommand: Command {
    static let specification = CommandSpecification(
        name: "exercise",
        summary: "Write at random until killed, acknowledging each step; for tests of recovery.",
        options: [
            .store,
            .value("seed", "N", "What the steps follow from.", isRequired: true),
            .value("writers", "N", "How many write at once; 4 unless given."),
            .value("steps", "N", "How many steps each takes; no end unless given."),
        ])

    static func run(_ context: CommandContext) async throws {
        let seed = UInt64(try context.arguments.integer("seed", in: 0...Int.max) ?? 0)
        let writerCount = try context.arguments.integer("writers", in: 1...64) ?? 4
        let stepCount = try context.arguments.integer("steps", in: 1...Int.max) ?? Int.max
        let path = context.arguments["store"] ?? ""
        try await withVectorStore(at: path, configuration: configuration(seed)) { store in
            for (name, dimension) in ExerciseState.shared {
                do {
                    try await store.createDatabase(name, options: DatabaseOptions(dimension: dimension))
                } catch let error as StoreError where error.code == .databaseExists {}
            }
            let states = try await states(store, writerCount: writerCount)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (writer, state) in states.enumerated() {
                    group.addTask {
                        let steps = ExerciseSteps(seed: seed, writer: writer)
                        try await write(steps, from: state, count: stepCount, store, context.console)
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    /// Sizes that bring rotation, checkpoints, the bulk path and eviction into every run, now and then the usual ones.
    static func configuration(_ seed: UInt64) -> StoreConfiguration {
        var random = SplitMix(state: seed)
        var configuration = StoreConfiguration()
        configuration.logSegmentByteCount = [256 << 10, 1 << 20, 64 << 20][random.below(3)]
        configuration.logByteLimit = [1 << 20, 4 << 20, 256 << 20][random.below(3)]
        configuration.bulkByteThreshold = [8 << 10, 1 << 20][random.below(2)]
        configuration.maximumOpenFiles = [5, 100][random.below(2)]
        return configuration
    }

    /// What each writer has in the store now.
    ///
    /// - Throws: `CommandError` for a record that no step can have written.
    static func states(_ store: VectorStore, writerCount: Int) async throws -> [ExerciseState] {
        var states = Array(repeating: ExerciseState(), count: writerCount)
        for description in try await store.databases() {
            let name = description.name
            for writer in states.indices where name == ExerciseState.scratch(writer) {
                states[writer].databases[name] = [:]
            }
            for try await record in try await store.database(name).records() {
                guard let writer = ExerciseState.writer(ofID: record.id), states.indices.contains(writer),
                    let token = try ExerciseState.token(of: record, in: name),
                    states[writer].databases[name]?.updateValue(token, forKey: record.id) == nil
                else {
                    throw failure("No step has written the record \(record.id) of \(name) as it is.")
                }
            }
        }
        return states
    }

    private static func write(
        _ steps: ExerciseSteps, from state: ExerciseState, count: Int, _ store: VectorStore, _ console: Console
    ) async throws {
        var steps = steps
        var state = state
        for done in 1...count {
            try Task.checkCancellation()
            let step = steps.next(state)
            try await perform(step, state, store)
            state.apply(step)
            try console.print("\(steps.writer) \(done)")
            try console.flush()
        }
    }

    private static func perform(_ step: ExerciseStep, _ state: ExerciseState, _ store: VectorStore) async throws {
        switch step {
        case .checkpoint: try await store.checkpoint()
        case .create(let name):
            try await store.createDatabase(
                name, options: DatabaseOptions(dimension: ExerciseState.dimension(name)))
        case .drop(let name): try await store.dropDatabase(name)
        case .change(let changes, .single): try await single(changes[0], state, store)
        case .change(let changes, .batch): try await batch(changes, state, store)
        case .change(let changes, .transaction):
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
    }

    private static func single(
        _ change: ExerciseChange, _ state: ExerciseState, _ store: VectorStore
    ) async throws {
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

    private static func batch(
        _ changes: [ExerciseChange], _ state: ExerciseState, _ store: VectorStore
    ) async throws {
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

    private static func record(_ change: ExerciseChange) throws -> VectorRecord? {
        guard let token = change.token else { return nil }
        return try ExerciseState.record(change.id, token, in: change.database)
    }

    private static func exists(_ change: ExerciseChange, _ state: ExerciseState) -> Bool {
        state.databases[change.database]?[change.id] != nil
    }

    private static func expect(_ condition: Bool, _ what: String) throws {
        if !condition { throw failure("The store answered wrong: \(what).") }
    }

    private static func failure(_ message: String) -> CommandError {
        CommandError(
            exitCode: .failure, code: "exerciseFailed", message: message, remedy: "Keep the store and report it.")
    }
}
