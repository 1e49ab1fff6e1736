/// Where a stored record is: the front of store, update and delete bodies and the elements of a bulk body; writers fill
/// it, replay reads it.

/// 32 bytes, exactly as they stand in a log body.
package struct StoreReference: BitwiseCopyable, Sendable, Hashable {
    package static let byteCount = 32

    /// Offset 0.
    package var slot: UInt32
    /// Offset 4: where the payload begins in the heap, in units of 32 bytes.
    package var payloadUnit: UInt32
    /// Offset 8: bytes of the id.
    package var idLength: UInt16
    /// Offset 10: zero.
    package var reserved0: UInt16
    /// Offset 12: bytes of the metadata.
    package var metadataLength: UInt32
    /// Offset 16: CRC-32C of vector, id and metadata bytes.
    package var contentChecksum: UInt32
    /// Offset 20: zero.
    package var reserved1: UInt32
    /// Offset 24: ``IDHash`` of the id.
    package var idHash: UInt64

    package init(
        slot: UInt32, payloadUnit: UInt32, idLength: Int, metadataLength: Int, contentChecksum: UInt32, idHash: UInt64
    ) {
        self.slot = slot
        self.payloadUnit = payloadUnit
        self.idLength = UInt16(idLength)
        reserved0 = 0
        self.metadataLength = UInt32(metadataLength)
        self.contentChecksum = contentChecksum
        reserved1 = 0
        self.idHash = idHash
    }

    /// Bytes of id and metadata together.
    package var payloadLength: Int { Int(idLength) + Int(metadataLength) }

    /// Writes the 32 bytes at `offset`.
    package func encode(into bytes: UnsafeMutableRawBufferPointer, at offset: Int = 0) {
        precondition(offset >= 0 && bytes.count - offset >= Self.byteCount, "no room for a store reference")
        unsafe bytes.storeBytes(of: self, toByteOffset: offset, as: StoreReference.self)
    }

    /// Reads and checks the 32 bytes at `offset`.
    package static func decode(
        _ bytes: UnsafeRawBufferPointer, at offset: Int = 0
    ) throws(FormatError) -> StoreReference {
        let part = "log store reference"
        guard offset >= 0, offset <= bytes.count, bytes.count - offset >= byteCount else {
            throw FormatError(.truncated, part: part, offset: UInt64(bytes.count))
        }
        let reference = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: StoreReference.self)
        guard reference.slot < FormatLimits.slotCount, reference.reserved0 == 0, reference.reserved1 == 0,
            (1...FormatLimits.idByteCount).contains(Int(reference.idLength)),
            reference.metadataLength <= FormatLimits.metadataByteCount
        else { throw FormatError(.invalidValue, part: part, offset: UInt64(offset)) }
        return reference
    }
}
