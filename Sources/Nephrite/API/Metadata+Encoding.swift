/// The fast way from a literal to encoded metadata, for the usual case: a few scalar fields. ``Metadata`` tries it first
/// and falls back to the general writer, which also says what is wrong.
import StorageFormat

enum FlatMetadata {
    private static let fieldLimit = 64
    private static let byteLimit = 4_096

    /// The encoded fields; nil for nested values, large ones, and whatever is not valid.
    static func encode(_ fields: [(String, MetadataValue)]) -> [UInt8]? {
        guard fields.count <= fieldLimit else { return nil }
        var bound = 4
        for (key, value) in fields {
            guard let valueBound = byteCount(value) else { return nil }
            bound += 2 + key.utf8.count + valueBound
        }
        guard bound <= byteLimit else { return nil }
        return unsafe withUnsafeTemporaryAllocation(byteCount: bound, alignment: 8) { scratch in
            unsafe withUnsafeTemporaryAllocation(of: (start: Int, end: Int).self, capacity: fields.count) { places in
                let base = scratch.baseAddress!
                var end = 0
                for index in fields.indices {
                    let start = end
                    guard unsafe write(fields[index].0, fields[index].1, at: base, &end) else { return nil }
                    unsafe insert((start, end), at: index, in: places, base)
                }
                for index in fields.indices.dropFirst()
                where unsafe compare(places[index - 1].start, places[index].start, base) >= 0 { return nil }
                return unsafe [UInt8](unsafeUninitializedCapacity: end + 4) { output, count in
                    let target = UnsafeMutableRawPointer(output.baseAddress!)
                    unsafe target.storeBytes(of: UInt32(fields.count), as: UInt32.self)
                    var position = 4
                    for index in fields.indices {
                        let place = unsafe places[index]
                        unsafe (target + position).copyMemory(
                            from: base + place.start, byteCount: place.end - place.start)
                        position += place.end - place.start
                    }
                    count = position
                }
            }
        }
    }

    private static func byteCount(_ value: MetadataValue) -> Int? {
        switch value {
        case .null, .bool: 1
        case .integer: 9
        case .double(let number): number.isFinite ? 9 : nil
        case .string(let text): 5 + text.utf8.count
        case .array, .object: nil
        }
    }

    /// Writes one field behind the ones before it.
    @inline(__always)
    private static func write(
        _ key: String, _ value: MetadataValue, at base: UnsafeMutableRawPointer, _ end: inout Int
    ) -> Bool {
        let keyLength = key.utf8.count
        guard (1...256).contains(keyLength) else { return false }
        unsafe base.storeBytes(of: UInt16(keyLength), toByteOffset: end, as: UInt16.self)
        end += 2
        guard unsafe copy(key, to: base + end) else { return false }
        end += keyLength
        switch value {
        case .null: unsafe tag(.null, base, &end)
        case .bool(let flag): unsafe tag(flag ? .true : .false, base, &end)
        case .integer(let number):
            unsafe tag(.integer, base, &end)
            unsafe base.storeBytes(of: number, toByteOffset: end, as: Int64.self)
            end += 8
        case .double(let number):
            unsafe tag(.double, base, &end)
            unsafe base.storeBytes(of: number.bitPattern, toByteOffset: end, as: UInt64.self)
            end += 8
        case .string(let text):
            unsafe tag(.string, base, &end)
            unsafe base.storeBytes(of: UInt32(text.utf8.count), toByteOffset: end, as: UInt32.self)
            end += 4
            guard unsafe copy(text, to: base + end) else { return false }
            end += text.utf8.count
        case .array, .object: return false
        }
        return true
    }

    @inline(__always)
    private static func tag(_ tag: MetadataTag, _ base: UnsafeMutableRawPointer, _ end: inout Int) {
        unsafe base.storeBytes(of: tag.rawValue, toByteOffset: end, as: UInt8.self)
        end += 1
    }

    @inline(__always)
    private static func copy(_ text: String, to target: UnsafeMutableRawPointer) -> Bool {
        let copied: Void? = unsafe text.utf8.withContiguousStorageIfAvailable { bytes in
            guard let start = bytes.baseAddress else { return }
            unsafe target.copyMemory(from: start, byteCount: bytes.count)
        }
        return copied != nil
    }

    /// Keeps the places sorted by key as they come in; keys mostly come in order.
    @inline(__always)
    private static func insert(
        _ place: (start: Int, end: Int), at index: Int, in places: UnsafeMutableBufferPointer<(start: Int, end: Int)>,
        _ base: UnsafeMutableRawPointer
    ) {
        var position = index
        while position > 0, unsafe compare(places[position - 1].start, place.start, base) > 0 {
            unsafe places[position] = places[position - 1]
            position -= 1
        }
        unsafe places[position] = place
    }

    /// The order of two written fields' keys, by bytes.
    @inline(__always)
    private static func compare(_ first: Int, _ second: Int, _ base: UnsafeMutableRawPointer) -> Int {
        let firstLength = unsafe Int(base.loadUnaligned(fromByteOffset: first, as: UInt16.self))
        let secondLength = unsafe Int(base.loadUnaligned(fromByteOffset: second, as: UInt16.self))
        for index in 0..<min(firstLength, secondLength) {
            let a = unsafe base.load(fromByteOffset: first + 2 + index, as: UInt8.self)
            let b = unsafe base.load(fromByteOffset: second + 2 + index, as: UInt8.self)
            if a != b { return a < b ? -1 : 1 }
        }
        return firstLength - secondLength
    }
}
