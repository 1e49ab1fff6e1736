/// The header of a database file: what the file holds and where; the checkpoint makes one per generation, opening a
/// database starts from the newest valid one.

/// One 4,096-byte page. Generation `g` is written to pages `2·(g mod 2)` and `2·(g mod 2) + 1` of the file, so the
/// generation before it survives a write that fails.
package struct FileHeader: Sendable, Hashable {
    package struct Flags: OptionSet, Sendable, Hashable {
        package let rawValue: UInt8

        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The file was closed after this generation and nothing was written since.
        package static let clean = Flags(rawValue: 1)
        /// The stored id directory matches the record table.
        package static let directoryIsValid = Flags(rawValue: 2)
        static let known: Flags = [.clean, .directoryIsValid]
    }

    package static let byteCount = 4096
    /// Headers at the front of a file.
    package static let pageCount = 4
    static let magic: UInt32 = 0x4244_564a  // "JVDB"
    static let part = "file header"

    package var dimension: Int
    package var metric: FormatMetric
    package var flags: Flags
    /// Live records.
    package var vectorCount: UInt64
    /// Records deleted whose slots are not reused yet.
    package var deletedCount: UInt64
    /// Byte offset of the first index structure.
    package var indexOffset: UInt64
    /// Byte offset of the first vector.
    package var dataOffset: UInt64
    package var generation: UInt64
    /// Every log record up to here is in the file.
    package var checkpointLSN: UInt64
    package var uuid: StorageUUID
    package var incarnation: UInt64
    package var idHashKey: IDHashKey
    package var fingerprint: StateFingerprint
    /// Slots ever used: the record table's length.
    package var slotCount: UInt64
    /// A power of two, at least 512.
    package var directoryBucketCount: UInt64
    /// Nanoseconds since 1970.
    package var createdAt: UInt64
    /// Nanoseconds since 1970.
    package var updatedAt: UInt64
    package var recordPageCount: UInt32
    package var directoryPageCount: UInt32
    package var pageTableChecksum: UInt32
    /// High-water mark of the payload heap, in units of 32 bytes.
    package var payloadUnitCount: UInt64
    package var lastCommitLSN: UInt64
    /// The log segment that was current at the checkpoint.
    package var logSequence: UInt64
    /// ``checksum`` of the generation before.
    package var previousHeaderChecksum: UInt32
    package var extents: [Extent]

    package init(
        dimension: Int, metric: FormatMetric, flags: Flags = [], vectorCount: UInt64 = 0, deletedCount: UInt64 = 0,
        indexOffset: UInt64 = 0, dataOffset: UInt64 = 0, generation: UInt64 = 0, checkpointLSN: UInt64 = 0,
        uuid: StorageUUID, incarnation: UInt64, idHashKey: IDHashKey, fingerprint: StateFingerprint = .empty,
        slotCount: UInt64 = 0, directoryBucketCount: UInt64 = 512, createdAt: UInt64 = 0, updatedAt: UInt64 = 0,
        recordPageCount: UInt32 = 0, directoryPageCount: UInt32 = 1, pageTableChecksum: UInt32 = 0,
        payloadUnitCount: UInt64 = 0, lastCommitLSN: UInt64 = 0, logSequence: UInt64 = 0,
        previousHeaderChecksum: UInt32 = 0, extents: [Extent] = []
    ) {
        self.dimension = dimension
        self.metric = metric
        self.flags = flags
        self.vectorCount = vectorCount
        self.deletedCount = deletedCount
        self.indexOffset = indexOffset
        self.dataOffset = dataOffset
        self.generation = generation
        self.checkpointLSN = checkpointLSN
        self.uuid = uuid
        self.incarnation = incarnation
        self.idHashKey = idHashKey
        self.fingerprint = fingerprint
        self.slotCount = slotCount
        self.directoryBucketCount = directoryBucketCount
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.recordPageCount = recordPageCount
        self.directoryPageCount = directoryPageCount
        self.pageTableChecksum = pageTableChecksum
        self.payloadUnitCount = payloadUnitCount
        self.lastCommitLSN = lastCommitLSN
        self.logSequence = logSequence
        self.previousHeaderChecksum = previousHeaderChecksum
        self.extents = extents
    }

    package var isClean: Bool {
        get { flags.contains(.clean) }
        set { if newValue { flags.insert(.clean) } else { flags.remove(.clean) } }
    }

    package var directoryIsValid: Bool {
        get { flags.contains(.directoryIsValid) }
        set { if newValue { flags.insert(.directoryIsValid) } else { flags.remove(.directoryIsValid) } }
    }

    /// The first of the two pages that `generation` is written to.
    package static func firstPage(generation: UInt64) -> Int { 2 * Int(generation % 2) }

    /// The CRC of the copy on page `2·(generation mod 2)`, which the next generation records.
    package var checksum: UInt32 {
        let page = encode(pageIndex: Self.firstPage(generation: generation))
        return page[(Self.byteCount - 4)...].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
