/// Log records in a segment: reading them in turn, where reading ends, and finding the next valid one.
import StorageFormat
import Testing

@Suite struct LogCodecTests {
    private let salt = Fixtures.segment.saltSeed

    /// Three chained records and the positions where they start.
    private func segment() -> (bytes: [UInt8], starts: [Int]) {
        var bytes: [UInt8] = []
        var starts: [Int] = []
        var previous = salt
        for (index, id) in ["a", "a-longer-id-than-before", "c"].enumerated() {
            let record = Fixtures.storeRecord(id: id, lsn: UInt64(index + 1), previousChecksum: previous)
            previous = record.integer(at: 4)
            starts.append(bytes.count)
            bytes += record
        }
        return (bytes, starts)
    }

    @Test func `records are read one after the other until the zeros`() {
        let (bytes, starts) = segment()
        let preallocated = bytes + [UInt8](repeating: 0, count: 96)
        var offset = 0
        var previous = salt
        for (index, start) in starts.enumerated() {
            #expect(offset == start)
            guard case .record(let header, let body, let next) = LogCodec.read(preallocated, at: offset, saltSeed: salt)
            else {
                Issue.record("no record at \(offset)")
                return
            }
            #expect(header.lsn == UInt64(index + 1))
            #expect(header.previousChecksum == previous)
            #expect(header.bodyLength == body.count && body.lowerBound == offset + 48)
            #expect(header.type == .store && header.database == 5 && header.transaction == 21)
            previous = header.checksum
            offset = next
        }
        #expect(LogCodec.read(preallocated, at: offset, saltSeed: salt) == .end)
        #expect(LogCodec.read(bytes, at: bytes.count, saltSeed: salt) == .end)
        #expect(LogCodec.read(bytes, at: .max & ~31, saltSeed: salt) == .end)
        #expect(LogCodec.read(bytes, at: -32, saltSeed: salt) == .invalid)
        #expect(LogCodec.read(bytes, at: 16, saltSeed: salt) == .invalid)
    }

    @Test func `a record of another segment is invalid`() {
        #expect(LogCodec.read(Fixtures.record, at: 0, saltSeed: salt ^ 1) == .invalid)
        var other = Fixtures.segment
        other.sequence += 1
        #expect(other.saltSeed != salt)
    }

    @Test(arguments: [UInt32.max, 1 << 31, 49, 64])
    func `a length that leads out of the segment is invalid`(_ length: UInt32) {
        var record = Fixtures.record
        record.put(length, at: 12)
        #expect(LogCodec.read(record, at: 0, saltSeed: salt) == .invalid)
    }

    @Test(arguments: [(16, 0), (16, 11), (18, 2), (19, 1)])
    func `a sealed record of an unknown type or version is invalid`(offset: Int, value: UInt8) {
        var record = Fixtures.record
        record[offset] = value
        record.put(checksum(record[8..<95], continuing: salt), at: 4)
        #expect(LogCodec.read(record, at: 0, saltSeed: salt) == .invalid)
    }

    @Test func `the next valid record is found behind damage`() {
        let (bytes, starts) = segment()
        let damaged = bytes.flipping(bit: 50 * 8)
        #expect(LogCodec.nextValid(bytes, from: 0, saltSeed: salt)?.0 == 0)
        #expect(LogCodec.nextValid(damaged, from: 0, saltSeed: salt)?.0 == starts[1])
        #expect(LogCodec.nextValid(damaged, from: starts[1], saltSeed: salt)?.1.lsn == 2)
        #expect(LogCodec.nextValid(bytes, from: starts[1] + 1, saltSeed: salt)?.0 == starts[2])
        #expect(LogCodec.nextValid(bytes, from: starts[2] + 1, saltSeed: salt) == nil)
        #expect(LogCodec.nextValid(bytes, from: bytes.count, saltSeed: salt) == nil)
        #expect(LogCodec.nextValid(bytes, from: .max, saltSeed: salt) == nil)
        #expect(LogCodec.nextValid(bytes, from: .min, saltSeed: salt)?.0 == 0)
    }

