/// Metadata: what the writer makes, what validation refuses, and finding fields.
import StorageFormat
import Testing

@Suite struct MetadataTests {
    @Test func `fields may come in any order`() throws {
        let keys = ["b", "a", "ab", "", "z", "é", "aa"].filter { !$0.isEmpty }
        var expected: [UInt8]?
        var random = SeededGenerator(seed: 3)
        for _ in 0..<20 {
            var writer = MetadataWriter()
            writer.field("outer")
            writer.beginObject()
            for key in keys.shuffled(using: &random) {
                writer.field(key)
                writer.string(key + key)
            }
            writer.endObject()
            for key in keys.shuffled(using: &random) {
                writer.field(key)
                writer.integer(Int64(key.utf8.count))
            }
            let bytes = try writer.finish()
            try MetadataCodec.validate(bytes)
            #expect(expected == nil || bytes == expected)
            expected = bytes
        }
    }

    @Test func `fields are found by key`() throws {
        let bytes = try Fixtures.metadata()
        #expect(findKey("array", in: bytes)?.tag == .array)
        #expect(findKey("array", in: bytes)?.count == 3)
        #expect(findKey("flag", in: bytes)?.tag == .true)
        #expect(findKey("nested", in: bytes)?.count == 1)
        let text = findKey("text", in: bytes)
        #expect(try text.map { text in try unsafe parse(bytes) { unsafe text.string(in: $0) } } == "hello")
        let score = findKey("score", in: bytes)
        #expect(try score.map { score in try unsafe parse(bytes) { unsafe score.double(in: $0) } } == 0.5)
        for key in ["", "arra", "arrays", "zzz", "a"] { #expect(findKey(key, in: bytes) == nil) }
        #expect(findKey("x", in: []) == nil)
    }

    @Test func `no fields are no bytes`() throws {
        var writer = MetadataWriter()
        #expect(try writer.finish().isEmpty)
        #expect(throws: FormatError.self) { try MetadataCodec.validate([0, 0, 0, 0]) }
    }

    @Test func `the writer refuses what the format does not allow`() {
        func refused(_ fill: (inout MetadataWriter) -> Void) -> Bool {
            var writer = MetadataWriter()
            fill(&writer)
            return (try? writer.finish()) == nil
        }
        func field(_ key: String) -> (inout MetadataWriter) -> Void {
            { writer in
                writer.field(key)
                writer.null()
            }
        }
        #expect(!refused(field(String(repeating: "k", count: 256))))
        #expect(refused(field(String(repeating: "k", count: 257))))
        #expect(refused(field("")))
        #expect(
            refused {
                field("a")(&$0); field("a")(&$0)
            })
        #expect(
            refused {
                field("b")(&$0); field("a")(&$0); field("b")(&$0)
            })
        for number in [Double.nan, .infinity, -.infinity] {
            #expect(
                refused {
                    $0.field("n"); $0.double(number)
                })
        }
        #expect(
            refused {
                $0.field("s"); $0.string(String(repeating: "x", count: 1 << 20))
            })
        #expect(
            !refused {
                $0.field("s"); $0.string(String(repeating: "x", count: 1 << 20 - 12 - 4))
            })
        #expect(refused { writer in for number in 0..<65_536 { field("\(number)")(&writer) } })
    }

    @Test func `a writer and a validator agree about depth`() throws {
        for depth in [1, 31, 32, 500] {
            var writer = MetadataWriter()
            writer.field("a")
            for _ in 0..<depth { writer.beginArray() }
            for _ in 0..<depth { writer.endArray() }
            let bytes = try? writer.finish()
            #expect(bytes == (depth <= 31 ? nested(depth) : nil))
        }
        #expect(throws: FormatError.self) { try MetadataCodec.validate(nested(32)) }
        try MetadataCodec.validate(nested(31))
        #expect(throws: FormatError.self) { try MetadataCodec.validate(nested(5_000)) }
    }

    /// Metadata with one field that holds `depth` arrays, one in the other.
    private func nested(_ depth: Int) -> [UInt8] {
        var bytes: [UInt8] = [1, 0, 0, 0, 1, 0, UInt8(ascii: "a")]
        for level in 0..<depth {
            let inside = UInt32((depth - level - 1) * 9)
            bytes.append(6)
            bytes += [UInt8](repeating: 0, count: 8)
            bytes.put(inside, at: bytes.count - 8)
            bytes.put(UInt32(level == depth - 1 ? 0 : 1), at: bytes.count - 4)
        }
        return bytes
    }

    @Test(
        arguments: [
            // A tag that does not exist, counts that do not match, reserved bytes.
            [1, 0, 0, 0, 1, 0, 97, 8], [2, 0, 0, 0, 1, 0, 97, 0], [1, 0, 1, 0, 1, 0, 97, 0], [0, 0, 0, 0, 1, 0, 97, 0],
            // Keys: empty, not UTF-8, twice, out of order, longer than the bytes.
            [1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0xff, 0], [2, 0, 0, 0, 1, 0, 97, 0, 1, 0, 97, 0],
            [2, 0, 0, 0, 1, 0, 98, 0, 1, 0, 97, 0], [1, 0, 0, 0, 0xff, 0xff, 97, 0],
            // A string that is not UTF-8 (overlong, surrogate, cut), or longer than the bytes.
            [1, 0, 0, 0, 1, 0, 97, 5, 2, 0, 0, 0, 0xc0, 0x80], [1, 0, 0, 0, 1, 0, 97, 5, 3, 0, 0, 0, 0xed, 0xa0, 0x80],
            [1, 0, 0, 0, 1, 0, 97, 5, 1, 0, 0, 0, 0xe2], [1, 0, 0, 0, 1, 0, 97, 5, 0xff, 0xff, 0xff, 0xff, 1],
            // Numbers: not finite, cut.
            [1, 0, 0, 0, 1, 0, 97, 4, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f], [1, 0, 0, 0, 1, 0, 97, 3, 0, 0, 0, 0, 0, 0, 0],
            // Arrays and objects: more elements than bytes, longer than the bytes, bytes left over, reserved bytes.
            [1, 0, 0, 0, 1, 0, 97, 6, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0],
            [1, 0, 0, 0, 1, 0, 97, 6, 2, 0, 0, 0, 1, 0, 0, 0, 0],
            [1, 0, 0, 0, 1, 0, 97, 6, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0, 97, 7, 0, 0, 0, 0, 0, 0, 1, 0],
            [1, 0, 0, 0, 1, 0, 97, 7, 0, 0, 0, 0, 1, 0, 0, 0],
        ] as [[UInt8]])
    func `bytes that no writer writes are refused`(_ bytes: [UInt8]) {
        #expect(throws: FormatError.self) { try MetadataCodec.validate(bytes) }
    }

    @Test func `the UTF-8 check agrees with the standard library`() throws {
        var random = SeededGenerator(seed: 9)
        let interesting: [UInt8] = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1,
            0xf4, 0xf5, 0xff,
        ]
        for _ in 0..<100_000 {
            let bytes = (0..<Int(random.next() % 6)).map { _ in interesting[Int(random.next() % 21)] }
            let isValid = try unsafe parse(bytes) { unsafe MetadataCodec.isValidUTF8($0) }
            #expect(isValid == (String(validating: bytes, as: UTF8.self) != nil))
        }
    }
}
