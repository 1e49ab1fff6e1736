/// The header of a log segment file: which store and which place in the log's sequence it belongs to; the log writes
/// it when it creates a segment, recovery reads it first.

/// 4,096 bytes, written twice (offsets 0 and 4096); records start at 8192.
package struct SegmentHeader: Sendable, Hashable {
    package struct Flags: OptionSet, Sendable, Hashable {
        package let rawValue: UInt32

        package init(rawValue: UInt32) { self.rawValue = rawValue }

        /// The `previous…` fields describe the segment before this one.
        package static let hasPrevious = Flags(rawValue: 1)
        /// A recovery copy: it takes the place of the segment described by the `previous…` fields.
        package static let replacesPrevious = Flags(rawValue: 2)
        static let known: Flags = [.hasPrevious, .replacesPrevious]
    }

    /// Bytes of one copy.
    package static let copyByteCount = 4096
    /// Where the first record stands.
    package static let recordsOffset = 8192
    static let magic: UInt32 = 0x4753_574e  // "NWSG"
    static let part = "log segment header"

    package var storeUUID: StorageUUID
    package var sequence: UInt64
    package var saltLow: UInt64
    package var saltHigh: UInt64
    package var previousSequence: UInt64
    package var previousByteCount: UInt64
    package var previousLastLSN: UInt64
    package var previousLastChecksum: UInt32
    package var flags: Flags
    /// The first LSN that may stand in the segment.
    package var firstLSN: UInt64
    /// Nanoseconds since 1970.
    package var createdAt: UInt64
    /// The preallocated length of the file.
    package var byteCount: UInt64
    package var oldestNeededLSN: UInt64

    package init(
        storeUUID: StorageUUID, sequence: UInt64, saltLow: UInt64, saltHigh: UInt64, previousSequence: UInt64 = 0,
        previousByteCount: UInt64 = 0, previousLastLSN: UInt64 = 0, previousLastChecksum: UInt32 = 0,
        flags: Flags = [], firstLSN: UInt64, createdAt: UInt64, byteCount: UInt64, oldestNeededLSN: UInt64 = 0
    ) {
        self.storeUUID = storeUUID
        self.sequence = sequence
        self.saltLow = saltLow
        self.saltHigh = saltHigh
        self.previousSequence = previousSequence
        self.previousByteCount = previousByteCount
        self.previousLastLSN = previousLastLSN
        self.previousLastChecksum = previousLastChecksum
        self.flags = flags
        self.firstLSN = firstLSN
        self.createdAt = createdAt
        self.byteCount = byteCount
        self.oldestNeededLSN = oldestNeededLSN
    }

    package var hasPrevious: Bool { flags.contains(.hasPrevious) }
    package var replacesPrevious: Bool { flags.contains(.replacesPrevious) }

    /// What every record checksum of this segment starts from, so that records of other segments, or left over on
    /// reused disk blocks, fail their check.
    package var saltSeed: UInt32 {
        var writer = ByteWriter(reservingCapacity: 40)
        writer.append(storeUUID)
        writer.append(sequence)
        writer.append(saltLow)
        writer.append(saltHigh)
        return unsafe writer.bytes.withUnsafeBytes { unsafe CRC32C.checksum($0) }
    }

    /// The 4,096 bytes of copy 0 or 1.
    package func encode(copy: Int) -> [UInt8] {
        precondition(copy == 0 || copy == 1, "there are two copies")
        var writer = ByteWriter(reservingCapacity: Self.copyByteCount)
        writer.append(Self.magic)
        writer.append(FormatVersion.current)
        writer.append(FormatVersion.current)
        writer.append(storeUUID)
        writer.append(sequence)
        writer.append(saltLow)
        writer.append(saltHigh)
        writer.append(previousSequence)
        writer.append(previousByteCount)
        writer.append(previousLastLSN)
        writer.append(previousLastChecksum)
        writer.append(flags.rawValue)
        writer.append(firstLSN)
        writer.append(createdAt)
        writer.append(byteCount)
        writer.append(oldestNeededLSN)
        writer.pad(to: Self.copyByteCount - 4)
        writer.appendChecksum(seed: Self.seed(copy: copy))
        return writer.bytes
    }

    private static func seed(copy: Int) -> UInt32 { CRC32C.seed("NWSG header", index: UInt8(copy)) }

    /// Reads whichever copy is valid, the first one if both are; `bytes` are the front of the segment, as much of it
    /// as there is.
    package static func decode(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> SegmentHeader {
        do throws(FormatError) {
            return try unsafe decode(bytes, copy: 0)
        } catch let first {
            do throws(FormatError) {
                return try unsafe decode(bytes, copy: 1)
            } catch let second {
                if case .newerVersion = second.kind { throw second }
                throw first
            }
        }
    }

    /// Reads one copy out of the front of the segment.
    package static func decode(_ bytes: UnsafeRawBufferPointer, copy: Int) throws(FormatError) -> SegmentHeader {
        precondition(copy == 0 || copy == 1, "there are two copies")
        let start = min(copy * copyByteCount, bytes.count)
        let end = min(start + copyByteCount, bytes.count)
        var reader = unsafe ByteReader(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), part: part)
        let version = try checkEnvelope(
            &reader, magic: magic, byteCount: copyByteCount, seed: seed(copy: copy))
        var header = SegmentHeader(
            storeUUID: try reader.uuid(), sequence: try reader.u64(), saltLow: try reader.u64(),
            saltHigh: try reader.u64(), firstLSN: 0, createdAt: 0, byteCount: 0)
        header.previousSequence = try reader.u64()
        header.previousByteCount = try reader.u64()
        header.previousLastLSN = try reader.u64()
        header.previousLastChecksum = try reader.u32()
        header.flags = Flags(rawValue: try reader.u32())
        guard header.flags.isSubset(of: .known) else { throw reader.error(.invalidValue, at: 76) }
        header.firstLSN = try reader.u64()
        header.createdAt = try reader.u64()
        header.byteCount = try reader.u64()
        header.oldestNeededLSN = try reader.u64()
        try reader.reserved(until: copyByteCount - 4, version: version)
        return header
    }
}

extension SegmentHeader {
    /// `<sequence as 16 lower-case hexadecimal digits>.wal`
    package static func fileName(sequence: UInt64) -> String {
        hexadecimal(sequence) + ".wal"
    }

    /// The sequence in a segment's file name; nil for every other name.
    package static func sequence(fileName: String) -> UInt64? {
        let name = Array(fileName.utf8)
        guard name.count == 20, name[16...].elementsEqual(".wal".utf8) else { return nil }
        var sequence: UInt64 = 0
        for byte in name[..<16] {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): sequence = sequence << 4 | UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"):
                sequence = sequence << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return sequence
    }
}
