// Random workloads of several tasks: what they did is recorded as events, from which the history that an oracle judges
// is built for any moment of the run.
import Nephrite
import StorageIO
import StorageSimulation

/// What happened, in order.
enum HistoryEvent: Sendable {
    case begin(Int, ModelOperation, isDurable: Bool, numbers: [Int])
    /// The operation was acknowledged; its version if it is known.
    case acknowledged(Int, version: UInt64)
    /// The operation was refused and did nothing.
    case refused(Int)
}

/// What a random workload did so far.
struct RandomRun: Sendable {
    var events: [HistoryEvent] = []
    var operationCount = 0
    var nextNumber = 1_000
    var problems: [String] = []
}

/// Judges recovered states of random workloads.
struct HistoryOracle {
    let initial: ModelState
    let events: [HistoryEvent]

    /// What is wrong with a recovered state, or nil.
    ///
    /// An acknowledged commit of a relaxed database must be there if any later commit is: losses are a suffix.
    func verdict(_ state: ReadState) -> String? {
        if !state.problems.isEmpty { return state.problems.joined(separator: "; ") }
        var history = ConcurrentHistory(initial: initial)
        var durable: [Int: Bool] = [:]
        var indices: [Int: Int] = [:]
        var numbers: [Int: [Int]] = [:]
        let reached = state.highestVersion
        for event in events {
            switch event {
            case .begin(let index, let operation, let isDurable, let values):
                indices[index] = history.begin(operation)
                durable[index] = isDurable
                numbers[index] = values
            case .acknowledged(let index, let version):
                for number in numbers[index] ?? [] {
                    if version > 0, let found = state.versions[number], found != version {
                        return "value \(number) has version \(found), acknowledged was \(version)"
                    }
                }
                if durable[index]! || (version > 0 && version <= reached) { history.acknowledge(indices[index]!) }
            case .refused(let index): history.refuse(indices[index]!)
            }
        }
        return history.mismatch(of: state.model)
    }
}

/// A store with a few databases and tasks that use it at once, all decided by one seed.
struct RandomWorkload: Sendable {
    let seed: UInt64
    let run: Box<RandomRun>
    let store: VectorStore
    var acceptsFailures = false

    static let databases = ["a", "b", "r"]

    static func options(_ name: String) -> DatabaseOptions {
        DatabaseOptions(
            dimension: Values.dimension, durability: name == "r" ? .relaxed(every: .milliseconds(20)) : .durable)
    }

    static func prepare(_ store: VectorStore) async throws {
        for name in databases { try await store.createDatabase(name, options: options(name)) }
        for index in 0..<3 {
            for name in databases {
                try await store.database(name).upsert(Values.record(id: "x\(index)", number: index))
            }
        }
    }

    static let initial: ModelState = {
        let records = Dictionary(uniqueKeysWithValues: (0..<3).map { ("x\($0)", Values.model(number: $0)) })
        return ModelState(databases: Dictionary(uniqueKeysWithValues: databases.map { ($0, records) }))
    }()

    private func number() -> Int {
        run.update { run in
            run.nextNumber += 1
            return run.nextNumber
        }
    }

    private func note(_ problem: String) { run.update { $0.problems.append(problem) } }

    /// Runs one operation between its events.
    private func perform(
        _ operation: ModelOperation, durable: Bool, numbers: [Int] = [], _ body: () async throws -> UInt64?
    ) async {
        let index = run.update { run in
            run.operationCount += 1
            run.events.append(.begin(run.operationCount, operation, isDurable: durable, numbers: numbers))
            return run.operationCount
        }
        do {
            let version = try await body()
            run.update { run in
                run.events.append(version.map { .acknowledged(index, version: $0) } ?? .refused(index))
            }
        } catch let error as StoreError {
            let refusals: [StoreError.Code] = [
                .diskFull, .recordNotFound, .recordExists, .conflict, .databaseExists, .databaseNotFound, .duplicateID,
                .versionMismatch, .tooManyOpenFiles,
            ]
            if refusals.contains(error.code) {
                run.update { $0.events.append(.refused(index)) }
                if error.code == .diskFull, !acceptsFailures { note("unexpected: \(error)") }
            } else if !acceptsFailures {
                note("unexpected: \(error)")
            }
        } catch {
            note("untyped: \(error)")
        }
    }

    /// The body of one writer.
    func writer(_ number: Int, steps: Int) async {
        var generator = SeededGenerator(seed: seed &* 1_000_003 &+ UInt64(number))
        for _ in 0..<steps {
            do {
                try await step(&generator)
            } catch {
                if !acceptsFailures { note("writer: \(error)") }
                return
            }
        }
    }

