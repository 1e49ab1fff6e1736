// Filters that are awkward for indexes of declared fields, against the oracle and against the same filters without indexes:
// arrays and objects as operands, numbers that nothing is equal to, limits of two kinds, values that are long gone.
import Foundation
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(10)))
struct IndexedFilterTests {
    private static let field = Filter.field("n")

    /// Operands of all kinds, some of which no stored value can be equal to.
    private static let awkward: [Filter] = {
        let nan = MetadataValue.double(.nan)
        let values: [MetadataValue] = [
            [1, 2], ["k": 1], [], [:], nan, [nan], ["k": nan], nil, true, 3, .double(3), "t3", [3],
        ]
        var filters = values.flatMap { value in
            [
                field == value, field != value, field.contains(value), field.isIn([value, 4]), !(field == value),
                field == value && Filter.field("free") == 1, field < value, field >= value,
            ]
        }
        filters += [
            field.isBetween(2, and: "t5"), field.isBetween(nan, and: 5), field.isBetween(2, and: nan),
            field.isBetween(5, and: 2), field.isBetween(2, and: .double(4.5)), field.isBetween("t2", and: "t4"),
            field.isBetween(2, and: 4) && field.exists && Filter.field("free") != 1,
            (field.isBetween(0, and: 7) || field == 3) && (field > 1 || Filter.all(of: [field.exists, field == 2])),
            field.hasPrefix("t"), field.hasPrefix(""), field.hasPrefix("none"), Filter.field("n.k") == 1,
            Filter.field("n.k.j") == 1, Filter.field("n.k.j").exists, Filter.field("m") == 1 && field == 3,
            field.isIn([[1, 2], ["k": 1], 5]), field.isIn([nan]), field.isIn([]),
        ]
        return filters
    }()

    private static func value(_ row: Int) -> MetadataValue? {
        switch row % 13 {
        case 0: [1, 2]
        case 1: ["k": 1]
        case 2: []
        case 3: [:]
        case 4: nil as MetadataValue
        case 5: .bool(row % 2 == 0)
        case 6, 7: .integer(Int64(row / 13 % 9))
        case 8: .double(Double(row / 13 % 9) / 2)
        case 9, 10: .string("t\(row / 13 % 9)")
        case 11: [3, "t3", [1], nil, .integer(Int64(row))]
        default: .none
        }
    }

    @Test("Whatever the operand, an index of the field says what reading the field says", arguments: [[], ["n"]])
    func awkwardOperands(_ fields: [String]) async throws {
        let directory = TestStore()
        let options = DatabaseOptions(dimension: 1, indexedFields: fields)
        try await directory.database(options) { database async throws in
            var model: [String: Metadata] = [:]
            for row in 0..<1_300 {
                var metadata: Metadata = ["free": .integer(Int64(row % 2))]
                metadata["n"] = Self.value(row)
                model["r\(row)"] = metadata
            }
            try await database.insert(model.map { VectorRecord(id: $0.key, vector: [1], metadata: $0.value) })
            for filter in Self.awkward {
                let expected = Set(model.filter { FilterOracle.holds(filter, $0.value) }.keys)
                for _ in 0..<2 {
                    var found: Set<String> = []
                    for try await id in try await database.ids(where: filter) { found.insert(id) }
                    #expect(found == expected, "\(filter)")
                }
                #expect(try await database.count(where: filter) == expected.count, "\(filter)")
            }
        }
    }

    @Test("Values that nobody holds any more are dropped; those that are left are found, and forgotten when they go")
    func tidies() throws {
        var index = try FieldIndex(FieldPath(parsing: "n"))
        let count = 3_000
        func key(_ slot: Int) -> FieldKey { .integer(Int64(slot)) }
        func slots(_ test: FieldTest) -> [UInt32] {
            (index.postings(test)?.postings ?? []).flatMap(\.slots).sorted()
        }
        for slot in 0..<count {
            index.insert(.scalar(key(slot)), UInt32(slot), slotCount: 2 * count)
            index.insert(.composite([key(slot), .integer(-1)]), UInt32(count + slot), slotCount: 2 * count)
        }
        for slot in 0..<count where slot % 10 != 7 {
            index.remove(UInt32(slot))
            index.remove(UInt32(count + slot))
        }
        #expect(index.valueCount == count)
        index.tidy()
        #expect(index.valueCount == count / 10)
        let kept = (0..<count).filter { $0 % 10 == 7 }
        for slot in kept {
            #expect(slots(.equals(.integer(Int64(slot)))) == [UInt32(slot)])
            #expect(slots(.contains(.integer(Int64(slot)))) == [UInt32(count + slot)])
        }
        #expect(slots(.equals(5)) == [] && slots(.contains(5)) == [])
        #expect(slots(.contains(-1)) == kept.map { UInt32(count + $0) })
        #expect(slots(.atLeast(0)) == kept.map { UInt32($0) })
        for slot in kept {
            index.remove(UInt32(slot))
            index.remove(UInt32(count + slot))
        }
        #expect(index.present.isEmpty && index.composites.isEmpty)
        #expect(slots(.atLeast(0)) == [] && slots(.contains(-1)) == [])
    }

