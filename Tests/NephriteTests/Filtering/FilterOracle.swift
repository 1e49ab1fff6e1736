// What filters mean, written a second time as plainly as possible, on decoded metadata; and random filters, values and
// metadata to compare the two with.
import StorageSimulation

@testable import Nephrite

enum FilterOracle {
    static func holds(_ filter: Filter, _ metadata: Metadata) -> Bool { holds(filter.node, metadata) }

    private static func holds(_ node: FilterNode, _ metadata: Metadata) -> Bool {
        switch node {
        case .constant(let value): value
        case .not(let inner): !holds(inner, metadata)
        case .and(let parts): parts.allSatisfy { holds($0, metadata) }
        case .or(let parts): parts.contains { holds($0, metadata) }
        case .test(let path, let test): holds(test, value(path.keys, metadata))
        }
    }

    private static func value(_ keys: [String], _ metadata: Metadata) -> MetadataValue? {
        var value = metadata[keys[0]]
        for key in keys.dropFirst() {
            guard case .object(let fields)? = value else { return nil }
            value = fields[key]
        }
        return value
    }

    private static func holds(_ test: FieldTest, _ value: MetadataValue?) -> Bool {
        if case .notEquals(let other) = test { return !holds(.equals(other), value) }
        guard let value else { return false }
        switch test {
        case .exists: return true
        case .equals(let other): return isEqual(value, other)
        case .notEquals: return false
        case .less(let other): return isLess(value, other)
        case .greater(let other): return isLess(other, value)
        case .atMost(let other): return isComparable(value, other) && !isLess(other, value)
        case .atLeast(let other): return isComparable(value, other) && !isLess(value, other)
        case .between(let lower, let upper): return holds(.atLeast(lower), value) && holds(.atMost(upper), value)
        case .isIn(let others): return others.contains { isEqual(value, $0) }
        case .contains(let other):
            guard case .array(let elements) = value else { return false }
            return elements.contains { isEqual($0, other) }
        case .prefix(let prefix):
            guard case .string(let text) = value else { return false }
            return text.utf8.starts(with: prefix.utf8)
        }
    }

    static func isEqual(_ left: MetadataValue, _ right: MetadataValue) -> Bool {
        switch (left, right) {
        case (.null, .null): return true
        case (.bool(let a), .bool(let b)): return a == b
        case (.integer(let a), .integer(let b)): return a == b
        case (.double(let a), .double(let b)): return a == b
        case (.integer(let a), .double(let b)), (.double(let b), .integer(let a)): return Int64(exactly: b) == a
        case (.string(let a), .string(let b)): return a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): return a.count == b.count && zip(a, b).allSatisfy { isEqual($0, $1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count && a.allSatisfy { key, value in b[key].map { isEqual(value, $0) } ?? false }
        default: return false
        }
    }

    private static func isComparable(_ left: MetadataValue, _ right: MetadataValue) -> Bool {
        switch (left, right) {
        case (.integer, .integer), (.string, .string): true
        case (.double(let number), .integer), (.integer, .double(let number)): !number.isNaN
        case (.double(let a), .double(let b)): !a.isNaN && !b.isNaN
        default: false
        }
    }

    private static func isLess(_ left: MetadataValue, _ right: MetadataValue) -> Bool {
        switch (left, right) {
        case (.integer(let a), .integer(let b)): a < b
        case (.double(let a), .double(let b)): a < b
        // An integer is less than a number if it is less than the number rounded up.
        case (.integer(let a), .double(let b)): !b.isNaN && Int128(a) < clamped(b.rounded(.up))
        case (.double(let a), .integer(let b)): !a.isNaN && clamped(a.rounded(.down)) < Int128(b)
        case (.string(let a), .string(let b)): a.utf8.lexicographicallyPrecedes(b.utf8)
        default: false
        }
    }

    private static func clamped(_ number: Double) -> Int128 {
        number >= 0x1p100 ? .max : number <= -0x1p100 ? .min : Int128(number)
    }
}

/// Random filters and metadata from few keys and values, so that they often meet.
struct FilterGenerator {
    var random: SeededGenerator
    /// Keys of the fields, some of them nested.
    static let paths = ["a", "b", "c", "d", "tags", "o.a", "o.b", "o.o.a"]

