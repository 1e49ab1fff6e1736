/// Conditions on metadata: callers make them from Swift values or from text, searches, counts and deletes take them, and
/// ``CompiledFilter`` is made of them.
import StorageFormat

/// A condition on a record's metadata: which records a search, a count or a delete is about.
///
///     let filter = Filter.field("lang") == "en" && Filter.field("year") >= 2020
///     let same = try Filter(parsing: #"lang == "en" && year >= 2020"#)
///
/// A condition holds or does not hold; there is no third value. A comparison with a field that is missing, or whose value
/// is of another kind than the operand, does not hold, and its negation does: `!=` is exactly the negation of `==`.
/// Numbers compare by value, integers with floating-point numbers exactly and without rounding. Strings are equal, and
/// ordered, by their UTF-8 bytes, not by Unicode's canonical equivalence. The article *Filtering* has all rules.
///
/// What is not valid about a filter made of Swift values (a field without a name, more than 64 levels, more than a
/// mebibyte) is reported as `invalidFilter` when it is used.
public struct Filter: Sendable {
    let node: FilterNode
    /// Levels of connectives, 1 for a single test.
    let depth: Int
    /// The bytes of all names and strings, and 32 for each test and value.
    let size: Int
    /// What is wrong with it, reported when it is used.
    let problem: StoreError?

    /// Holds for every record.
    public static let all = Filter(.constant(true), depth: 1, size: FilterLimits.partSize)

    /// Holds for no record.
    public static let none = Filter(.constant(false), depth: 1, size: FilterLimits.partSize)

    /// A field to compare with values.
    ///
    /// - Parameter path: the field's key; of a field inside of an object the keys from the outside in, with dots between
    ///   them (`author.name`). For keys that have dots in them use ``field(path:)``.
    public static func field(_ path: String) -> FilterField {
        FilterField(
            path: FieldPath(keys: path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)))
    }

    /// A field to compare with values.
    ///
    /// - Parameter path: the keys from the outside in, taken as they are.
    public static func field(path: [String]) -> FilterField { FilterField(path: FieldPath(keys: path)) }

    /// Holds where all the filters do; for every record if there are none.
    public static func all(of filters: [Filter]) -> Filter { combine(filters, isAnd: true) }

    /// Holds where one of the filters does; for no record if there are none.
    public static func any(of filters: [Filter]) -> Filter { combine(filters, isAnd: false) }

    /// Holds where both do.
    public static func && (left: Filter, right: Filter) -> Filter { combine([left, right], isAnd: true) }

    /// Holds where one or both do.
    public static func || (left: Filter, right: Filter) -> Filter { combine([left, right], isAnd: false) }

    /// Holds where the filter does not.
    public static prefix func ! (filter: Filter) -> Filter {
        if filter.problem != nil { return filter }
        if case .not(let inner) = filter.node { return Filter(inner, depth: filter.depth - 1, size: filter.size) }
        return Filter(.not(filter.node), depth: filter.depth + 1, size: filter.size)
    }

    /// Takes a node as it is, or the problem of being too large.
    init(_ node: FilterNode, depth: Int, size: Int) {
        if depth > FilterLimits.depth {
            self.init(problem: .filter("It is nested more than \(FilterLimits.depth) levels deep."))
        } else if size > FilterLimits.size {
            self.init(problem: .filter("Its names and values take more than \(FilterLimits.size) bytes."))
        } else {
            self.init(valid: node, depth: depth, size: size, problem: nil)
        }
    }

    init(problem: StoreError) {
        self.init(valid: .constant(false), depth: 1, size: FilterLimits.partSize, problem: problem)
    }

    private init(valid node: FilterNode, depth: Int, size: Int, problem: StoreError?) {
        self.node = node
        self.depth = depth
        self.size = size
        self.problem = problem
    }

    /// Joins filters; what is joined by the same connective already becomes one list.
    private static func combine(_ filters: [Filter], isAnd: Bool) -> Filter {
        if let problem = filters.lazy.compactMap(\.problem).first { return Filter(problem: problem) }
        if filters.isEmpty { return isAnd ? .all : .none }
        if filters.count == 1 { return filters[0] }
        var parts: [FilterNode] = []
        var depth = 0
        var size = 0
        for filter in filters {
            size += filter.size
            switch (filter.node, isAnd) {
            case (.and(let inner), true), (.or(let inner), false):
                parts += inner
                depth = max(depth, filter.depth - 1)
            default:
                parts.append(filter.node)
                depth = max(depth, filter.depth)
            }
        }
        return Filter(isAnd ? .and(parts) : .or(parts), depth: depth + 1, size: size)
    }
}

