/// One bucket of the id directory, the open-addressing table from id hash to slot; the engine binds mapped directory
/// pages to it.

/// 8 bytes, exactly as they stand in the file.
@usableFromInline
package struct DirectoryBucket: BitwiseCopyable, Sendable, Equatable {
    package static let byteCount = 8

    /// Offset 0: the slot plus one; 0 if the bucket is empty.
    @usableFromInline package var slotPlusOne: UInt32
    /// Offset 4: the top 32 bits of the id hash.
    @usableFromInline package var fragment: UInt32

    @inlinable
    package init(slotPlusOne: UInt32, fragment: UInt32) {
        self.slotPlusOne = slotPlusOne
        self.fragment = fragment
    }

    @inlinable package static var empty: DirectoryBucket { DirectoryBucket(slotPlusOne: 0, fragment: 0) }

    @inlinable package var isEmpty: Bool { slotPlusOne == 0 }

    /// The fragment of a hash.
    @inlinable
    package static func fragment(of idHash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: idHash &>> 32) }

    /// Where the search for `fragment` starts in a table of 2^`bits` buckets (`bits` in 9…32).
    @inlinable
    package static func home(fragment: UInt32, bits: Int) -> Int {
        Int(UInt64(fragment) &>> UInt64(truncatingIfNeeded: 32 &- bits))
    }
}
