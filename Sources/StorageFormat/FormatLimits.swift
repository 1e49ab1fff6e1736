/// The limits of format version 1 and the sizes that several structures share; the engine checks its input against
/// them, the parsers check files.

#if _endian(big)
    #error("Nephrite's files are little-endian and are mapped as they are: big-endian machines are not supported")
#endif

package enum FormatLimits {
    package static let idByteCount = 512
    package static let dimension = 65_536
    package static let metadataByteCount = 1 << 20
    /// Levels of nesting, the top-level fields being level 1.
    package static let metadataDepth = 32
    package static let metadataKeyByteCount = 256
    package static let metadataFieldCount = 65_535
    package static let databaseNameByteCount = 64
    package static let indexedFieldCount = 16
    package static let indexedFieldByteCount = 1_024
    package static let pageByteCount = 4096
    package static let recordsPerPage = 128
    package static let bucketsPerPage = 512
    package static let payloadUnitByteCount = 32
    package static let extentUnitByteCount = 65_536
    package static let extentCount = 319
    package static let slotCount = 1 << 31
    /// The heap's units are numbered with 32 bits: 128 GiB.
    package static let payloadUnitCount = (1 << 32) - 1
    /// Id directories have 2^9 … 2^32 buckets: a page at least, and no more than a fragment can tell apart.
    package static let directoryBucketCounts = UInt64(1) << 9...UInt64(1) << 32
}

/// The version written into every structure, and the newest `minimumReaderVersion` that is read.
package enum FormatVersion {
    package static let current: UInt16 = 1
}

/// Bytes from one vector to the next in the vector area: 4 bytes a component, rounded up to a cache line of 64.
@inlinable
package func vectorStride(dimension: Int) -> Int {
    (dimension * 4 + 63) & ~63
}

/// `value` rounded up to a multiple of `alignment`, a power of two.
@inlinable
package func roundedUp(_ value: Int, toMultipleOf alignment: Int) -> Int {
    (value + alignment - 1) & ~(alignment - 1)
}
