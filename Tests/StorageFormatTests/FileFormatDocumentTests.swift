/// Compares the byte tables of DocC/Nephrite.docc/FileFormat.md with what the codecs write, so that the document stays
/// the reference it says it is.
import Foundation
import StorageFormat
import Testing

@Suite struct FileFormatDocumentTests {
    private struct Row {
        let offset: Int
        let size: Int
        let field: String
    }

    private struct Table {
        let name: String
        let byteCount: Int
        var rows: [Row] = []

        func value(_ field: String, in bytes: [UInt8], at start: Int = 0) throws -> UInt64 {
            let row = try #require(rows.first { $0.field == field }, "\(name) has no field \(field)")
            return bytes[(start + row.offset)..<(start + row.offset + row.size)].reversed()
                .reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    private static func tables() throws -> [Table] {
        let document = (0..<3).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
            .appendingPathComponent("DocC/Nephrite.docc/FileFormat.md")
        var tables: [Table] = []
        for line in try String(contentsOf: document, encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("<!-- table: ") {
                let parts = line.dropFirst(12).dropLast(4).components(separatedBy: ", ")
                tables.append(Table(name: parts[0], byteCount: try #require(Int(parts[1]))))
            }
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            if !tables.isEmpty, cells.count >= 3, let offset = Int(cells[0]), let size = Int(cells[1]),
                tables[tables.count - 1].rows.last.map({ $0.offset < offset }) ?? (offset == 0)
            {
                tables[tables.count - 1].rows.append(Row(offset: offset, size: size, field: cells[2]))
            }
        }
        return tables
    }

    private static func table(_ name: String) throws -> Table { try #require(tables().first { $0.name == name }) }

    @Test("The rows of every table follow one another without a gap, to the structure's end")
    func tablesAreWhole() throws {
        let tables = try Self.tables()
        #expect(tables.count == 13)
        for table in tables {
            var offset = 0
            for row in table.rows {
                #expect(row.offset == offset, "\(table.name), \(row.field)")
                offset += row.size
            }
            #expect(offset == table.byteCount, "\(table.name)")
        }
    }

    @Test("The sizes are those of the code")
    func sizes() throws {
        let sizes = [
            "file header": FileHeader.byteCount, "extent": Extent.byteCount, "record entry": RecordEntry.byteCount,
            "directory bucket": DirectoryBucket.byteCount, "page table entry": PageTableEntry.byteCount,
            "segment header": SegmentHeader.copyByteCount, "log record header": LogRecordHeader.byteCount,
            "store reference": StoreReference.byteCount, "committed state": CommittedState.byteCount,
            "code file header": CodeFileHeader.byteCount,
            "commit front": CommitBody.encodedByteCount(databaseCount: 0),
        ]
        for (name, size) in sizes.sorted(by: { $0.key < $1.key }) {
            #expect(try Self.table(name).byteCount == size, "\(name)")
        }
    }

    @Test("A file header has its fields where the document says")
    func fileHeader() throws {
        let header = FileHeader(
            dimension: 1, metric: .euclidean, flags: .directoryIsValid, vectorCount: 3, deletedCount: 4,
            indexOffset: 5, dataOffset: 6, generation: 7, checkpointLSN: 8, uuid: StorageUUID(high: 9, low: 10),
            incarnation: 11, idHashKey: IDHashKey(k0: 12, k1: 13),
            fingerprint: StateFingerprint(low: 14, high: 15), slotCount: 16, directoryBucketCount: 512, createdAt: 18,
            updatedAt: 19, recordPageCount: 20, directoryPageCount: 21, pageTableChecksum: 22, payloadUnitCount: 23,
            lastCommitLSN: 24, logSequence: 25, previousHeaderChecksum: 26,
            extents: [Extent(kind: .payload, startUnit: 27, unitCount: 28)])
        let bytes = header.encode(pageIndex: 2)
        let table = try Self.table("file header")
        let expected: [(String, UInt64)] = [
            ("magic", 0x4244_564a), ("version", 1), ("minimum reader version", 1), ("dimension", 1), ("metric", 2),
            ("flags", 2), ("byte order mark", 0xfeff), ("vector count", 3), ("deleted count", 4), ("index offset", 5),
            ("data offset", 6), ("generation", 7), ("checkpoint LSN", 8), ("incarnation", 11), ("hash key k0", 12),
            ("hash key k1", 13), ("fingerprint, low", 14), ("fingerprint, high", 15), ("slot count", 16),
            ("bucket count", 512), ("created at", 18), ("updated at", 19), ("record page count", 20),
            ("directory page count", 21), ("page table checksum", 22), ("payload unit count", 23),
            ("last commit LSN", 24), ("log sequence", 25), ("previous header checksum", 26), ("extent count", 1),
            ("checksum", UInt64(header.pageChecksum(2))),
        ]
        for (field, value) in expected { #expect(try table.value(field, in: bytes) == value, "\(field)") }
        let extent = try Self.table("extent")
        #expect(try extent.value("start unit", in: bytes, at: 256) == 27)
        #expect(try extent.value("unit count", in: bytes, at: 256) == 28)
        #expect(try extent.value("kind", in: bytes, at: 256) == 2)
    }

    @Test("A segment header has its fields where the document says")
    func segmentHeader() throws {
        let header = SegmentHeader(
            storeUUID: StorageUUID(high: 1, low: 2), sequence: 3, saltLow: 4, saltHigh: 5, previousSequence: 6,
            previousByteCount: 7, previousLastLSN: 8, previousLastChecksum: 9, flags: .replacesPrevious, firstLSN: 10,
            createdAt: 11, byteCount: 12, oldestNeededLSN: 13)
        let bytes = header.encode(copy: 0)
        let table = try Self.table("segment header")
        let expected: [(String, UInt64)] = [
            ("magic", 0x4753_574e), ("sequence", 3), ("salt, low", 4), ("salt, high", 5), ("previous sequence", 6),
            ("previous byte count", 7), ("previous last LSN", 8), ("previous last checksum", 9), ("flags", 2),
            ("first LSN", 10), ("created at", 11), ("byte count", 12), ("oldest needed LSN", 13),
        ]
        for (field, value) in expected { #expect(try table.value(field, in: bytes) == value, "\(field)") }
    }

    @Test("A code file header has its fields where the document says")
    func codeFileHeader() throws {
        let header = CodeFileHeader(
            uuid: StorageUUID(high: 1, low: 2), incarnation: 3, generation: 4, seed: 5, codedThroughLSN: 6,
            codedSlotCount: 7, dimension: 8, codecVersion: 9, highStride: 160, lowStride: 176, signStride: 192,
            chunkSlotCount: 1_024, centreCount: 8, centreChecksum: 12)
        let bytes = header.encode()
        let table = try Self.table("code file header")
        let expected: [(String, UInt64)] = [
            ("magic", 0x444f_434e), ("version", 1), ("minimum reader version", 1), ("incarnation", 3),
            ("generation", 4), ("seed", 5), ("coded through", 6), ("coded slots", 7), ("dimension", 8),
            ("codec version", 9), ("high stride", 160), ("low stride", 176), ("slots in a chunk", 1_024),
            ("centre components", 8), ("centre checksum", 12), ("sign stride", 192),
        ]
        for (field, value) in expected { #expect(try table.value(field, in: bytes) == value, "\(field)") }
        #expect(bytes[8..<24].elementsEqual([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]))
    }

    @Test("A catalogue and its entries have their fields where the document says")
    func catalogue() throws {
        let entry = CatalogueEntry(
            number: 10, name: "ab", dimension: 11, metric: .dot, durability: .relaxed(nanoseconds: 12),
            quantization: .none, uuid: StorageUUID(high: 13, low: 14), createdAt: 15,
            generation: 16, indexedFields: ["c"])
        let catalogue = Catalogue(
            storeUUID: StorageUUID(high: 1, low: 2), generation: 3, catalogueLSN: 4, lastLSN: 5,
            nextSegmentSequence: 6, nextDatabaseNumber: 7, isCleanShutdown: true, createdAt: 8, entries: [entry])
        let bytes = catalogue.encodeFile()
        let table = try Self.table("catalogue")
        let expected: [(String, UInt64)] = [
            ("magic", 0x5441_434e), ("generation", 3), ("catalogue LSN", 4), ("last LSN", 5),
            ("next segment sequence", 6), ("next database number", 7), ("flags", 1), ("entry count", 1),
            ("byte count", 80 + 64 + 4), ("created at", 8),
        ]
        for (field, value) in expected { #expect(try table.value(field, in: bytes) == value, "\(field)") }
        let entryTable = try Self.table("catalogue entry")
        let expectedEntry: [(String, UInt64)] = [
            ("number", 10), ("dimension", 11), ("metric", 1), ("durability", 1), ("name length", 2),
            ("quantization", 1), ("indexed byte count", 3), ("relaxed interval", 12), ("created at", 15),
            ("generation", 16),
        ]
        for (field, value) in expectedEntry {
            #expect(try entryTable.value(field, in: bytes, at: 80) == value, "\(field)")
        }
        #expect(Array(bytes[136..<144]) == Array("ab".utf8) + [1, 0] + Array("c".utf8) + [0, 0, 0])
    }

    @Test("Record entries, references and commit bodies have their fields where the document says")
    func smallStructures() throws {
        let entry = RecordEntry(
            idHash: 1, payloadUnit: 2, payloadLength: 3, flags: .active, lsn: 4, tag: 5, idLength: 6)
        let entryBytes = unsafe withUnsafeBytes(of: entry) { unsafe Array($0) }
        let reference = StoreReference(
            slot: 1, payloadUnit: 2, idLength: 3, metadataLength: 4, contentChecksum: 5, idHash: 6)
        let referenceBytes = unsafe withUnsafeBytes(of: reference) { unsafe Array($0) }
        let body = CommitBody(
            operationCount: 1, batchHash: 2,
            databases: [CommittedState(database: 3, liveCount: 4, fingerprint: StateFingerprint(low: 5, high: 6))])
        var bodyBytes = [UInt8](repeating: 0xff, count: body.encodedByteCount)
        unsafe bodyBytes.withUnsafeMutableBytes { unsafe body.encode(into: $0) }
        var record = [UInt8](repeating: 0, count: 64)
        unsafe record.withUnsafeMutableBytes { bytes in
            unsafe LogCodec.writeHeader(bytes, type: .syncMarker, database: 7, bodyLength: 0)
            unsafe LogCodec.seal(
                bytes, lsn: 8, transaction: 9, syncedUpTo: 10, previousChecksum: 11, saltSeed: 12)
        }
        let expected: [(table: String, bytes: [UInt8], start: Int, fields: [(String, UInt64)])] = [
            (
                "record entry", entryBytes, 0,
                [
                    ("id hash", 1), ("payload unit", 2), ("payload length and flags", 1 << 24 | 3), ("LSN", 4),
                    ("tag", 5), ("id length", 6),
                ]
            ),
            (
                "store reference", referenceBytes, 0,
                [
                    ("slot", 1), ("payload unit", 2), ("id length", 3), ("metadata length", 4),
                    ("content checksum", 5), ("id hash", 6),
                ]
            ),
            ("commit front", bodyBytes, 0, [("operation count", 1), ("database count", 1), ("batch hash", 2)]),
            (
                "committed state", bodyBytes, 16,
                [("database", 3), ("live count", 4), ("fingerprint, low", 5), ("fingerprint, high", 6)]
            ),
            (
                "log record header", record, 0,
                [
                    ("magic", 0x4352_574e), ("previous checksum", 11), ("body length", 0), ("type", 9), ("flags", 0),
                    ("version", 1), ("database", 7), ("LSN", 8), ("transaction", 9), ("synced up to", 10),
                ]
            ),
        ]
        for (name, bytes, start, fields) in expected {
            let table = try Self.table(name)
            for (field, value) in fields {
                #expect(try table.value(field, in: bytes, at: start) == value, "\(name), \(field)")
            }
        }
    }
}

extension FileHeader {
    /// The checksum as it stands in the copy of one page.
    fileprivate func pageChecksum(_ index: Int) -> UInt32 {
        let bytes = encode(pageIndex: index)
        let seed = CRC32C.checksum(of: Array("JVDB header".utf8) + [UInt8(index)], continuing: 0)
        return CRC32C.checksum(of: Array(bytes[..<4092]), continuing: seed)
    }
}

extension CRC32C {
    fileprivate static func checksum(of bytes: [UInt8], continuing crc: UInt32) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe checksum($0, continuing: crc) }
    }
}