    @Test(arguments: LogRecordType.allCases)
    func `every type comes back, with and without a body`(_ type: LogRecordType) {
        for length in [0, 1, 16, 17, 48, 200] {
            let record = unsafe filled(LogCodec.paddedByteCount(bodyLength: length)) { record in
                unsafe LogCodec.writeHeader(record, type: type, database: 1, bodyLength: length)
                unsafe LogCodec.seal(
                    record, lsn: .max, transaction: 2, syncedUpTo: 3, previousChecksum: 4, saltSeed: 5)
            }
            #expect(record.count % 32 == 0)
            guard case .record(let header, let body, let next) = LogCodec.read(record, at: 0, saltSeed: 5) else {
                Issue.record("no record of length \(length)")
                continue
            }
            #expect(header.type == type && header.lsn == .max && body == 48..<(48 + length) && next == record.count)
        }
    }

    @Test func `body views point at vector, id and metadata`() throws {
        let body = Array(Fixtures.record[48..<95])
        let view = try StoreBody.decode(body, dimension: 3)
        #expect(view.reference == Fixtures.reference)
        #expect(view.vector == 32..<44 && view.id == 44..<47 && view.metadata.isEmpty)
        #expect(throws: FormatError.self) { try StoreBody.decode(body, dimension: 4) }
        #expect(throws: FormatError.self) { try StoreBody.decode(body, dimension: 0) }
        #expect(throws: FormatError.self) { try StoreBody.decode(body, dimension: .max) }
        let bulk = try Golden.bytes("body-bulk")
        #expect(try BulkStoreBody.decode(bulk).reference(at: 1, in: bulk) == Fixtures.reference)
        #expect(try CommitBody.decode(Fixtures.commit.encode()) == Fixtures.commit)
    }

    @Test(arguments: [("body-bulk", 0), ("body-resize", 0), ("body-commit", 4)])
    func `a count that the body does not hold is refused`(name: String, offset: Int) throws {
        for count in [0, 3, 1 << 27, 1 << 28, UInt32.max] {
            var body = try Golden.bytes(name)
            body.put(count, at: offset)
            let kind = BodyKind(rawValue: String(name.dropFirst(5)))
            #expect(kind?.accepts(body) == false)
        }
    }

    @Test(arguments: [(8, 0), (8, 513), (10, 1), (12, UInt32(1 << 20) + 1), (20, 1), (0, UInt32(1) << 31)])
    func `a reference with a value that no writer writes is refused`(offset: Int, value: UInt32) throws {
        var body = Array(Fixtures.record[48..<95])
        if offset == 8 || offset == 10 {
            body.put(UInt16(value), at: offset)
        } else {
            body.put(value, at: offset)
        }
        let error = #expect(throws: FormatError.self) { try StoreBody.decode(body, dimension: 3) }
        #expect(error?.kind == .invalidValue)
    }
}

@Suite struct SegmentHeaderTests {
    @Test func `file names and sequences match one to one`() {
        for sequence in [0, 1, 0xabc, UInt64.max] {
            #expect(SegmentHeader.sequence(fileName: SegmentHeader.fileName(sequence: sequence)) == sequence)
        }
        #expect(SegmentHeader.fileName(sequence: 0x2a) == "000000000000002a.wal")
        for name in [
            "", "2a.wal", "000000000000002A.wal", "000000000000002a.wa", "000000000000002a.walx",
            "+00000000000002a.wal", "000000000000002g.wal", "0000000000000002a.wal", "00000000000002é.wal",
        ] {
            #expect(SegmentHeader.sequence(fileName: name) == nil)
        }
    }

    @Test func `a newer segment is refused`() {
        var page = Fixtures.segment.encode(copy: 0)
        page.put(UInt16(2), at: 4)
        page.put(UInt16(2), at: 6)
        let error = #expect(throws: FormatError.self) {
            try SegmentHeader.decode(page.resealed(label: "NWSG header", index: 0))
        }
        #expect(error?.kind == .newerVersion(found: 2, supported: 1))
    }

    @Test(arguments: [(76, 4), (112, 1), (4088, 1)])
    func `a value that no writer writes is refused`(offset: Int, value: UInt8) {
        var page = Fixtures.segment.encode(copy: 0)
        page[offset] = value
        let error = #expect(throws: FormatError.self) {
            try SegmentHeader.decode(page.resealed(label: "NWSG header", index: 0))
        }
        #expect(error?.kind == .invalidValue)
    }
}
