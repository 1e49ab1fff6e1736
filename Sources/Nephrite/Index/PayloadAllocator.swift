/// The payload heap's free space: first fit over units of 32 bytes, with neighbours coalescing by construction because
/// free space is a bitmap. Like free slots it is derived, never persisted.
struct PayloadAllocator: Sendable {
    private static let classCount = 32

    /// A bit per unit below the high-water mark; set means free.
    private var freeBits: [UInt64] = []
    private(set) var freeCount = 0
    /// Units at and beyond it were never used.
    private(set) var highWater: Int
    /// For each length up to 32 units, a position below which no such run is free.
    private var hints = [Int](repeating: 0, count: classCount)

    init(highWater: Int = 0) { self.highWater = highWater }

    /// Whether a run of `count` units is sure to be had without going beyond `capacity`.
    func canExtend(by count: Int, capacity: Int) -> Bool { highWater + count <= capacity }

    /// Marks a run as free.
    mutating func release(_ start: UInt32, count: Int) {
        precondition(Int(start) + count <= highWater, "payload space that was never handed out comes back")
        Self.forEachWord(Int(start), count) { word, mask in
            while freeBits.count <= word { freeBits.append(0) }
            precondition(freeBits[word] & mask == 0, "payload space comes back twice")
            freeBits[word] |= mask
        }
        freeCount += count
        for length in 0..<Self.classCount { hints[length] = min(hints[length], max(0, Int(start) - length)) }
    }

    /// Marks a run as used that recovery found to be.
    mutating func claim(_ start: UInt32, count: Int) {
        let end = Int(start) + count
        if end > highWater {
            let old = highWater
            highWater = end
            if Int(start) > old { release(UInt32(old), count: Int(start) - old) }
        }
        Self.forEachWord(Int(start), count) { word, mask in
            guard word < freeBits.count else { return }
            freeCount -= (freeBits[word] & mask).nonzeroBitCount
            freeBits[word] &= ~mask
        }
    }

    /// Marks a run as used if all of it is free; false if any of it is not.
    mutating func claimIfFree(_ start: UInt32, count: Int) -> Bool {
        var isFree = Int(start) + count <= highWater
        Self.forEachWord(Int(start), count) { word, mask in
            isFree = isFree && word < freeBits.count && freeBits[word] & mask == mask
        }
        if isFree { claim(start, count: count) }
        return isFree
    }

    /// The first free run of `count` units, else new units at the end.
    mutating func allocate(_ count: Int) -> UInt32 {
        if freeCount >= count, let start = firstFit(count) {
            Self.forEachWord(start, count) { word, mask in freeBits[word] &= ~mask }
            freeCount -= count
            return UInt32(start)
        }
        highWater += count
        return UInt32(highWater - count)
    }

    private mutating func firstFit(_ count: Int) -> Int? {
        let hintIndex = min(count, Self.classCount) - 1
        var position = hints[hintIndex]
        let end = freeBits.count * 64
        while position < end {
            guard let start = nextFree(from: position) else { break }
            let length = runLength(from: start, limit: count)
            if length >= count {
                if count <= Self.classCount { hints[hintIndex] = start }
                return start
            }
            position = start + length
        }
        if count <= Self.classCount { hints[hintIndex] = end }
        return nil
    }

    private func nextFree(from position: Int) -> Int? {
        var word = position >> 6
        guard word < freeBits.count else { return nil }
        var bits = freeBits[word] & (~0 << UInt64(position & 63))
        while bits == 0 {
            word += 1
            if word == freeBits.count { return nil }
            bits = freeBits[word]
        }
        return word * 64 + bits.trailingZeroBitCount
    }

    private func runLength(from start: Int, limit: Int) -> Int {
        var length = 0
        var position = start
        while length < limit, position >> 6 < freeBits.count {
            let shifted = freeBits[position >> 6] >> UInt64(position & 63)
            let available = 64 - (position & 63)
            let ones = min((~shifted).trailingZeroBitCount, available)
            length += ones
            if ones < available { break }
            position += ones
        }
        return min(length, limit)
    }

    private static func forEachWord(_ start: Int, _ count: Int, _ body: (Int, UInt64) -> Void) {
        var position = start
        let end = start + count
        while position < end {
            let bit = position & 63
            let width = min(64 - bit, end - position)
            body(position >> 6, (width == 64 ? ~0 : (UInt64(1) << UInt64(width)) - 1) << UInt64(bit))
            position += width
        }
    }
}
