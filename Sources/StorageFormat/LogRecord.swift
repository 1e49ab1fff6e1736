/// The header of one log record: what it is, whose, and its place in the log; ``LogCodec`` reads and writes it.

/// What a log record says.
package enum LogRecordType: UInt8, Sendable, Hashable, CaseIterable {
    case store = 1
    case update = 2
    case delete = 3
    case createDatabase = 4
    case deleteDatabase = 5
    case resize = 6
    case checkpoint = 7
    case commit = 8
    case syncMarker = 9
    case bulkStore = 10
}

/// 48 bytes, 32-byte aligned in the segment; the body follows, then zeros up to a multiple of 32.
package struct LogRecordHeader: Sendable, Hashable {
    package static let byteCount = 48
    /// Records start at multiples of this.
    package static let alignment = 32
    package static let magic: UInt32 = 0x4352_574e  // "NWRC"

    /// CRC-32C from byte 8 to the end of the body, seeded with the segment's salt.
    package var checksum: UInt32
    /// The checksum of the record before it in the segment; the salt seed for the first.
    package var previousChecksum: UInt32
    package var bodyLength: Int
    package var type: LogRecordType
    /// ``mayPrecedeData`` or 0.
    package var flags: UInt8
    /// The number of the database that the record belongs to.
    package var database: UInt32
    package var lsn: UInt64
    package var transaction: UInt64
    /// Everything up to this LSN was on disk when the record was written.
    package var syncedUpTo: UInt64

    /// The flag of a bulk store whose vectors and payloads may reach the disk after the record does. Until a later record says
    /// that the commit was on disk, they tell by their checksums whether they are.
    package static let mayPrecedeData: UInt8 = 1

    package init(
        checksum: UInt32, previousChecksum: UInt32, bodyLength: Int, type: LogRecordType, flags: UInt8 = 0,
        database: UInt32, lsn: UInt64, transaction: UInt64, syncedUpTo: UInt64
    ) {
        self.checksum = checksum
        self.previousChecksum = previousChecksum
        self.bodyLength = bodyLength
        self.type = type
        self.flags = flags
        self.database = database
        self.lsn = lsn
        self.transaction = transaction
        self.syncedUpTo = syncedUpTo
    }
}
