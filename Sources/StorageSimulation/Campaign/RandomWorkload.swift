/// Random workloads of several tasks: writers and readers use a store at once, each step decided by the seed and its own
/// place, so that leaving one out does not change the others. What they did is noted as events for ``HistoryOracle``.
package import Nephrite
import StorageIO

/// A store with a few databases and tasks that use it at once, all decided by one seed.
package struct RandomWorkload: Sendable {
    /// One step of one task.
    package struct Place: Sendable, Hashable {
        /// The task, from 0.
        package let writer: Int
        /// Its step, from 0.
        package let step: Int
    }

    let seed: UInt64
    let run: Box<RandomRun>
    let store: VectorStore
    /// Whether calls may fail because the disk does.
    package var acceptsFailures = false
    /// Whether records may be found damaged because the disk changes what it was given.
    package var acceptsDamage = false
    /// Told of every acknowledgement.
    package var checker: WriteOrderChecker?
    /// What tasks sleep on.
    package var clock: VirtualClock?
    /// The steps to make; all of them if nil.
    package var kept: Set<Place>?

    /// A workload on a running store.
    package init(seed: UInt64, run: Box<RandomRun>, store: VectorStore) {
        self.seed = seed
        self.run = run
        self.store = store
    }

    /// The databases of every workload: two durable ones and a relaxed one.
    package static let databases = ["a", "b", "r"]
    /// How long an acknowledged commit of the relaxed database may be missing from the disk.
    package static let relaxedInterval = Duration.milliseconds(20)

    package static func options(_ name: String) -> DatabaseOptions {
        DatabaseOptions(
            dimension: Values.dimension, durability: name == "r" ? .relaxed(every: relaxedInterval) : .durable)
    }

    /// Uses and drops databases, so that the disk remembers header pages, indexes, vectors and log segments of theirs.
    static func litter(_ store: VectorStore) async throws {
        for name in ["c0-0", "a"] {
            let database = try await store.createDatabase(name, options: options(name))
            for round in 0..<3 {
                try await database.upsert((0..<40).map { Values.record(id: "x\($0)", number: round * 40 + $0) })
                try await store.checkpoint()
            }
            try await store.dropDatabase(name)
        }
    }

    /// Makes the state that every workload starts from.
    package static func prepare(_ store: VectorStore) async throws {
        for name in databases { try await store.createDatabase(name, options: options(name)) }
        for index in 0..<3 {
            for name in databases {
                try await store.database(name).upsert(Values.record(id: "x\(index)", number: index))
            }
        }
    }

    /// The state that every workload starts from.
    package static let initial: ModelState = {
        let records = Dictionary(uniqueKeysWithValues: (0..<3).map { ("x\($0)", Values.model(number: $0)) })
        return ModelState(databases: Dictionary(uniqueKeysWithValues: databases.map { ($0, records) }))
    }()

    /// Runs all writers and readers to their end.
    package func runAll(writers: Int, steps: Int, readers: Int = 0) async {
        await withDiscardingTaskGroup { group in
            for number in 0..<writers { group.addTask { await writer(number, steps: steps) } }
            for number in 0..<readers { group.addTask { await reader(number, steps: steps * 2) } }
        }
    }

    /// The body of one writer.
    private func writer(_ number: Int, steps: Int) async {
        var own = OwnRecords(writer: number)
        for step in 0..<steps where kept?.contains(Place(writer: number, step: step)) ?? true {
            var generator = generator(number, step)
            do {
                try await self.step(&generator, &own)
            } catch let error as StoreError {
                noteFailure(error, of: "writer \(number)")
            } catch {
                note("writer \(number): untyped: \(error)")
            }
        }
    }

    func generator(_ task: Int, _ step: Int) -> SeededGenerator {
        SeededGenerator(seed: SplitMix64.mix(SplitMix64.mix(seed &+ UInt64(task) &* 0x1_0001) &+ UInt64(step)))
    }

    // MARK: Notes

    func number() -> Int {
        run.update { run in
            run.nextNumber += 1
            return run.nextNumber
        }
    }

    func note(_ problem: String) { run.update { $0.problems.append(problem) } }

    /// Notes an error unless the disk may have caused it.
    func noteFailure(_ error: StoreError, of what: String) {
        if error.code == .tooManyOpenFiles { return }
        if error.code == .corruption ? acceptsDamage : acceptsFailures { return }
        note("\(what): \(error)")
    }

    /// What became of an operation.
    enum Outcome {
        case acknowledged(version: UInt64)
        case refused(StoreError.Code)
        case unknown
    }

    /// Runs one operation between its events; `body` returns nil when it turned out to have nothing to do.
    @discardableResult
    func perform(
        _ operation: ModelOperation, durable: Bool, numbers: [Int] = [], _ body: () async throws -> UInt64?
    ) async -> Outcome {
        let index = run.update { run in
            run.operationCount += 1
            run.events.append(.begin(run.operationCount, operation, isDurable: durable, numbers: numbers))
            return run.operationCount
        }
        do {
            guard let version = try await body() else {
                run.update { $0.events.append(.refused(index)) }
                return .refused(.recordNotFound)
            }
            if durable { checker?.noteAcknowledged(version: version) }
            let now = clock?.monotonicNanoseconds() ?? 0
            run.update { $0.events.append(.acknowledged(index, version: version, at: now)) }
            return .acknowledged(version: version)
        } catch let error as StoreError {
            if error.code == .diskFull, !acceptsFailures { note("unexpected: \(error)") }
            if Self.refusals.contains(error.code) {
                run.update { $0.events.append(.refused(index)) }
                return .refused(error.code)
            }
            noteFailure(error, of: "operation \(index)")
        } catch {
            note("untyped: \(error)")
        }
        return .unknown
    }

    /// Errors that say that nothing was changed.
    private static let refusals: Set<StoreError.Code> = [
        .diskFull, .recordNotFound, .recordExists, .conflict, .databaseExists, .databaseNotFound, .duplicateID,
        .versionMismatch, .tooManyOpenFiles, .fenced,
    ]
}
