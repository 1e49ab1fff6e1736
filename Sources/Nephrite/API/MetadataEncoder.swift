/// Metadata from values of the caller's own types: ``Metadata/init(encoding:)`` hands a value in and gets the fields it
/// encodes, without JSON in between.

extension Metadata {
    /// Metadata of a value of your own type, a field for each of its coding keys.
    ///
    /// Properties that are nil make no field. Types are written as their `Encodable` conformance says: a `Date`, for example,
    /// is a number of seconds, a `Data` an array of numbers.
    ///
    /// - Parameter value: a value that encodes an object: a struct or a dictionary with text for keys.
    /// - Throws: `EncodingError` if it is none, or has an integer beyond `Int64`; `invalidMetadata`; what `value` throws.
    public init(encoding value: some Encodable) throws {
        let node = MetadataNode()
        try value.encode(to: MetadataEncoder(node: node, codingPath: []))
        guard case .object(let fields) = node.value else {
            throw EncodingError.invalidValue(
                value, EncodingError.Context(codingPath: [], debugDescription: "Metadata are fields with names."))
        }
        try self.init(fields)
    }
}

/// A place in the tree that is being encoded; containers fill it in while it is already part of its parent.
private final class MetadataNode {
    enum Content {
        case value(MetadataValue)
        case array([MetadataNode])
        case object([String: MetadataNode])
    }

    var content: Content?

    /// The tree below, once it is complete; what encoded nothing is null.
    var value: MetadataValue {
        switch content {
        case .value(let value): value
        case .array(let nodes): .array(nodes.map(\.value))
        case .object(let nodes): .object(nodes.mapValues(\.value))
        case nil: .null
        }
    }

    var count: Int {
        guard case .array(let nodes)? = content else { return 0 }
        return nodes.count
    }

    func beginObject() {
        if case .object? = content { return }
        content = .object([:])
    }

    func beginArray() {
        if case .array? = content { return }
        content = .array([])
    }

    /// The node of a field, made anew.
    func field(_ name: String) -> MetadataNode {
        let node = MetadataNode()
        if case .object(var nodes)? = content {
            content = nil
            nodes[name] = node
            content = .object(nodes)
        }
        return node
    }

    /// The node of one more element.
    func element() -> MetadataNode {
        let node = MetadataNode()
        if case .array(var nodes)? = content {
            content = nil
            nodes.append(node)
            content = .array(nodes)
        }
        return node
    }

    func encode(_ value: some Encodable, _ codingPath: [any CodingKey]) throws {
        guard let scalar = value as? any MetadataScalar else {
            return try value.encode(to: MetadataEncoder(node: self, codingPath: codingPath))
        }
        guard let encoded = scalar.metadataValue else {
            throw EncodingError.invalidValue(
                value, EncodingError.Context(codingPath: codingPath, debugDescription: "The integer is beyond Int64."))
        }
        content = .value(encoded)
    }
}

private struct MetadataEncoder: Encoder {
    let node: MetadataNode
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        node.beginObject()
        return KeyedEncodingContainer(Keyed(node: node, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        node.beginArray()
        return Unkeyed(node: node, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { Single(node: node, codingPath: codingPath) }

    // The generic methods stand for those of each basic type, too.

    private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let node: MetadataNode
        let codingPath: [any CodingKey]

        private func child(_ key: any CodingKey) -> MetadataEncoder {
            MetadataEncoder(node: node.field(key.stringValue), codingPath: codingPath + [key])
        }

        func encodeNil(forKey key: Key) { node.field(key.stringValue).content = .value(.null) }

        func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
            try node.field(key.stringValue).encode(value, codingPath + [key])
        }

        func nestedContainer<NestedKey: CodingKey>(
            keyedBy keyType: NestedKey.Type, forKey key: Key
        ) -> KeyedEncodingContainer<NestedKey> {
            child(key).container(keyedBy: keyType)
        }

        func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { child(key).unkeyedContainer() }

        func superEncoder() -> any Encoder { child(MetadataKey("super")) }

        func superEncoder(forKey key: Key) -> any Encoder { child(key) }
    }

    private struct Unkeyed: UnkeyedEncodingContainer {
        let node: MetadataNode
        let codingPath: [any CodingKey]
        var count: Int { node.count }

        private func child() -> MetadataEncoder {
            let key = MetadataKey(index: count)
            return MetadataEncoder(node: node.element(), codingPath: codingPath + [key])
        }

        func encodeNil() { node.element().content = .value(.null) }

        func encode<T: Encodable>(_ value: T) throws {
            let key = MetadataKey(index: count)
            try node.element().encode(value, codingPath + [key])
        }

        func nestedContainer<NestedKey: CodingKey>(keyedBy keyType: NestedKey.Type) -> KeyedEncodingContainer<NestedKey>
        {
            child().container(keyedBy: keyType)
        }

        func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { child().unkeyedContainer() }

        func superEncoder() -> any Encoder { child() }
    }

    private struct Single: SingleValueEncodingContainer {
        let node: MetadataNode
        let codingPath: [any CodingKey]

        func encodeNil() { node.content = .value(.null) }

        func encode<T: Encodable>(_ value: T) throws { try node.encode(value, codingPath) }
    }
}

/// A coding key that is made up: the index of an element, or the place of a superclass.
struct MetadataKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(index: Int) {
        stringValue = "\(index)"
        intValue = index
    }

    init(_ text: String) {
        stringValue = text
        intValue = nil
    }

    init?(stringValue: String) { self.init(stringValue) }

    init?(intValue: Int) { self.init(index: intValue) }
}
