/// Swift's basic types as metadata values and back: ``MetadataEncoder`` and ``MetadataDecoder`` ask here first, and leave
/// all other types to their own `Codable` conformances.

/// A type whose values are metadata values: `Bool`, `String`, `Double`, `Float`, the integers, and ``MetadataValue`` itself.
/// Filters compare fields with them.
public protocol MetadataConvertible {
    /// The value that stands for this one; nil for an integer beyond `Int64`.
    var metadataValue: MetadataValue? { get }
}

/// A type that can be had back from a metadata value.
protocol MetadataScalar: MetadataConvertible {
    /// What a value stands for; nil if it is of another kind, or does not fit.
    init?(_ value: MetadataValue)
}

extension MetadataValue: MetadataScalar {
    /// The value itself.
    public var metadataValue: MetadataValue? { self }

    init?(_ value: MetadataValue) { self = value }
}

extension Bool: MetadataScalar {
    /// The truth value.
    public var metadataValue: MetadataValue? { .bool(self) }

    init?(_ value: MetadataValue) {
        guard case .bool(let flag) = value else { return nil }
        self = flag
    }
}

extension String: MetadataScalar {
    /// The text.
    public var metadataValue: MetadataValue? { .string(self) }

    init?(_ value: MetadataValue) {
        guard case .string(let text) = value else { return nil }
        self = text
    }
}

extension MetadataConvertible where Self: BinaryFloatingPoint {
    /// The number.
    public var metadataValue: MetadataValue? { .double(Double(self)) }
}

extension MetadataScalar where Self: BinaryFloatingPoint {
    /// A number of either kind, rounded to this type.
    init?(_ value: MetadataValue) {
        switch value {
        case .double(let number): self.init(number)
        case .integer(let number): self.init(number)
        default: return nil
        }
    }
}

extension Double: MetadataScalar {}
extension Float: MetadataScalar {}

extension MetadataConvertible where Self: FixedWidthInteger {
    /// The number; nil beyond `Int64`.
    public var metadataValue: MetadataValue? { Int64(exactly: self).map(MetadataValue.integer) }
}

extension MetadataScalar where Self: FixedWidthInteger {
    /// A number without a fraction, of either kind, that this type can hold.
    init?(_ value: MetadataValue) {
        switch value {
        case .integer(let number): self.init(exactly: number)
        case .double(let number): self.init(exactly: number)
        default: return nil
        }
    }
}

extension Int: MetadataScalar {}
extension Int8: MetadataScalar {}
extension Int16: MetadataScalar {}
extension Int32: MetadataScalar {}
extension Int64: MetadataScalar {}
extension UInt: MetadataScalar {}
extension UInt8: MetadataScalar {}
extension UInt16: MetadataScalar {}
extension UInt32: MetadataScalar {}
extension UInt64: MetadataScalar {}
