/// Asking a compiled filter about encoded metadata where it lies: nothing is decoded, copied or allocated, and every
/// length is checked, so that damaged bytes are an error and never a read outside of them.
import CNephrite
import StorageFormat

extension CompiledFilter {
    /// Whether the filter holds for a record.
    ///
    /// - Parameter bytes: its encoded metadata; empty for none.
    /// - Throws: if the bytes are no metadata. Only what is looked at on the way is checked.
    func matches(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> Bool {
        var next = entry
        while next >= 0 {
            let instruction = unsafe instructions[next]
            next = try unsafe holds(instruction, bytes) ? instruction.onTrue : instruction.onFalse
        }
        return next == Self.accept
    }

    @inline(__always)
    private func holds(_ instruction: Instruction, _ bytes: UnsafeRawBufferPointer) throws(FormatError) -> Bool {
        guard let value = try unsafe locate(instruction.path, bytes) else { return false }
        return try unsafe holds(instruction.test, value, bytes)
    }

    /// The value that a path leads to; nil if there is none.
    @inline(__always)
    func locate(_ path: Range<Int>, _ bytes: UnsafeRawBufferPointer) throws(FormatError) -> EncodedValue? {
        var fields = try unsafe EncodedFields(metadata: bytes)
        var index = path.lowerBound
        while true {
            guard let value = try unsafe find(keys[index], in: &fields, bytes) else { return nil }
            index += 1
            if index == path.upperBound { return value }
            guard value.isObject else { return nil }
            fields = EncodedFields(object: value)
        }
    }

    @inline(__always)
    private func find(
        _ key: Range<Int>, in fields: inout EncodedFields, _ bytes: UnsafeRawBufferPointer
    ) throws(FormatError) -> EncodedValue? {
        let wanted = unsafe pool.baseAddress! + key.lowerBound
        let first = unsafe pool[key.lowerBound]
        while let field = try unsafe fields.next(bytes) {
            if field.keyLength == key.count,
                unsafe nephrite_equal(bytes.baseAddress! + field.keyStart, wanted, key.count) != 0
            {
                return field.value
            }
            // Keys come in the order of their bytes; a key is never empty.
            if field.keyLength > 0, unsafe bytes[field.keyStart] > first { return nil }
        }
        return nil
    }

    /// Whether a test holds for a value that is there.
    func holds(_ test: Test, _ value: EncodedValue, _ bytes: UnsafeRawBufferPointer) throws(FormatError) -> Bool {
        switch test {
        case .exists: return true
        case .equals(let scalar): return unsafe equals(value, scalar, bytes)
        case .equalsComposite(let range): return try unsafe equals(value, composite: range, bytes)
        case .bounds(let lower, let includesLower, let upper, let includesUpper):
            if let lower {
                guard let order = unsafe order(value, lower, bytes), order > 0 || (order == 0 && includesLower) else {
                    return false
                }
            }
            if let upper {
                guard let order = unsafe order(value, upper, bytes), order < 0 || (order == 0 && includesUpper) else {
                    return false
                }
            }
            return true
        case .isIn(let members, let ranges):
            if let scalar = unsafe value.scalar(bytes) { return unsafe isMember(scalar, of: members, bytes) }
            for index in ranges where try unsafe equals(value, composite: composites[index], bytes) { return true }
            return false
        case .contains(let scalar):
            guard value.isArray else { return false }
            var elements = EncodedElements(value)
            while let element = try unsafe elements.next(bytes) {
                if unsafe equals(element, scalar, bytes) { return true }
            }
            return false
        case .containsComposite(let range):
            guard value.isArray else { return false }
            var elements = EncodedElements(value)
            while let element = try unsafe elements.next(bytes) {
                if try unsafe equals(element, composite: range, bytes) { return true }
            }
            return false
        case .prefix(let range):
            guard value.isString, value.end - value.start >= range.count else { return false }
            if range.isEmpty { return true }
            return unsafe nephrite_equal(
                bytes.baseAddress! + value.start, pool.baseAddress! + range.lowerBound, range.count) != 0
        }
    }

    @inline(__always)
    private func equals(_ value: EncodedValue, _ scalar: FilterScalar, _ bytes: UnsafeRawBufferPointer) -> Bool {
        switch scalar {
        case .null: return value.tag == MetadataTag.null.rawValue
        case .bool(let flag): return value.tag == (flag ? MetadataTag.true : MetadataTag.false).rawValue
        case .integer, .double: return unsafe order(value, scalar, bytes) == 0
        case .string(let range):
            guard value.isString, value.end - value.start == range.count else { return false }
            if range.isEmpty { return true }
            return unsafe nephrite_equal(
                bytes.baseAddress! + value.start, pool.baseAddress! + range.lowerBound, range.count) != 0
        }
    }

    @inline(__always)
    private func equals(
        _ value: EncodedValue, composite range: Range<Int>, _ bytes: UnsafeRawBufferPointer
    ) throws(FormatError) -> Bool {
        let own = try unsafe EncodedValue(pool, at: range.lowerBound, limit: range.upperBound)
        return try unsafe ValueOrder.isEqual(value, in: bytes, own, of: pool)
    }

    /// Orders a number against a number or a string against a string; nil for all else.
    @inline(__always)
    private func order(_ value: EncodedValue, _ scalar: FilterScalar, _ bytes: UnsafeRawBufferPointer) -> Int? {
        switch scalar {
        case .integer(let number):
            if value.tag == MetadataTag.integer.rawValue {
                return unsafe ValueOrder.compare(value.integer(bytes), number)
            }
            guard value.tag == MetadataTag.double.rawValue else { return nil }
            return unsafe ValueOrder.compare(number, value.double(bytes)).map { -$0 }
        case .double(let number):
            if value.tag == MetadataTag.double.rawValue {
                return unsafe ValueOrder.compare(value.double(bytes), number)
            }
            guard value.tag == MetadataTag.integer.rawValue else { return nil }
            return unsafe ValueOrder.compare(value.integer(bytes), number)
        case .string(let range):
            guard value.isString else { return nil }
            return unsafe ValueOrder.compare(
                value.payload(bytes), UnsafeRawBufferPointer(rebasing: pool[range]))
        case .null, .bool: return nil
        }
    }

    /// Binary search in a sorted list.
    private func isMember(_ scalar: FilterScalar, of members: Range<Int>, _ bytes: UnsafeRawBufferPointer) -> Bool {
        var low = members.lowerBound
        var high = members.upperBound
        while low < high {
            let middle = (low + high) / 2
            let order = unsafe ScalarOrder.compare(scalars[middle], in: pool, scalar, in: bytes)
            if order == 0 { return true }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return false
    }
}

extension EncodedValue {
    /// The value as a scalar whose string lies in `bytes`; nil for arrays and objects, and for NaN, which only damaged
    /// metadata holds.
    @inline(__always)
    func scalar(_ bytes: UnsafeRawBufferPointer) -> FilterScalar? {
        switch tag {
        case MetadataTag.null.rawValue: return .null
        case MetadataTag.false.rawValue: return .bool(false)
        case MetadataTag.true.rawValue: return .bool(true)
        case MetadataTag.integer.rawValue: return unsafe .integer(integer(bytes))
        case MetadataTag.double.rawValue:
            let number = unsafe double(bytes)
            return number.isNaN ? nil : .double(number)
        case MetadataTag.string.rawValue: return .string(start..<end)
        default: return nil
        }
    }
}
