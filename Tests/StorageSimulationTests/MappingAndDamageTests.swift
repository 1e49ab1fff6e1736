// Mappings show what is written, and damage done from outside shows everywhere.
import StorageIO
import StorageSimulation
import Testing

@Suite struct MappingAndDamageTests {
    let disk = SimulatedFileSystem()
    let unit = StorageGranularity.byteCount

    private func byte(_ space: any AddressSpace, _ position: Int) -> UInt8 {
        unsafe space.baseAddress.load(fromByteOffset: position, as: UInt8.self)
    }

    @Test func `a mapping shows what the file holds and what is written to it later`() throws {
        let file = try disk.make(a, filled(1, unit * 2))
        let space = try disk.reserveAddressSpace(byteCount: unit * 4)
        try file.map(offset: UInt64(unit), length: unit, into: space, at: unit * 2)
        #expect(byte(space, unit * 2) == 1)
        try file.put(filled(2, unit + 10))
        #expect(byte(space, unit * 2 + 9) == 2 && byte(space, unit * 2 + 10) == 1)
        try disk.open(a, .readWrite).put([3], at: UInt64(unit * 2 - 1))
        #expect(byte(space, unit * 3 - 1) == 3)
        try file.close()
        try disk.unlink(a)
        #expect(byte(space, unit * 2) == 2)
    }

    @Test func `holes map as zeros`() throws {
        let file = try disk.make(a)
        try file.allocate(offset: 0, length: UInt64(unit))
        let space = try disk.reserveAddressSpace(byteCount: unit)
        try file.map(offset: 0, length: unit, into: space, at: 0)
        #expect((0..<unit).allSatisfy { byte(space, $0) == 0 })
    }

    @Test func `a range that is mapped anew no longer shows the old file`() throws {
        let old = try disk.make(a, filled(1, unit * 3))
        let new = try disk.make(b, filled(2, unit))
        let space = try disk.reserveAddressSpace(byteCount: unit * 3)
        try old.map(offset: 0, length: unit * 3, into: space, at: 0)
        try new.map(offset: 0, length: unit, into: space, at: unit)
        try old.put(filled(9, unit * 3))
        #expect([0, unit, unit * 2].map { byte(space, $0) } == [9, 2, 9])
        try new.put([5])
        #expect(byte(space, unit) == 5)
    }

    @Test func `mappings that the protocol forbids are refused`() throws {
        let file = try disk.make(a, filled(1, unit + 5))
        let space = try disk.reserveAddressSpace(byteCount: unit * 2)
        try file.map(offset: 0, length: unit + 5, into: space, at: 0)
        for (offset, length, position) in [
            (1, unit, 0), (0, unit, 1), (0, unit * 2, 0), (0, 100, 0), (0, unit, unit * 2), (unit, unit, 0),
        ] {
            #expect(
                code { try file.map(offset: UInt64(offset), length: length, into: space, at: position) }
                    == ErrorNumber.invalid)
        }
    }

    @Test func `an image's files are not mapped where the original's are`() throws {
        let file = try disk.make(a, filled(1, unit))
        let space = try disk.reserveAddressSpace(byteCount: unit)
        try file.map(offset: 0, length: unit, into: space, at: 0)
        try disk.crashImage(.keepAll).open(a, .readWrite).put([9])
        #expect(byte(space, 0) == 1)
    }

    @Test func `damage changes both layers and mappings, and makes no call`() throws {
        let file = try disk.make(a, (0..<2_048).map { UInt8($0 / 512 + 1) })
        let calls = disk.callCount
        disk.flipBit(a, bit: 8 * 3 + 7)
        disk.zeroSector(a, sector: 1)
        disk.swapSectors(a, 2, 3)
        #expect(disk.callCount == calls)
        #expect(try file.get(5) == [1, 1, 1, 0x81, 1])
        let expected = [1, 1, 1, 0x81] + filled(1, 508) + filled(0, 512) + filled(4, 512) + filled(3, 512)
        #expect(disk.contents(of: a) == expected)
        #expect(disk.durableContents(of: a) == expected)
        disk.truncate(a, to: 700)
        #expect(disk.durableContents(of: a) == Array(expected.prefix(700)))
        try file.allocate(offset: 0, length: 2_048)
        #expect(try file.get(4_096) == Array(expected.prefix(700)) + filled(0, 1_348))
        disk.appendGarbage(a, count: 100, seed: 1)
        #expect(try file.size() == 2_148)
        #expect(try file.get(100, at: 2_048) != filled(0, 100))
    }

    @Test func `damage reaches mappings`() throws {
        let file = try disk.make(a, filled(1, unit))
        let space = try disk.reserveAddressSpace(byteCount: unit)
        try file.map(offset: 0, length: unit, into: space, at: 0)
        disk.flipBit(a, bit: 80)
        #expect(byte(space, 10) == 0)
    }
}
