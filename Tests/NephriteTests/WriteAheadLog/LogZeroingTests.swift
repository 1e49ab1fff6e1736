// The zeros that the log writes ahead of small commits: when they are written, and what becomes of it when they cannot be.
import Foundation
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

/// Deterministic: time goes on when nothing else does, so after a sleep the log task has nothing left to do.
@Suite(.timeLimit(.minutes(20)))
struct LogZeroingTests {
    private static let directory = "wal/"
    private static let zeroByteCount: UInt64 = 512 << 10
    private static let recordsOffset: UInt64 = 8_192

    /// A record whose commit takes about 40 KB of the log: a small one, for which zeros are written ahead.
    private static func record(_ number: Int) -> VectorRecord {
        VectorRecord(
            id: "r\(number)", vector: testVector(number, 3),
            metadata: ["text": .string(String(repeating: "x", count: 40_000))])
    }

    /// Writes records one after the other; how many were acknowledged, and the error that ended it.
    private static func write(
        _ count: Int, to disk: SimulatedFileSystem, restingBetween rests: Bool = true
    ) throws -> (acknowledged: Int, error: StoreError?) {
        var settings = SimulationSettings()
        settings.segmentByteCount = 4 << 20
        settings.bulkByteThreshold = 1 << 20
        settings.checkpointInterval = .seconds(3_600)
        let clock = VirtualClock()
        settings.clock = clock
        let acknowledged = Box(0)
        do {
            try Simulation.run(disk, settings) { store in
                let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
                for number in 0..<count {
                    try await database.upsert(record(number))
                    acknowledged.update { $0 += 1 }
                    if rests { try await clock.sleep(nanoseconds: 1_000_000) }
                }
                try await store.expectSound()
            }
        } catch let error as StoreError {
            return (acknowledged.value, error)
        }
        return (acknowledged.value, nil)
    }

    private static func fault(_ code: Int32, at bytes: Range<UInt64>) -> FaultPlan {
        FaultPlan([Fault(.fail(code), .from(1), calls: [.write], pathPrefix: directory, bytes: bytes)])
    }

    /// How far ahead of the records zeros began each time that some were written.
    private static func zeros(_ disk: SimulatedFileSystem) -> [UInt64] {
        var end = recordsOffset
        var ahead: [UInt64] = []
        for entry in disk.trace where entry.call == .write && entry.path.description.hasPrefix(directory) {
            if entry.offset < recordsOffset { continue }
            if entry.length == zeroByteCount {
                ahead.append(entry.offset - min(end, entry.offset))
            } else {
                end = entry.offset + entry.length
            }
        }
        return ahead
    }

    @Test("Zeros are written when half of the last ones are used up and nothing waits, not when a commit needs them")
    func whenNothingWaits() throws {
        let disk = SimulatedFileSystem()
        disk.setTraceCapacity(100_000)
        #expect(try Self.write(50, to: disk) == (50, nil))
        let zeros = Self.zeros(disk)
        // 2 MB of records; each time that half of 512 KiB is used up, which a commit may overshoot by its own length.
        #expect(zeros.count == 5, "\(zeros)")
        #expect(zeros.dropFirst().allSatisfy { (220_000..<Self.zeroByteCount / 2).contains($0) }, "\(zeros)")
    }

    @Test("A disk without room for zeros is asked once, and refuses nothing else", arguments: [0, zeroByteCount])
    func outOfSpace(_ offset: UInt64) throws {
        let disk = SimulatedFileSystem()
        disk.setTraceCapacity(100_000)
        // In the middle of what the zeros would cover, where no record comes to.
        let byte = Self.recordsOffset + offset + 400_000
        disk.inject(Self.fault(ErrorNumber.noSpace, at: byte..<byte + 1))
        let count = offset == 0 ? 8 : 20
        #expect(try Self.write(count, to: disk) == (count, nil))
        #expect(disk.trace.count { $0.code == ErrorNumber.noSpace } == 1)
    }

    @Test("Zeros that cannot be written stop writing before a commit relies on that part of the disk; nothing is lost")
    func inputOutput() throws {
        let disk = SimulatedFileSystem()
        disk.inject(Self.fault(ErrorNumber.inputOutput, at: Self.recordsOffset + Self.zeroByteCount..<UInt64.max))
        let (acknowledged, error) = try Self.write(30, to: disk)
        #expect(acknowledged == 7 && error?.code == .fenced && error?.errorNumber == ErrorNumber.inputOutput)
        let model = try Simulation.recover(disk.crashImage(.loseAll)).model
        #expect(model.databases["a"].map { Set($0.keys) } == Set((0..<acknowledged).map { "r\($0)" }))
    }
}
