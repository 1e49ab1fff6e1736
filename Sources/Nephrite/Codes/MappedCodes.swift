/// The mapped planes of a code file and the bits that say which rows are in them: the code store makes one each time its
/// file grows, searches read it through a ``CodeView``.
import StorageIO

/// Chunks that follow one another, each with the rows of the high plane, of the low plane, and of the plane of signs.
///
/// All mappings of a file share the bits. A set bit is to be believed by whoever holds a snapshot in which the slot is
/// live: a live slot's content does not change, and the bit is cleared before the slot is handed out again.
// SAFETY: immutable references; what lies behind the pointer is written, by pwrite, only where no bit is set.
@safe final class MappedCodes: CodeMemory, @unchecked Sendable {
    private let chunks: UnsafeRawPointer
    private let chunkByteCount: Int
    private let highByteCount: Int
    private let lowByteCount: Int
    private let slotCapacity: Int
    let coded: [CodedSlots]
    private let space: any AddressSpace

    /// - Parameters:
    ///   - space: where the chunks are mapped from its first address on.
    ///   - coded: the bits of `slotCapacity` slots at least; later calls may see more of them set.
    init(
        space: any AddressSpace, chunkByteCount: Int, highByteCount: Int, lowByteCount: Int, slotCapacity: Int,
        coded: [CodedSlots]
    ) {
        precondition(coded.count * CodedSlots.slotCount >= slotCapacity, "slots without a bit")
        self.space = space
        unsafe chunks = space.baseAddress
        self.chunkByteCount = chunkByteCount
        self.highByteCount = highByteCount
        self.lowByteCount = lowByteCount
        self.slotCapacity = slotCapacity
        self.coded = coded
    }

    func highRows(chunk: Int) -> UnsafeRawPointer { unsafe chunks + chunk * chunkByteCount }

    func lowRows(chunk: Int) -> UnsafeRawPointer { unsafe chunks + (chunk * chunkByteCount + highByteCount) }

    func signRows(chunk: Int) -> UnsafeRawPointer {
        unsafe chunks + (chunk * chunkByteCount + highByteCount + lowByteCount)
    }

    func codedWord(_ index: Int) -> UInt64 { index * 64 < slotCapacity ? coded.word(index) : 0 }
}
