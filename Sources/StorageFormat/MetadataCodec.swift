/// The metadata format: flat bytes of typed fields sorted by key. ``MetadataWriter`` makes them, ``MetadataReader`` and
/// ``MetadataCursor`` walk them; the public `Metadata` type stands on top.
///
///     metadata: nothing if there are no fields, else u16 field count | u16 zero | fields sorted by the bytes of the key
///     field:    u16 key length | key in UTF-8 | value
///     value:    u8 tag, then for
///               integer, double  8 bytes
///               string           u32 byte count | UTF-8
///               array            u32 byte count of the values | u32 count | values
///               object           u32 byte count of the fields | u16 field count | u16 zero | fields
package enum MetadataCodec {
    static let part = "metadata"
    /// Bytes before the first field.
    static let headerByteCount = 4

    /// Checks everything a reader relies on, so that later walks cannot fail: bounds, order and uniqueness of keys,
    /// UTF-8, finite numbers, depth and size.
    package static func validate(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count <= FormatLimits.metadataByteCount else { throw FormatError(.outOfBounds, part: part) }
        guard unsafe !bytes.isEmpty else { return }
        let cursor = try unsafe MetadataReader(bytes).fields()
        guard cursor.remainingCount > 0 else { throw FormatError(.invalidValue, part: part) }
        try validateFields(cursor, depth: 1)
    }

    private static func validateFields(_ fields: MetadataCursor, depth: Int) throws(FormatError) {
        var cursor = fields
        var previousKey: Range<Int>?
        while let field = try cursor.next() {
            let key = unsafe UnsafeRawBufferPointer(rebasing: cursor.bytes[field.key])
            guard unsafe isValidUTF8(key) else { throw cursor.error(.invalidValue, at: field.key.lowerBound) }
            if let previousKey {
                let previous = unsafe UnsafeRawBufferPointer(rebasing: cursor.bytes[previousKey])
                guard unsafe compare(previous, key) < 0 else {
                    throw cursor.error(.invalidValue, at: field.key.lowerBound)
                }
            }
            previousKey = field.key
            try unsafe validate(field.value, in: cursor.bytes, depth: depth)
        }
    }

    private static func validate(
        _ value: MetadataRawValue, in bytes: UnsafeRawBufferPointer, depth: Int
    ) throws(FormatError) {
        let invalid = FormatError(.invalidValue, part: part, offset: UInt64(value.payload.lowerBound))
        switch value.tag {
        case .null, .false, .true, .integer: return
        case .double: guard unsafe value.double(in: bytes).isFinite else { throw invalid }
        case .string:
            guard unsafe isValidUTF8(UnsafeRawBufferPointer(rebasing: bytes[value.payload])) else { throw invalid }
        case .array:
            guard depth < FormatLimits.metadataDepth else { throw invalid }
            var elements = unsafe value.elements(in: bytes)
            while let element = try elements.next() { try unsafe validate(element, in: bytes, depth: depth + 1) }
        case .object:
            guard depth < FormatLimits.metadataDepth else { throw invalid }
            try validateFields(unsafe value.fields(in: bytes), depth: depth + 1)
        }
    }

    /// Orders byte strings as unsigned bytes: negative, zero or positive.
    package static func compare(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
        let common = min(left.count, right.count)
        for index in 0..<common {
            let a = unsafe left[index]
            let b = unsafe right[index]
            if a != b { return Int(a) - Int(b) }
        }
        return left.count - right.count
    }

    /// Whether `bytes` are well-formed UTF-8 (Unicode, table 3-7): no overlong forms, no surrogates.
    package static func isValidUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < bytes.count {
            let lead = unsafe bytes[index]
            if lead < 0x80 {
                index += 1
                continue
            }
            let length: Int
            let second: ClosedRange<UInt8>
            switch lead {
            case 0xc2...0xdf: (length, second) = (2, 0x80...0xbf)
            case 0xe0: (length, second) = (3, 0xa0...0xbf)
            case 0xed: (length, second) = (3, 0x80...0x9f)
            case 0xe1...0xef: (length, second) = (3, 0x80...0xbf)
            case 0xf0: (length, second) = (4, 0x90...0xbf)
            case 0xf1...0xf3: (length, second) = (4, 0x80...0xbf)
            case 0xf4: (length, second) = (4, 0x80...0x8f)
            default: return false
            }
            guard length <= bytes.count - index, second.contains(unsafe bytes[index + 1]) else { return false }
            for position in (index + 2)..<max(index + 2, index + length)
            where unsafe bytes[position] & 0xc0 != 0x80 {
                return false
            }
            index += length
        }
        return true
    }
}

/// What a value is; its first byte.
package enum MetadataTag: UInt8, Sendable, Hashable, CaseIterable {
    case null = 0
    case `false` = 1
    case `true` = 2
    case integer = 3
    case double = 4
    case string = 5
    case array = 6
    case object = 7
}
