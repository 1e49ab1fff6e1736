/// Walks metadata bytes without allocating; filters and the public `Metadata` type use it on bytes from a file.

/// A value's place: its tag, where its payload is in the bytes, and how many elements or fields an array or object has.
package struct MetadataRawValue: Sendable, Hashable {
    package let tag: MetadataTag
    /// Nothing for null and booleans, 8 bytes of a number, a string's UTF-8, an array's values, an object's fields.
    package let payload: Range<Int>
    /// Elements of an array or fields of an object; else 0.
    package let count: Int

    /// The number of an `integer` value.
    package func integer(in bytes: UnsafeRawBufferPointer) -> Int64 {
        precondition(tag == .integer && payload.upperBound <= bytes.count, "not an integer of these bytes")
        return unsafe bytes.loadUnaligned(fromByteOffset: payload.lowerBound, as: Int64.self)
    }

    /// The number of a `double` value.
    package func double(in bytes: UnsafeRawBufferPointer) -> Double {
        precondition(tag == .double && payload.upperBound <= bytes.count, "not a double of these bytes")
        return unsafe Double(bitPattern: bytes.loadUnaligned(fromByteOffset: payload.lowerBound, as: UInt64.self))
    }

    /// The text of a `string` value.
    package func string(in bytes: UnsafeRawBufferPointer) -> String {
        precondition(tag == .string, "not a string")
        return unsafe String(decoding: bytes[payload], as: UTF8.self)
    }

    /// The values of an `array`.
    package func elements(in bytes: UnsafeRawBufferPointer) -> MetadataElementCursor {
        precondition(tag == .array, "not an array")
        return unsafe MetadataElementCursor(bytes, range: payload, count: count)
    }

    /// The fields of an `object`.
    package func fields(in bytes: UnsafeRawBufferPointer) -> MetadataCursor {
        precondition(tag == .object, "not an object")
        return unsafe MetadataCursor(bytes, range: payload, count: count)
    }
}

/// A field's place: where its key is in the bytes, and its value.
package struct MetadataField: Sendable, Hashable {
    package let key: Range<Int>
    package let value: MetadataRawValue

    package var payload: Range<Int> { value.payload }
}

/// Metadata bytes, not copied: valid as long as the buffer is.
@safe
package struct MetadataReader {
    package let bytes: UnsafeRawBufferPointer

    package init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

    /// A cursor before the first field.
    package func fields() throws(FormatError) -> MetadataCursor {
        if unsafe bytes.isEmpty { return unsafe MetadataCursor(bytes, range: 0..<0, count: 0) }
        guard unsafe bytes.count >= MetadataCodec.headerByteCount else {
            throw FormatError(.truncated, part: MetadataCodec.part, offset: UInt64(unsafe bytes.count))
        }
        guard unsafe bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self) == 0 else {
            throw FormatError(.invalidValue, part: MetadataCodec.part, offset: 2)
        }
        let count = unsafe Int(bytes.loadUnaligned(fromByteOffset: 0, as: UInt16.self))
        return unsafe MetadataCursor(bytes, range: MetadataCodec.headerByteCount..<bytes.count, count: count)
    }

    /// The value of the top-level field `key`.
    package func find(_ key: UnsafeRawBufferPointer) throws(FormatError) -> MetadataRawValue? {
        var cursor = try fields()
        return try unsafe cursor.find(key)
    }

    /// The value of the top-level field `key`.
    package func find(_ key: String) throws(FormatError) -> MetadataRawValue? {
        var cursor = try fields()
        return try cursor.find(key)
    }
}

