/// Which slots have a code: one bit each, in blocks that never move. The code store sets bits when codes are in the
/// mapping, the database actor clears them when a slot is handed out again, searches read them without a lock.
import Synchronization

/// The bits of 65,536 slots that follow one another.
// SAFETY: the pointer never changes, and the words behind it are atomic.
@safe final class CodedSlots: @unchecked Sendable {
    static let slotCount = 1 << 16
    static let wordCount = slotCount / 64

    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        unsafe words = .allocate(capacity: Self.wordCount)
        for index in 0..<Self.wordCount { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe words.deinitialize(count: Self.wordCount)
        unsafe words.deallocate()
    }

    /// The bits of slots 64 · index … of the block. Who sees a bit sees the code's bytes, too.
    @inline(__always)
    func load(_ index: Int) -> UInt64 {
        precondition(index >= 0 && index < Self.wordCount, "a word outside its block")
        return unsafe words[index].load(ordering: .acquiring)
    }

    /// Sets bits of a word; the codes' bytes are in place.
    func insert(_ bits: UInt64, at index: Int) {
        precondition(index >= 0 && index < Self.wordCount, "a word outside its block")
        unsafe words[index].bitwiseOr(bits, ordering: .releasing)
    }

    /// Clears bits of a word.
    func remove(_ bits: UInt64, at index: Int) {
        precondition(index >= 0 && index < Self.wordCount, "a word outside its block")
        guard unsafe words[index].load(ordering: .relaxed) & bits != 0 else { return }
        unsafe words[index].bitwiseAnd(~bits, ordering: .acquiringAndReleasing)
    }
}

extension [CodedSlots] {
    /// The bits of slots 64 · index ..< 64 · index + 64; none beyond the last block.
    @inline(__always)
    func word(_ index: Int) -> UInt64 {
        let block = index / CodedSlots.wordCount
        return block < count ? self[block].load(index % CodedSlots.wordCount) : 0
    }

    /// Clears the bit of a slot; nothing to do beyond the last block.
    func remove(slot: UInt32) {
        let block = Int(slot) / CodedSlots.slotCount
        guard block < count else { return }
        self[block].remove(1 << UInt64(slot & 63), at: Int(slot) % CodedSlots.slotCount / 64)
    }
}

/// A set of record pages, for the pages that hold records without a code.
struct PageMarks: Sendable {
    private var words: [UInt64] = []
    private var firstWordHint = 0

    /// The lowest page.
    var first: Int? {
        mutating get {
            while firstWordHint < words.count {
                if words[firstWordHint] != 0 { return firstWordHint * 64 + words[firstWordHint].trailingZeroBitCount }
                firstWordHint += 1
            }
            return nil
        }
    }

    mutating func insert(_ page: Int) {
        let word = page >> 6
        if word >= words.count { words.append(contentsOf: repeatElement(0, count: word + 1 - words.count)) }
        words[word] |= 1 << UInt64(page & 63)
        firstWordHint = Swift.min(firstWordHint, word)
    }

    mutating func insert(below end: Int) {
        for page in 0..<end { insert(page) }
    }

    mutating func remove(_ page: Int) { words[page >> 6] &= ~(1 << UInt64(page & 63)) }

    mutating func formUnion(_ other: PageMarks) {
        for (word, bits) in other.words.enumerated() where bits != 0 {
            if word >= words.count { words.append(contentsOf: repeatElement(0, count: word + 1 - words.count)) }
            words[word] |= bits
            firstWordHint = Swift.min(firstWordHint, word)
        }
    }
}
