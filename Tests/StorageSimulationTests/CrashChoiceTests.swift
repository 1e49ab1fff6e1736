// What each kind of crash image keeps and loses.
import StorageIO
import StorageSimulation
import Testing

@Suite struct CrashChoiceTests {
    let disk = SimulatedFileSystem()

    /// A durable file of three sectors of 1, over which three one-sector writes of 2, 3 and 4 are pending.
    private func threeWrites() throws -> any StorageFile {
        let file = try disk.make(a, filled(1, 1_536))
        for index in 0..<3 { try file.put(filled(UInt8(2 + index), 512), at: UInt64(512 * index)) }
        return file
    }

    /// The first byte of each sector of `a` after a crash.
    private func sectors(_ choice: CrashChoice) throws -> [UInt8] {
        let bytes = try #require(disk.crashImage(choice).contents(of: a))
        return stride(from: 0, to: bytes.count, by: 512).map { bytes[$0] }
    }

    @Test func `each choice keeps exactly what it names`() throws {
        _ = try threeWrites()
        #expect(disk.pendingOperationCount == 3)
        #expect(try sectors(.loseAll) == [1, 1, 1])
        #expect(try sectors(.keepAll) == [2, 3, 4])
        #expect(try sectors(.keepPrefix(2)) == [2, 3, 1])
        #expect(try sectors(.dropOne(1)) == [2, 1, 4])
        #expect(try sectors(.keepOnly(1)) == [1, 3, 1])
    }

    @Test func `a torn write leaves the sectors of the mask, a cut one its beginning`() throws {
        let file = try disk.make(a, filled(1, 1_536))
        try file.put(filled(2, 1_536))
        try file.put(filled(9, 512))
        #expect(try sectors(.torn(operation: 0, sectors: 0b101)) == [9, 1, 2])
        #expect(try sectors(.cut(operation: 0, sectorCount: 2)) == [2, 2, 1])
    }

    @Test func `size and data are lost independently, and data beyond the size never shows`() throws {
        let file = try disk.make(a)
        try file.put(filled(1, 512))
        #expect(disk.pendingOperations.map(\.kind) == [.sectors(1), .size(512)])
        #expect(disk.crashImage(.keepOnly(1)).contents(of: a) == filled(0, 512))
        let dataOnly = disk.crashImage(.keepOnly(0))
        #expect(dataOnly.contents(of: a) == [])
        try dataOnly.open(a, .readWrite).allocate(offset: 0, length: 512)
        #expect(dataOnly.contents(of: a) == filled(0, 512))
    }

    @Test func `a sector goes to disk whole, with what earlier writes left in it`() throws {
        let file = try disk.make(a, filled(1, 512))
        try file.put([2], at: 0)
        try file.put([3], at: 1)
        #expect(disk.crashImage(.keepOnly(1)).contents(of: a) == [2, 3] + filled(1, 510))
    }

    @Test func `names are lost independently of data`() throws {
        let file = try disk.make(a, durable: false)
        try file.put([1])
        #expect(disk.crashImage(.keepOnly(0)).contents(of: a) == [])
        #expect(disk.crashImage(.dropOne(0)).contents(of: a) == nil)
    }

    @Test func `an image is a fresh system that shares nothing visible with the original`() throws {
        let file = try threeWrites()
        let image = disk.crashImage(.keepAll)
        #expect(image.pendingOperationCount == 0 && image.callCount == 0)
        try image.open(a, .readWrite).put(filled(8, 1_536))
        #expect(try file.get(1) == [2])
        try file.put([7])
        #expect(image.contents(of: a) == filled(8, 1_536))
        #expect(image.durableContents(of: a)?.first == 2)
        #expect(disk.pendingOperationCount == 4)
    }

    @Test func `random images are replayable, differ by seed and are always made of old and new sectors`() throws {
        let file = try disk.make(a, filled(1, 4_096))
        try file.put(filled(2, 4_096))
        try file.put(filled(3, 1_024), at: 4_096)
        var seen: Set<[UInt8]> = []
        for seed in 0..<200 as Range<UInt64> {
            let image = try sectors(.random(seed: seed))
            #expect(try sectors(.random(seed: seed)) == image)
            #expect(image.prefix(8).allSatisfy { $0 == 1 || $0 == 2 })
            #expect(image.dropFirst(8).allSatisfy { $0 == 0 || $0 == 3 })
            seen.insert(image)
        }
        #expect(seen.contains { $0.count == 8 } && seen.contains { $0.count == 10 })
        #expect(seen.contains { $0.prefix(8).contains(1) && $0.prefix(8).contains(2) })
        #expect(seen.count > 40)
    }

    @Test func `the enumeration reaches every subset of a small write and has no duplicates`() throws {
        let file = try disk.make(a, filled(1, 2_048))
        try file.put(filled(2, 2_048))
        let choices = CrashChoice.enumerate(disk.pendingOperations)
        #expect(Set(choices).count == choices.count)
        #expect(Set(try choices.map(sectors)).count == 16)
        try file.put(filled(3, 2_048))
        try file.put(filled(4, 512))
        let all = Set(try CrashChoice.enumerate(disk.pendingOperations).map(sectors))
        #expect(all.isSuperset(of: [[1, 1, 1, 1], [4, 3, 3, 3], [4, 1, 1, 1], [3, 3, 3, 3], [4, 2, 2, 2]]))
    }

    @Test func `the hook sees the state before every call that changes it`() throws {
        let log = Shared<[String]>([])
        disk.snapshotHook = { number, disk in
            let size = disk.crashImage(.keepAll).contents(of: StoragePath("a"))?.count ?? -1
            log.update { $0.append("\(number):\(size)") }
        }
        let file = try disk.make(a, durable: false)
        try file.put(filled(1, 100))
        _ = try file.get(1)
        try file.synchronizeData()
        #expect(log.value == ["1:-1", "2:0", "4:100"])
    }

    @Test func `crashes nest`() throws {
        _ = try threeWrites()
        let first = disk.crashImage(.keepPrefix(1))
        try first.open(a, .readWrite).put(filled(5, 512), at: 1_024)
        let second = first.crashImage(.keepAll)
        #expect(second.contents(of: a) == filled(2, 512) + filled(1, 512) + filled(5, 512))
    }
}
