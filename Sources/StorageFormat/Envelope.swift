/// What file headers and segment headers have in common: a page with a magic number, two versions and a checksum in its
/// last four bytes; their decoders start here.

/// Checks size, magic, checksum and version in this order and leaves `reader` at byte 8.
///
/// - Returns: The version that wrote the page.
func checkEnvelope(
    _ reader: inout ByteReader, magic: UInt32, byteCount: Int, seed: UInt32
) throws(FormatError) -> UInt16 {
    guard reader.remaining >= byteCount else { throw reader.error(.truncated, at: reader.remaining) }
    let found = try reader.u32()
    guard found == magic else {
        throw reader.error(found == magic.byteSwapped ? .wrongEndianness : .badMagic, at: 0)
    }
    let stored = unsafe reader.bytes.loadUnaligned(fromByteOffset: byteCount - 4, as: UInt32.self)
    let covered = unsafe UnsafeRawBufferPointer(rebasing: reader.bytes[..<(byteCount - 4)])
    guard unsafe CRC32C.checksum(covered, continuing: seed) == stored else {
        throw reader.error(.checksumMismatch, at: byteCount - 4)
    }
    return try checkVersion(&reader)
}

/// Reads a version and a minimum reader version, and refuses what is too new for this release.
func checkVersion(_ reader: inout ByteReader) throws(FormatError) -> UInt16 {
    let start = reader.offset
    let version = try reader.u16()
    let minimum = try reader.u16()
    guard minimum <= FormatVersion.current else {
        throw reader.error(.newerVersion(found: version, supported: FormatVersion.current), at: start)
    }
    guard minimum > 0, version >= minimum else { throw reader.error(.invalidValue, at: start) }
    return version
}

extension ByteReader {
    /// Skips to `position`; a version 1 writer left zeros there, a later one may use the place for what old readers
    /// need not know.
    mutating func reserved(until position: Int, version: UInt16) throws(FormatError) {
        if version == FormatVersion.current {
            try zeros(position - offset)
        } else {
            _ = try take(position - offset)
        }
    }
}