    @Test("A prefix finds strings only, whenever the other values came")
    func prefixes() throws {
        var index = try FieldIndex(FieldPath(parsing: "n"))
        for slot in 0..<100 { index.insert(.scalar(.string(Array("t\(slot)".utf8))), UInt32(slot), slotCount: 256) }
        #expect(index.postings(.prefix("t9"))?.postings.count == 11)
        // These come after the values were put in order.
        index.insert(.scalar(.integer(9)), 100, slotCount: 256)
        index.insert(.scalar(.string(Array("t9x".utf8))), 101, slotCount: 256)
        #expect(Set((index.postings(.prefix("t9"))?.postings ?? []).flatMap(\.slots)) == Set([9, 101] + (90..<100)))
    }

    @Test("Of arrays and objects an index knows where they are, of what nothing is equal to that it is nowhere")
    func unusualOperands() throws {
        var index = try FieldIndex(FieldPath(parsing: "n"))
        index.insert(.scalar(.integer(1)), 3, slotCount: 128)
        index.insert(.scalar(.string(Array("t".utf8))), 4, slotCount: 128)
        index.insert(.composite([.integer(1)]), 5, slotCount: 128)
        func found(_ test: FieldTest) -> (slots: [UInt32], isExact: Bool)? {
            index.postings(test).map { (Posting(union: $0.postings, slotCount: 128).slots, $0.isExact) }
        }
        let nan = MetadataValue.double(.nan)
        for test in [FieldTest.equals([1]), .contains([1]), .isIn([[1]])] {
            #expect(found(test)?.slots == [5] && found(test)?.isExact == false)
        }
        for test in [
            FieldTest.equals(nan), .contains(nan), .less(nan), .between(nan, 1), .between(1, nan), .between(1, "t"),
            .greater([1]), .isIn([nan]),
        ] { #expect(found(test)?.slots == [] && found(test)?.isExact == true, "\(test)") }
        #expect(found(.notEquals(1)) == nil)
        #expect(found(.exists)?.slots == [3, 4, 5] && found(.atMost(1))?.slots == [3])
    }

    @Test("Numbers of two kinds are compared without rounding, and nothing is compared with what is no number")
    func comparisons() {
        #expect(ValueOrder.compare(Int64(1), Double.nan) == nil && ValueOrder.compare(Double.nan, 1.0) == nil)
        #expect(ValueOrder.compare(Int64.max, 0x1p63) == -1 && ValueOrder.compare(Int64.min, -0x1p64) == 1)
        #expect(ValueOrder.compare(2.0, 1.0) == 1 && ValueOrder.compare(1.0, 2.0) == -1)
    }

    @Test("Sets of no slot, of one and of two are what they were made from")
    func smallPostings() {
        for slots in [[], [70], [3, 70]] as [[UInt32]] {
            var set = SlotSet(slotCount: 1_024)
            for slot in slots { set.insert(slot) }
            let posting = Posting(set)
            #expect(posting.slots == slots && posting.count == slots.count)
        }
    }

    @Test("Damaged metadata stops an index from being made, with the record's place; other fields are not the reason")
    func damagedMetadata() async throws {
        let directory = TestStore(.disk)
        let options = DatabaseOptions(dimension: 3, indexedFields: ["field"])
        try await directory.database(options) { database async throws in
            try await database.insert(
                (0..<50).map {
                    VectorRecord(id: "r\($0)", vector: [1, 2, 3], metadata: ["field": .string("value-\($0)")])
                })
        }
        let offset = try #require(
            try Data(contentsOf: directory.url("a/vectors.jvdb")).range(of: Foundation.Data("field".utf8)))
        // The tag of the value, which is none that exists.
        try directory.flip("a/vectors.jvdb", at: offset.upperBound)
        directory.configuration.verifiesReads = false
        try await directory.database { database async throws in
            let error = await expectError(.corruption) {
                _ = try await database.count(where: Filter.field("field") == "value-3")
            }
            #expect(error?.database == "a")
            #expect(try await database.count() == 50)
        }
    }

    @Test("The cache of filters keeps the latest, and nothing that is too large")
    func cache() {
        let cache = FilterCache()
        func key(_ number: Int) -> [UInt8] { Array("filter \(number)".utf8) }
        for number in 0..<FilterCache.entryLimit { cache.keep(nil, version: 1, for: key(number)) }
        // Asking for the first makes the second the oldest.
        #expect(cache.find(key(0)).wasSeen)
        cache.keep(nil, version: 1, for: key(1_000))
        #expect(cache.find(key(0)).wasSeen && !cache.find(key(1)).wasSeen && cache.find(key(2)).wasSeen)
        cache.keep(nil, version: 1, for: [UInt8](repeating: 1, count: FilterCache.byteLimit / 4 + 1))
        #expect(!cache.find([UInt8](repeating: 1, count: FilterCache.byteLimit / 4 + 1)).wasSeen)
        // Few that are large take the place of many.
        for number in 0..<5 {
            cache.keep(
                nil, version: 1, for: [UInt8(number)] + [UInt8](repeating: 7, count: FilterCache.byteLimit / 4 - 1))
        }
        #expect(!cache.find(key(0)).wasSeen && !cache.find(key(1_000)).wasSeen)
        cache.clear()
        #expect(!cache.find([4] + [UInt8](repeating: 7, count: FilterCache.byteLimit / 4 - 1)).wasSeen)
    }
}
