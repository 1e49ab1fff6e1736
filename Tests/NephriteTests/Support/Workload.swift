// Workloads of one writer with an exact oracle: each step is submitted to the reference model before it is made and
// acknowledged after, so that at any moment the disk must hold one of a few states.
import Nephrite
import StorageIO
import StorageSimulation

/// One step of a workload.
enum WorkloadStep: String, CaseIterable, Sendable {
    case upsert, batch, bulkBatch, update, delete, transaction, checkpoint, growth, create, drop
}

/// What is known at a moment: what was submitted, and how much of it was acknowledged.
struct Progress: Sendable {
    var model: ReferenceModel
    var acknowledged = 0
    var versions: [Int: UInt64] = [:]
    var nextNumber = 100
}

/// A moment at which the machine may stop, and what it leaves.
struct CrashPoint: Sendable {
    let disk: SimulatedFileSystem
    let label: String
    let progress: Progress
}

extension CrashChoice {
    /// The choices for a list of pending operations: single operations lost or kept while there are few, random
    /// subsets when there are many, and the newest writes torn.
    static func selection(_ pending: [PendingOperation], seed: UInt64) -> [CrashChoice] {
        var choices: [CrashChoice] = [.loseAll]
        guard !pending.isEmpty else { return choices }
        choices.append(.keepAll)
        if pending.count <= 12 {
            if pending.count > 1 {
                for index in pending.indices {
                    choices.append(.dropOne(index))
                    choices.append(.keepOnly(index))
                }
            }
        } else {
            for index in 0..<8 { choices.append(.random(seed: seed &* 64 &+ UInt64(index))) }
        }
        for index in pending.indices.suffix(3) {
            guard case .sectors(let count) = pending[index].kind, count > 1 else { continue }
            choices.append(.torn(operation: index, sectors: 0x5555_5555_5555_5555))
            choices.append(.cut(operation: index, sectorCount: count / 2))
        }
        return choices
    }
}

/// Runs steps against a store and a model.
struct Workload: Sendable {
    let progress: Box<Progress>
    let store: VectorStore

    private func number() -> Int {
        progress.update { progress in
            progress.nextNumber += 1
            return progress.nextNumber
        }
    }

    /// Submits an operation to the model, makes it, and acknowledges it.
    private func commit(
        _ operation: ModelOperation, numbers: [Int] = [], _ body: () async throws -> UInt64
    ) async throws {
        let commit = try progress.update { try $0.model.submit(operation) }
        let version = try await body()
        progress.update { progress in
            progress.acknowledged = commit
            if version > 0 { for number in numbers { progress.versions[number] = version } }
        }
    }

    private func upsert(_ ids: [String], into name: String, columns: Bool = false) async throws {
        let database = try await store.database(name)
        let rows = ids.map { (id: $0, number: number()) }
        let operations = rows.map {
            ModelOperation.upsert(database: name, id: $0.id, Values.model(number: $0.number))
        }
        try await commit(.batch(operations), numbers: rows.map(\.number)) {
            try await database.upsert(rows.map { Values.record(id: $0.id, number: $0.number) })
        }
    }

    /// Makes one step; `round` tells repeated steps apart.
    func make(_ step: WorkloadStep, round: Int) async throws {
        switch step {
        case .upsert: try await upsert(["u\(round)"], into: "a")
        case .batch: try await upsert(["a0", "n\(round)", "a1"], into: "a")
        case .bulkBatch: try await upsert((0..<8).map { "a\($0 + round)" } + ["k\(round)"], into: "a")
        case .growth: try await upsert((0..<29).map { "g\(round)-\($0)" }, into: "a")
        case .update:
            let number = number()
            let database = try await store.database("a")
            try await commit(
                .update(database: "a", id: "a2", Values.model(number: number)), numbers: [number]
            ) { try await database.update(Values.record(id: "a2", number: number)) }
        case .delete:
            let database = try await store.database("a")
            let id = ["a3", "a1", "a0"][round]
            try await commit(.delete(database: "a", id: id)) {
                try await database.delete(id)
                return 0
            }
        case .transaction: try await transaction(round)
        case .checkpoint: try await store.checkpoint()
        case .create:
            try await commit(.create(database: "c\(round)")) {
                try await store.createDatabase("c\(round)", options: .init(dimension: Values.dimension))
                return 0
            }
        case .drop:
            let name = ["d", "e", "f"][round]
            try await commit(.drop(database: name)) {
                try await store.dropDatabase(name)
                return 0
            }
        }
    }

    private func transaction(_ round: Int) async throws {
        let first = number()
        let second = number()
        try await commit(
            .batch([
                .upsert(database: "a", id: "t\(round)", Values.model(number: first)),
                .upsert(database: "b", id: "b0", Values.model(number: second)),
            ])
        ) {
            try await store.transaction { transaction in
                try await transaction.upsert(Values.record(id: "t\(round)", number: first), into: "a")
                try await transaction.upsert(Values.record(id: "b0", number: second), into: "b")
            }
            return 0
        }
    }

    // MARK: The start

    /// The databases every workload starts with; only workloads of three steps need the last one.
    static let databases = Campaign.isLong ? ["a", "b", "d", "e", "f"] : ["a", "b", "d", "e"]

    /// The state every workload starts from.
    static let base: ModelState = {
        var state = ModelState()
        for (index, name) in databases.enumerated() {
            state.databases[name] = [:]
            for row in 0..<(name == "a" ? 4 : 2) {
                state.databases[name]!["\(name)\(row)"] = Values.model(number: index * 10 + row)
            }
        }
        return state
    }()

    /// A disk with a cleanly closed store in the base state.
    static func baseDisk() throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        try Simulation.run(disk) { store in
            for (index, name) in databases.enumerated() {
                let database = try await store.createDatabase(name, options: .init(dimension: Values.dimension))
                for row in 0..<(name == "a" ? 4 : 2) {
                    try await database.upsert(Values.record(id: "\(name)\(row)", number: index * 10 + row))
                }
            }
        }
        return disk.crashImage(.keepAll)
    }

    static func start() -> Progress { Progress(model: ReferenceModel(initial: base)) }
}

/// Judges what was recovered.
enum Oracle {
    /// What is wrong with a recovered state, or nil.
    static func verdict(_ state: ReadState, _ progress: Progress) -> String? {
        if !state.problems.isEmpty { return state.problems.joined(separator: "; ") }
        let mismatch = progress.model.mismatch(
            of: state.model, acknowledged: progress.acknowledged, submitted: progress.model.commitCount)
        if let mismatch { return mismatch }
        for (number, version) in progress.versions {
            if let found = state.versions[number], found != version {
                return "value \(number) has version \(found), acknowledged was \(version)"
            }
        }
        return nil
    }

    /// Recovers a crash point and judges it.
    static func verdict(_ point: CrashPoint, seed: UInt64 = 1) -> String? {
        do {
            return try verdict(Simulation.recover(point.disk, seed: seed), point.progress).map {
                "\(point.label): \($0)"
            }
        } catch {
            return "\(point.label): does not open: \(error)"
        }
    }
}
