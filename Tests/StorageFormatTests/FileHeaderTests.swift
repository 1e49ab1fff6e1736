/// Which numbers a file header may hold, and which of a file's four header pages is believed.
import StorageFormat
import Testing

@Suite struct FileHeaderTests {
    @Test(arguments: 0..<4)
    func `a header comes back from every page`(_ pageIndex: Int) throws {
        let page = Fixtures.header.encode(pageIndex: pageIndex)
        #expect(try FileHeader.decode(page, pageIndex: pageIndex) == Fixtures.header)
    }

    @Test func `a header with as many extents as fit comes back`() throws {
        var header = Fixtures.header
        for unit in UInt32(header.extents.count)..<319 {
            header.extents.append(Extent(kind: .payload, startUnit: 100 + unit, unitCount: 1))
        }
        #expect(try FileHeader.decode(header.encode(pageIndex: 1), pageIndex: 1) == header)
    }

    @Test(arguments: FormatMetric.allCases)
    func `every metric and flag comes back`(_ metric: FormatMetric) throws {
        var header = Fixtures.header
        header.metric = metric
        header.isClean = false
        header.directoryIsValid = metric == .dot
        if !header.directoryIsValid { header.directoryPageCount = 0 }
        let decoded = try FileHeader.decode(header.encode(pageIndex: 0), pageIndex: 0)
        #expect(decoded == header)
        #expect(!decoded.isClean)
        #expect(decoded.directoryIsValid == (metric == .dot))
    }

    /// An offset, and a value of so many bytes that must not stand there.
    @Test(
        arguments: [
            (8, 4, 0), (8, 4, 65_537), (8, 4, UInt64.max), (12, 1, 3), (13, 1, 4), (14, 2, 0xfffe), (16, 8, 131),
            (16, 8, .max), (32, 8, .max), (40, 8, .max), (120, 8, .max), (120, 8, 1 << 31 + 1), (120, 8, 1 << 60),
            (120, 8, 257), (128, 8, 0), (128, 8, 256), (128, 8, 1023), (128, 8, .max), (128, 8, 1 << 33),
            (128, 8, 1 << 63),
            (152, 4, 1), (152, 4, 3), (152, 4, .max), (156, 4, 1), (156, 4, .max), (164, 4, 1), (168, 8, .max),
            (168, 8, 1 << 32), (168, 8, 2049), (196, 4, 320), (196, 4, .max), (196, 4, 4), (200, 8, 1), (256, 4, 0),
            (268, 4, .max), (256, 4, 3), (256, 4, 1), (260, 4, 0), (260, 4, .max), (264, 4, 0), (264, 4, 6),
            (272, 4, 1), (316, 4, 1), (4088, 4, 1), (4, 2, 0), (6, 2, 0),
        ] as [(Int, Int, UInt64)])
    func `a value that no writer writes is refused`(offset: Int, width: Int, value: UInt64) {
        var page = Fixtures.header.encode(pageIndex: 0)
        for index in 0..<width { page[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
        let error = #expect(throws: FormatError.self) {
            try FileHeader.decode(page.resealed(label: "JVDB header", index: 0), pageIndex: 0)
        }
        #expect(error?.kind != .checksumMismatch)
        #expect(error?.kind != .truncated)
    }

    @Test func `a header must not reach past the end of the file`() throws {
        try Fixtures.header.validate(fileSize: Fixtures.fileSize)
        try Fixtures.header.validate(fileSize: .max)
        for size in [0, 65_536, Fixtures.fileSize - 1] {
            #expect(throws: FormatError(.outOfBounds, part: "file header", offset: 256)) {
                try Fixtures.header.validate(fileSize: size)
            }
        }
    }

    @Test(
        arguments: [
            (.vectors, 120), (.recordTable, 152), (.directory, 156), (.pageTable, 160), (.payload, 168),
        ] as [(Extent.Kind, UInt64)])
    func `an area must hold what the header counts in it`(kind: Extent.Kind, offset: UInt64) {
        var header = Fixtures.header
        header.extents.removeAll { $0.kind == kind }
        let page = header.encode(pageIndex: 0)
        #expect(throws: FormatError(.outOfBounds, part: "file header", offset: offset)) {
            try FileHeader.decode(page, pageIndex: 0)
        }
    }

    @Test(arguments: [UInt64(1), .max]) func `no more slots are deleted than there are`(excess: UInt64) {
        var header = Fixtures.header
        header.deletedCount = header.slotCount - header.vectorCount
        #expect(throws: Never.self) { try FileHeader.decode(header.encode(pageIndex: 0), pageIndex: 0) }
        header.deletedCount = excess == .max ? .max : header.deletedCount + excess
        let page = header.encode(pageIndex: 0)
        #expect(throws: FormatError(.invalidValue, part: "file header", offset: 24)) {
            try FileHeader.decode(page, pageIndex: 0)
        }
    }

    @Test func `the largest database has no overflow`() throws {
        var header = Fixtures.header
        header.dimension = 4
        header.slotCount = 1 << 31
        header.vectorCount = 1 << 31
        header.deletedCount = 0
        header.recordPageCount = 1 << 24
        header.directoryBucketCount = 1 << 32
        header.directoryPageCount = 1 << 23
        header.payloadUnitCount = UInt64(FormatLimits.payloadUnitCount)
        header.extents = [
            Extent(kind: .vectors, startUnit: 1, unitCount: 1 << 21),
            Extent(kind: .payload, startUnit: 1 << 22, unitCount: 1 << 21),
            Extent(kind: .recordTable, startUnit: 1 << 23, unitCount: 1 << 21),
            Extent(kind: .directory, startUnit: 1 << 24, unitCount: 1 << 20),
            Extent(kind: .pageTable, startUnit: .max - 0x7fff_ffff, unitCount: 1 << 31),
        ]
        #expect(try FileHeader.decode(header.encode(pageIndex: 0), pageIndex: 0) == header)
    }

    @Test func `extents of shadowed kinds have two halves`() {
        #expect(Fixtures.header.areaByteCount(.vectors) == 65_536)
        #expect(Fixtures.header.areaByteCount(.recordTable) == 65_536)
        #expect(Fixtures.header.endOfExtents == Fixtures.fileSize)
        #expect(vectorStride(dimension: 1) == 64)
        #expect(vectorStride(dimension: 16) == 64)
        #expect(vectorStride(dimension: 17) == 128)
    }
}

