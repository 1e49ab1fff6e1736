// The fast encoder of metadata literals against the general writer: the same bytes, or it stands aside.
import StorageFormat
import Testing

@testable import Nephrite

@Suite
struct FlatMetadataTests {
    @Test("The fast encoder writes what the general one writes")
    func flatEqualsGeneral() throws {
        let keys = ["b", "a", "c10", "c1", "c100", "é", "zz", "title with a long name that is not small"]
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let chosen = keys.shuffled(using: &generator).prefix(Int.random(in: 0...keys.count, using: &generator))
            let fields: [(String, MetadataValue)] = chosen.map { key in
                switch Int.random(in: 0..<5, using: &generator) {
                case 0: (key, .null)
                case 1: (key, .bool(.random(using: &generator)))
                case 2: (key, .integer(.random(in: .min ... .max, using: &generator)))
                case 3: (key, .double(.random(in: -1e300...1e300, using: &generator)))
                default: (key, .string(String(repeating: "xä", count: .random(in: 0...40, using: &generator))))
                }
            }
            let flat = try #require(FlatMetadata.encode(fields))
            if fields.isEmpty { continue }
            var writer = MetadataWriter()
            for (key, value) in fields {
                writer.field(key)
                switch value {
                case .null: writer.null()
                case .bool(let value): writer.bool(value)
                case .integer(let value): writer.integer(value)
                case .double(let value): writer.double(value)
                case .string(let value): writer.string(value)
                default: break
                }
            }
            #expect(try writer.finish() == flat)
        }
    }

    @Test("The fast encoder leaves to the general one what is nested, repeated or not valid")
    func flatDeclines() {
        #expect(FlatMetadata.encode([("a", 1), ("a", 2)]) == nil)
        #expect(FlatMetadata.encode([("", 1)]) == nil)
        #expect(FlatMetadata.encode([("a", .array([]))]) == nil)
        #expect(FlatMetadata.encode([("a", .double(.nan))]) == nil)
    }
}
