/// Reads little-endian fields one after the other and checks every bound: the parsers hand it untrusted bytes and get
/// numbers or a ``FormatError``.
@safe
package struct ByteReader {
    package let bytes: UnsafeRawBufferPointer
    /// What is being read, for errors.
    package let part: String
    /// Position of the next byte.
    package private(set) var offset: Int

    package init(_ bytes: UnsafeRawBufferPointer, part: String, offset: Int = 0) {
        unsafe self.bytes = bytes
        self.part = part
        self.offset = offset
    }

    package var remaining: Int { unsafe bytes.count - offset }

    package func error(_ kind: FormatError.Kind, at position: Int? = nil) -> FormatError {
        FormatError(kind, part: part, offset: UInt64(position ?? offset))
    }

    /// Skips `count` bytes and returns where they are.
    package mutating func take(_ count: Int) throws(FormatError) -> Range<Int> {
        guard count >= 0, count <= remaining else { throw error(.truncated) }
        let start = offset
        offset += count
        return start..<offset
    }

    package mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type
    ) throws(FormatError) -> Value {
        let range = try take(MemoryLayout<Value>.size)
        return unsafe bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self)
    }

    package mutating func u8() throws(FormatError) -> UInt8 { try integer(UInt8.self) }
    package mutating func u16() throws(FormatError) -> UInt16 { try integer(UInt16.self) }
    package mutating func u32() throws(FormatError) -> UInt32 { try integer(UInt32.self) }
    package mutating func u64() throws(FormatError) -> UInt64 { try integer(UInt64.self) }

    package mutating func uuid() throws(FormatError) -> StorageUUID {
        let high = try u64()
        let low = try u64()
        return StorageUUID(high: high.byteSwapped, low: low.byteSwapped)
    }

    /// Skips bytes that a version 1 writer leaves zero.
    package mutating func zeros(_ count: Int) throws(FormatError) {
        let range = try take(count)
        guard unsafe isAllZero(UnsafeRawBufferPointer(rebasing: bytes[range])) else {
            throw error(.invalidValue, at: range.lowerBound)
        }
    }

    /// Throws unless every byte was read.
    package func finish() throws(FormatError) {
        guard remaining == 0 else { throw error(.invalidValue) }
    }
}

/// Whether no byte is set.
package func isAllZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var offset = 0
    while offset + 64 <= bytes.count {
        let words = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: SIMD8<UInt64>.self)
        if words != SIMD8<UInt64>(repeating: 0) { return false }
        offset += 64
    }
    while offset + 8 <= bytes.count {
        if unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) != 0 { return false }
        offset += 8
    }
    while offset < bytes.count {
        if unsafe bytes[offset] != 0 { return false }
        offset += 1
    }
    return true
}
