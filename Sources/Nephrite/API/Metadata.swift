/// Metadata of a record: typed JSON-like values, kept in the encoded form that goes to disk. Callers make it, the write
/// path copies its bytes, reads hand it back.
import StorageFormat

/// A JSON-like value that keeps integers and floating-point numbers apart.
///
/// `Codable` maps it to JSON and back; a number without a fraction is decoded as an ``integer(_:)``.
public enum MetadataValue: Sendable, Hashable {
    /// No value.
    case null
    /// True or false.
    case bool(Bool)
    /// A whole number.
    case integer(Int64)
    /// A finite floating-point number.
    case double(Double)
    /// A text.
    case string(String)
    /// Values in order.
    case array([MetadataValue])
    /// Values by key.
    case object([String: MetadataValue])
}

/// Named values that travel with a vector. Cheap to make, copy and store: the encoded bytes are the value.
public struct Metadata: Sendable, Hashable {
    /// Fields sorted by key, encoded as FileFormat describes; empty for no metadata.
    let encoded: [UInt8]
    /// Set when a literal was not valid; storing it reports the error.
    let problem: FormatError?

    /// No metadata.
    public init() {
        encoded = []
        problem = nil
    }

    private init(problem: FormatError) {
        encoded = []
        self.problem = problem
    }

    init(validated encoded: [UInt8]) {
        self.encoded = encoded
        problem = nil
    }

    /// Metadata of named values.
    ///
    /// - Parameter fields: keys of 1…256 bytes, each once, and values nested at most 32 deep with finite numbers.
    /// - Throws: `invalidMetadata`.
    public init(_ fields: [(String, MetadataValue)]) throws(StoreError) {
        self.init(writing: fields)
        if let problem { throw .invalidMetadata(problem) }
    }

