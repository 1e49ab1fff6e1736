/// The values that a field index knows by: scalars in one form for all that are equal. Indexes keep them, filters' operands
/// are looked up as them.
import StorageFormat

/// A scalar; numbers that are equal are the same key, whether they were written as integers or not.
enum FieldKey: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// A number that is no 64-bit integer.
    case double(Double)
    /// UTF-8.
    case string([UInt8])

    /// The key of an operand; nil for arrays, objects and NaN.
    init?(_ value: MetadataValue) {
        switch value {
        case .null: self = .null
        case .bool(let flag): self = .bool(flag)
        case .integer(let number): self = .integer(number)
        case .double(let number):
            if number.isNaN { return nil }
            self.init(number)
        case .string(let text): self = .string(Array(text.utf8))
        case .array, .object: return nil
        }
    }

    /// The key of a stored value; nil for arrays and objects.
    init?(_ value: EncodedValue, in bytes: UnsafeRawBufferPointer) {
        switch unsafe value.scalar(bytes) {
        case .null: self = .null
        case .bool(let flag): self = .bool(flag)
        case .integer(let number): self = .integer(number)
        case .double(let number): self.init(number)
        case .string(let range): self = unsafe .string(Array(bytes[range]))
        case nil: return nil
        }
    }

    private init(_ number: Double) {
        if let integer = Int64(exactly: number) { self = .integer(integer) } else { self = .double(number) }
    }

    /// Whether two keys are numbers or both are strings, so that one can be less than the other.
    func isComparable(to other: FieldKey) -> Bool {
        switch (self, other) {
        case (.integer, .integer), (.integer, .double), (.double, .integer), (.double, .double), (.string, .string):
            true
        default: false
        }
    }

    func hasPrefix(_ prefix: [UInt8]) -> Bool {
        if case .string(let bytes) = self { bytes.starts(with: prefix) } else { false }
    }
}

extension FieldKey: Comparable {
    /// Null, then booleans, then numbers by value, then strings by bytes.
    static func < (left: FieldKey, right: FieldKey) -> Bool {
        switch (left, right) {
        case (.integer(let a), .integer(let b)): return a < b
        case (.integer(let a), .double(let b)): return ValueOrder.compare(a, b).map { $0 < 0 } ?? false
        case (.double(let a), .integer(let b)): return ValueOrder.compare(b, a).map { $0 > 0 } ?? false
        case (.double(let a), .double(let b)): return a < b
        case (.string(let a), .string(let b)):
            return unsafe a.withUnsafeBytes { a in
                unsafe b.withUnsafeBytes { b in unsafe ValueOrder.compare(a, b) < 0 }
            }
        case (.bool(let a), .bool(let b)): return !a && b
        default: return left.kind < right.kind
        }
    }

    private var kind: Int {
        switch self {
        case .null: 0
        case .bool: 1
        case .integer, .double: 2
        case .string: 3
        }
    }
}
