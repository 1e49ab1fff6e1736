// Stores that earlier versions wrote, kept in the repository, open and hold what they held (A20, A23, O9).
//
// `NEPHRITE_WRITE_GOLDEN=<new directory> swift test --filter GoldenStoreTests` writes one; commit it under the next
// version's name. What is committed is never written again.
import Foundation
import Nephrite
import StorageIO
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(20)))
struct GoldenStoreTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Golden")

    /// The same numbers in each run.
    private final class FixedRandom: RandomSource {
        private let state = Mutex(TestGenerator(state: 7))
        func next() -> UInt64 { state.withLock { $0.next() } }
    }

    /// A clock that stands still; its sleeps end by cancellation.
    private struct FixedClock: StorageClock {
        func monotonicNanoseconds() -> UInt64 { 1 }
        func wallNanoseconds() -> UInt64 { 1_750_000_000_000_000_000 }
        func sleep(nanoseconds: UInt64) async throws { try await ContinuousClock().sleep(for: .seconds(86_400)) }
    }

    private static func record(_ index: Int) -> VectorRecord {
        VectorRecord(
            id: index == 5 ? "e\u{301}" : "record-\(index)", vector: testVector(index, 12),
            metadata: index.isMultiple(of: 3)
                ? [:]
                : [
                    "index": .integer(Int64(index)), "half": .double(Double(index) / 2),
                    "list": [nil, true, "é", ["k": 1]],
                ])
    }

    /// Checkpointed records 0…29, of which 10…14 were updated and 20…24 deleted; records 30…34 by the bulk path and 35 in
    /// the log only.
    private static var expected: [String: VectorRecord] {
        var records: [String: VectorRecord] = [:]
        for index in 0..<36 where !(20..<25).contains(index) {
            var record = record(index)
            if (10..<15).contains(index) { record.vector = testVector(index + 100, 12) }
            records[record.id] = record
        }
        return records
    }

    @Test("Writing a golden store", .enabled(if: ProcessInfo.processInfo.environment["NEPHRITE_WRITE_GOLDEN"] != nil))
    func write() async throws {
        let target = try #require(ProcessInfo.processInfo.environment["NEPHRITE_WRITE_GOLDEN"])
        let directory = TestStore(.disk)
        directory.configuration.logSegmentByteCount = 64 << 10
        directory.configuration.bulkByteThreshold = 240
        directory.configuration.environment.random = FixedRandom()
        directory.configuration.environment.clock = FixedClock()
        try await directory.open { store async throws in
            let options = DatabaseOptions(dimension: 12, metric: .euclidean)
            let database = try await store.createDatabase("glosses", options: options)
            try await store.createDatabase("empty", options: DatabaseOptions(dimension: 7, durability: .relaxed))
            for index in 0..<30 { try await database.insert(Self.record(index)) }
            for index in 10..<15 {
                var record = Self.record(index)
                record.vector = testVector(index + 100, 12)
                try await database.update(record)
            }
            try await database.delete((20..<25).map { Self.record($0).id })
            try await store.checkpoint()
            try await database.insert((30..<35).map(Self.record))
            try await database.insert(Self.record(35))
            // As a killed process leaves it: with a log to replay.
            try FileManager.default.copyItem(atPath: directory.path, toPath: target)
            try? FileManager.default.removeItem(atPath: target + "/wal/reserve")
        }
    }

    @Test("A store of format version 1 opens, replays its log, and holds what it held", arguments: ["v1"])
    func opens(_ version: String) async throws {
        let directory = TestStore(.disk)
        try FileManager.default.copyItem(
            at: Self.folder.appendingPathComponent(version), to: URL(fileURLWithPath: directory.path))
        for life in 0..<2 {
            try await directory.open { store async throws in
                let descriptions = try await store.databases()
                #expect(descriptions.map(\.name) == ["empty", "glosses"])
                #expect(descriptions[0].options == DatabaseOptions(dimension: 7, durability: .relaxed))
                #expect(descriptions[1].options == DatabaseOptions(dimension: 12, metric: .euclidean))
                #expect(descriptions.map(\.createdAt) == [1_750_000_000, 1_750_000_000])
                #expect(store.recoveryReport?.wasClean == (life == 1))
                let database = try await store.database("glosses")
                #expect(try await database.allContents() == Self.expected)
                #expect(try await store.database("empty").count() == 0)
                #expect(try await database.search(testVector(33, 12), k: 1).first?.id == "record-33")
                try await store.expectSound()
                try await database.upsert(Self.record(0))
            }
        }
    }
}