    /// Metadata of named values.
    ///
    /// - Throws: `invalidMetadata`, as for a list of fields.
    public init(_ fields: [String: MetadataValue]) throws(StoreError) {
        try self.init(fields.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    private init(writing fields: [(String, MetadataValue)]) {
        guard !fields.isEmpty else {
            self.init()
            return
        }
        if let bytes = FlatMetadata.encode(fields) {
            self.init(validated: bytes)
            return
        }
        var writer = MetadataWriter(reservingCapacity: 32 * fields.count)
        for (key, value) in fields {
            writer.field(key)
            value.write(to: &writer)
        }
        do throws(FormatError) {
            self.init(validated: try writer.finish())
        } catch {
            self.init(problem: error)
        }
    }

    /// Whether there is no field.
    public var isEmpty: Bool { encoded.isEmpty }

    /// The length of the encoded form in bytes, of which a record may have 1,048,576.
    public var encodedByteCount: Int { encoded.count }

    /// The value of a field, nil if there is none.
    ///
    /// Assigning nil removes the field. What is not valid is reported when the metadata is stored, as in a literal. Each
    /// assignment writes all fields anew: make many at once with an initialiser.
    public subscript(key: String) -> MetadataValue? {
        get {
            unsafe encoded.withUnsafeBytes { bytes in
                guard let raw = try? unsafe MetadataReader(bytes).find(key) else { return nil }
                return try? unsafe MetadataValue(raw, in: bytes)
            }
        }
        set {
            guard problem == nil else { return }
            var changed = fields.filter { !$0.key.utf8.elementsEqual(key.utf8) }.map { ($0.key, $0.value) }
            if let newValue { changed.append((key, newValue)) }
            self = Metadata(writing: changed)
        }
    }

    /// All fields in the order of their keys' bytes.
    public var fields: [(key: String, value: MetadataValue)] {
        unsafe encoded.withUnsafeBytes { bytes in
            var fields: [(key: String, value: MetadataValue)] = []
            guard var cursor = try? unsafe MetadataReader(bytes).fields() else { return fields }
            while let field = try? cursor.next() {
                guard let value = try? unsafe MetadataValue(field.value, in: bytes) else { break }
                let key = unsafe String(decoding: UnsafeRawBufferPointer(rebasing: bytes[field.key]), as: UTF8.self)
                fields.append((key: key, value: value))
            }
            return fields
        }
    }
}

extension Metadata: ExpressibleByDictionaryLiteral {
    /// Metadata as a literal; what is not valid (a key twice, a number that is not finite) is reported when it is stored.
    public init(dictionaryLiteral elements: (String, MetadataValue)...) {
        self.init(writing: elements)
    }
}

extension MetadataValue {
    fileprivate func write(to writer: inout MetadataWriter) {
        switch self {
        case .null: writer.null()
        case .bool(let value): writer.bool(value)
        case .integer(let value): writer.integer(value)
        case .double(let value): writer.double(value)
        case .string(let value): writer.string(value)
        case .array(let values):
            writer.beginArray()
            // A value that is nested too deep is not followed to its end, which could exhaust the stack.
            for value in values where !writer.hasFailed { value.write(to: &writer) }
            writer.endArray()
        case .object(let fields):
            writer.beginObject()
            for (key, value) in fields.sorted(by: { $0.key < $1.key }) where !writer.hasFailed {
                writer.field(key)
                value.write(to: &writer)
            }
            writer.endObject()
        }
    }

    fileprivate init(_ raw: MetadataRawValue, in bytes: UnsafeRawBufferPointer) throws(FormatError) {
        switch raw.tag {
        case .null: self = .null
        case .false: self = .bool(false)
        case .true: self = .bool(true)
        case .integer: self = unsafe .integer(raw.integer(in: bytes))
        case .double: self = unsafe .double(raw.double(in: bytes))
        case .string: self = unsafe .string(raw.string(in: bytes))
        case .array:
            var values: [MetadataValue] = []
            var cursor = unsafe raw.elements(in: bytes)
            while let value = try cursor.next() { values.append(try unsafe MetadataValue(value, in: bytes)) }
            self = .array(values)
        case .object:
            var fields: [String: MetadataValue] = [:]
            var cursor = unsafe raw.fields(in: bytes)
            while let field = try cursor.next() {
                let key = unsafe String(decoding: UnsafeRawBufferPointer(rebasing: bytes[field.key]), as: UTF8.self)
                fields[key] = try unsafe MetadataValue(field.value, in: bytes)
            }
            self = .object(fields)
        }
    }
}

extension MetadataValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// A text.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A whole number.
    public init(integerLiteral value: Int64) { self = .integer(value) }
    /// A floating-point number.
    public init(floatLiteral value: Double) { self = .double(value) }
    /// True or false.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// Null.
    public init(nilLiteral: ()) { self = .null }
    /// Values in order.
    public init(arrayLiteral elements: MetadataValue...) { self = .array(elements) }
    /// Values by key; of a key given twice the last counts.
    public init(dictionaryLiteral elements: (String, MetadataValue)...) {
        self = .object(Dictionary(elements, uniquingKeysWith: { _, last in last }))
    }
}

extension MetadataValue {
    /// The truth value, nil if it is none.
    public var boolValue: Bool? { Bool(self) }
    /// The whole number, nil if it is none or has a fraction.
    public var integerValue: Int64? { Int64(self) }
    /// The number of either kind, nil if it is none.
    public var doubleValue: Double? { Double(self) }
    /// The text, nil if it is none.
    public var stringValue: String? { String(self) }
}

extension MetadataValue: Codable {
    /// Decodes the JSON value found; whole numbers become `integer`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .double(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([MetadataValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: MetadataValue].self))
        }
    }

    /// Encodes the value as JSON would have it.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension Metadata: Codable {
    /// Decodes an object of values.
    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode([String: MetadataValue].self))
    }

    /// Encodes an object of values.
    ///
    /// - Throws: `EncodingError.invalidValue` if two keys are the same text in different bytes (an accented letter as one
    ///   character and as two): they are two fields here, and one to every coder that keeps keys as `String`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        let all = fields
        let object = Dictionary(all.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        guard object.count == all.count else {
            throw EncodingError.invalidValue(
                self,
                EncodingError.Context(
                    codingPath: encoder.codingPath,
                    debugDescription: "Two keys of the metadata are canonically equal; a coder would keep one of them.")
            )
        }
        try container.encode(object)
    }
}
