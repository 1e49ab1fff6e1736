/// Values of the caller's own types from metadata: ``Metadata/decode(_:)`` hands the fields in, and the type takes what it
/// knows of them.

extension Metadata {
    /// A value of your own type, from the fields it knows; others are passed over.
    ///
    /// - Parameter type: the type, as it was handed to ``init(encoding:)``, or any other that fits the fields.
    /// - Throws: `DecodingError` if a field is missing or of another kind; what the type's own `init(from:)` throws.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        let all = fields
        let object = Dictionary(all.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        guard object.count == all.count else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: [], debugDescription: "Two keys of the metadata are canonically equal."))
        }
        return try MetadataDecoder(value: .object(object), codingPath: []).decode(type)
    }
}

private struct MetadataDecoder: Decoder {
    let value: MetadataValue
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func decode<T: Decodable>(_ type: T.Type) throws -> T {
        guard let scalar = type as? any MetadataScalar.Type else { return try T(from: self) }
        if let decoded = scalar.init(value) as? T { return decoded }
        guard value == .null else { throw mismatch(type) }
        throw DecodingError.valueNotFound(type, context("There is null where \(type) is wanted."))
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .object(let fields) = value else { throw mismatch([String: MetadataValue].self) }
        return KeyedDecodingContainer(Keyed(fields: fields, codingPath: codingPath))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let values) = value else { throw mismatch([MetadataValue].self) }
        return Unkeyed(values: values, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { Single(decoder: self) }

    private func mismatch(_ type: Any.Type) -> DecodingError {
        .typeMismatch(type, context("The value is not of the kind, or in the range, of \(type)."))
    }

    private func context(_ description: String) -> DecodingError.Context {
        DecodingError.Context(codingPath: codingPath, debugDescription: description)
    }

    // The generic methods stand for those of each basic type, too.

    private struct Keyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
        let fields: [String: MetadataValue]
        let codingPath: [any CodingKey]

        var allKeys: [Key] { fields.keys.sorted().compactMap(Key.init(stringValue:)) }

        private func child(_ key: any CodingKey) throws -> MetadataDecoder {
            guard let value = fields[key.stringValue] else {
                throw DecodingError.keyNotFound(
                    key, DecodingError.Context(codingPath: codingPath, debugDescription: "There is no such field."))
            }
            return MetadataDecoder(value: value, codingPath: codingPath + [key])
        }

        func contains(_ key: Key) -> Bool { fields[key.stringValue] != nil }

        func decodeNil(forKey key: Key) throws -> Bool { try child(key).value == .null }

        func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try child(key).decode(type) }

        func nestedContainer<NestedKey: CodingKey>(
            keyedBy type: NestedKey.Type, forKey key: Key
        ) throws -> KeyedDecodingContainer<NestedKey> {
            try child(key).container(keyedBy: type)
        }

        func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
            try child(key).unkeyedContainer()
        }

        func superDecoder() throws -> any Decoder { try child(MetadataKey("super")) }

        func superDecoder(forKey key: Key) throws -> any Decoder { try child(key) }
    }

    private struct Unkeyed: UnkeyedDecodingContainer {
        let values: [MetadataValue]
        let codingPath: [any CodingKey]
        private(set) var currentIndex = 0

        init(values: [MetadataValue], codingPath: [any CodingKey]) {
            self.values = values
            self.codingPath = codingPath
        }

        var count: Int? { values.count }
        var isAtEnd: Bool { currentIndex >= values.count }

        /// Hands the next element to `body`, and goes on behind it if that succeeds.
        private mutating func next<R>(_ body: (MetadataDecoder) throws -> R) throws -> R {
            let path = codingPath + [MetadataKey(index: currentIndex)]
            guard !isAtEnd else {
                throw DecodingError.valueNotFound(
                    MetadataValue.self,
                    DecodingError.Context(codingPath: path, debugDescription: "The array has no more elements."))
            }
            let result = try body(MetadataDecoder(value: values[currentIndex], codingPath: path))
            currentIndex += 1
            return result
        }

        mutating func decodeNil() -> Bool {
            guard !isAtEnd, values[currentIndex] == .null else { return false }
            currentIndex += 1
            return true
        }

        mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try next { try $0.decode(type) } }

        mutating func nestedContainer<NestedKey: CodingKey>(
            keyedBy type: NestedKey.Type
        ) throws -> KeyedDecodingContainer<NestedKey> {
            try next { try $0.container(keyedBy: type) }
        }

        mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
            try next { try $0.unkeyedContainer() }
        }

        mutating func superDecoder() throws -> any Decoder { try next { $0 } }
    }

    private struct Single: SingleValueDecodingContainer {
        let decoder: MetadataDecoder
        var codingPath: [any CodingKey] { decoder.codingPath }

        func decodeNil() -> Bool { decoder.value == .null }

        func decode<T: Decodable>(_ type: T.Type) throws -> T { try decoder.decode(type) }
    }
}
