// Metadata goes in and comes out as the same values, through storage and through JSON (B13).
import Foundation
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(20)))
struct RecordMetadataTests {
    static let samples: [Metadata] = [
        [:],
        ["null": nil, "yes": true, "no": false],
        ["small": 0, "negative": -1, "largest": .integer(.max), "smallest": .integer(.min)],
        ["pi": 3.141592653589793, "tiny": .double(.leastNonzeroMagnitude), "huge": .double(.greatestFiniteMagnitude)],
        ["empty": "", "text": "grüße, 世界 🧪", "zero": "a\u{0}b", "quotes": "\"\\\n"],
        ["list": [1, "two", 3.5, nil, true, [], [:], [[["deep"]]]]],
        ["object": ["a": ["b": ["c": ["d": 1]]], "list": [["x": 1], ["x": 2]]]],
        ["\u{E9}": 1, "z": 2, "e\u{301}": 3, "a": 4, "Z": 5],
        ["long": .string(String(repeating: "x", count: 100_000))],
        ["wide": .object(Dictionary(uniqueKeysWithValues: (0..<500).map { ("key\($0)", .integer(Int64($0))) }))],
    ]

    @Test("Every kind of value is read as it was written", arguments: Setting.Backing.allCases, [1, 1 << 30])
    func roundTrip(_ backing: Setting.Backing, _ threshold: Int) async throws {
        let directory = TestStore(backing)
        directory.configuration.bulkByteThreshold = threshold
        let records = Self.samples.enumerated().map { VectorRecord(id: "r\($0)", vector: [1, 2, 3], metadata: $1) }
        try await directory.database { database in
            try await database.upsert(records)
            for record in records { #expect(try await database.record(for: record.id)?.metadata == record.metadata) }
        }
        try await directory.database { database in
            for record in records {
                let read = try #require(try await database.record(for: record.id)).metadata
                #expect(read == record.metadata)
                for (key, value) in record.metadata.fields { #expect(read[key] == value) }
                #expect(read["none of these"] == nil)
            }
        }
    }

    @Test("JSON gives the same values back", arguments: samples)
    func json(_ metadata: Metadata) throws {
        // Two keys that Swift takes for one cannot both be in a dictionary, which is what coding goes through.
        guard metadata["e\u{301}"] == nil else { return }
        let data = try JSONEncoder().encode(metadata)
        #expect(try JSONDecoder().decode(Metadata.self, from: data) == metadata)
    }

    @Test("Fields come sorted by the bytes of their keys, however they were given")
    func order() throws {
        let keys = ["b", "a", "\u{E9}", "Z", "e\u{301}", "aa"]
        let metadata = try Metadata(keys.map { ($0, .string($0)) })
        let sorted = keys.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
        #expect(metadata.fields.map { Array($0.key.utf8) } == sorted)
        for key in keys {
            #expect(metadata[key].map { "\($0)".utf8.count } == "\(MetadataValue.string(key))".utf8.count)
        }
        #expect(try Metadata(keys.reversed().map { ($0, .string($0)) }) == metadata)
    }

    /// A value in so many arrays, one in the other.
    static func nested(_ depth: Int) -> MetadataValue {
        (0..<depth).reduce(MetadataValue.integer(1)) { inner, _ in .array([inner]) }
    }

    @Test("At the limits metadata is stored, beyond them refused where it is made")
    func limits() throws {
        _ = try Metadata([(String(repeating: "k", count: 256), 1)])
        _ = try Metadata([("deep", Self.nested(31))])
        _ = try Metadata([("large", .string(String(repeating: "x", count: 1_000_000)))])
        let refused: [[(String, MetadataValue)]] = [
            [("", 1)], [(String(repeating: "k", count: 257), 1)], [("a", 1), ("a", 2)],
            [("deep", Self.nested(32))], [("deep", Self.nested(5_000))],
            [("large", .string(String(repeating: "x", count: 1 << 20)))],
            [("nan", .double(.nan))], [("inf", .double(.infinity))], [("inner", [["x": .double(-.infinity)]])],
        ]
        for fields in refused {
            do {
                _ = try Metadata(fields)
                Issue.record("accepted: \(fields.map(\.0))")
            } catch {
                #expect(error.code == .invalidMetadata && !error.remedy.isEmpty)
            }
        }
    }

    @Test("Metadata of a megabyte is stored and read again", arguments: Setting.Backing.allCases)
    func large(_ backing: Setting.Backing) async throws {
        let directory = TestStore(backing)
        let metadata = try Metadata([("large", .string(String(repeating: "x", count: (1 << 20) - 64)))])
        try await directory.database { database in
            for index in 0..<4 {
                try await database.upsert(VectorRecord(id: "r\(index)", vector: [1, 2, 3], metadata: metadata))
            }
        }
        try await directory.open { store in
            #expect(try await store.database("a").record(for: "r3")?.metadata == metadata)
            try await store.expectSound()
        }
    }

    @Test("A literal with a mistake in it is refused when it is stored, and nothing is written")
    func literals() async throws {
        try await TestStore().database { database async throws in
            let mistakes: [Metadata] = [
                ["a": 1, "a": 2], ["x": .double(.infinity)], ["": 1],
                ["large": .string(String(repeating: "x", count: 2 << 20))], ["deep": Self.nested(40)],
            ]
            for metadata in mistakes {
                await expectError(.invalidMetadata) {
                    try await database.upsert(VectorRecord(id: "a", vector: [1, 2, 3], metadata: metadata))
                }
            }
            #expect(try await database.count() == 0)
        }
    }
}
