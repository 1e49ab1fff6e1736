// The whole engine on a simulated disk in a seeded executor: the durability tests hand it disks and get back states.
import StorageIO
import StorageSimulation
import Synchronization
import Testing

@testable import Nephrite

/// How a simulated store is set up; everything that decides a run.
struct SimulationSettings: Sendable {
    var seed: UInt64 = 1
    var segmentByteCount = 64 << 10
    var logByteLimit = 1 << 20
    var bulkByteThreshold = 16 << 10
    var maximumOpenFiles = 100
    var stepLimit = 300_000
    var quantizationByteThreshold = 4 << 20
    var codeChunkByteCount = 4 << 20
}

/// A value that tests share with hooks and tasks.
final class Box<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value { state.withLock { $0 } }

    @discardableResult
    func update<R: Sendable>(_ body: @Sendable (inout Value) throws -> R) rethrows -> R {
        try state.withLock { value in try body(&value) }
    }
}

/// What reading everything back gave.
struct ReadState: Sendable {
    var model = ModelState()
    /// Versions by value number.
    var versions: [Int: UInt64] = [:]
    /// What is not as it must be, whatever the workload was.
    var problems: [String] = []

    var highestVersion: UInt64 { versions.values.max() ?? 0 }
}

enum Simulation {
    /// The configuration of a store that runs on a simulated disk and nothing else.
    static func configuration(
        _ disk: SimulatedFileSystem, _ settings: SimulationSettings, _ executor: SeededExecutor
    ) -> StoreConfiguration {
        var configuration = StoreConfiguration()
        configuration.logSegmentByteCount = settings.segmentByteCount
        configuration.logByteLimit = settings.logByteLimit
        configuration.bulkByteThreshold = settings.bulkByteThreshold
        configuration.maximumOpenFiles = settings.maximumOpenFiles
        configuration.addressSpaceReservation = 1 << 20
        configuration.quantizationByteThreshold = settings.quantizationByteThreshold
        configuration.codeChunkByteCount = settings.codeChunkByteCount
        configuration.environment.fileSystem = { _ in disk }
        configuration.environment.clock = executor.clock
        configuration.environment.random = SeededRandom(seed: settings.seed &* 0x9E37_79B9 &+ 17)
        configuration.environment.executor = executor
        return configuration
    }

    /// Opens a store, runs `body`, and shuts the store down gracefully.
    @discardableResult
    static func run<R: Sendable>(
        _ disk: SimulatedFileSystem, _ settings: SimulationSettings = SimulationSettings(),
        _ body: @escaping @Sendable (VectorStore) async throws -> R
    ) throws -> R {
        let executor = SeededExecutor(seed: settings.seed, clock: VirtualClock(), stepLimit: settings.stepLimit)
        let configuration = configuration(disk, settings, executor)
        return try executor.run {
            try await withVectorStore(VectorStore(at: "simulation", configuration: configuration), body)
        }
    }

    /// Opens a store, runs `body`, and stops the machine: what the store does on its way out reaches no disk.
    ///
    /// The disk is left as the crash found it only in its images taken before; it refuses every call afterwards.
    static func runAndAbandon<R: Sendable>(
        _ disk: SimulatedFileSystem, _ settings: SimulationSettings = SimulationSettings(),
        _ body: @escaping @Sendable (VectorStore) async throws -> R
    ) throws -> R {
        let outcome = Box<R?>(nil)
        do {
            try run(disk, settings) { store in
                let result = try await body(store)
                outcome.update { $0 = result }
                disk.inject(.crash(atCall: 1))
            }
        } catch let error where outcome.value == nil {
            throw error
        } catch SimulationError.deadlock(let seed, let steps) {
            throw SimulationError.deadlock(seed: seed, steps: steps)
        } catch SimulationError.stepLimitExceeded(let seed, let steps) {
            throw SimulationError.stepLimitExceeded(seed: seed, steps: steps)
        } catch {}
        return outcome.value!
    }