/// Goes through the fields of metadata or of an object, in the order of their keys.
@safe
package struct MetadataCursor {
    package let bytes: UnsafeRawBufferPointer
    private var offset: Int
    private let end: Int
    /// Fields not visited yet.
    package private(set) var remainingCount: Int

    init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>, count: Int) {
        unsafe self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
        remainingCount = count
    }

    /// The next field; nil after the last. Bounds and tags are checked, text and order are not
    /// (``MetadataCodec/validate(_:)`` does).
    package mutating func next() throws(FormatError) -> MetadataField? {
        guard remainingCount > 0 else {
            guard offset == end else { throw error(.invalidValue, at: offset) }
            return nil
        }
        guard end - offset >= 2 else { throw error(.truncated, at: offset) }
        let keyLength = unsafe Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
        guard (1...FormatLimits.metadataKeyByteCount).contains(keyLength) else {
            throw error(.invalidValue, at: offset)
        }
        guard keyLength <= end - offset - 2 else { throw error(.truncated, at: offset) }
        let key = (offset + 2)..<(offset + 2 + keyLength)
        let (value, next) = try unsafe metadataValue(bytes, at: key.upperBound, end: end)
        offset = next
        remainingCount -= 1
        return MetadataField(key: key, value: value)
    }

    /// Goes on to the field `key` and returns its value; nil, and the cursor somewhere behind its place, if there is
    /// none.
    package mutating func find(_ key: UnsafeRawBufferPointer) throws(FormatError) -> MetadataRawValue? {
        while let field = try next() {
            let order = unsafe MetadataCodec.compare(UnsafeRawBufferPointer(rebasing: bytes[field.key]), key)
            if order == 0 { return field.value }
            if order > 0 { return nil }
        }
        return nil
    }

    /// Goes on to the field `key` and returns its value.
    package mutating func find(_ key: String) throws(FormatError) -> MetadataRawValue? {
        var key = key
        let found = key.withUTF8 { utf8 in
            Result { () throws(FormatError) in try unsafe find(UnsafeRawBufferPointer(utf8)) }
        }
        return try found.get()
    }

    func error(_ kind: FormatError.Kind, at offset: Int) -> FormatError {
        FormatError(kind, part: MetadataCodec.part, offset: UInt64(offset))
    }
}

/// Goes through the values of an array.
@safe
package struct MetadataElementCursor {
    package let bytes: UnsafeRawBufferPointer
    private var offset: Int
    private let end: Int
    /// Values not visited yet.
    package private(set) var remainingCount: Int

    init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>, count: Int) {
        unsafe self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
        remainingCount = count
    }

    /// The next value; nil after the last.
    package mutating func next() throws(FormatError) -> MetadataRawValue? {
        guard remainingCount > 0 else {
            guard offset == end else {
                throw FormatError(.invalidValue, part: MetadataCodec.part, offset: UInt64(offset))
            }
            return nil
        }
        let (value, next) = try unsafe metadataValue(bytes, at: offset, end: end)
        offset = next
        remainingCount -= 1
        return value
    }
}

/// Reads the value at `offset`, which must end by `end` (at most `bytes.count`), and the offset behind it.
private func metadataValue(
    _ bytes: UnsafeRawBufferPointer, at offset: Int, end: Int
) throws(FormatError) -> (MetadataRawValue, next: Int) {
    func error(_ kind: FormatError.Kind) -> FormatError {
        FormatError(kind, part: MetadataCodec.part, offset: UInt64(offset))
    }
    guard offset < end else { throw error(.truncated) }
    guard let tag = unsafe MetadataTag(rawValue: bytes[offset]) else { throw error(.invalidValue) }
    let start = offset + 1
    let available = end - start
    let headLength: Int
    switch tag {
    case .null, .false, .true: return (MetadataRawValue(tag: tag, payload: start..<start, count: 0), start)
    case .integer, .double:
        guard available >= 8 else { throw error(.truncated) }
        return (MetadataRawValue(tag: tag, payload: start..<(start + 8), count: 0), start + 8)
    case .string: headLength = 4
    case .array, .object: headLength = 8
    }
    guard available >= headLength else { throw error(.truncated) }
    let length = unsafe Int(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
    guard length <= available - headLength else { throw error(.truncated) }
    var count = 0
    if tag == .array {
        count = unsafe Int(bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt32.self))
    } else if tag == .object {
        count = unsafe Int(bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt16.self))
        guard unsafe bytes.loadUnaligned(fromByteOffset: start + 6, as: UInt16.self) == 0 else {
            throw error(.invalidValue)
        }
    }
    // A value takes a byte at least, so more values than bytes is a lie that callers must not reserve memory for.
    guard tag == .string || count <= length else { throw error(.outOfBounds) }
    let payload = (start + headLength)..<(start + headLength + length)
    return (MetadataRawValue(tag: tag, payload: payload, count: count), payload.upperBound)
}
