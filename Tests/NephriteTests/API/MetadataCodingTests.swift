// Metadata from values of one's own types, and back; single fields changed in place.
import Foundation
import Nephrite
import Testing

@Suite struct MetadataCodingTests {
    private struct Everything: Codable, Equatable {
        enum Colour: String, Codable { case red, green }

        struct Person: Codable, Equatable {
            var name: String
            var age: UInt8?
        }

        var flag = true
        var text = "ü\u{0}"
        var double = 0.1
        var whole = 3.0
        var float: Float = -1.5
        var int = Int.min
        var small: Int8 = -128
        var large: UInt64 = UInt64(Int64.max)
        var missing: Int?
        var colour = Colour.green
        var people = [Person(name: "a", age: 7), Person(name: "b")]
        var byName = ["x": [1, 2], "y": []]
        var value = MetadataValue.array([.double(3), .null, .object(["k": .integer(1)])])
        var inner: Metadata = ["n": .double(4), "s": "t"]
        var date = Date(timeIntervalSince1970: 1_000.5)
    }

    private class Base: Codable {
        var base = 1
    }

    private final class Derived: Base {
        var own = "o"

        private enum CodingKeys: String, CodingKey { case own }

        override init() { super.init() }

        required init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            own = try container.decode(String.self, forKey: .own)
            try super.init(from: container.superDecoder())
        }

        override func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(own, forKey: .own)
            try super.encode(to: container.superEncoder())
        }
    }

    @Test("A value of one's own type comes back as it was")
    func roundTrip() throws {
        let value = Everything()
        let metadata = try Metadata(encoding: value)
        #expect(try metadata.decode(Everything.self) == value)
        #expect(metadata["int"] == .integer(Int64.min) && metadata["whole"] == .double(3))
        #expect(metadata["missing"] == nil && metadata["value"] == value.value)
        #expect(metadata["people"] == .array([["name": "a", "age": 7], ["name": "b"]]))
        #expect(metadata["inner"] == .object(["n": .double(4), "s": "t"]))
    }

    @Test("It holds what JSON would, and what JSON gave can be decoded")
    func likeJSON() throws {
        var value = Everything()
        value.float = 0.5
        let json = try JSONEncoder().encode(value)
        let decoded = try JSONDecoder().decode(Metadata.self, from: json).decode(Everything.self)
        // JSON does not keep whole numbers of both kinds apart.
        #expect(decoded.people == value.people && decoded.whole == value.whole && decoded.float == value.float)
        #expect(decoded.date == value.date && decoded.colour == value.colour && decoded.large == value.large)
    }

    @Test("Superclasses have a field of their own")
    func classes() throws {
        let value = Derived()
        value.base = 5
        let metadata = try Metadata(encoding: value)
        #expect(metadata["super"] == ["base": 5])
        #expect(try metadata.decode(Derived.self).base == 5)
    }

    @Test("A dictionary is metadata; what has no names, does not fit or is not finite is refused")
    func refusals() throws {
        #expect(try Metadata(encoding: ["a": 1, "b": 2]) == ["a": 1, "b": 2])
        #expect(try Metadata(encoding: [String: Int]()).isEmpty)
        #expect(throws: EncodingError.self) { try Metadata(encoding: [1, 2]) }
        #expect(throws: EncodingError.self) { try Metadata(encoding: "text") }
        #expect(throws: EncodingError.self) { try Metadata(encoding: ["a": UInt64.max]) }
        #expect(throws: StoreError.self) { try Metadata(encoding: ["a": Double.nan]) }
        #expect(throws: StoreError.self) { try Metadata(encoding: ["": 1]) }
    }

    @Test("Decoding says which field is missing or of another kind")
    func decodingErrors() throws {
        struct Point: Codable {
            var x: Int8
            var tags: [String]
        }
        let metadata: Metadata = ["x": 300, "tags": ["a", 1]]
        #expect {
            try metadata.decode(Point.self)
        } throws: { error in
            guard case DecodingError.typeMismatch(_, let context) = error else { return false }
            return context.codingPath.map(\.stringValue) == ["x"]
        }
        #expect {
            try metadata.decode([String: [String]].self)
        } throws: { error in
            if case DecodingError.typeMismatch = error { true } else { false }
        }
        #expect {
            try Metadata().decode(Point.self)
        } throws: { error in
            guard case DecodingError.keyNotFound(let key, _) = error else { return false }
            return key.stringValue == "x"
        }
        let null: Metadata = ["x": nil, "tags": []]
        #expect {
            try null.decode(Point.self)
        } throws: { error in
            if case DecodingError.valueNotFound = error { true } else { false }
        }
        #expect(throws: DecodingError.self) {
            try Metadata([("\u{e9}", 1), ("e\u{301}", 2)]).decode([String: Int].self)
        }
    }

    @Test("Fields are changed, added and removed in place")
    func subscripts() async throws {
        var metadata: Metadata = ["a": 1, "b": ["x"]]
        metadata["a"] = 2
        metadata["c"] = .string("new")
        metadata["b"] = nil
        metadata["none"] = nil
        #expect(metadata == ["a": 2, "c": "new"])
        #expect(metadata["a"]?.integerValue == 2 && metadata["a"]?.doubleValue == 2 && metadata["a"]?.boolValue == nil)
        #expect(metadata["c"]?.stringValue == "new" && metadata["c"]?.integerValue == nil)
        #expect(MetadataValue.double(2.5).integerValue == nil && MetadataValue.bool(true).boolValue == true)
        metadata["\u{e9}"] = 1
        metadata["e\u{301}"] = 2
        #expect(metadata.fields.count == 4, "keys are compared byte by byte")
        metadata["bad"] = .double(.infinity)
        metadata["bad"] = 1
        let spoilt = metadata
        try await TestStore().database { database async throws in
            await expectError(.invalidMetadata) {
                try await database.upsert(VectorRecord(id: "a", vector: [1, 2, 3], metadata: spoilt))
            }
        }
    }
}
