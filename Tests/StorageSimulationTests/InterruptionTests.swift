// Calls that are interrupted are made again, but not for ever: a simulation, or a machine, that answers every call with
// EINTR would hang the log's thread.
import StorageIO
import StorageSimulation
import Testing

@Suite struct InterruptionTests {
    private static let path = StoragePath("file")

    @Test("A write that is interrupted a thousand times is made")
    func many() throws {
        let disk = SimulatedFileSystem()
        let file = try disk.open(Self.path, .createNew)
        disk.inject(FaultPlan([Fault(.fail(ErrorNumber.interrupted), .probability(0.999), calls: [.write])], seed: 3))
        let bytes: [UInt8] = [1, 2, 3]
        try unsafe bytes.withUnsafeBytes { try unsafe file.writeFully([$0], at: 0) }
        #expect(disk.contents(of: Self.path) == [1, 2, 3])
        #expect(disk.callCount > 100)
    }

    @Test("Interruptions without an end are an error, in reads and writes")
    func endless() throws {
        let disk = SimulatedFileSystem()
        let file = try disk.open(Self.path, .createNew)
        try file.allocate(offset: 0, length: 16)
        disk.inject(FaultPlan([Fault(.fail(ErrorNumber.interrupted), .from(1))]))
        var bytes: [UInt8] = [1, 2, 3]
        let writing = #expect(throws: FileSystemError.self) {
            try unsafe bytes.withUnsafeBytes { try unsafe file.writeFully([$0], at: 0) }
        }
        let reading = #expect(throws: FileSystemError.self) {
            try unsafe bytes.withUnsafeMutableBytes { _ = try unsafe file.readFully(into: $0, at: 0) }
        }
        #expect(writing?.isInterruption == true && reading?.isInterruption == true)
    }
}
