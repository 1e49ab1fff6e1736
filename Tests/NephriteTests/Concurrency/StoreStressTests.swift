import Foundation
import Nephrite
import StorageIO
import Synchronization
import Testing

/// Many tasks on real threads: what each was promised must hold whatever the others do. Run under the thread sanitizer
/// by `.ci/run`.
@Suite(.timeLimit(.minutes(10)), .serialized)
struct StoreStressTests {
    private static let databaseCount = 300
    private static let dimension = 8

    private static func name(_ index: Int) -> String { "d\(index)" }

    /// A vector that says which id and which version of it it is: all components follow from the first two.
    private static func vector(_ key: Int, _ round: Int) -> [Float] {
        (0..<dimension).map { $0 == 0 ? Float(key) : $0 == 1 ? Float(round) : Float(key * 31 + round * 7 + $0) }
    }

    private static func isWhole(_ vector: [Float], key: Int) -> Bool {
        vector == Self.vector(key, Int(vector[1])) && Int(vector[0]) == key
    }

    private static func store() -> (VectorStore, StoreConfiguration) {
        var configuration = StoreConfiguration()
        configuration.maximumOpenFiles = 20
        configuration.logSegmentByteCount = 1 << 20
        configuration.logByteLimit = 1 << 20
        configuration.addressSpaceReservation = 1 << 20
        let fileSystem = MemoryFileSystem(name: "churn")
        configuration.environment.fileSystem = { _ in fileSystem }
        return (VectorStore(at: "churn", configuration: configuration), configuration)
    }

