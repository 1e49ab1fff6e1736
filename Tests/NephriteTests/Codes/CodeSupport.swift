// What the suites about codes share: stores in which small databases get codes, waiting for the encoder, comparing codes with
// vectors, and counting calls on files.
import Foundation
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

enum Coding {
    static let dimension = 8
    static let rowCount = CodeStore.minimumRowCount + 100

    static func configure(_ configuration: inout StoreConfiguration) {
        configuration.quantizationByteThreshold = 1
        // The smallest chunks there are: 128 slots.
        configuration.codeChunkByteCount = 1
    }

    /// A store in memory or on disk whose databases have codes early.
    static func store(_ backing: Setting.Backing = .memory, capacity: Int? = nil) -> TestStore {
        let store = TestStore(backing, capacity: capacity)
        configure(&store.configuration)
        return store
    }

    static func id(_ row: Int) -> String { "r\(row)" }

    /// Writes rows `range` with vectors that depend on row and round.
    static func write(_ range: Range<Int>, round: Int, to database: VectorDatabase) async throws {
        let dimension = database.options.dimension
        try await database.upsert(
            ids: range.map(id), vectors: range.flatMap { testVector($0 &+ round &* 100_003, dimension) })
    }

    /// Searches until every record has a code.
    static func finish(_ database: VectorDatabase) async throws {
        let query = testVector(1, database.options.dimension)
        while true {
            _ = try await database.search(query, k: 1)
            let statistics = try await database.statistics()
            if statistics.codingProgress == 1 { return }
            #expect(statistics.codingFailures == 0)
            if statistics.codingFailures > 0 { return }
            // In a simulation time goes on only while everybody waits.
            if let clock = database.store.context.configuration.environment.clock as? VirtualClock {
                try await clock.sleep(nanoseconds: 1_000_000)
            } else {
                await Task.yield()
            }
        }
    }

    /// Slots of a database whose code is not that of their vector; always none.
    static func wrongSlots(_ database: VectorDatabase) async throws -> [UInt32] {
        CodeCheck(snapshot: try await database.snapshot()).wrongSlots()
    }

    /// The number of records that have a code.
    static func codedCount(_ database: VectorDatabase) async throws -> Int {
        try await database.snapshot().codedCount()
    }
}

/// Counts calls on files whose path ends so, for a hooked file system.
final class CallCounter: Sendable {
    private let counts = Box<[SystemCall: Int]>([:])
    private let suffix: String

    init(suffix: String) { self.suffix = suffix }

    func count(_ call: SystemCall) -> Int { counts.value[call] ?? 0 }

    var hook: HookedFileSystem.Hook {
        { (call, path) throws(FileSystemError) in
            if path.description.hasSuffix(self.suffix) { self.counts.update { $0[call, default: 0] += 1 } }
        }
    }
}
