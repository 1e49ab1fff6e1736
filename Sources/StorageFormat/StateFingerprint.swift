/// The fingerprint of a database's live records: writers update it in O(1), commits and headers carry it, and recovery,
/// compaction, backup and restore must come out at the same one.

/// The sum modulo 2^128 of a 128-bit hash of (id hash, LSN, content checksum) over the live records.
///
/// Addition commutes and has inverses, so the order of inserts and removes does not matter. It tells accidents, not
/// adversaries: who can choose all three inputs can forge it.
@usableFromInline
package struct StateFingerprint: Sendable, Hashable {
    @usableFromInline package var low: UInt64
    @usableFromInline package var high: UInt64

    /// The fingerprint of no records.
    package static let empty = StateFingerprint(low: 0, high: 0)

    @inlinable
    package init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    @inlinable
    package mutating func insert(idHash: UInt64, lsn: UInt64, contentChecksum: UInt32) {
        self = self + Self.hash(idHash: idHash, lsn: lsn, contentChecksum: contentChecksum)
    }

    @inlinable
    package mutating func remove(idHash: UInt64, lsn: UInt64, contentChecksum: UInt32) {
        self = self - Self.hash(idHash: idHash, lsn: lsn, contentChecksum: contentChecksum)
    }

    @inlinable
    package static func + (left: StateFingerprint, right: StateFingerprint) -> StateFingerprint {
        let (low, carry) = left.low.addingReportingOverflow(right.low)
        return StateFingerprint(low: low, high: left.high &+ right.high &+ (carry ? 1 : 0))
    }

    @inlinable
    package static func - (left: StateFingerprint, right: StateFingerprint) -> StateFingerprint {
        let (low, borrow) = left.low.subtractingReportingOverflow(right.low)
        return StateFingerprint(low: low, high: left.high &- right.high &- (borrow ? 1 : 0))
    }

    /// The hash of one record. The six constants are consecutive 64-bit words of the fraction of pi (the first six
    /// words of Blowfish's P-array, taken in pairs): numbers that hide nothing.
    @inlinable
    package static func hash(idHash: UInt64, lsn: UInt64, contentChecksum: UInt32) -> StateFingerprint {
        let placed = lsn ^ UInt64(contentChecksum) &<< 32
        return StateFingerprint(
            low: mix(idHash ^ 0x243f_6a88_85a3_08d3, placed ^ 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d1),
            high: mix(idHash ^ 0x082e_fa98_ec4e_6c89, placed ^ 0x4528_21e6_38d0_1377, 0xbe54_66cf_34e9_0c6d))
    }

    /// The folded 128-bit product of `a` and `b`, then one multiplication by an odd constant between two xor-shifts.
    @inlinable
    static func mix(_ a: UInt64, _ b: UInt64, _ multiplier: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        var folded = product.high ^ product.low
        folded ^= folded &>> 32
        folded = folded &* multiplier
        return folded ^ folded &>> 29
    }
}
