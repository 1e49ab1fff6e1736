/// Damage that every parser must notice: single bits, missing ends, random bytes.
import StorageFormat
import Testing

@Suite struct DamageTests {
    @Test func `every single-bit flip of a file header is noticed`() {
        let page = Fixtures.header.encode(pageIndex: 0)
        let missed = (0..<(page.count * 8)).filter { bit in
            (try? FileHeader.decode(page.flipping(bit: bit), pageIndex: 0)) != nil
        }
        #expect(missed.isEmpty)
    }

    @Test func `a file header on another page is noticed`() {
        for written in 0..<4 {
            let page = Fixtures.header.encode(pageIndex: written)
            for read in 0..<4 {
                #expect(((try? FileHeader.decode(page, pageIndex: read)) != nil) == (read == written))
            }
        }
    }

    @Test func `every single-bit flip of one copy of a segment header leaves the other`() throws {
        let copies = Fixtures.segment.encode(copy: 0) + Fixtures.segment.encode(copy: 1)
        let first = Fixtures.segment.encode(copy: 0)
        var missed: [Int] = []
        for bit in 0..<(first.count * 8) {
            let damaged = first.flipping(bit: bit)
            if (try? SegmentHeader.decode(damaged)) != nil { missed.append(bit) }
            if bit % 37 == 0 {
                let both = damaged + copies[4096...]
                #expect(try SegmentHeader.decode(both) == Fixtures.segment)
            }
        }
        #expect(missed.isEmpty)
    }

    @Test func `every single-bit flip of a log record is noticed`() {
        let record = Fixtures.record
        let missed = (0..<(record.count * 8)).filter { bit in
            switch LogCodec.read(record.flipping(bit: bit), at: 0, saltSeed: Fixtures.segment.saltSeed) {
            case .record: true
            case .end, .invalid: false
            }
        }
        #expect(missed.isEmpty)
    }

    @Test func `every single-bit flip of a catalogue names the damaged copy`() throws {
        let file = Fixtures.catalogue.encodeFile()
        var wrong: [Int] = []
        for bit in 0..<(file.count * 8) {
            let copy = bit / (file.count * 4)
            let result = try? Catalogue.decodeFile(file.flipping(bit: bit))
            if result?.0 != Fixtures.catalogue || result?.damagedCopies != [copy] { wrong.append(bit) }
        }
        #expect(wrong.isEmpty)
    }