    /// Reads everything: by walking, by id, by counting, and by the store's own check.
    static func read(_ store: VectorStore) async throws -> ReadState {
        var state = ReadState()
        for description in try await store.databases() {
            let snapshot = try await store.database(description.name).snapshot()
            var records: [String: ModelRecord] = [:]
            for result in snapshot.records() {
                let record = try result.get()
                let (number, model) = Values.model(of: record)
                if records.updateValue(model, forKey: record.id) != nil {
                    state.problems.append("\(description.name)/\(record.id) is there twice")
                }
                if let number { state.versions[number] = record.version }
                if try snapshot.record(for: record.id) != record {
                    state.problems.append("\(description.name)/\(record.id) is not found by its id")
                }
            }
            if snapshot.count != records.count {
                state.problems.append("\(description.name) counts \(snapshot.count), holds \(records.count)")
            }
            state.model.databases[description.name] = records
        }
        let report = try await store.check()
        for database in report.databases {
            for damage in database.damages { state.problems.append("\(database.name): \(damage.message)") }
        }
        for orphan in report.orphans { state.problems.append("orphan \(orphan)") }
        return state
    }

    /// Opens what a crash left, reads everything, and goes away without a trace.
    static func recover(_ disk: SimulatedFileSystem, seed: UInt64 = 1) throws -> ReadState {
        var settings = SimulationSettings()
        settings.seed = seed
        return try runAndAbandon(disk, settings) { store in try await read(store) }
    }

    /// Opens what a crash left, reads everything, writes, closes, reopens and reads again.
    static func recoverAndGoOn(_ disk: SimulatedFileSystem, seed: UInt64) throws -> ReadState {
        var settings = SimulationSettings()
        settings.seed = seed
        let first = try run(disk, settings) { store in
            let state = try await read(store)
            for name in state.model.databases.keys.sorted() {
                try await store.database(name).upsert(Values.record(id: "later", number: 999_999))
            }
            return state
        }
        settings.seed &+= 1
        var wanted = first.model
        for name in wanted.databases.keys {
            wanted.databases[name]!["later"] = Values.model(number: 999_999)
        }
        let again = try run(disk, settings) { store in try await read(store) }
        var outcome = first
        outcome.problems += again.problems.map { "after going on: \($0)" }
        outcome.problems += again.model.differences(from: wanted).map { "after going on: \($0)" }
        return outcome
    }
}

/// Records that are told apart by one number, from which vector and metadata follow.
enum Values {
    static let dimension = 512

    private static let known = Box<[Int: [Float]]>([:])

    static func vector(_ number: Int) -> [Float] {
        if let vector = known.value[number] { return vector }
        var vector = [Float](repeating: 0, count: dimension)
        for index in 0..<dimension { vector[index] = Float((number &* 31 &+ index &* 7) & 1_023) - 511.5 }
        let made = vector
        known.update { $0[number] = made }
        return vector
    }

    private static func padding(_ number: Int) -> String {
        String(repeating: "p", count: number * 13 % 90)
    }

    static func record(id: String, number: Int) -> VectorRecord {
        VectorRecord(
            id: id, vector: vector(number),
            metadata: ["n": .integer(Int64(number)), "pad": .string(padding(number))])
    }

    static func model(number: Int) -> ModelRecord {
        ModelRecord(vector: [Float(number)], metadata: Array("\(number) \(padding(number).count)".utf8))
    }

    /// The number and model of a record that was read; a record that nobody can have written has no number.
    static func model(of record: VectorRecord) -> (Int?, ModelRecord) {
        guard case .integer(let integer)? = record.metadata["n"], case .string(let pad)? = record.metadata["pad"]
        else { return (nil, ModelRecord(vector: [-1], metadata: [])) }
        let number = Int(integer)
        guard isEqual(record.vector, vector(number)), pad == padding(number) else {
            return (nil, ModelRecord(vector: [-2], metadata: []))
        }
        return (number, model(number: number))
    }

    private static func isEqual(_ one: [Float], _ other: [Float]) -> Bool {
        unsafe one.withUnsafeBytes { left in
            unsafe other.withUnsafeBytes { right in
                guard left.count == right.count else { return false }
                for offset in stride(from: 0, to: left.count, by: 64) {
                    let a = unsafe left.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt32>.self)
                    let b = unsafe right.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt32>.self)
                    if a != b { return false }
                }
                return true
            }
        }
    }
}
