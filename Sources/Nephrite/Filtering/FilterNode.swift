/// A filter as a tree: ``Filter`` builds it, the text form and ``CompiledFilter`` are made of it.
import StorageFormat

/// How large filters may be.
enum FilterLimits {
    /// Levels of and, or and not.
    static let depth = 64
    /// Bytes of names and values, with `partSize` for each test, key and value.
    static let size = 1 << 20
    static let partSize = 32
    /// Bytes of text: enough for every filter of `size`, with each byte escaped.
    static let textByteCount = 8 << 20
    /// Levels of parentheses, negations, arrays and objects in text: enough for every filter of `depth`.
    static let textDepth = 256
}

/// The keys that lead to a field, from the outside in.
struct FieldPath: Sendable, Equatable {
    let keys: [String]

    /// Whether the keys are the same byte by byte.
    static func == (left: FieldPath, right: FieldPath) -> Bool {
        left.keys.count == right.keys.count
            && zip(left.keys, right.keys).allSatisfy { $0.utf8.elementsEqual($1.utf8) }
    }
}

/// What is asked of one field.
enum FieldTest: Sendable {
    case exists
    case equals(MetadataValue)
    case notEquals(MetadataValue)
    case less(MetadataValue)
    case atMost(MetadataValue)
    case greater(MetadataValue)
    case atLeast(MetadataValue)
    case between(MetadataValue, MetadataValue)
    case isIn([MetadataValue])
    case contains(MetadataValue)
    case prefix(String)

    /// The values it compares with.
    var values: [MetadataValue] {
        switch self {
        case .exists: []
        case .equals(let value), .notEquals(let value), .less(let value), .atMost(let value), .greater(let value),
            .atLeast(let value), .contains(let value):
            [value]
        case .between(let lower, let upper): [lower, upper]
        case .isIn(let values): values
        case .prefix(let text): [.string(text)]
        }
    }
}

/// A condition.
indirect enum FilterNode: Sendable {
    case constant(Bool)
    case test(FieldPath, FieldTest)
    case not(FilterNode)
    /// Two or more.
    case and([FilterNode])
    /// Two or more.
    case or([FilterNode])
}

extension MetadataValue {
    /// What the value counts for in a filter's size; nil if it is nested too deeply.
    func filterSize(depth: Int) -> Int? {
        guard depth <= FormatLimits.metadataDepth else { return nil }
        var size = FilterLimits.partSize
        switch self {
        case .null, .bool, .integer, .double: break
        case .string(let text): size += text.utf8.count
        case .array(let values):
            for value in values {
                guard let inner = value.filterSize(depth: depth + 1) else { return nil }
                size += inner
            }
        case .object(let fields):
            for (key, value) in fields {
                guard let inner = value.filterSize(depth: depth + 1) else { return nil }
                size += FilterLimits.partSize + key.utf8.count + inner
            }
        }
        return size
    }
}