    @Test func `a catalogue that is damaged in both copies is refused`() {
        let file = Fixtures.catalogue.encodeFile()
        let damaged = file.flipping(bit: 30 * 8).flipping(bit: (file.count / 2 + 40) * 8)
        #expect(throws: FormatError(.checksumMismatch, part: "catalogue", offset: 216)) {
            try Catalogue.decodeFile(damaged)
        }
    }

    @Test func `every truncation is refused`() throws {
        let header = Fixtures.header.encode(pageIndex: 0)
        let segment = Fixtures.segment.encode(copy: 0)
        for count in 0..<4096 {
            #expect(throws: FormatError.self) { try FileHeader.decode(Array(header[..<count]), pageIndex: 0) }
            #expect(throws: FormatError.self) { try SegmentHeader.decode(Array(segment[..<count])) }
        }
        for count in 0..<Fixtures.record.count {
            let cut = LogCodec.read(Array(Fixtures.record[..<count]), at: 0, saltSeed: Fixtures.segment.saltSeed)
            #expect(cut == (count < 4 ? .end : .invalid))
        }
        // A catalogue survives as long as all of its first copy is there.
        let catalogue = Fixtures.catalogue.encodeFile()
        for count in 0..<220 {
            #expect(throws: FormatError.self) { try Catalogue.decodeFile(Array(catalogue[..<count])) }
        }
        for count in [220, 221, 4095, 4096, 4097, 8190, 8191] {
            let (survivor, damaged) = try Catalogue.decodeFile(Array(catalogue[..<count]))
            #expect(survivor == Fixtures.catalogue)
            #expect(damaged == [1])
        }
    }

    @Test(arguments: BodyKind.allCases)
    func `every truncation and every longer body is refused`(_ kind: BodyKind) throws {
        let body = try kind.golden()
        #expect(kind.accepts(body))
        for count in 0..<body.count { #expect(!kind.accepts(Array(body[..<count]))) }
        for extra in 1...40 { #expect(!kind.accepts(body + Array(repeating: 0, count: extra))) }
    }

    @Test func `every truncation of metadata but to nothing is refused`() throws {
        let metadata = try Fixtures.metadata()
        for count in 1..<metadata.count {
            #expect(throws: FormatError.self) { try MetadataCodec.validate(Array(metadata[..<count])) }
        }
        try MetadataCodec.validate([])
    }

    @Test(arguments: Parser.allCases)
    func `random bytes never trap`(_ parser: Parser) {
        var random = SeededGenerator(seed: 0x6e65_7068_7269_7465)
        for round in 0..<100_000 {
            // Pages are long: most inputs stay short so that a hundred thousand of them take little time.
            let limit: UInt64 = round % 1_000 == 0 ? 8192 : 96
            var bytes = random.bytes(Int(random.next() % limit))
            if round % 2 == 0, let magic = parser.magic, bytes.count >= 8 {
                bytes.replaceSubrange(0..<8, with: magic + [1, 0, 1, 0])
            }
            parser.run(bytes)
        }
    }

    @Test(arguments: Parser.allCases)
    func `valid bytes with random changes never trap`(_ parser: Parser) throws {
        var random = SeededGenerator(seed: 42)
        let valid = try parser.valid()
        for _ in 0..<3_000 {
            var bytes = valid
            for _ in 0...(random.next() % 4) {
                bytes[Int(random.next() % UInt64(min(bytes.count, 400)))] = UInt8(truncatingIfNeeded: random.next())
            }
            parser.run(parser.withChecksum(bytes))
        }
    }
}

/// The bodies of log records.
enum BodyKind: String, CaseIterable {
    case store, delete, bulk, resize, checkpoint, deleteDatabase = "delete-database", commit, createDatabase

    func golden() throws -> [UInt8] {
        switch self {
        case .store: Array(Fixtures.record[48..<95])
        case .createDatabase: Fixtures.catalogue.entries[0].encode()
        default: try Golden.bytes("body-\(rawValue)")
        }
    }

    func accepts(_ body: [UInt8]) -> Bool {
        switch self {
        case .store: (try? StoreBody.decode(body, dimension: 3)) != nil
        case .delete: (try? DeleteBody.decode(body)) != nil
        case .bulk: (try? BulkStoreBody.decode(body)) != nil
        case .resize: (try? ResizeBody.decode(body)) != nil
        case .checkpoint: (try? CheckpointBody.decode(body)) != nil
        case .deleteDatabase: (try? DeleteDatabaseBody.decode(body)) != nil
        case .commit: (try? CommitBody.decode(body)) != nil
        case .createDatabase: (try? CatalogueEntry.decode(body)) != nil
        }
    }
}

/// The parsers that read whole files or parts of them.
enum Parser: String, CaseIterable {
    case header, segment, catalogue, metadata, logRecord, bodies, codes

    var magic: [UInt8]? {
        switch self {
        case .header: Array("JVDB".utf8)
        case .segment: Array("NWSG".utf8)
        case .catalogue: Array("NCAT".utf8)
        case .logRecord: Array("NWRC".utf8)
        case .codes: Array("NCOD".utf8)
        case .metadata, .bodies: nil
        }
    }

    func valid() throws -> [UInt8] {
        switch self {
        case .header: Fixtures.header.encode(pageIndex: 0)
        case .segment: Fixtures.segment.encode(copy: 0)
        case .catalogue: Fixtures.catalogue.encodeFile()
        case .metadata: try Fixtures.metadata()
        case .logRecord: Fixtures.record
        case .bodies: try BodyKind.commit.golden()
        case .codes: Fixtures.codes.encode()
        }
    }

    /// The bytes with a right checksum, so that what is behind the check is reached.
    func withChecksum(_ bytes: [UInt8]) -> [UInt8] {
        switch self {
        case .header: return bytes.resealed(label: "JVDB header", index: 0)
        case .segment: return bytes.resealed(label: "NWSG header", index: 0)
        case .catalogue:
            var copy = bytes
            let end = Int(copy.integer(UInt32.self, at: 68))
            guard (84...copy.count).contains(end) else { return copy }
            copy.put(checksum(copy[..<(end - 4)], continuing: checksum("NCAT".utf8)), at: end - 4)
            return copy
        case .codes: return bytes.resealed(label: "NCOD header", index: 1)
        case .metadata, .logRecord, .bodies: return bytes
        }
    }

    func run(_ bytes: [UInt8]) {
        switch self {
        case .header:
            _ = try? FileHeader.decode(bytes, pageIndex: 0)
            _ = try? FileHeader.newest(bytes, fileSize: 1 << 40)
        case .segment: _ = try? SegmentHeader.decode(bytes)
        case .catalogue: _ = try? Catalogue.decodeFile(bytes)
        case .metadata:
            try? MetadataCodec.validate(bytes)
            _ = findKey("abc", in: bytes)
        case .logRecord: _ = LogCodec.nextValid(bytes, from: 0, saltSeed: 1)
        case .bodies: for kind in BodyKind.allCases { _ = kind.accepts(bytes) }
        case .codes:
            _ = try? CodeFileHeader.decode(bytes, copy: 1)
            _ = try? CodeFileHeader.newest([UInt8](repeating: 0, count: 4_096) + bytes, fileSize: 1 << 40)
        }
    }
}
