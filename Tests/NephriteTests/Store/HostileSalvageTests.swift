// Salvage of files that are damaged at random, or on purpose: no trap, and no record that was never written.
import Nephrite
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct HostileSalvageTests {
    private typealias Fixture = SalvageFixture

    @Test(
        "Bytes flipped at random in every file: no trap, no record that was never written",
        arguments: 0..<40 as Range<UInt64>)
    func flips(seed: UInt64) async throws {
        let disks = try await Fixture.make(killed: seed % 2 == 0)
        var generator = SeededGenerator(seed: seed)
        for (name, bytes) in Fixture.contents(disks.source).sorted(by: { $0.key < $1.key }) where !bytes.isEmpty {
            let parts = name.split(separator: "/").map(String.init)
            let path = parts.count == 2 ? StoragePath(parts[0], parts[1]) : StoragePath(parts[0])
            // Half of the flips near the front, where what describes the rest is.
            for index in 0..<generator.next(below: 30) {
                let limit = index % 2 == 0 ? min(bytes.count, 20_000) : bytes.count
                disks.source.flipBit(path, bit: generator.next(below: limit * 8))
            }
        }
        do {
            let (_, contents) = try await disks.salvage()
            Fixture.expectOnlyWritten(contents)
        } catch let error as StoreError {
            #expect([.newerFormat, .notAStore].contains(error.code), "\(error)")
        }
    }

    @Test("Files of noise, of zeros and of nothing")
    func noise() async throws {
        for kind in 0..<3 {
            let disks = try await Fixture.make(killed: true)
            for (name, bytes) in Fixture.contents(disks.source).sorted(by: { $0.key < $1.key }) where !bytes.isEmpty {
                let parts = name.split(separator: "/").map(String.init)
                let path = parts.count == 2 ? StoragePath(parts[0], parts[1]) : StoragePath(parts[0])
                switch kind {
                case 0: disks.source.truncate(path, to: 0)
                case 1: disks.source.damage(path, at: 0, with: [UInt8](repeating: 0, count: bytes.count))
                default:
                    var generator = SeededGenerator(seed: UInt64(bytes.count))
                    let noise = (0..<bytes.count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                    disks.source.damage(path, at: 0, with: noise)
                }
            }
            let (report, contents) = try await disks.salvage()
            #expect(contents.isEmpty && !report.isComplete)
        }
    }

    @Test("A header that is valid and lies about sizes costs neither memory nor time")
    func lyingHeader() async throws {
        let disks = try await Fixture.make(killed: false)
        let bytes = try #require(disks.source.contents(of: Fixture.dataFile))
        var header = try #require(Fixture.header(bytes))
        header.generation += 1
        header.extents = [
            Extent(kind: .vectors, startUnit: 1, unitCount: 1 << 30),
            Extent(kind: .payload, startUnit: 1 + 1 << 30, unitCount: 1 << 21),
            Extent(kind: .recordTable, startUnit: 1 + 1 << 31, unitCount: 1 << 25),
            Extent(kind: .directory, startUnit: 1 + 3 << 30, unitCount: 1 << 20),
            Extent(kind: .pageTable, startUnit: 1 + 3 << 30 + 1 << 20, unitCount: 1 << 20),
        ]
        header.slotCount = 1 << 31
        header.recordPageCount = 1 << 24
        header.flags = []
        header.directoryPageCount = 0
        header.vectorCount = 1 << 31
        header.deletedCount = 0
        let page = FileHeader.firstPage(generation: header.generation)
        for copy in [page, page + 1] {
            disks.source.damage(Fixture.dataFile, at: copy * 4_096, with: header.encode(pageIndex: copy))
        }
        let (report, contents) = try await disks.salvage()
        #expect(!report.isComplete)
        #expect(contents["b"] == Fixture.expected)
        Fixture.expectOnlyWritten(contents)
    }
}