/// A field of a record's metadata, to compare with values; ``Filter/field(_:)`` makes it.
public struct FilterField: Sendable {
    let path: FieldPath

    /// Holds where the field has this value. Arrays are equal element by element, objects field by field.
    public static func == (field: FilterField, value: MetadataValue) -> Filter { field.filter(.equals(value)) }

    /// The negation of `==`: holds also where the field is missing or of another kind.
    public static func != (field: FilterField, value: MetadataValue) -> Filter { field.filter(.notEquals(value)) }

    /// Holds where the field is a number less than a number, or a string before a string.
    public static func < (field: FilterField, value: MetadataValue) -> Filter { field.filter(.less(value)) }

    /// Holds where the field is a number, or a string, that is not greater.
    public static func <= (field: FilterField, value: MetadataValue) -> Filter { field.filter(.atMost(value)) }

    /// Holds where the field is a number greater than a number, or a string behind a string.
    public static func > (field: FilterField, value: MetadataValue) -> Filter { field.filter(.greater(value)) }

    /// Holds where the field is a number, or a string, that is not less.
    public static func >= (field: FilterField, value: MetadataValue) -> Filter { field.filter(.atLeast(value)) }

    /// Holds where the field is equal to one of the values.
    public func isIn(_ values: [MetadataValue]) -> Filter { filter(.isIn(values)) }

    /// Holds where the field is not less than `lower` and not greater than `upper`.
    public func isBetween(_ lower: MetadataValue, and upper: MetadataValue) -> Filter { filter(.between(lower, upper)) }

    /// Holds where the field is an array with an element that is equal to the value.
    public func contains(_ value: MetadataValue) -> Filter { filter(.contains(value)) }

    /// Holds where the field is a string that begins with the bytes of another.
    public func hasPrefix(_ prefix: String) -> Filter { filter(.prefix(prefix)) }

    /// Holds where the field is there, be it null.
    public var exists: Filter { filter(.exists) }

    private func filter(_ test: FieldTest) -> Filter {
        guard !path.keys.isEmpty, path.keys.allSatisfy({ !$0.isEmpty }) else {
            return Filter(problem: .filter("A field has an empty name."))
        }
        guard path.keys.count <= FormatLimits.metadataDepth else {
            return Filter(problem: .filter("A field is more than \(FormatLimits.metadataDepth) levels deep."))
        }
        var size = FilterLimits.partSize
        for key in path.keys { size += FilterLimits.partSize + key.utf8.count }
        for value in test.values {
            guard let valueSize = value.filterSize(depth: 1) else {
                return Filter(problem: .filter("A value is more than \(FormatLimits.metadataDepth) levels deep."))
            }
            size += valueSize
            if size > FilterLimits.size { break }
        }
        return Filter(.test(path, test), depth: 1, size: size)
    }
}

extension Filter: CustomStringConvertible, Hashable {
    /// The filter as text, which ``init(parsing:)`` reads back as the same filter.
    public var description: String {
        var text = FilterText()
        text.append(node)
        return String(decoding: text.bytes, as: UTF8.self)
    }

    /// Whether two filters are written the same, byte for byte.
    public static func == (left: Filter, right: Filter) -> Bool {
        left.problem == right.problem && left.canonicalBytes == right.canonicalBytes
    }

    /// Hashes the text.
    public func hash(into hasher: inout Hasher) { hasher.combine(canonicalBytes) }

    /// The text's bytes: what caches go by, because strings that Unicode calls equivalent are not the same here.
    var canonicalBytes: [UInt8] {
        var text = FilterText()
        text.append(node)
        return text.bytes
    }
}

extension StoreError {
    /// What is wrong with a filter, and where in its text.
    static func filter(_ message: String, offset: Int? = nil) -> StoreError {
        StoreError(
            .invalidFilter, "The filter is not valid: \(message)", offset: offset.map { UInt64($0) },
            remedy: "Write it like: lang == \"en\" && (year >= 2020 || tags contains \"new\").")
    }
}
