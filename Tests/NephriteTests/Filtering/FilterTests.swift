// What filters mean: every operator and every mixture of kinds, against a plain evaluator on decoded metadata.
import StorageFormat
import StorageSimulation
import Testing

@testable import Nephrite

@Suite struct FilterTests {
    private static func holds(_ filter: Filter, _ metadata: Metadata) throws -> Bool {
        let compiled = try CompiledFilter(filter)
        return try unsafe metadata.encoded.withUnsafeBytes { try unsafe compiled.matches($0) }
    }

    @Test("Random filters hold for random metadata exactly when the plain evaluator says so", arguments: 0..<20)
    func sameAsOracle(_ seed: Int) throws {
        var generator = FilterGenerator(random: SeededGenerator(seed: UInt64(seed)))
        let metadata = (0..<40).map { _ in generator.metadata() } + [Metadata()]
        for _ in 0..<150 {
            let filter = generator.filter()
            let compiled = try CompiledFilter(filter)
            for value in metadata {
                let found = try unsafe value.encoded.withUnsafeBytes { try unsafe compiled.matches($0) }
                #expect(found == FilterOracle.holds(filter, value), "\(filter) on \(value.fields)")
            }
        }
    }

    @Test(
        "Numbers compare by value, integers with floating-point numbers without rounding",
        arguments: [
            ("n == 9007199254740993.0", Int64(9_007_199_254_740_993), false),
            ("n == 9007199254740992.0", 9_007_199_254_740_992, true),
            ("n > 9007199254740992.0", 9_007_199_254_740_993, true),
            ("n < 9223372036854775808.0", .max, true), ("n == 9223372036854775808.0", .max, false),
            ("n == -9223372036854775808.0", .min, true), ("n < 0.5", 0, true), ("n > -0.5", 0, true),
            ("n == -0.0", 0, true), ("n < inf", .max, true), ("n > -inf", .min, true), ("n == nan", 0, false),
            ("n != nan", 0, true), ("n <= nan", 0, false), ("n in [1.5, 2.0]", 2, true),
            ("n between 1.5 and 2.5", 2, true),
        ])
    func exactNumbers(_ text: String, _ number: Int64, _ expected: Bool) throws {
        #expect(try Self.holds(try Filter(parsing: text), ["n": .integer(number)]) == expected)
    }

    @Test(
        "Missing fields and other kinds match no comparison, and every negation of one",
        arguments: ["==", "<", "<=", ">", ">=", "contains", "startsWith", "between", "in", "exists"])
    func missing(_ name: String) throws {
        let operand = ["between": "1 and 2", "in": "[1]", "startsWith": "\"1\"", "exists": ""][name] ?? "1"
        let filter = try Filter(parsing: "x \(name) \(operand)")
        #expect(try !Self.holds(filter, ["y": 1]))
        #expect(try Self.holds(!filter, ["y": 1]))
        #expect(try !Self.holds(filter, Metadata()))
        if name != "exists" { #expect(try !Self.holds(filter, ["x": true])) }
        #expect(try !Self.holds(try Filter(parsing: "x.y \(name) \(operand)"), ["x": 1]), "a scalar has no fields")
    }

    @Test("Strings are compared byte by byte")
    func bytes() throws {
        let composed: Metadata = ["s": "\u{e9}"]
        #expect(try Self.holds(Filter.field("s") == "\u{e9}", composed))
        #expect(try !Self.holds(Filter.field("s") == "e\u{301}", composed))
        let filters = [Filter.field("s") == "\u{e9}", Filter.field("s") == "e\u{301}"]
        #expect(filters[0] != filters[1])
        #expect(try Self.holds(Filter.field("s") > "z", composed))
        #expect(try Self.holds(Filter.field("s").hasPrefix(""), composed))
    }

    @Test("A filter of more levels, of more bytes or without a name is refused when it is used")
    func limits() throws {
        var deep = Filter.field("a") == 1
        let (b, c) = (Filter.field("b").exists, Filter.field("c").exists)
        for level in 0..<200 { deep = level % 2 == 0 ? deep && b : deep || c }
        var wide = Filter.field("a") == 1
        for value in 0..<2_000 as Range<Int64> { wide = wide || Filter.field("a") == .integer(value) }
        #expect(throws: Never.self) { try CompiledFilter(wide) }
        let large = Filter.field("a") == .string(String(repeating: "x", count: 2 << 20))
        var nested: MetadataValue = 1
        for _ in 0..<40 { nested = .array([nested]) }
        let nameless: [Filter] = [
            Filter.field("").exists, Filter.field("a..b").exists, !Filter.field(path: []).exists,
        ]
        for filter in [deep, large, Filter.field("a") == nested] + nameless {
            let error = #expect(throws: StoreError.self) { try CompiledFilter(filter) }
            #expect(error?.code == .invalidFilter)
        }
    }

    @Test("Damaged metadata never traps: it is an error, or an answer", arguments: 0..<10)
    func damaged(_ seed: Int) throws {
        var generator = FilterGenerator(random: SeededGenerator(seed: UInt64(1_000 + seed)))
        let filters = try (0..<60).map { _ in try CompiledFilter(generator.filter()) }
        var errors = 0
        for _ in 0..<40 {
            var bytes = generator.metadata().encoded
            if bytes.isEmpty { continue }
            switch generator.below(3) {
            case 0: bytes.removeLast(1 + generator.below(bytes.count))
            case 1: bytes[generator.below(bytes.count)] ^= UInt8(1 << generator.below(8))
            default: bytes[generator.below(bytes.count)] = UInt8(generator.below(256))
            }
            // An allocation of exactly this size, for the sanitizer.
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            defer { unsafe copy.deallocate() }
            unsafe copy.copyBytes(from: bytes)
            for filter in filters {
                do { _ = try unsafe filter.matches(UnsafeRawBufferPointer(copy)) } catch { errors += 1 }
            }
        }
        #expect(errors > 0)
    }
}
