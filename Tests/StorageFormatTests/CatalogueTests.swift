/// What a catalogue may hold and which of its copies is believed.
import StorageFormat
import Testing

@Suite struct CatalogueTests {
    @Test(arguments: [0, 1, 100])
    func `a catalogue of any size comes back, sorted by name`(_ count: Int) throws {
        var catalogue = Fixtures.catalogue
        catalogue.entries = (0..<count).reversed().map { index in
            var entry = Fixtures.catalogue.entries[index % 2]
            entry.number = UInt32(index)
            entry.name = "db-\(index)"
            return entry
        }
        let (decoded, damaged) = try Catalogue.decodeFile(catalogue.encodeFile())
        catalogue.entries.sort { $0.name < $1.name }
        #expect(decoded == catalogue)
        #expect(damaged.isEmpty)
        #expect(catalogue.encodeFile().count % 8192 == 0)
    }

    @Test func `a name or number that is there twice is refused`() {
        for isName in [true, false] {
            var catalogue = Fixtures.catalogue
            if isName {
                catalogue.entries[1].name = catalogue.entries[0].name
            } else {
                catalogue.entries[1].number = catalogue.entries[0].number
            }
            let error = #expect(throws: FormatError.self) { try Catalogue.decodeFile(catalogue.encodeFile()) }
            #expect(error?.kind == .invalidValue)
        }
    }

    @Test(
        arguments: [
            (60, 2), (64, 1), (64, 3), (64, .max), (68, 0), (68, 83), (68, .max), (6, 2), (84, 0), (84, .max),
        ] as [(Int, UInt32)])
    func `a value that no writer writes is refused`(offset: Int, value: UInt32) {
        var file = Fixtures.catalogue.encodeFile()
        for start in [0, 4096] {
            if offset == 6 {
                file.put(UInt16(value), at: start + offset)
            } else {
                file.put(value, at: start + offset)
            }
            file.put(checksum(file[start..<(start + 216)], continuing: checksum("NCAT".utf8)), at: start + 216)
        }
        let error = #expect(throws: FormatError.self) { try Catalogue.decodeFile(file) }
        #expect(error?.kind != .checksumMismatch)
    }

    @Test(
        arguments: [(14, 18), (14, 20), (14, 0), (59, 0), (59, 5), (59, 1_025), (65, 12), (65, 10)] as [(Int, UInt16)])
    func `names of indexed fields that do not fill their place are refused`(offset: Int, value: UInt16) {
        var bytes = Fixtures.indexedEntry.encode()
        bytes.put(value, at: offset)
        #expect(throws: FormatError.self) { try CatalogueEntry.decode(bytes) }
    }

    @Test func `indexed fields are distinct, few, and UTF-8`() throws {
        var entry = Fixtures.indexedEntry
        entry.indexedFields = (0..<16).map { "field\($0)" + String(repeating: "x", count: 1_000) }
        #expect(try CatalogueEntry.decode(entry.encode()) == entry)
        entry.indexedFields = ["same", "same"]
        #expect(throws: FormatError.self) { try CatalogueEntry.decode(entry.encode()) }
        var bytes = Fixtures.indexedEntry.encode()
        bytes[61] = 0xff
        #expect(throws: FormatError.self) { try CatalogueEntry.decode(bytes) }
    }

    @Test func `of two valid copies that differ the newer is believed`() throws {
        var newer = Fixtures.catalogue
        newer.generation += 1
        let mixed = Fixtures.catalogue.encodeFile()[..<4096] + newer.encodeFile()[4096...]
        let (decoded, damaged) = try Catalogue.decodeFile(Array(mixed))
        #expect(decoded == newer)
        #expect(damaged == [0])
    }

    @Test(arguments: ["a", "0", "docs", "a_b-c", String(repeating: "x", count: 64)])
    func `a valid name`(_ name: String) throws {
        #expect(DatabaseName.isValid(name))
        var entry = Fixtures.catalogue.entries[0]
        entry.name = name
        #expect(try CatalogueEntry.decode(entry.encode()) == entry)
        #expect(entry.encode().count % 8 == 0)
    }

    @Test(arguments: [
        "", "A", "_a", "-a", "a.b", "a/b", "..", "é", "a\u{0}", "a b", String(repeating: "x", count: 65), "a\u{301}",
    ])
    func `an invalid name`(_ name: String) {
        #expect(!DatabaseName.isValid(name))
    }
}
