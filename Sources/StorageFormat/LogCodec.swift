/// Writes log records in place and finds them again: writers prepare records, the group committer seals them in LSN
/// order, recovery reads segments through it.
package enum LogCodec {
    /// Bytes of a record with a body of `bodyLength`, padding included.
    package static func paddedByteCount(bodyLength: Int) -> Int {
        roundedUp(LogRecordHeader.byteCount + bodyLength, toMultipleOf: LogRecordHeader.alignment)
    }

    /// Writes a header with zero in the fields that ``seal(_:lsn:transaction:syncedUpTo:previousChecksum:saltSeed:)``
    /// fills; `record` has room for 48 bytes at least.
    package static func writeHeader(
        _ record: UnsafeMutableRawBufferPointer, type: LogRecordType, flags: UInt8 = 0, database: UInt32,
        bodyLength: Int
    ) {
        precondition(record.count >= LogRecordHeader.byteCount, "no room for a record header")
        unsafe record.store(LogRecordHeader.magic, at: 0)
        unsafe record.store(UInt64(0), at: 4)
        unsafe record.store(UInt32(bodyLength), at: 12)
        unsafe record.store(type.rawValue, at: 16)
        unsafe record.store(flags, at: 17)
        unsafe record.store(FormatVersion.current, at: 18)
        unsafe record.store(database, at: 20)
        unsafe record.store(UInt64(0), at: 24)
        unsafe record.store(UInt64(0), at: 32)
        unsafe record.store(UInt64(0), at: 40)
    }

    /// Gives a record its place in the log and its checksum, which is returned: it is the next record's
    /// `previousChecksum`. `record` holds header and body, and the padding if the record ends up in a segment as it is;
    /// padding is set to zero.
    @discardableResult
    package static func seal(
        _ record: UnsafeMutableRawBufferPointer, lsn: UInt64, transaction: UInt64, syncedUpTo: UInt64,
        previousChecksum: UInt32, saltSeed: UInt32
    ) -> UInt32 {
        precondition(record.count >= LogRecordHeader.byteCount, "no room for a record header")
        let bodyLength = unsafe Int(record.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        let end = LogRecordHeader.byteCount + bodyLength
        precondition(end <= record.count, "a record's body is longer than its buffer")
        unsafe record.store(previousChecksum, at: 8)
        unsafe record.store(lsn, at: 24)
        unsafe record.store(transaction, at: 32)
        unsafe record.store(syncedUpTo, at: 40)
        let covered = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(record)[8..<end])
        let checksum = unsafe CRC32C.checksum(covered, continuing: saltSeed)
        unsafe record.store(checksum, at: 4)
        for index in end..<min(record.count, paddedByteCount(bodyLength: bodyLength)) { unsafe record[index] = 0 }
        return checksum
    }

    /// What stands at a place in a segment.
    package enum Scan: Sendable, Hashable {
        /// A record that is valid by itself; `next` is where the one after it would stand.
        case record(LogRecordHeader, body: Range<Int>, next: Int)
        /// Nothing was written here: the magic is zero, or the place is past the last byte.
        case end
        /// Something that is no record.
        case invalid
    }

    /// Reads the record at `offset`: checks magic, version, bounds, checksum and padding, but not the chain to the
    /// record before.
    package static func read(_ bytes: UnsafeRawBufferPointer, at offset: Int, saltSeed: UInt32) -> Scan {
        guard offset >= 0, offset % LogRecordHeader.alignment == 0 else { return .invalid }
        guard offset < bytes.count, bytes.count - offset >= 4 else { return .end }
        let magic = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        guard magic == LogRecordHeader.magic else { return magic == 0 ? .end : .invalid }
        let remaining = bytes.count - offset
        guard remaining >= LogRecordHeader.byteCount else { return .invalid }
        let bodyLength = unsafe Int(bytes.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))
        let padded = paddedByteCount(bodyLength: bodyLength)
        guard padded <= remaining, let header = unsafe header(bytes, at: offset, bodyLength: bodyLength) else {
            return .invalid
        }
        let bodyStart = offset + LogRecordHeader.byteCount
        let bodyEnd = bodyStart + bodyLength
        let covered = unsafe UnsafeRawBufferPointer(rebasing: bytes[(offset + 8)..<bodyEnd])
        let padding = unsafe UnsafeRawBufferPointer(rebasing: bytes[bodyEnd..<(offset + padded)])
        guard unsafe CRC32C.checksum(covered, continuing: saltSeed) == header.checksum,
            unsafe isAllZero(padding)
        else { return .invalid }
        return .record(header, body: bodyStart..<bodyEnd, next: offset + padded)
    }

    /// The first position at or after `offset`, 32-aligned, of a record that is valid by itself. Recovery asks for it
    /// behind a place that does not hold a record, to tell a torn tail from damage in the middle.
    ///
    /// - Complexity: Linear in the bytes, but a file made on purpose of headers with long bodies makes it quadratic.
    package static func nextValid(
        _ bytes: UnsafeRawBufferPointer, from offset: Int, saltSeed: UInt32
    ) -> (Int, LogRecordHeader)? {
        guard offset < bytes.count else { return nil }
        var position = roundedUp(max(0, offset), toMultipleOf: LogRecordHeader.alignment)
        while bytes.count - position >= LogRecordHeader.byteCount {
            if case .record(let header, _, _) = unsafe read(bytes, at: position, saltSeed: saltSeed) {
                return (position, header)
            }
            position += LogRecordHeader.alignment
        }
        return nil
    }

    /// The header's fields; nil for a version or type that this release does not write.
    private static func header(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, bodyLength: Int
    ) -> LogRecordHeader? {
        let type = unsafe LogRecordType(rawValue: bytes[offset + 16])
        let version = unsafe bytes.loadUnaligned(fromByteOffset: offset + 18, as: UInt16.self)
        guard let type, version == FormatVersion.current else { return nil }
        return unsafe LogRecordHeader(
            checksum: bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self),
            previousChecksum: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt32.self),
            bodyLength: bodyLength, type: type, flags: bytes[offset + 17],
            database: bytes.loadUnaligned(fromByteOffset: offset + 20, as: UInt32.self),
            lsn: bytes.loadUnaligned(fromByteOffset: offset + 24, as: UInt64.self),
            transaction: bytes.loadUnaligned(fromByteOffset: offset + 32, as: UInt64.self),
            syncedUpTo: bytes.loadUnaligned(fromByteOffset: offset + 40, as: UInt64.self))
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Stores a little-endian integer at any offset; the caller checked that it fits.
    @inlinable
    package func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
        unsafe storeBytes(of: value, toByteOffset: offset, as: Value.self)
    }
}
