// Metadata through every form of container that Codable has: types that write their fields by hand, and hostile orders.
import Foundation
import Nephrite
import Testing

@Suite struct MetadataContainerTests {
    private enum Key: String, CodingKey { case nested, list, null, own, elements, extra }

    /// Encodes by hand what synthesised conformances never do: containers inside of containers, nulls, places for superclasses.
    private struct ByHand: Codable, Equatable {
        var a = 1
        var b = "two"

        init() {}

        func encode(to encoder: any Encoder) throws {
            #expect(encoder.userInfo.isEmpty)
            var fields = encoder.container(keyedBy: Key.self)
            try fields.encodeNil(forKey: .null)
            var nested = fields.nestedContainer(keyedBy: Key.self, forKey: .nested)
            try nested.encode(a, forKey: .own)
            var list = fields.nestedUnkeyedContainer(forKey: .list)
            #expect(list.count == 0)
            try list.encode(b)
            try list.encodeNil()
            var inner = list.nestedContainer(keyedBy: Key.self)
            try inner.encode(true, forKey: .own)
            var row = list.nestedUnkeyedContainer()
            try row.encode(0.5)
            try a.encode(to: list.superEncoder())
            #expect(list.count == 5 && list.codingPath.map(\.stringValue) == ["list"])
            #expect(row.codingPath.map(\.intValue) == [nil, 3])
            try b.encode(to: fields.superEncoder(forKey: .extra))
        }

        init(from decoder: any Decoder) throws {
            #expect(decoder.userInfo.isEmpty)
            let fields = try decoder.container(keyedBy: Key.self)
            #expect(try fields.decodeNil(forKey: .null) && !fields.decodeNil(forKey: .list))
            #expect(Set(fields.allKeys) == [.nested, .list, .null, .extra])
            a = try fields.nestedContainer(keyedBy: Key.self, forKey: .nested).decode(Int.self, forKey: .own)
            var list = try fields.nestedUnkeyedContainer(forKey: .list)
            #expect(list.count == 5 && list.currentIndex == 0)
            #expect(try !list.decodeNil())
            b = try list.decode(String.self)
            #expect(try list.decodeNil())
            #expect(try list.nestedContainer(keyedBy: Key.self).decode(Bool.self, forKey: .own))
            var row = try list.nestedUnkeyedContainer()
            #expect(try row.decode(Double.self) == 0.5 && row.isAtEnd && !row.decodeNil())
            #expect(try Int(from: list.superDecoder()) == a && list.isAtEnd)
            #expect {
                try list.decode(Int.self)
            } throws: { error in
                guard case DecodingError.valueNotFound(_, let context) = error else { return false }
                return context.codingPath.map(\.intValue) == [nil, 5]
            }
            #expect(try String(from: fields.superDecoder(forKey: .extra)) == b)
        }
    }

    @Test("What is written by hand into nested containers comes back from them")
    func nestedContainers() throws {
        var value = ByHand()
        value.a = 9
        let metadata = try Metadata(encoding: value)
        #expect(
            metadata == [
                "null": nil, "nested": ["own": 9], "list": ["two", nil, ["own": true], [0.5], 9], "extra": "two",
            ])
        #expect(try metadata.decode(ByHand.self) == value)
    }

    /// Writes its fields in two goes, and asks for containers that it leaves empty or writes to again.
    private struct InTwoGoes: Encodable {
        func encode(to encoder: any Encoder) throws {
            var first = encoder.container(keyedBy: Key.self)
            try first.encode(1, forKey: .own)
            var second = encoder.container(keyedBy: Key.self)
            try second.encode(Twice(), forKey: .list)
            try second.encode(Nothing(), forKey: .extra)
            try second.encode(Null(), forKey: .null)
        }
    }

    private struct Twice: Encodable {
        func encode(to encoder: any Encoder) throws {
            var first = encoder.unkeyedContainer()
            try first.encode(1)
            var second = encoder.unkeyedContainer()
            try second.encode(2)
        }
    }

    private struct Nothing: Encodable {
        func encode(to encoder: any Encoder) {}
    }

    private struct Null: Encodable {
        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        }
    }

    @Test("A container that is asked for again goes on; what encodes nothing is null")
    func repeatedContainers() throws {
        #expect(try Metadata(encoding: InTwoGoes()) == ["own": 1, "list": [1, 2], "extra": nil, "null": nil])
    }

    /// Nil as the value itself, and a kind that is found out by trying.
    private enum Loose: Decodable, Equatable {
        case nothing
        case number(Int)
        case list([Int])
        case fields([String: Int])

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            #expect(value.codingPath.map(\.stringValue) == decoder.codingPath.map(\.stringValue))
            if value.decodeNil() {
                self = .nothing
            } else if let number = try? value.decode(Int.self) {
                self = .number(number)
            } else if var list = try? decoder.unkeyedContainer() {
                self = .list(try (0..<(list.count ?? 0)).map { _ in try list.decode(Int.self) })
            } else {
                self = .fields(try value.decode([String: Int].self))
            }
        }
    }

    @Test("A type may try one kind after the other")
    func triesKinds() throws {
        let metadata: Metadata = ["a": nil, "b": 4, "c": [1, 2], "d": ["x": 3]]
        #expect(
            try metadata.decode([String: Loose].self)
                == ["a": .nothing, "b": .number(4), "c": .list([1, 2]), "d": .fields(["x": 3])])
        #expect(throws: DecodingError.self) { try Metadata(["a": "text"]).decode([String: Loose].self) }
        #expect(throws: DecodingError.self) { try metadata.decode([Int].self) }
    }

    @Test("Optional elements keep their places")
    func optionals() throws {
        let value: [String: [Int?]] = ["a": [1, nil, 3]]
        let metadata = try Metadata(encoding: value)
        #expect(metadata == ["a": [1, nil, 3]])
        #expect(try metadata.decode([String: [Int?]].self) == value)
    }
}
