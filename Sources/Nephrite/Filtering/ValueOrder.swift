/// How filters compare values: what is equal, what is less, and the one order of scalars that the evaluator, its lists
/// and the field indexes share.
import StorageFormat

/// A value that is neither an array nor an object; the text of a string is a range of bytes in somebody's pool.
enum FilterScalar: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    case double(Double)
    case string(Range<Int>)
}

enum ValueOrder {
    /// Orders an integer and a floating-point number by their exact values: negative, zero or positive; nil for NaN.
    ///
    /// Nothing is rounded: a double below 2⁶³ has an integer part that fits 64 bits, and what is behind the point only
    /// matters when the integer parts are equal.
    @inline(__always)
    static func compare(_ left: Int64, _ right: Double) -> Int? {
        if right.isNaN { return nil }
        if right >= 0x1p63 { return -1 }
        if right < -0x1p63 { return 1 }
        let whole = right.rounded(.towardZero)
        let integer = Int64(whole)
        if left != integer { return left < integer ? -1 : 1 }
        if whole == right { return 0 }
        return whole < right ? -1 : 1
    }

    @inline(__always)
    static func compare(_ left: Double, _ right: Double) -> Int? {
        if left == right { return 0 }
        if left < right { return -1 }
        return left > right ? 1 : nil
    }

    @inline(__always)
    static func compare(_ left: Int64, _ right: Int64) -> Int { left == right ? 0 : left < right ? -1 : 1 }

    /// Orders two strings by their bytes.
    @inline(__always)
    static func compare(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
        let common = min(left.count, right.count)
        var index = 0
        while index + 8 <= common {
            let a = unsafe left.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let b = unsafe right.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if a != b { return a.bigEndian < b.bigEndian ? -1 : 1 }
            index += 8
        }
        while index < common {
            let a = unsafe left[index]
            let b = unsafe right[index]
            if a != b { return a < b ? -1 : 1 }
            index += 1
        }
        return left.count == right.count ? 0 : left.count < right.count ? -1 : 1
    }
}

/// A value in metadata bytes: its tag, where its payload is, and how many elements or fields it has.
struct EncodedValue {
    var tag: UInt8
    var start: Int
    var end: Int
    var count: Int

    /// Reads the value at `offset`, which must end by `limit` (at most `bytes.count`); `end` is the offset behind it.
    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer, at offset: Int, limit: Int) throws(FormatError) {
        guard offset < limit else { throw Self.damaged(offset) }
        tag = unsafe bytes[offset]
        start = offset + 1
        count = 0
        switch tag {
        case MetadataTag.null.rawValue, MetadataTag.false.rawValue, MetadataTag.true.rawValue: end = start
        case MetadataTag.integer.rawValue, MetadataTag.double.rawValue: end = start + 8
        case MetadataTag.string.rawValue:
            guard limit - start >= 4 else { throw Self.damaged(offset) }
            end = unsafe start + 4 + Int(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
            start += 4
        case MetadataTag.array.rawValue, MetadataTag.object.rawValue:
            guard limit - start >= 8 else { throw Self.damaged(offset) }
            end = unsafe start + 8 + Int(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
            // A count that is too large runs into the end of the payload, which is an error like any other.
            count =
                tag == MetadataTag.array.rawValue
                ? unsafe Int(bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt32.self))
                : unsafe Int(bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt16.self))
            start += 8
        default: throw Self.damaged(offset)
        }
        guard end <= limit else { throw Self.damaged(offset) }
    }

    static func damaged(_ offset: Int) -> FormatError {
        FormatError(.invalidValue, part: "metadata", offset: UInt64(offset))
    }

    @inline(__always)
    func integer(_ bytes: UnsafeRawBufferPointer) -> Int64 {
        unsafe bytes.loadUnaligned(fromByteOffset: start, as: Int64.self)
    }

    @inline(__always)
    func double(_ bytes: UnsafeRawBufferPointer) -> Double {
        unsafe Double(bitPattern: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self))
    }

    @inline(__always)
    func payload(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }

    var isArray: Bool { tag == MetadataTag.array.rawValue }
    var isObject: Bool { tag == MetadataTag.object.rawValue }
    var isString: Bool { tag == MetadataTag.string.rawValue }
}

