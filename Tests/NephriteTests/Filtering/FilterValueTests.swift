// Filters made from variables of Swift's own types are those made from metadata values.
import Nephrite
import Testing

@Suite struct FilterValueTests {
    @Test("Variables and literals make the same filters")
    func variables() throws {
        let (year, byte, language, score, flag) = (2_020, UInt8(7), "en", Float(0.5), true)
        let field = Filter.field("f")
        let pairs: [(Filter, String)] = [
            (field == year, "f == 2020"), (field == 2_020, "f == 2020"), (field != byte, "f != 7"),
            (field < score, "f < 0.5"), (field <= language, #"f <= "en""#), (field > year, "f > 2020"),
            (field >= year && field == flag, "f >= 2020 && f == true"), (field == nil, "f == null"),
            (field == language, #"f == "en""#), (field == "en", #"f == "en""#),
            (field.isIn([year, 3]), "f in [2020, 3]"), (field.isIn(["a", 3, nil]), #"f in ["a", 3, null]"#),
            (field.isBetween(byte, and: score), "f between 7 and 0.5"), (field.contains(language), #"f contains "en""#),
            (field == MetadataValue.integer(4), "f == 4"),
        ]
        let dotted = SearchOptions(filter: .field("f") >= year).filter
        #expect(dotted == (field >= year))
        for (filter, text) in pairs { #expect(try filter == Filter(parsing: text), "\(text)") }
    }

    @Test("An integer that metadata cannot hold is an error of the filter, not a trap")
    func beyond() async throws {
        let large = UInt64.max
        try await TestStore().database { database async throws in
            for filter in [
                Filter.field("f") == large, Filter.field("f").isIn([1, large]), !(Filter.field("f") >= large),
                Filter.field("f").isBetween(1, and: large),
            ] {
                await expectError(.invalidFilter) { _ = try await database.snapshot().count(where: filter) }
            }
        }
    }
}
