/// The log segment that is being written: where the next record goes and what its checksum chain starts from. The log
/// task owns it; recovery makes the first one.
import StorageFormat
import StorageIO

struct SegmentWriter: Sendable {
    static let directory = StoragePath("wal")
    /// Zeros written ahead of small commits: a sync of overwritten blocks needs no journal commit (about half the time
    /// of one that converts preallocated blocks, see DocC/Nephrite.docc/DurabilityAndRecovery.md).
    private static let zeroAheadByteCount = 512 << 10
    private static let smallGroupByteCount = 128 << 10

    let header: SegmentHeader
    let file: any StorageFile
    private(set) var position: UInt64
    private(set) var previousChecksum: UInt32
    private let saltSeed: UInt32
    private var zeroedUpTo: UInt64
    /// Whether the disk had no room for zeros: then commits do without.
    private var hasNoRoomForZeros = false
    /// The LSN of the last commit in it.
    var lastLSN: UInt64

    var capacity: UInt64 { header.byteCount }

    static func path(_ sequence: UInt64) -> StoragePath {
        StoragePath("wal", SegmentHeader.fileName(sequence: sequence))
    }

    /// The name of a segment that is being made.
    static func temporaryPath(_ sequence: UInt64) -> StoragePath {
        StoragePath("wal", SegmentHeader.fileName(sequence: sequence) + ".tmp")
    }

    /// Creates a segment: allocated, its header synced, then renamed, its name synced. So a file of a segment's name that
    /// is shorter than its header says, or has no header, is damaged, whatever a crash did.
    static func create(_ header: SegmentHeader, on fileSystem: any FileSystem) throws(FileSystemError) -> SegmentWriter
    {
        let temporary = temporaryPath(header.sequence)
        let file = try fileSystem.open(temporary, .createNew)
        do {
            try prepare(file, header)
            try file.synchronize()
            try fileSystem.rename(temporary, to: path(header.sequence))
            try fileSystem.synchronizeDirectory(directory)
        } catch {
            // What is left behind has no record; it is removed so that the names can be used again.
            try? file.close()
            try? fileSystem.unlink(temporary)
            try? fileSystem.unlink(path(header.sequence))
            throw error
        }
        return SegmentWriter(header: header, file: file)
    }

    /// Removes segments, durably. Until they are gone for good they stay open, for the reason that ``HeldFiles`` gives.
    ///
    /// - Parameter sequences: in this order, a few at a time, as descriptors may be few; those that are not there are passed
    ///   over.
    /// - Throws: that there are too many open files if there is not even a descriptor for one; what was not removed is
    ///   whole, and as good as before.
    static func remove(_ sequences: [UInt64], on fileSystem: any FileSystem) throws(FileSystemError) {
        var rest = ArraySlice(sequences)
        while !rest.isEmpty {
            let held = try HeldFiles(rest.prefix(16).map(path), atLeast: 1, on: fileSystem)
            defer { held.release() }
            let part = rest.prefix(held.count)
            rest.removeFirst(part.count)
            for sequence in part {
                do {
                    try fileSystem.unlink(path(sequence))
                } catch  where error.isNotFound {}
            }
            try fileSystem.synchronizeDirectory(directory)
        }
    }

    /// Allocates a segment's space and writes both copies of its header.
    static func prepare(_ file: any StorageFile, _ header: SegmentHeader) throws(FileSystemError) {
        try file.allocate(offset: 0, length: header.byteCount)
        let bytes = header.encode(copy: 0) + header.encode(copy: 1)
        try file.writeBytes(bytes, at: 0)
    }

    /// A segment whose records end at `position`.
    init(
        header: SegmentHeader, file: any StorageFile, position: UInt64 = UInt64(SegmentHeader.recordsOffset),
        previousChecksum: UInt32? = nil, lastLSN: UInt64? = nil
    ) {
        self.header = header
        self.file = file
        self.position = position
        saltSeed = header.saltSeed
        self.previousChecksum = previousChecksum ?? header.saltSeed
        zeroedUpTo = position
        self.lastLSN = lastLSN ?? header.firstLSN - 1
    }

    /// Whether `byteCount` more bytes fit.
    func hasRoom(for byteCount: Int) -> Bool { position + UInt64(byteCount) <= capacity }

    /// Seals one record in place as the next of the chain.
    mutating func seal(_ record: UnsafeMutableRawBufferPointer, lsn: UInt64, syncedUpTo: UInt64) {
        previousChecksum = unsafe LogCodec.seal(
            record, lsn: lsn, transaction: lsn, syncedUpTo: syncedUpTo, previousChecksum: previousChecksum,
            saltSeed: saltSeed)
    }

    /// Writes sealed records at the end.
    ///
    /// - Parameter isSynced: whether a sync of these very records follows; zeros are written ahead for such only.
    mutating func write(
        _ buffers: [UnsafeRawBufferPointer], byteCount: Int, isSynced: Bool = true
    ) throws(FileSystemError) {
        if isSynced, byteCount < Self.smallGroupByteCount { _ = try zeroAhead(of: position + UInt64(byteCount)) }
        try unsafe file.writeFully(buffers, at: position)
        position += UInt64(byteCount)
    }

    /// Writes a sync marker that vouches for all commits before it; for a segment that gets its name when it is on disk.
    mutating func writeProof() throws(FileSystemError) {
        let marker = LogBuffer(capacity: 64)
        _ = marker.appendRecord(.syncMarker, database: 0, bodyLength: 0)
        unsafe seal(marker.mutableBytes(0..<marker.count), lsn: lastLSN, syncedUpTo: lastLSN)
        try unsafe write([marker.bytes], byteCount: marker.count, isSynced: false)
    }

    /// Writes more zeros ahead when half of them have been overwritten, and sets the disk to work on them: while nothing waits,
    /// rather than in a small commit.
    mutating func zeroAheadWhileIdle() throws(FileSystemError) {
        let start = zeroedUpTo
        guard start > position, start - position < UInt64(Self.zeroAheadByteCount / 2), start < capacity else { return }
        if try zeroAhead(of: start + 1) { try file.startWriteback(offset: start, length: zeroedUpTo - start) }
    }

    /// Writes zeros up to `end` and beyond where there are none yet; whether it wrote any.
    private mutating func zeroAhead(of end: UInt64) throws(FileSystemError) -> Bool {
        guard end > zeroedUpTo, !hasNoRoomForZeros else { return false }
        let start = max(zeroedUpTo, position)
        let target = min(capacity, start + UInt64(Self.zeroAheadByteCount))
        guard target > start else { return false }
        do {
            try file.writeBytes([UInt8](repeating: 0, count: Int(target - start)), at: start)
        } catch  where error.isOutOfSpace {
            hasNoRoomForZeros = true
            return false
        }
        zeroedUpTo = target
        return true
    }

    /// What is needed to take a group back that could not be written.
    struct Mark {
        fileprivate let previousChecksum: UInt32
        fileprivate let lastLSN: UInt64
    }

    var mark: Mark { Mark(previousChecksum: previousChecksum, lastLSN: lastLSN) }

    /// Takes back what was sealed since the mark and makes sure that no part of it can be read as a record: whatever
    /// got into the file is overwritten with zeros.
    mutating func rollBack(to mark: Mark, byteCount: Int) throws(FileSystemError) {
        previousChecksum = mark.previousChecksum
        lastLSN = mark.lastLSN
        var offset = position
        let end = min(capacity, position + UInt64(byteCount))
        while offset < end {
            let length = min(end - offset, 1 << 20)
            try file.writeBytes([UInt8](repeating: 0, count: Int(length)), at: offset)
            offset += length
        }
    }
}
