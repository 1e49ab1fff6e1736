/// Builds metadata bytes field by field into one array; the public `Metadata` type feeds it, log bodies and the payload
/// heap take the bytes.

/// Call ``field(_:)``, then one value: ``null()``, ``bool(_:)``, ``integer(_:)``, ``double(_:)``, ``string(_:)``, or
/// ``beginArray()`` values ``endArray()``, or ``beginObject()`` fields ``endObject()``. Fields may come in any order;
/// they are sorted when their object ends, at no cost if they came sorted.
///
/// What the format does not allow (keys that are empty, too long or there twice, numbers that are not finite, too many
/// levels, fields or bytes) is remembered and thrown by ``finish()``, so the calls in between need no `try`. Calls that
/// do not fit together (a value without a field, an end without a beginning) trap.
package struct MetadataWriter {
    /// An object or array that is not finished.
    struct Frame {
        let isObject: Bool
        /// Where the payload begins, behind the counts.
        let start: Int
        var count = 0
        var lastKey = 0..<0
        var isSorted = true
        var awaitsValue = false
    }

    var bytes: [UInt8] = []
    private var frame = Frame(isObject: true, start: MetadataCodec.headerByteCount)
    private var parents: [Frame] = []
    private var failure: FormatError.Kind?

    /// Whether ``finish()`` will throw whatever follows: what is left need not be written.
    package var hasFailed: Bool { failure != nil }

    package init(reservingCapacity capacity: Int = 128) {
        bytes.reserveCapacity(capacity)
        append(UInt32(0))
    }

    /// Begins a field of the current object; its value follows.
    package mutating func field(_ key: String) {
        precondition(frame.isObject && !frame.awaitsValue, "a field begins in an object, after the last value")
        var key = key
        key.withUTF8 { utf8 in
            append(UInt16(truncatingIfNeeded: utf8.count))
            unsafe bytes.append(contentsOf: utf8)
            if utf8.isEmpty || utf8.count > FormatLimits.metadataKeyByteCount { fail(.invalidValue) }
            let range = (bytes.count - utf8.count)..<bytes.count
            if frame.count > 0 && frame.isSorted {
                frame.isSorted = unsafe bytes.withUnsafeBytes { all in
                    unsafe MetadataCodec.compare(
                        UnsafeRawBufferPointer(rebasing: all[frame.lastKey]), UnsafeRawBufferPointer(utf8)) < 0
                }
            }
            frame.lastKey = range
        }
        frame.awaitsValue = true
    }

    package mutating func null() { beginValue(.null) }

    package mutating func bool(_ value: Bool) { beginValue(value ? .true : .false) }

    package mutating func integer(_ value: Int64) {
        beginValue(.integer)
        append(value)
    }

    package mutating func double(_ value: Double) {
        if !value.isFinite { fail(.invalidValue) }
        beginValue(.double)
        append(value.bitPattern)
    }

    package mutating func string(_ value: String) {
        beginValue(.string)
        var value = value
        value.withUTF8 { utf8 in
            if utf8.count > FormatLimits.metadataByteCount { return fail(.outOfBounds) }
            append(UInt32(utf8.count))
            unsafe bytes.append(contentsOf: utf8)
        }
    }

    package mutating func beginArray() { begin(.array, isObject: false) }

    package mutating func endArray() {
        precondition(!frame.isObject, "an array ends that did not begin")
        store(UInt32(truncatingIfNeeded: frame.count), at: frame.start - 4)
        end()
    }

    package mutating func beginObject() { begin(.object, isObject: true) }

    package mutating func endObject() {
        precondition(frame.isObject && !parents.isEmpty && !frame.awaitsValue, "an object ends that did not begin")
        sortFields()
        storeFieldCount(at: frame.start - 4)
        end()
    }

    /// The bytes: none if there are no fields.
    package mutating func finish() throws(FormatError) -> [UInt8] {
        precondition(parents.isEmpty && !frame.awaitsValue, "metadata ends inside of an object or array")
        sortFields()
        storeFieldCount(at: 0)
        if bytes.count > FormatLimits.metadataByteCount { fail(.outOfBounds) }
        if let failure { throw FormatError(failure, part: MetadataCodec.part) }
        if frame.count == 0 { bytes.removeAll() }
        return bytes
    }

    private mutating func beginValue(_ tag: MetadataTag) {
        precondition(frame.awaitsValue == frame.isObject, "a value of an object follows its field")
        frame.awaitsValue = false
        frame.count += 1
        bytes.append(tag.rawValue)
    }

    private mutating func begin(_ tag: MetadataTag, isObject: Bool) {
        beginValue(tag)
        append(UInt64(0))
        parents.append(frame)
        frame = Frame(isObject: isObject, start: bytes.count)
        // The top-level fields are level 1.
        if parents.count >= FormatLimits.metadataDepth { fail(.outOfBounds) }
    }

    private mutating func end() {
        store(UInt32(truncatingIfNeeded: bytes.count - frame.start), at: frame.start - 8)
        frame = parents.removeLast()
    }

    private mutating func storeFieldCount(at offset: Int) {
        if frame.count > FormatLimits.metadataFieldCount { fail(.outOfBounds) }
        store(UInt16(truncatingIfNeeded: frame.count), at: offset)
    }

    private mutating func fail(_ kind: FormatError.Kind) {
        if failure == nil { failure = kind }
    }

    private mutating func append<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
        unsafe withUnsafeBytes(of: value) { unsafe bytes.append(contentsOf: $0) }
    }

    private mutating func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
        unsafe bytes.withUnsafeMutableBytes { unsafe $0.store(value, at: offset) }
    }

    /// Sorts the fields of the current object if they came out of order, and finds keys that are there twice.
    private mutating func sortFields() {
        guard !frame.isSorted, failure == nil else { return }
        let range = frame.start..<bytes.count
        let (sorted, isUnique) = unsafe bytes.withUnsafeBytes { all in
            unsafe Self.sortedFields(all, range: range, count: frame.count)
        }
        guard isUnique else { return fail(.invalidValue) }
        bytes.replaceSubrange(range, with: sorted)
    }

    private static func sortedFields(
        _ all: UnsafeRawBufferPointer, range: Range<Int>, count: Int
    ) -> (sorted: [UInt8], isUnique: Bool) {
        var fields: [(key: Range<Int>, end: Int)] = []
        fields.reserveCapacity(count)
        var cursor = unsafe MetadataCursor(all, range: range, count: count)
        while let field = try? cursor.next() {
            fields.append((field.key, field.payload.upperBound))
        }
        func order(_ left: Range<Int>, _ right: Range<Int>) -> Int {
            unsafe MetadataCodec.compare(
                UnsafeRawBufferPointer(rebasing: all[left]), UnsafeRawBufferPointer(rebasing: all[right]))
        }
        fields.sort { order($0.key, $1.key) < 0 }
        let isUnique = zip(fields, fields.dropFirst()).allSatisfy { order($0.key, $1.key) < 0 }
        var sorted: [UInt8] = []
        sorted.reserveCapacity(range.count)
        for field in fields {
            unsafe sorted.append(contentsOf: all[(field.key.lowerBound - 2)..<field.end])
        }
        return (sorted, isUnique)
    }
}
