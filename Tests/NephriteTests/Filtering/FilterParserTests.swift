// Filters as text: what is read, how it is written again, and where errors are.
import Foundation
import StorageSimulation
import Testing

@testable import Nephrite

@Suite struct FilterParserTests {
    @Test(
        "Text is read as it says, and written in one way",
        arguments: [
            ("lang == \"en\"&&year>=2020", #"lang == "en" && year >= 2020"#),
            ("lang=='en' and not year<2020 or a exists", #"lang == "en" && !(year < 2020) || a exists"#),
            ("a == 1 && (b == 2 || c == 3)", "a == 1 && (b == 2 || c == 3)"),
            ("(a == 1 && b == 2) && c == 3", "a == 1 && b == 2 && c == 3"),
            ("a.b.`c d` in [1, -2, 2.50, 'x', null, true, []]", #"a.b.`c d` in [1, -2, 2.5, "x", null, true, []]"#),
            ("x between -1 and 1e3", "x between -1 and 1000.0"),
            ("tags contains 'a' || name startsWith \"J\\u{6f}\"", #"tags contains "a" || name startsWith "Jo""#),
            ("!!(a == 1)", "a == 1"), ("!(a == 1 || b == 2)", "!(a == 1 || b == 2)"), ("not true", "!true"),
            ("`in` == 'a\\n\\\\'", "`in` == \"a\\u{a}\\\\\""), ("größe > 3", "größe > 3"),
            ("o == {\"b\": 1, \"a\": [2]}", #"o == {"a": [2], "b": 1}"#), ("x == -inf", "x == -inf"),
            ("content-type == \"a\"", #"content-type == "a""#), ("a.in exists", "a.`in` exists"),
        ])
    func reads(_ text: String, _ expected: String) throws {
        let filter = try Filter(parsing: text)
        #expect(filter.description == expected)
        #expect(try Filter(parsing: filter.description) == filter)
    }

    @Test(
        "What cannot be read is an error with its place",
        arguments: [
            ("", 0), ("   ", 3), ("a", 1), ("a ==", 4), ("a = 1", 2), ("a == 1 &&", 9), ("a == 1 b", 7), ("(a == 1", 7),
            ("a == 1)", 6), ("a in 1", 6), ("a in [1", 7), ("a in [1,]", 8), ("a between 1", 11), ("a == 'x", 5),
            ("a == \"\\q\"", 6), ("a == \"\\u{110000}\"", 6), ("a == 99999999999999999999", 5), ("a == 1e999", 5),
            ("a == 1.", 5), ("a == 1x", 5), ("in == 1", 0), ("``== 1", 0), ("a. == 1", 3), ("a == b", 5), ("1 == a", 0),
            ("a & b", 2), ("a == {\"x\": 1, \"x\": 2}", 14), ("a startsWith 3", 14), ("ä == \u{1}", 6), ("§", 0),
            ("a == --1", 5),
        ])
    func errors(_ text: String, _ offset: Int) throws {
        let error = #expect(throws: StoreError.self) { try Filter(parsing: text) }
        #expect(error?.code == .invalidFilter)
        if text == "§" { return }
        #expect(error?.offset == UInt64(offset), "\(error?.description ?? "")")
    }

    @Test("Every filter is written as text that is read as the same filter", arguments: 0..<10)
    func roundTrip(_ seed: Int) throws {
        var generator = FilterGenerator(random: SeededGenerator(seed: UInt64(seed)))
        for _ in 0..<300 {
            let filter = generator.filter()
            let again = try Filter(parsing: filter.description)
            #expect(again == filter, "\(filter) became \(again)")
        }
    }

    @Test(
        "Nesting is limited, so that no text exhausts the stack", arguments: ["!", "not ", "(", "a == [", "a=={\"\":"])
    func deep(_ unit: String) throws {
        let error = #expect(throws: StoreError.self) {
            try Filter(
                parsing: unit.hasPrefix("a")
                    ? "a == " + String(repeating: "[", count: 100_000) : String(repeating: unit, count: 100_000))
        }
        #expect(error?.code == .invalidFilter && error?.offset != nil)
        #expect(
            try Filter(parsing: String(repeating: "(", count: 200) + "a == 1" + String(repeating: ")", count: 200))
                == Filter(parsing: "a == 1"))
    }

    @Test(
        "Sixty-four levels of and, or and not are a filter, one more is none", arguments: [1, 2, 63, 64, 65, 66, 500])
    func levels(_ depth: Int) throws {
        // A condition by itself is a level.
        var text = "a == 1"
        for level in 1..<depth { text = level % 2 == 0 ? "b == 1 && (\(text))" : "b == 1 || (\(text))" }
        let filter = Result { try Filter(parsing: text) }
        let compiled = Result { try CompiledFilter(try filter.get()) }
        let isFilter = (try? compiled.get()) != nil
        #expect(isFilter == (depth <= 64), "\(depth)")
        if let filter = try? filter.get(), depth <= 64 { #expect(try Filter(parsing: filter.description) == filter) }
    }

    @Test("Text that is too long is refused")
    func long() throws {
        let error = #expect(throws: StoreError.self) {
            try Filter(parsing: "a == 1" + String(repeating: " ", count: 9 << 20))
        }
        #expect(error?.code == .invalidFilter)
    }

    @Test("Filters cut short or with a byte changed never trap", arguments: 0..<10)
    func mutations(_ seed: Int) {
        var generator = FilterGenerator(random: SeededGenerator(seed: UInt64(50 + seed)))
        for _ in 0..<200 {
            var bytes = Array(generator.filter().description.utf8)
            for _ in 0...generator.below(3) where !bytes.isEmpty {
                switch generator.below(3) {
                case 0: bytes.removeLast(generator.below(bytes.count))
                case 1: bytes[generator.below(bytes.count)] = UInt8(generator.below(256))
                default:
                    bytes.insert(
                        generator.pick(Array("()[]{}!&|<>=.,:\"'`\\-0e ".utf8)), at: generator.below(bytes.count))
                }
            }
            // Bytes that are no UTF-8 become replacement characters, as they do in every String.
            guard let filter = try? Filter(parsing: String(decoding: bytes, as: UTF8.self)) else { continue }
            #expect((try? Filter(parsing: filter.description)) == filter)
        }
    }

    @Test("No input that the fuzzer kept traps")
    func corpus() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fuzz/Corpus/filter")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect((1...100).contains(files.count))
        for file in files {
            let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
            guard let filter = try? Filter(parsing: text) else { continue }
            #expect(try Filter(parsing: filter.description) == filter)
        }
    }
}
