/// One slot of the record table: where the record's payload is, which write made it and how to check it; the engine
/// binds mapped record pages to it.

/// 32 bytes at stride 32, exactly as they stand in the file.
@usableFromInline
package struct RecordEntry: BitwiseCopyable, Sendable, Equatable {
    @usableFromInline
    package struct Flags: OptionSet, Sendable, Hashable, BitwiseCopyable {
        @usableFromInline package let rawValue: UInt8

        @inlinable
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The slot holds a live record.
        @inlinable package static var active: Flags { Flags(rawValue: 1) }
        /// The slot held a record that was deleted.
        @inlinable package static var deleted: Flags { Flags(rawValue: 2) }
    }

    package static let byteCount = 32

    /// Offset 0: ``IDHash`` of the id.
    @usableFromInline package var idHash: UInt64
    /// Offset 8: where the payload begins in the heap, in units of 32 bytes.
    @usableFromInline package var payloadUnit: UInt32
    /// Offset 12: id and metadata bytes in the low 24 bits, ``Flags`` above.
    @usableFromInline package var payloadLengthAndFlags: UInt32
    /// Offset 16: the log sequence number of the write that put the record here.
    @usableFromInline package var lsn: UInt64
    /// Offset 24: content checksum XOR the seed of this slot.
    @usableFromInline package var tag: UInt32
    /// Offset 28: bytes of the id, the front of the payload.
    @usableFromInline package var idLength: UInt16
    /// Offset 30: zero.
    @usableFromInline package var reserved: UInt16

    @inlinable
    package init(
        idHash: UInt64, payloadUnit: UInt32, payloadLength: Int, flags: Flags, lsn: UInt64, tag: UInt32, idLength: Int
    ) {
        precondition(payloadLength >= 0 && payloadLength < 1 << 24, "payload length needs more than 24 bits")
        self.idHash = idHash
        self.payloadUnit = payloadUnit
        payloadLengthAndFlags = UInt32(truncatingIfNeeded: payloadLength) | UInt32(flags.rawValue) &<< 24
        self.lsn = lsn
        self.tag = tag
        self.idLength = UInt16(idLength)
        reserved = 0
    }

    /// A slot that was never used: all zero.
    @inlinable package static var empty: RecordEntry {
        RecordEntry(idHash: 0, payloadUnit: 0, payloadLength: 0, flags: [], lsn: 0, tag: 0, idLength: 0)
    }

    /// Bytes of id and metadata together.
    @inlinable package var payloadLength: Int {
        get { Int(payloadLengthAndFlags & 0x00ff_ffff) }
        set {
            precondition(newValue >= 0 && newValue < 1 << 24, "payload length needs more than 24 bits")
            payloadLengthAndFlags = payloadLengthAndFlags & 0xff00_0000 | UInt32(truncatingIfNeeded: newValue)
        }
    }

    @inlinable package var flags: Flags {
        get { Flags(rawValue: UInt8(truncatingIfNeeded: payloadLengthAndFlags &>> 24)) }
        set { payloadLengthAndFlags = payloadLengthAndFlags & 0x00ff_ffff | UInt32(newValue.rawValue) &<< 24 }
    }

    @inlinable package var isActive: Bool { payloadLengthAndFlags & 0x0100_0000 != 0 }
    @inlinable package var isDeleted: Bool { payloadLengthAndFlags & 0x0200_0000 != 0 }
}
