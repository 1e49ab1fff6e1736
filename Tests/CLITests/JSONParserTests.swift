/// The JSON parser: values, numbers to the last bit, and text that is no JSON.
import Nephrite
import Testing

@testable import NephriteCLI

@Suite struct JSONParserTests {
    private func parse(_ text: String) throws -> MetadataValue {
        var parser = JSONParser(Array(text.utf8)[...])
        return try parser.document()
    }

    @Test(
        "reads every kind of value",
        arguments: [
            ("null", .null), (" true ", .bool(true)), ("false", .bool(false)), ("0", .integer(0)),
            ("-0", .integer(0)), ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
            ("9223372036854775808", .double(0x1p63)), ("1.0", .double(1)), ("1e2", .double(100)),
            ("\"\"", .string("")), ("[]", .array([])), ("{}", .object([:])),
            ("[1, \"a\",[ ]]", .array([.integer(1), .string("a"), .array([])])),
            ("{\"a\":{\"b\":null}}", .object(["a": .object(["b": .null])])),
        ] as [(String, MetadataValue)])
    func values(_ text: String, _ value: MetadataValue) throws {
        #expect(try parse(text) == value)
    }

    @Test(
        "resolves escapes",
        arguments: [
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""a\u00e9\u4E2D""#, "aé中"),
            (#""\ud83d\ude00!""#, "😀!"),
            (#""é中😀""#, "é中😀"),
        ])
    func escapes(_ text: String, _ string: String) throws {
        #expect(try parse(text) == .string(string))
    }

    @Test(
        "refuses what is no JSON",
        arguments: [
            "", " ", "nul", "NaN", "Infinity", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x10", "1 2", "\"a", "\"\\",
            "\"\\x\"",
            "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\u{1}\"", "[", "[1", "[1,", "[1,]",
            "[1 2]", "{",
            "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{\"a\":1,\"a\":2}", "]", "1e999",
            "-1e999",
        ])
    func refuses(_ text: String) {
        #expect(throws: JSONParser.SyntaxError.self) { try parse(text) }
    }

    @Test("refuses bytes that are not UTF-8, and a byte 0")
    func notUnicode() {
        for bytes in [[0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0], [0x22, 0, 0x22], [0x31, 0]] as [[UInt8]] {
            #expect(throws: JSONParser.SyntaxError.self) {
                var parser = JSONParser(bytes[...])
                _ = try parser.document()
            }
        }
    }

    @Test("nesting that could exhaust the stack is refused")
    func nesting() throws {
        #expect(throws: JSONParser.SyntaxError.self) { try parse(String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSONParser.SyntaxError.self) { try parse(String(repeating: "{\"a\":", count: 1_000_000)) }
        let deep = String(repeating: "[", count: 60) + String(repeating: "]", count: 60)
        #expect(throws: Never.self) { try parse(deep) }
    }

    @Test("floats read back as they were written, bit by bit")
    func roundTrip() throws {
        var state: UInt64 = 42
        var numbers: [Float] = [
            0, -0.0, .leastNonzeroMagnitude, .leastNormalMagnitude, .greatestFiniteMagnitude, 0.1, 1 / 3,
        ]
        for _ in 0..<20_000 {
            // Knuth's linear congruential generator (MMIX); its high bits are the good ones.
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let number = Float(bitPattern: UInt32(state >> 32))
            if number.isFinite { numbers.append(number) }
        }
        var json = JSONText()
        json.value(numbers)
        var parser = JSONParser(Array(json.text.utf8)[...])
        let read = try parser.vectorDocument()
        #expect(read.map(\.bitPattern) == numbers.map(\.bitPattern))
    }

    @Test(
        "rounds a float once, not by way of a double",
        arguments: [
            // Just above, exactly, and just below the middle of 1 and the next float (1 + 2^-24).
            "1.00000005960464477540", "1.000000059604644775390625", "1.00000005960464477538",
            // Near the middle of 1 + 2^-23 and its successor, where ties go up.
            "1.00000017881393432617187499", "1.000000178813934326171875", "1.00000017881393432617187501",
            "1e-45", "7e-46", "1.17549435e-38", "3.4028235e38", "16777217", "123456789012345678901234567890", "-5e-324",
        ])
    func roundsOnce(_ text: String) throws {
        var parser = JSONParser(Array(text.utf8)[...])
        #expect(try parser.number().float.bitPattern == Float(text)?.bitPattern)
    }

    @Test("a record keeps the order of its fields, and takes out id and vector")
    func record() throws {
        let line = #"{"z":1,"id":"a","vector":[1,-2.5e0],"b":{"c":[true]}}"#
        var parser = JSONParser(Array(line.utf8)[...])
        let record = try parser.record(idField: "id", vectorField: "vector")
        #expect(record.id == "a")
        #expect(record.vector == [1, -2.5])
        #expect(record.fields.map(\.0) == ["z", "b"])
    }

    @Test("every beginning of a record is refused, none traps")
    func truncated() {
        let line = Array(#"{"id":"aé\u00e9","vector":[1,-2.5e0],"b":{"c":[true,null]}}"#.utf8)
        for count in 0..<line.count {
            #expect(throws: JSONParser.SyntaxError.self) {
                var parser = JSONParser(line[..<count])
                _ = try parser.record(idField: "id", vectorField: "vector")
            }
        }
    }
}