    @Test("24 writers, 24 readers, 300 databases, 20 files open: every acknowledged write is read, none is torn")
    func registryChurn() async throws {
        let (store, configuration) = Self.store()
        let rounds = 40
        let final = Shared<[String: [Int: Int]]>([:])
        try await withVectorStore(store) { store in
            for index in 0..<Self.databaseCount {
                try await store.createDatabase(Self.name(index), options: .init(dimension: Self.dimension))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<24 {
                    group.addTask {
                        var generator = SplitMix(seed: UInt64(writer))
                        for round in 1...rounds {
                            let name = Self.name(Int.random(in: 0..<Self.databaseCount, using: &generator))
                            let database = try await store.database(name)
                            try await database.upsert(
                                VectorRecord(id: "w\(writer)", vector: Self.vector(writer, round)))
                            final.value.withLock { $0[name, default: [:]][writer] = round }
                            let read = try #require(try await database.vector(for: "w\(writer)"))
                            #expect(Int(read[1]) >= round, "a writer does not see its own acknowledged write")
                        }
                    }
                }
                for reader in 0..<24 {
                    group.addTask {
                        var generator = SplitMix(seed: UInt64(1_000 + reader))
                        for _ in 0..<rounds * 4 {
                            let name = Self.name(Int.random(in: 0..<Self.databaseCount, using: &generator))
                            let snapshot = try await store.database(name).snapshot()
                            var count = 0
                            for record in snapshot.records() {
                                let record = try record.get()
                                let key = try #require(Int(record.id.dropFirst()))
                                #expect(Self.isWhole(record.vector, key: key), "a torn or foreign vector")
                                #expect(record.version <= snapshot.version)
                                count += 1
                            }
                            #expect(count == snapshot.count)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await store.statistics().openFiles <= 20)
            #expect(try await store.statistics().evictions > 0)
        }
        try await withVectorStore(VectorStore(at: "churn", configuration: configuration)) { store in
            for (name, writers) in final.value.withLock({ $0 }) {
                let database = try await store.database(name)
                for (writer, round) in writers {
                    let read = try #require(try await database.vector(for: "w\(writer)"))
                    #expect(read == Self.vector(writer, round), "an acknowledged write is lost or overtaken")
                }
            }
            let report = try await store.check()
            #expect(report.isSound)
        }
    }

    @Test("64 tasks that commit at once share syncs")
    func groupCommit() async throws {
        let (store, _) = Self.store()
        try await withVectorStore(store) { store in
            let database = try await store.createDatabase("group", options: .init(dimension: Self.dimension))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<64 {
                    group.addTask {
                        for round in 0..<20 {
                            try await database.upsert(
                                VectorRecord(id: "t\(task)-\(round)", vector: Self.vector(task, round)))
                        }
                    }
                }
                try await group.waitForAll()
            }
            let statistics = try await store.statistics()
            #expect(try await database.count() == 64 * 20)
            #expect(statistics.syncs < statistics.commits / 2, "commits that wait together must sync together")
        }
    }

    @Test("Transfers between two databases keep the sum, for snapshots, transactions and after reopening")
    func transfers() async throws {
        let (store, configuration) = Self.store()
        let accounts = 8
        try await withVectorStore(store) { store in
            for name in ["left", "right"] {
                let database = try await store.createDatabase(name, options: .init(dimension: 1))
                try await database.upsert((0..<accounts).map { VectorRecord(id: "\($0)", vector: [100]) })
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<8 {
                    group.addTask {
                        var generator = SplitMix(seed: UInt64(task))
                        for _ in 0..<25 { try await Self.transfer(in: store, accounts, &generator) }
                    }
                }
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<50 {
                            let sum = try await store.transaction { try await Self.sum($0, accounts) }
                            #expect(sum == Float(2 * accounts * 100), "a transaction saw half of another")
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        try await withVectorStore(VectorStore(at: "churn", configuration: configuration)) { store in
            let sum = try await store.transaction { try await Self.sum($0, accounts) }
            #expect(sum == Float(2 * accounts * 100))
        }
    }

    private static func sum(_ transaction: Transaction, _ accounts: Int) async throws -> Float {
        var sum: Float = 0
        for name in ["left", "right"] {
            for account in 0..<accounts {
                sum += try await transaction.vector(for: "\(account)", in: name)?[0] ?? 0
            }
        }
        return sum
    }

    private static func transfer(
        in store: VectorStore, _ accounts: Int, _ generator: inout SplitMix
    ) async throws {
        let from = "\(Int.random(in: 0..<accounts, using: &generator))"
        let to = "\(Int.random(in: 0..<accounts, using: &generator))"
        while true {
            do {
                try await store.transaction { transaction in
                    let left = try await transaction.vector(for: from, in: "left")?[0] ?? 0
                    let right = try await transaction.vector(for: to, in: "right")?[0] ?? 0
                    try await transaction.update(VectorRecord(id: from, vector: [left - 1]), into: "left")
                    try await transaction.update(VectorRecord(id: to, vector: [right + 1]), into: "right")
                }
                return
            } catch let error as StoreError where error.code == .conflict {
                await Task.yield()
            }
        }
    }

    @Test("A held snapshot stays what it was, byte for byte, while its slots would be wanted again")
    func heldSnapshot() async throws {
        let (store, _) = Self.store()
        try await withVectorStore(store) { store in
            let database = try await store.createDatabase("held", options: .init(dimension: Self.dimension))
            let ids = (0..<200).map { "r\($0)" }
            try await database.upsert(ids.enumerated().map { VectorRecord(id: $1, vector: Self.vector($0, 0)) })
            let held = try await database.snapshot()
            for round in 1...30 {
                try await database.upsert(ids.enumerated().map { VectorRecord(id: $1, vector: Self.vector($0, round)) })
                try await store.checkpoint()
                let vectors = try held.vectors(for: ids)
                for (index, vector) in vectors.enumerated() {
                    #expect(vector == Self.vector(index, 0), "a slot was used again while a snapshot reached it")
                }
            }
            #expect(try await database.vector(for: "r7") == Self.vector(7, 30))
        }
    }

    @Test("Of many who create one name at once exactly one does; dropping under fire leaves nothing behind")
    func createAndDrop() async throws {
        let (store, configuration) = Self.store()
        try await withVectorStore(store) { store in
            for round in 0..<10 {
                let created = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for _ in 0..<8 {
                        group.addTask {
                            do {
                                try await store.createDatabase("one", options: .init(dimension: Self.dimension))
                                return true
                            } catch let error as StoreError where error.code == .databaseExists {
                                return false
                            }
                        }
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(created == 1)
                let database = try await store.database("one")
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<8 {
                        group.addTask {
                            do {
                                for index in 0..<20 {
                                    try await database.upsert(
                                        VectorRecord(id: "\(task)-\(index)", vector: Self.vector(task, round)))
                                    _ = try await database.count()
                                }
                            } catch let error as StoreError where error.code == .databaseNotFound {}
                        }
                    }
                    group.addTask { try await store.dropDatabase("one") }
                    try await group.waitForAll()
                }
                let left = try await store.databases()
                #expect(left.isEmpty)
            }
        }
        try await withVectorStore(VectorStore(at: "churn", configuration: configuration)) { store in
            #expect(store.recoveryReport?.orphans == [])
            let left = try await store.databases()
            #expect(left.isEmpty)
        }
    }

    @Test(
        "Writers that are under way when the store shuts down were acknowledged or were not, and that is what is there")
    func shutdownUnderFire() async throws {
        let (store, configuration) = Self.store()
        let acknowledged = Shared<Set<String>>([])
        let running = Task { try await store.run() }
        try await store.waitUntilReady()
        let database = try await store.createDatabase("fire", options: .init(dimension: Self.dimension))
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<50 {
                group.addTask {
                    for index in 0..<1_000 {
                        let id = "\(task)-\(index)"
                        guard
                            (try? await database.upsert(VectorRecord(id: id, vector: Self.vector(task, index)))) != nil
                        else { return }
                        let count = acknowledged.value.withLock { set in
                            set.insert(id)
                            return set.count
                        }
                        if count == 500 { running.cancel() }
                    }
                }
            }
        }
        try await running.value
        try await withVectorStore(VectorStore(at: "churn", configuration: configuration)) { store in
            let snapshot = try await store.database("fire").snapshot()
            for id in acknowledged.value.withLock({ $0 }) { #expect(snapshot.contains(id)) }
            #expect(snapshot.count == acknowledged.value.withLock { $0.count })
        }
    }
}

/// A value that several tasks change.
private final class Shared<Value: Sendable>: Sendable {
    let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }
}

/// A small generator of its own, so that each task's choices are its own and repeatable.
private struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
