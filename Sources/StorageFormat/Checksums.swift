/// CRC-32C and the salts that bind a checksum to its file, incarnation, kind and place; every codec of this module and
/// the engine's page code use them.
import CNephrite

/// CRC-32C (Castagnoli polynomial, RFC 3720 appendix B.4), computed by the C target.
@usableFromInline
package enum CRC32C {
    /// The checksum of `bytes`, going on from `crc`: `checksum(b, continuing: checksum(a)) == checksum(a ‖ b)`.
    @usableFromInline
    package static func checksum(_ bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
        guard let base = bytes.baseAddress else { return crc }
        return unsafe nephrite_crc32c(crc, base, bytes.count)
    }

    /// The checksum of a label and one byte, the seed of a structure that stands at a fixed place.
    package static func seed(_ label: StaticString, index: UInt8? = nil) -> UInt32 {
        let labelled = unsafe checksum(
            UnsafeRawBufferPointer(start: label.utf8Start, count: label.utf8CodeUnitCount))
        guard let index else { return labelled }
        return unsafe withUnsafeBytes(of: index) { unsafe checksum($0, continuing: labelled) }
    }
}

/// The part of every checksum seed that one incarnation of one database file has to itself, so that a page or record
/// from another file, from an older incarnation or from another place fails its check.
@usableFromInline
package struct ChecksumSalt: Sendable {
    /// What a checksum protects.
    @usableFromInline
    package enum Kind: UInt8, Sendable {
        case record = 1
        case recordPage = 2
        case directoryPage = 3
        case pageTable = 4
        case codeRow = 5
    }

    @usableFromInline let recordSalt: UInt32
    @usableFromInline let recordPageSalt: UInt32
    @usableFromInline let directoryPageSalt: UInt32
    @usableFromInline let pageTableSalt: UInt32
    @usableFromInline let codeRowSalt: UInt32

    package init(uuid: StorageUUID, incarnation: UInt64) {
        func salt(_ kind: Kind) -> UInt32 {
            var writer = ByteWriter(reservingCapacity: 32)
            writer.append(uuid)
            writer.append(incarnation)
            writer.append(kind.rawValue)
            return unsafe writer.bytes.withUnsafeBytes { unsafe CRC32C.checksum($0) }
        }
        recordSalt = salt(.record)
        recordPageSalt = salt(.recordPage)
        directoryPageSalt = salt(.directoryPage)
        pageTableSalt = salt(.pageTable)
        codeRowSalt = salt(.codeRow)
    }

    /// The CRC to start from for a `kind` at `position`: a slot, a page index, or region 0 or 1.
    @inlinable
    package func seed(_ kind: Kind, position: UInt64) -> UInt32 {
        let salt =
            switch kind {
            case .record: recordSalt
            case .recordPage: recordPageSalt
            case .directoryPage: directoryPageSalt
            case .pageTable: pageTableSalt
            case .codeRow: codeRowSalt
            }
        return unsafe withUnsafeBytes(of: position) { unsafe CRC32C.checksum($0, continuing: salt) }
    }
}

extension ChecksumSalt {
    /// The checksum of a slot's rows in a code file. It covers the tag of the record that they are the code of, so that the
    /// code of another record fails its check wherever it stands.
    ///
    /// - Parameters:
    ///   - slot: the record's.
    ///   - tag: of its entry in the record table.
    ///   - high: the row of the high plane.
    ///   - low: the row of the low plane.
    package func codeRowChecksum(
        slot: UInt64, tag: UInt32, high: UnsafeRawBufferPointer, low: UnsafeRawBufferPointer,
        signs: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    ) -> UInt32 {
        let seed = unsafe withUnsafeBytes(of: tag.littleEndian) {
            unsafe CRC32C.checksum($0, continuing: self.seed(.codeRow, position: slot))
        }
        let planes = unsafe CRC32C.checksum(low, continuing: CRC32C.checksum(high, continuing: seed))
        return unsafe signs.isEmpty ? planes : CRC32C.checksum(signs, continuing: planes)
    }
}
