/// Encodes stretches of live rows into buffers of its own: the code store hands it rows of a snapshot and writes what it
/// finds in the buffers, the check compares it with what is on disk.
import StorageFormat
import StorageIO

final class RowEncoder {
    private let codec: VectorCodec
    private var scratch: VectorCodec.Scratch
    private let highBuffer: AlignedBuffer
    private let lowBuffer: AlignedBuffer
    private let signBuffer: AlignedBuffer

    init(_ codec: VectorCodec) {
        self.codec = codec
        scratch = VectorCodec.Scratch(dimension: codec.dimension)
        highBuffer = AlignedBuffer(byteCount: RecordTable.entriesPerPage * codec.highStride)
        lowBuffer = AlignedBuffer(byteCount: RecordTable.entriesPerPage * codec.lowStride)
        signBuffer = AlignedBuffer(byteCount: max(16, RecordTable.entriesPerPage * codec.signStride))
    }

    /// Encodes `count` rows, 128 at most, and lends their codes to `body`.
    func withCodes<R, Failure: Error>(
        of rows: UnsafeRawPointer, stride: Int, count: Int,
        _ body: (EncodedRows) throws(Failure) -> R
    ) throws(Failure) -> R {
        precondition(count <= RecordTable.entriesPerPage, "more rows than a page has")
        let high = unsafe UnsafeMutableRawBufferPointer(rebasing: highBuffer.bytes[..<(count * codec.highStride)])
        let low = unsafe UnsafeMutableRawBufferPointer(rebasing: lowBuffer.bytes[..<(count * codec.lowStride)])
        let signs = unsafe UnsafeMutableRawBufferPointer(rebasing: signBuffer.bytes[..<(count * codec.signStride)])
        // What a codec leaves out is zero, so that codes can be compared byte by byte.
        unsafe high.initializeMemory(as: UInt8.self, repeating: 0)
        unsafe low.initializeMemory(as: UInt8.self, repeating: 0)
        unsafe codec.encode(
            rows, stride: stride, count: count, high: high.baseAddress!, low: low.baseAddress!,
            signs: signBuffer.bytes.baseAddress!, scratch: &scratch)
        return try unsafe body(
            EncodedRows(
                high: UnsafeRawBufferPointer(high), low: UnsafeRawBufferPointer(low),
                signs: UnsafeRawBufferPointer(signs)))
    }
}

/// Codes of rows that follow one another, in the buffers of an encoder.
@unsafe struct EncodedRows {
    let high: UnsafeRawBufferPointer
    let low: UnsafeRawBufferPointer
    /// Empty if vectors are too short for signs.
    let signs: UnsafeRawBufferPointer
}

/// Which of the 128 entries of a record page a condition holds for.
struct PageBits: Sendable, Equatable, BitwiseCopyable {
    var low: UInt64
    var high: UInt64

    static let none = PageBits(low: 0, high: 0)

    var isEmpty: Bool { low | high == 0 }

    var count: Int { low.nonzeroBitCount + high.nonzeroBitCount }

    /// The lowest entry.
    var first: Int? { low != 0 ? low.trailingZeroBitCount : high != 0 ? 64 + high.trailingZeroBitCount : nil }

    /// The highest entry.
    var last: Int? { high != 0 ? 127 - high.leadingZeroBitCount : low != 0 ? 63 - low.leadingZeroBitCount : nil }

    mutating func insert(_ index: Int) {
        if index < 64 { low |= 1 << UInt64(index) } else { high |= 1 << UInt64(index - 64) }
    }

    func contains(_ index: Int) -> Bool {
        (index < 64 ? low >> UInt64(index) : high >> UInt64(index - 64)) & 1 != 0
    }

    func intersection(_ other: PageBits) -> PageBits { PageBits(low: low & other.low, high: high & other.high) }

    func subtracting(_ other: PageBits) -> PageBits { PageBits(low: low & ~other.low, high: high & ~other.high) }

    /// The first `count` entries only.
    func prefix(_ count: Int) -> PageBits {
        let lowMask = count >= 64 ? UInt64.max : (1 << UInt64(max(0, count))) - 1
        let highMask = count >= 128 ? UInt64.max : count <= 64 ? 0 : (1 << UInt64(count - 64)) - 1
        return PageBits(low: low & lowMask, high: high & highMask)
    }

    /// Calls `body` with each entry in order.
    func forEach<Failure: Error>(_ body: (Int) throws(Failure) -> Void) throws(Failure) {
        var bits = low
        while bits != 0 {
            try body(bits.trailingZeroBitCount)
            bits &= bits - 1
        }
        bits = high
        while bits != 0 {
            try body(64 + bits.trailingZeroBitCount)
            bits &= bits - 1
        }
    }

    /// Calls `body` with each run of entries that follow one another.
    func forEachRun<Failure: Error>(_ body: (Range<Int>) throws(Failure) -> Void) throws(Failure) {
        var start = 0
        while start < RecordTable.entriesPerPage {
            guard contains(start) else {
                start += 1
                continue
            }
            var end = start + 1
            while end < RecordTable.entriesPerPage, contains(end) { end += 1 }
            try body(start..<end)
            start = end
        }
    }
}

extension RecordTable {
    /// Pages that hold entries.
    var pageCount: Int { (slotCount + Self.entriesPerPage - 1) / Self.entriesPerPage }

    /// Which entries of a page are active.
    func liveBits(ofPage index: Int) -> PageBits {
        guard index < pages.pageCount else { return .none }
        let bits = pages.page(index).activeEntries
        let end = slotCount - index * Self.entriesPerPage
        return end >= Self.entriesPerPage ? bits : bits.prefix(end)
    }
}

extension [CodedSlots] {
    /// Which slots of a record page have a code.
    func bits(ofPage page: Int) -> PageBits { PageBits(low: word(page * 2), high: word(page * 2 + 1)) }

    /// Sets the bits of slots of a record page, for which there is a block.
    func insert(_ bits: PageBits, page: Int) {
        let block = self[page * 2 / CodedSlots.wordCount]
        let index = page * 2 % CodedSlots.wordCount
        if bits.low != 0 { block.insert(bits.low, at: index) }
        if bits.high != 0 { block.insert(bits.high, at: index + 1) }
    }
}