    private static let numbers: [MetadataValue] = [
        0, 1, -1, 2, 3, 7, .integer(.max), .integer(.min), .integer(1 << 53), .integer((1 << 53) + 1), .double(0),
        .double(-0.0), .double(1), .double(1.5), .double(-1.5), .double(0x1p53), .double(0x1p63), .double(-0x1p63),
        .double(1e300), .double(-1e300), .double(.leastNonzeroMagnitude), .double(9_223_372_036_854_774_784),
    ]
    private static let strings: [MetadataValue] = [
        "", "a", "ab", "abc", "b", "e\u{301}", "\u{e9}", "a\u{0}b", "quote \" and \\ `", "\n\u{7f}",
        "longer than a word",
    ]

    mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int(random.next() % UInt64(elements.count))]
    }

    mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }

    mutating func scalar() -> MetadataValue {
        switch below(8) {
        case 0: .null
        case 1: .bool(below(2) == 0)
        case 2...4: pick(Self.numbers)
        default: pick(Self.strings)
        }
    }

    mutating func value(depth: Int = 0) -> MetadataValue {
        guard depth < 2 else { return scalar() }
        switch below(10) {
        case 0: return .array((0..<below(4)).map { _ in value(depth: depth + 1) })
        case 1:
            var fields: [String: MetadataValue] = [:]
            for _ in 0..<below(3) { fields[pick(["a", "b", "x"])] = value(depth: depth + 1) }
            return .object(fields)
        default: return scalar()
        }
    }

    /// A value to compare with: also what no metadata can hold.
    private mutating func operand() -> MetadataValue {
        switch below(20) {
        case 0: .double(.nan)
        case 1: .double(.infinity)
        case 2: .double(-.infinity)
        default: value()
        }
    }

    mutating func metadata() -> Metadata {
        var fields: [String: MetadataValue] = [:]
        for key in ["a", "b", "c", "d"] where below(3) > 0 { fields[key] = value() }
        if below(2) == 0 { fields["tags"] = .array((0..<below(4)).map { _ in scalar() }) }
        if below(2) == 0 {
            var inner: [String: MetadataValue] = [:]
            if below(2) == 0 { inner["a"] = value() }
            if below(2) == 0 { inner["b"] = value() }
            if below(3) == 0 { inner["o"] = .object(["a": value()]) }
            fields["o"] = .object(inner)
        }
        return (try? Metadata(fields)) ?? Metadata()
    }

    mutating func test() -> Filter {
        let field = Filter.field(pick(Self.paths))
        switch below(12) {
        case 0: return field.exists
        case 1, 2: return field == operand()
        case 3: return field != operand()
        case 4: return field < operand()
        case 5: return field <= operand()
        case 6: return field > operand()
        case 7: return field >= operand()
        case 8: return field.isIn((0..<below(6)).map { _ in operand() })
        case 9: return field.isBetween(operand(), and: operand())
        case 10: return field.contains(operand())
        default:
            guard case .string(let prefix) = pick(Self.strings) else { return .all }
            return field.hasPrefix(prefix)
        }
    }

    mutating func filter(depth: Int = 0) -> Filter {
        guard depth < 4 else { return test() }
        switch below(8) {
        case 0: return !filter(depth: depth + 1)
        case 1, 2: return .all(of: (0..<below(4)).map { _ in filter(depth: depth + 1) })
        case 3, 4: return .any(of: (0..<below(4)).map { _ in filter(depth: depth + 1) })
        default: return test()
        }
    }
}