/// Goes through the fields of encoded metadata or of an encoded object.
struct EncodedFields {
    private var offset: Int
    private let end: Int
    private var remaining: Int

    /// The top-level fields.
    @inline(__always)
    init(metadata bytes: UnsafeRawBufferPointer) throws(FormatError) {
        end = bytes.count
        offset = 4
        guard end >= 4 else {
            guard end == 0 else { throw EncodedValue.damaged(0) }
            remaining = 0
            return
        }
        remaining = unsafe Int(bytes.loadUnaligned(fromByteOffset: 0, as: UInt16.self))
    }

    @inline(__always)
    init(object: EncodedValue) {
        offset = object.start
        end = object.end
        remaining = object.count
    }

    /// The next field; nil behind the last.
    @inline(__always)
    mutating func next(
        _ bytes: UnsafeRawBufferPointer
    ) throws(FormatError) -> (keyStart: Int, keyLength: Int, value: EncodedValue)? {
        guard remaining > 0 else { return nil }
        guard end - offset >= 2 else { throw EncodedValue.damaged(offset) }
        let keyLength = unsafe Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
        let keyStart = offset + 2
        let value = try unsafe EncodedValue(bytes, at: keyStart + keyLength, limit: end)
        offset = value.end
        remaining -= 1
        return (keyStart, keyLength, value)
    }
}

/// Goes through the elements of an encoded array.
struct EncodedElements {
    private var offset: Int
    private let end: Int
    private var remaining: Int

    @inline(__always)
    init(_ array: EncodedValue) {
        offset = array.start
        end = array.end
        remaining = array.count
    }

    @inline(__always)
    mutating func next(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> EncodedValue? {
        guard remaining > 0 else { return nil }
        let value = try unsafe EncodedValue(bytes, at: offset, limit: end)
        offset = value.end
        remaining -= 1
        return value
    }
}

extension ValueOrder {
    /// Whether two encoded values are equal: numbers by value, strings by bytes, arrays element by element, objects field
    /// by field. It goes as deep as the right value, which is the filter's own.
    static func isEqual(
        _ left: EncodedValue, in bytes: UnsafeRawBufferPointer, _ right: EncodedValue, of own: UnsafeRawBufferPointer
    ) throws(FormatError) -> Bool {
        let isLeftInteger = left.tag == MetadataTag.integer.rawValue
        let isRightInteger = right.tag == MetadataTag.integer.rawValue
        let isLeftNumber = isLeftInteger || left.tag == MetadataTag.double.rawValue
        let isRightNumber = isRightInteger || right.tag == MetadataTag.double.rawValue
        if isLeftNumber, isRightNumber {
            switch (isLeftInteger, isRightInteger) {
            case (true, true): return unsafe left.integer(bytes) == right.integer(own)
            case (true, false): return unsafe compare(left.integer(bytes), right.double(own)) == 0
            case (false, true): return unsafe compare(right.integer(own), left.double(bytes)) == 0
            case (false, false): return unsafe left.double(bytes) == right.double(own)
            }
        }
        guard left.tag == right.tag, left.count == right.count else { return false }
        if left.isString { return unsafe compare(left.payload(bytes), right.payload(own)) == 0 }
        if left.isArray {
            var leftElements = EncodedElements(left)
            var rightElements = EncodedElements(right)
            while let a = try unsafe leftElements.next(bytes), let b = try unsafe rightElements.next(own) {
                guard try unsafe isEqual(a, in: bytes, b, of: own) else { return false }
            }
        } else if left.isObject {
            // Both have their fields in the order of the keys.
            var leftFields = EncodedFields(object: left)
            var rightFields = EncodedFields(object: right)
            while let a = try unsafe leftFields.next(bytes), let b = try unsafe rightFields.next(own) {
                let leftKey = unsafe UnsafeRawBufferPointer(rebasing: bytes[a.keyStart..<(a.keyStart + a.keyLength)])
                let rightKey = unsafe UnsafeRawBufferPointer(rebasing: own[b.keyStart..<(b.keyStart + b.keyLength)])
                guard unsafe compare(leftKey, rightKey) == 0 else { return false }
                guard try unsafe isEqual(a.value, in: bytes, b.value, of: own) else { return false }
            }
        }
        return true
    }
}