@Suite struct FileHeaderNewestTests {
    /// The pages of a file whose generations 5 and 6 were both written.
    private let file: [UInt8]
    private let older: FileHeader

    init() {
        var older = Fixtures.header
        older.generation = 5
        older.vectorCount = 90
        self.older = older
        file =
            Fixtures.header.encode(pageIndex: 0) + Fixtures.header.encode(pageIndex: 1)
            + older.encode(pageIndex: 2) + older.encode(pageIndex: 3)
    }

    private func damaging(_ pages: [Int], in bytes: [UInt8]? = nil) -> [UInt8] {
        pages.reduce(bytes ?? file) { $0.flipping(bit: ($1 * 4096 + 100) * 8) }
    }

    @Test func `the newest generation wins, the older one is an alternative`() throws {
        let result = try FileHeader.newest(file, fileSize: Fixtures.fileSize)
        #expect(result.header == Fixtures.header)
        #expect(result.alternatives == [older])
        #expect(result.damagedPages.isEmpty)
        var newer = Fixtures.header
        newer.generation = 7
        let next = file[..<8192] + newer.encode(pageIndex: 2) + newer.encode(pageIndex: 3)
        #expect(try FileHeader.newest(Array(next), fileSize: Fixtures.fileSize).header.generation == 7)
    }

    @Test(arguments: 0..<4)
    func `one damaged copy is reported and costs nothing`(_ page: Int) throws {
        let result = try FileHeader.newest(damaging([page]), fileSize: Fixtures.fileSize)
        #expect(result.header == Fixtures.header)
        #expect(result.alternatives == [older])
        #expect(result.damagedPages == [page])
    }

    @Test func `the older generation is used when both copies of the newer are damaged`() throws {
        let result = try FileHeader.newest(damaging([0, 1]), fileSize: Fixtures.fileSize)
        #expect(result.header == older)
        #expect(result.alternatives.isEmpty)
        #expect(result.damagedPages == [0, 1])
    }

    @Test func `damage on every page is a checksum mismatch`() {
        let error = #expect(throws: FormatError.self) {
            try FileHeader.newest(damaging([0, 1, 2, 3]), fileSize: Fixtures.fileSize)
        }
        #expect(error?.kind == .checksumMismatch)
    }

    @Test func `pages that were never written are not damaged`() throws {
        let fresh = file[..<8192] + [UInt8](repeating: 0, count: 8192)
        let result = try FileHeader.newest(Array(fresh), fileSize: Fixtures.fileSize)
        #expect(result.alternatives.isEmpty)
        #expect(result.damagedPages.isEmpty)
    }

    @Test(arguments: [[UInt8](), [UInt8](repeating: 0, count: 16_384), [UInt8](repeating: 0xab, count: 16_384)])
    func `something that is no database is refused`(_ bytes: [UInt8]) {
        let error = #expect(throws: FormatError.self) { try FileHeader.newest(bytes, fileSize: 0) }
        #expect(error?.kind == (bytes.isEmpty ? .truncated : .badMagic))
    }

    @Test func `a newer file is refused even if an older generation can be read`() {
        var page = Array(file[..<4096])
        page.put(UInt16(3), at: 4)
        page.put(UInt16(2), at: 6)
        let newer = page.resealed(label: "JVDB header", index: 0)
        for rest in [file[4096...], [UInt8](repeating: 0, count: 12_288)[...]] {
            let error = #expect(throws: FormatError.self) {
                try FileHeader.newest(newer + rest, fileSize: Fixtures.fileSize)
            }
            #expect(error?.kind == .newerVersion(found: 3, supported: 1))
        }
    }

    @Test func `a newer version that older readers may read is read`() throws {
        var page = Array(file[..<4096])
        page.put(UInt16(2), at: 4)
        page[220] = 9  // A field that version 1 does not know.
        let decoded = try FileHeader.decode(page.resealed(label: "JVDB header", index: 0), pageIndex: 0)
        #expect(decoded == Fixtures.header)
    }

    @Test func `a generation on the other generation's pages is damage`() throws {
        let misplaced = older.encode(pageIndex: 0) + file[4096...]
        let result = try FileHeader.newest(misplaced, fileSize: Fixtures.fileSize)
        #expect(result.header == Fixtures.header)
        #expect(result.damagedPages == [0])
    }

    @Test func `a file that lost its end is refused with its bounds`() {
        let error = #expect(throws: FormatError.self) { try FileHeader.newest(file, fileSize: 65_536) }
        #expect(error?.kind == .outOfBounds)
    }

    @Test func `a page in the other byte order is told apart`() {
        var page = Array(file[..<4096])
        page.replaceSubrange(0..<4, with: Array("BDVJ".utf8))
        let error = #expect(throws: FormatError.self) { try FileHeader.decode(page, pageIndex: 0) }
        #expect(error?.kind == .wrongEndianness)
    }
}