    private func id(_ generator: inout SeededGenerator) -> String { "x\(generator.next(below: 9))" }

    private func ids(_ generator: inout SeededGenerator, _ count: Int) -> [String] {
        let first = generator.next(below: 16)
        return (0..<count).map { "x\((first + $0) % 16)" }
    }

    private func step(_ generator: inout SeededGenerator) async throws {
        let name = RandomWorkload.databases[generator.next(below: 3)]
        let durable = name != "r"
        let database = try await store.database(name)
        switch generator.next(below: 12) {
        case 0...2:
            let id = id(&generator)
            let number = number()
            await perform(
                .upsert(database: name, id: id, Values.model(number: number)), durable: durable, numbers: [number]
            ) { try await database.upsert(Values.record(id: id, number: number)) }
        case 3, 4:
            let id = id(&generator)
            let number = number()
            await perform(
                .upsert(database: name, id: id, Values.model(number: number)), durable: durable, numbers: [number]
            ) { try await database.update([Values.record(id: id, number: number)]) }
        case 5:
            let rows = ids(&generator, 2).map { (id: $0, number: number()) }
            await perform(batch(rows, name), durable: durable, numbers: rows.map(\.number)) {
                try await database.insert(rows.map { Values.record(id: $0.id, number: $0.number) })
            }
        case 6:
            let rows = ids(&generator, 2 + generator.next(below: 9)).map { (id: $0, number: number()) }
            await perform(batch(rows, name), durable: durable, numbers: rows.map(\.number)) {
                try await database.upsert(rows.map { Values.record(id: $0.id, number: $0.number) })
            }
        case 7:
            let rows = ids(&generator, 3).map { (id: $0, number: number()) }
            await perform(batch(rows, name), durable: durable, numbers: rows.map(\.number)) {
                try await database.update(rows.map { Values.record(id: $0.id, number: $0.number) })
            }
        case 8, 9:
            let id = id(&generator)
            await perform(.delete(database: name, id: id), durable: durable) {
                try await database.delete(id) ? 0 : nil
            }
        case 10: await transaction(&generator)
        default: await maintain(&generator, database)
        }
    }

    private func batch(_ rows: [(id: String, number: Int)], _ name: String) -> ModelOperation {
        .batch(rows.map { .upsert(database: name, id: $0.id, Values.model(number: $0.number)) })
    }

    /// Two records of two databases that only transactions write, always together.
    private func transaction(_ generator: inout SeededGenerator) async {
        let first = number()
        let other = generator.next(below: 2) == 0 ? "b" : "r"
        let extra = id(&generator)
        await perform(
            .batch([
                .upsert(database: "a", id: "pair-\(other)", Values.model(number: first)),
                .upsert(database: other, id: "pair-\(other)", Values.model(number: first)),
                .upsert(database: "a", id: extra, Values.model(number: first)),
            ]), durable: true, numbers: [first]
        ) {
            try await store.transaction { transaction in
                let one = try await transaction.record(for: "pair-\(other)", in: "a")
                let two = try await transaction.record(for: "pair-\(other)", in: other)
                if one.map({ Values.model(of: $0).0 }) != two.map({ Values.model(of: $0).0 }) {
                    note("a transaction sees half of another: \(one?.version ?? 0), \(two?.version ?? 0)")
                }
                try await transaction.upsert(Values.record(id: "pair-\(other)", number: first), into: "a")
                try await transaction.upsert(Values.record(id: "pair-\(other)", number: first), into: other)
                try await transaction.upsert(Values.record(id: extra, number: first), into: "a")
            }
            return 0
        }
    }

    private func maintain(_ generator: inout SeededGenerator, _ database: VectorDatabase) async {
        do {
            switch generator.next(below: 3) {
            case 0: try await store.checkpoint()
            case 1: try await store.flush()
            default:
                let snapshot = try await database.snapshot()
                let before = snapshot.records().map { try? $0.get() }
                try await store.checkpoint()
                let after = snapshot.records().map { try? $0.get() }
                if before != after { note("a snapshot of \(database.name) changed") }
            }
        } catch let error as StoreError where error.code == .tooManyOpenFiles {
        } catch {
            if !acceptsFailures { note("maintenance: \(error)") }
        }
    }

    /// Runs all writers to their end.
    func runAll(writers: Int, steps: Int) async {
        await withDiscardingTaskGroup { group in
            for number in 0..<writers { group.addTask { await writer(number, steps: steps) } }
        }
    }
}
