/// The codes of a database as a search sees them: the code file hands out views, scans read them.
import Synchronization

/// The codes of a database as a search sees them; keeps the memory they are in alive.
@safe final class CodeView: Sendable {
    let codec: VectorCodec
    /// A power of two, a multiple of 64.
    let chunkSlotCount: Int
    /// Slots at or beyond it have no code.
    let slotCapacity: Int
    private let memory: any CodeMemory
    private let chunkShift: Int

    /// A view of memory that someone else keeps: the code file, or a test.
    init(codec: VectorCodec, chunkSlotCount: Int, slotCapacity: Int, memory: any CodeMemory) {
        precondition(chunkSlotCount % 64 == 0 && chunkSlotCount & (chunkSlotCount - 1) == 0)
        self.codec = codec
        self.chunkSlotCount = chunkSlotCount
        self.slotCapacity = slotCapacity
        self.memory = memory
        chunkShift = chunkSlotCount.trailingZeroBitCount
    }

    /// The chunk of a slot, and the slot's row in it.
    @inline(__always)
    func place(ofSlot slot: Int) -> (chunk: Int, row: Int) { (slot >> chunkShift, slot & (chunkSlotCount - 1)) }

    /// The rows of the high plane of slots `chunk * chunkSlotCount` and following.
    func highRows(chunk: Int) -> UnsafeRawPointer { unsafe memory.highRows(chunk: chunk) }

    /// The rows of the low plane of those slots.
    func lowRows(chunk: Int) -> UnsafeRawPointer { unsafe memory.lowRows(chunk: chunk) }

    /// The rows of the plane of signs of those slots; only where the codec makes one.
    func signRows(chunk: Int) -> UnsafeRawPointer { unsafe memory.signRows(chunk: chunk) }

    /// An acquiring load: bit `i` says whether slot `64 * index + i` has a code.
    func codedWord(_ index: Int) -> UInt64 { memory.codedWord(index) }
}

/// Where codes are.
protocol CodeMemory: AnyObject, Sendable {
    func highRows(chunk: Int) -> UnsafeRawPointer
    func lowRows(chunk: Int) -> UnsafeRawPointer
    func signRows(chunk: Int) -> UnsafeRawPointer
    func codedWord(_ index: Int) -> UInt64
}
