/// The header of a code file: its bytes, and what is refused.
import StorageFormat
import Testing

@Suite struct CodeFileHeaderTests {
    private static let zeros = [UInt8](repeating: 0, count: CodeFileHeader.byteCount)

    @Test("A code file header is written byte for byte as laid out")
    func golden() throws {
        let golden = try Golden.bytes("code-file-header")
        #expect(Fixtures.codes.encode() == golden)
        #expect(try CodeFileHeader.decode(golden, copy: 1) == Fixtures.codes)
    }

    @Test("The checksum of a code is that of the layout, and covers the slot, the record, both rows and the file")
    func rowChecksum() throws {
        let high = (0..<32).map { UInt8($0) }
        let low = (100..<116).map { UInt8($0) }
        func checksum(
            slot: UInt64 = 77, tag: UInt32 = 0x2122_2324, low: [UInt8], incarnation: UInt64 = 9
        ) -> UInt32 {
            let salt = ChecksumSalt(uuid: Fixtures.codes.uuid, incarnation: incarnation)
            return unsafe high.withUnsafeBytes { high in
                unsafe low.withUnsafeBytes { low in
                    unsafe salt.codeRowChecksum(slot: slot, tag: tag, high: high, low: low)
                }
            }
        }
        let golden = try Golden.bytes("code-row-checksum")
        let right = checksum(low: low)
        #expect(unsafe withUnsafeBytes(of: right.littleEndian) { unsafe Array($0) } == golden)
        #expect(
            Set([
                right, checksum(slot: 78, low: low), checksum(tag: 0, low: low), checksum(low: low + [0]),
                checksum(low: low, incarnation: 10),
            ]).count == 5)
        let header = Fixtures.codes
        #expect(header.lowRowsOffset == 256 * 32 && header.signRowsOffset == 256 * 48)
        #expect(header.checksumsOffset == 256 * 96)
        #expect(header.place(ofSlot: 257, stride: 4, table: header.checksumsOffset) == 65_536 * 2 + 256 * 96 + 4)
    }

    @Test("Every single-bit flip of a code file header is noticed, and every truncation")
    func damage() {
        let page = Fixtures.codes.encode()
        let missed = (0..<(page.count * 8)).filter {
            (try? CodeFileHeader.decode(page.flipping(bit: $0), copy: 1)) != nil
        }
        #expect(missed.isEmpty)
        for count in 0..<page.count {
            #expect(throws: FormatError.self) { try CodeFileHeader.decode(Array(page[..<count]), copy: 1) }
        }
        #expect(throws: FormatError.self) { try CodeFileHeader.decode(page, copy: 0) }
    }

    @Test(
        "Values that no writer writes are refused, right checksum or not",
        arguments: [
            (32, 0), (56, (1 << 31) + 1), (64, 0), (64, 65_537), (72, 0), (72, 24), (72, 1 << 19), (76, 0), (76, 8),
            (80, 64), (80, 384), (80, 1 << 17), (84, 2), (84, 4), (92, 1), (92, 1 << 19), (96, 1),
        ])
    func values(_ offset: Int, _ value: Int) {
        var page = Fixtures.codes.encode()
        if [32, 56].contains(offset) {
            page.put(UInt64(value), at: offset)
        } else {
            page.put(UInt32(value), at: offset)
        }
        let resealed = page.resealed(label: "NCOD header", index: 1)
        #expect(throws: FormatError.self) { try CodeFileHeader.decode(resealed, copy: 1) }
        #expect(throws: FormatError.self) {
            try CodeFileHeader.decode(resealed.resealed(label: "NCOD header", index: 0), copy: 0)
        }
    }

    @Test("The newest valid copy that fits the file counts")
    func newest() throws {
        var older = Fixtures.codes
        older.generation = 6
        older.codedSlotCount = 100
        let file = older.encode() + Fixtures.codes.encode()
        let size = UInt64(Fixtures.codes.chunksOffset + 2 * Fixtures.codes.chunkByteCount)
        #expect(try CodeFileHeader.newest(file, fileSize: size) == Fixtures.codes)
        // 300 slots take two chunks, 100 take one.
        #expect(try CodeFileHeader.newest(file, fileSize: size - 1) == older)
        #expect(throws: FormatError.self) { try CodeFileHeader.newest(file, fileSize: 65_536) }
        for bit in stride(from: 4_096 * 8, to: 8_192 * 8, by: 11) {
            #expect(try CodeFileHeader.newest(file.flipping(bit: bit), fileSize: size) == older)
        }
        #expect(try CodeFileHeader.newest(Self.zeros + Fixtures.codes.encode(), fileSize: size) == Fixtures.codes)
        // Both copies must stand where their generation belongs.
        #expect(throws: FormatError.self) {
            try CodeFileHeader.newest(Fixtures.codes.encode() + older.encode(), fileSize: size)
        }
        #expect(throws: FormatError.self) { try CodeFileHeader.newest(Self.zeros + Self.zeros, fileSize: size) }
        #expect(throws: FormatError.self) { try CodeFileHeader.newest([], fileSize: 0) }
    }

    @Test("A copy that asks for a newer reader keeps the file from being read, whatever the other says")
    func newerVersion() {
        var page = Fixtures.codes.encode()
        page.put(UInt32(2 | 2 << 16), at: 4)
        var older = Fixtures.codes
        older.generation = 6
        let file = older.encode() + page.resealed(label: "NCOD header", index: 1)
        #expect(throws: FormatError(.newerVersion(found: 2, supported: 1), part: "code file header", offset: 4)) {
            try CodeFileHeader.newest(file, fileSize: 1 << 30)
        }
    }

    @Test("A catalogue entry keeps whether the database wants codes")
    func quantization() throws {
        for quantization in FormatQuantization.allCases {
            var entry = Fixtures.catalogue.entries[0]
            entry.quantization = quantization
            let bytes = entry.encode()
            #expect(bytes[12] == quantization.rawValue)
            #expect(try CatalogueEntry.decode(bytes) == entry)
            var other = bytes
            other[12] = 2
            #expect(throws: FormatError(.invalidValue, part: "catalogue entry", offset: 12)) {
                try CatalogueEntry.decode(other)
            }
        }
    }
}
