/// Bytes on their way to the log: records that a writer encodes, the log task seals in place and hands to the file, and
/// from which vectors and payloads are then put in place. One copy of a vector from the caller to here, none after.
import StorageFormat

/// The encoding caller owns it, then the database actor, then (through the commit queue's mutex) the log task, which seals
/// record headers in place and appends nothing. Meanwhile the actor reads ids, which no one writes any more.
// SAFETY: one step of the write path writes at a time; two use it at once only to read, or on different bytes.
@safe final class LogBuffer: @unchecked Sendable {
    private(set) var start: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity: Int
    private let pool: BufferPool?

    init(capacity: Int, pool: BufferPool? = nil) {
        self.pool = pool
        if let pool {
            unsafe (start, self.capacity) = pool.take(max(64, capacity))
        } else {
            self.capacity = max(64, capacity)
            unsafe start = .allocate(byteCount: self.capacity, alignment: 64)
        }
    }

    deinit { unsafe release(start, capacity) }

    private func release(_ memory: UnsafeMutableRawPointer, _ byteCount: Int) {
        if let pool {
            unsafe pool.give(memory, byteCount: byteCount)
        } else {
            unsafe memory.deallocate()
        }
    }

    /// All bytes written so far.
    var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: start, count: count) }

    /// A range that may be written.
    func mutableBytes(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a range outside the log buffer")
        return unsafe UnsafeMutableRawBufferPointer(start: start + range.lowerBound, count: range.count)
    }

    /// Appends `byteCount` bytes of unspecified content and returns where they begin.
    func extend(by byteCount: Int) -> Int {
        if count + byteCount > capacity {
            let larger = max(capacity * 2, count + byteCount)
            let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 64)
            unsafe moved.copyMemory(from: start, byteCount: count)
            unsafe release(start, capacity)
            unsafe start = moved
            capacity = larger
        }
        count += byteCount
        return count - byteCount
    }

    /// Appends a record with a header and a body of unspecified content; the padding is zero.
    ///
    /// - Returns: where the record begins.
    func appendRecord(_ type: LogRecordType, flags: UInt8 = 0, database: UInt32, bodyLength: Int) -> Int {
        let padded = LogCodec.paddedByteCount(bodyLength: bodyLength)
        let offset = extend(by: padded)
        let used = LogRecordHeader.byteCount + bodyLength
        unsafe LogCodec.writeHeader(
            mutableBytes(offset..<offset + padded), type: type, flags: flags, database: database,
            bodyLength: bodyLength)
        if padded > used {
            unsafe (start + offset + used).initializeMemory(as: UInt8.self, repeating: 0, count: padded - used)
        }
        return offset
    }

    /// Appends a record with a given body.
    func appendRecord(_ type: LogRecordType, database: UInt32, body: [UInt8]) {
        let offset = appendRecord(type, database: database, bodyLength: body.count)
        unsafe body.withUnsafeBytes { bytes in
            guard unsafe !bytes.isEmpty else { return }
            unsafe (start + offset + LogRecordHeader.byteCount).copyMemory(
                from: bytes.baseAddress!, byteCount: bytes.count)
        }
    }

    /// The length of the record that begins at `offset`, padding included.
    func recordLength(at offset: Int) -> Int {
        let bodyLength = unsafe (start + offset).loadUnaligned(fromByteOffset: 12, as: UInt32.self)
        return LogCodec.paddedByteCount(bodyLength: Int(bodyLength))
    }
}
