// The zeros that the log writes ahead of small commits: when they are written, and what becomes of it when they cannot be.
import Foundation
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct LogZeroingTests {
    private static let directory = "wal/"
    private static let zeroByteCount: UInt64 = 512 << 10
    private static let recordsOffset: UInt64 = 8_192

    private func configuration(_ disk: SimulatedFileSystem) -> StoreConfiguration {
        var configuration = simulatedConfiguration(disk, segmentByteCount: 4 << 20)
        configuration.checkpointInterval = .seconds(3_600)
        return configuration
    }

    /// A record whose commit takes about 40 KB of the log: a small one, for which zeros are written ahead.
    private static func record(_ number: Int) -> VectorRecord {
        VectorRecord(
            id: "r\(number)", vector: testVector(number, 3),
            metadata: ["text": .string(String(repeating: "x", count: 40_000))])
    }

    /// What is behind the first zeros of a segment.
    private static func faults(_ code: Int32, _ trigger: Fault.Trigger) -> FaultPlan {
        FaultPlan([
            Fault(
                .fail(code), trigger, calls: [.write], pathPrefix: directory,
                bytes: recordsOffset + zeroByteCount..<UInt64.max)
        ])
    }

    @Test("No commit but the first waits for zeros: they are written when half of the last ones are used up")
    func whenNothingWaits() async throws {
        let disk = SimulatedFileSystem()
        disk.setTraceCapacity(100_000)
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            for number in 0..<50 {
                try await database.upsert(Self.record(number))
                // Returns when the log task has come back to its queue.
                try await store.flush()
            }
        }
        var end: UInt64 = 0
        var aheadOfEnd: [UInt64] = []
        for entry in disk.trace where entry.call == .write && entry.path.description.hasPrefix(Self.directory) {
            // The segment's header.
            if entry.offset < Self.recordsOffset { continue }
            if entry.length == Self.zeroByteCount {
                aheadOfEnd.append(entry.offset - end)
            } else {
                end = entry.offset + entry.length
            }
        }
        #expect(end > 50 * 40_000, "\(disk.trace.suffix(20))")
        #expect(aheadOfEnd.count >= 4, "\(aheadOfEnd) of \(end)")
        #expect(aheadOfEnd.dropFirst().allSatisfy { (200_000..<Self.zeroByteCount / 2).contains($0) }, "\(aheadOfEnd)")
    }

    @Test("A disk that refuses the zeros for want of space is not asked more than it has to be; nothing is refused")
    func outOfSpace() async throws {
        let disk = SimulatedFileSystem()
        disk.inject(Self.faults(ErrorNumber.noSpace, .at(1)))
        try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            for number in 0..<30 { try await database.upsert(Self.record(number)) }
            try await store.expectSound()
            #expect(try await database.count() == 30)
        }
        #expect(disk.trace.contains { $0.code == ErrorNumber.noSpace })
    }

    @Test("Zeros that cannot be written stop writing before a commit relies on that part of the disk; nothing is lost")
    func inputOutput() async throws {
        let disk = SimulatedFileSystem()
        disk.inject(Self.faults(ErrorNumber.inputOutput, .from(1)))
        var acknowledged = 0
        await expectError(.fenced) {
            try await withVectorStore(at: "simulated", configuration: configuration(disk)) { store in
                let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
                for number in 0..<30 {
                    try await database.upsert(Self.record(number))
                    acknowledged += 1
                    try? await store.flush()
                }
            }
        }
        // Half of the zeros were left.
        #expect((5...8).contains(acknowledged), "\(acknowledged) commits were acknowledged")
        let image = disk.crashImage(.loseAll)
        try await withVectorStore(at: "simulated", configuration: configuration(image)) { store in
            #expect(try await Set(store.database("a").allIDs()) == Set((0..<acknowledged).map { "r\($0)" }))
            try await store.expectSound()
        }
    }
}
