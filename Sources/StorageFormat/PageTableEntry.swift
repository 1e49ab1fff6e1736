/// What the page table says of one record or directory page (record pages first, then directory pages); the checkpoint
/// writes it, recovery verifies pages against it.

/// 8 bytes, exactly as they stand in the file.
@usableFromInline
package struct PageTableEntry: BitwiseCopyable, Sendable, Hashable {
    package static let byteCount = 8

    /// Offset 0: CRC-32C of the page, seeded with its kind and index.
    @usableFromInline package var checksum: UInt32
    /// Offset 4: low 32 bits of the generation that wrote the page.
    @usableFromInline package var generation: UInt32

    @inlinable
    package init(checksum: UInt32, generation: UInt32) {
        self.checksum = checksum
        self.generation = generation
    }
}
