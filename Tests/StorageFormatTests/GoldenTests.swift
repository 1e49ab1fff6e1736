/// The bytes of every structure against files that other code made from the layout tables.
import StorageFormat
import Testing

@Suite struct GoldenTests {
    @Test func `a file header is written byte for byte as laid out`() throws {
        let golden = try Golden.bytes("file-header")
        #expect(Fixtures.header.encode(pageIndex: 0) == golden)
        #expect(try FileHeader.decode(golden, pageIndex: 0) == Fixtures.header)
        #expect(Fixtures.header.checksum == golden.integer(at: 4092))
    }

    @Test func `the fields of a file header stand at their offsets`() {
        let page = Fixtures.header.encode(pageIndex: 0)
        #expect(Array(page[0..<4]) == Array("JVDB".utf8))
        #expect(page.integer(UInt16.self, at: 4) == 1)
        #expect(page.integer(UInt16.self, at: 6) == 1)
        #expect(page.integer(UInt32.self, at: 8) == 3)
        #expect(page[12] == 2)
        #expect(page[13] == 3)
        #expect(page.integer(UInt16.self, at: 14) == 0xfeff)
        #expect(page.integer(UInt64.self, at: 16) == 100)
        #expect(page.integer(UInt64.self, at: 24) == 7)
        #expect(page.integer(UInt64.self, at: 48) == 6)
        #expect(page.integer(UInt64.self, at: 56) == 0x1122_3344_5566_7788)
        #expect(Array(page[64..<68]) == [0x00, 0x11, 0x22, 0x33])
        #expect(page.integer(UInt64.self, at: 88) == 0x0706_0504_0302_0100)
        #expect(page.integer(UInt64.self, at: 120) == 130)
        #expect(page.integer(UInt64.self, at: 128) == 1024)
        #expect(page.integer(UInt32.self, at: 160) == 0xc1c2_c3c4)
        #expect(page.integer(UInt64.self, at: 168) == 555)
        #expect(page.integer(UInt32.self, at: 192) == 0xd1d2_d3d4)
        #expect(page.integer(UInt32.self, at: 196) == 5)
        #expect((0..<3).map { page.integer(UInt32.self, at: 256 + 4 * $0) } == [2, 1, 2])
    }

    @Test func `a segment header is written byte for byte as laid out`() throws {
        let golden = try Golden.bytes("segment-header")
        #expect(Fixtures.segment.encode(copy: 0) + Fixtures.segment.encode(copy: 1) == golden)
        #expect(try SegmentHeader.decode(golden) == Fixtures.segment)
        #expect(Array(golden[0..<4]) == Array("NWSG".utf8))
        #expect(golden.integer(UInt64.self, at: 24) == 0x2a)
        #expect(golden.integer(UInt32.self, at: 76) == 3)
        #expect(golden.integer(UInt64.self, at: 104) == 900)
    }

    @Test func `a log record is written byte for byte as laid out`() throws {
        let golden = try Golden.bytes("log-record")
        #expect(Fixtures.record == golden)
        #expect(Array(golden[0..<4]) == Array("NWRC".utf8))
        #expect(golden.integer(UInt32.self, at: 8) == Fixtures.segment.saltSeed)
        #expect(golden.integer(UInt32.self, at: 12) == 47)
        #expect(golden[16] == LogRecordType.store.rawValue)
        #expect(golden.integer(UInt64.self, at: 24) == 1000)
        #expect(golden.integer(UInt64.self, at: 32) == 21)
        #expect(golden.integer(UInt64.self, at: 40) == 997)
        #expect(golden[95] == 0)
    }

    @Test func `log bodies are written byte for byte as laid out`() throws {
        let delete = unsafe filled(35) { body in
            unsafe Array("abc".utf8).withUnsafeBytes {
                unsafe DeleteBody.encode(into: body, reference: Fixtures.deleteReference, id: $0)
            }
        }
        #expect(delete == (try Golden.bytes("body-delete")))
        let bulk = unsafe filled(BulkStoreBody.encodedByteCount(count: 2)) {
            unsafe BulkStoreBody.encode(into: $0, references: [Fixtures.reference, Fixtures.reference])
        }
        #expect(bulk == (try Golden.bytes("body-bulk")))
        let resize = ResizeBody(extents: [Extent(kind: .directory, startUnit: 9, unitCount: 4)])
        #expect(resize.encode() == (try Golden.bytes("body-resize")))
        #expect(
            CheckpointBody(generation: 6, checkpointLSN: 1000).encode() == (try Golden.bytes("body-checkpoint")))
        #expect(DeleteDatabaseBody(number: 5).encode() == (try Golden.bytes("body-delete-database")))
        #expect(Fixtures.commit.encode() == (try Golden.bytes("body-commit")))
    }

    @Test func `a catalogue is written byte for byte as laid out`() throws {
        let golden = try Golden.bytes("catalogue")
        #expect(Fixtures.catalogue.encodeFile() == golden)
        let (catalogue, damaged) = try Catalogue.decodeFile(golden)
        #expect(catalogue == Fixtures.catalogue)
        #expect(damaged.isEmpty)
        #expect(Array(golden[0..<4]) == Array("NCAT".utf8))
        #expect(golden.integer(UInt32.self, at: 64) == 2)
        #expect(golden.integer(UInt32.self, at: 68) == 220)
    }

    @Test func `a catalogue entry with indexed fields is written byte for byte as laid out`() throws {
        let golden = try Golden.bytes("catalogue-entry-indexed")
        #expect(Fixtures.indexedEntry.encode() == golden)
        #expect(try CatalogueEntry.decode(golden) == Fixtures.indexedEntry)
        #expect(golden.integer(UInt16.self, at: 14) == 19)
    }

    @Test func `metadata are written byte for byte as laid out`() throws {
        let golden = try Golden.bytes("metadata")
        #expect(try Fixtures.metadata() == golden)
        try MetadataCodec.validate(golden)
        #expect(golden.integer(UInt16.self, at: 0) == 5)
    }

    @Test func `a record entry is in memory as it is in the file`() throws {
        let entry = RecordEntry(
            idHash: 0x1112_1314_1516_1718, payloadUnit: 1234, payloadLength: 5, flags: .active, lsn: 1000,
            tag: 0x2122_2324, idLength: 3)
        let bytes = unsafe withUnsafeBytes(of: entry) { unsafe Array($0) }
        #expect(bytes == (try Golden.bytes("record-entry")))
        #expect(MemoryLayout<RecordEntry>.stride == 32)
        #expect(MemoryLayout<DirectoryBucket>.stride == 8)
        #expect(MemoryLayout<PageTableEntry>.stride == 8)
        #expect(MemoryLayout<StoreReference>.stride == 32)
    }
}
