/// Hands out slots and takes them back. Free slots are derived (the complement of what is live) and never persisted;
/// ``ReclaimQueue`` returns a slot only when neither the last checkpoint nor any snapshot reaches it.
struct SlotAllocator: Sendable {
    /// A bit per slot below the high-water mark; set means free.
    private var freeBits: [UInt64]
    private(set) var freeCount: Int
    /// Slots at and beyond it were never used.
    private(set) var highWater: Int
    private var firstWordHint = 0

    init(highWater: Int = 0) {
        self.highWater = highWater
        freeBits = []
        freeCount = 0
    }

    /// Marks a slot below the high-water mark as free.
    mutating func release(_ slot: UInt32) {
        let word = Int(slot) >> 6
        let bit = UInt64(1) << (UInt64(slot) & 63)
        precondition(Int(slot) < highWater, "a slot that was never handed out comes back")
        while freeBits.count <= word { freeBits.append(0) }
        precondition(freeBits[word] & bit == 0, "a slot comes back twice")
        freeBits[word] |= bit
        freeCount += 1
        firstWordHint = min(firstWordHint, word)
    }

    /// Whether `count` slots can be had without going beyond `capacity`.
    func canAllocate(_ count: Int, capacity: Int) -> Bool { count <= freeCount + capacity - highWater }

    /// The lowest free slot, else the next new one.
    mutating func allocate() -> UInt32 {
        if freeCount > 0 {
            while firstWordHint < freeBits.count {
                let word = freeBits[firstWordHint]
                if word != 0 {
                    freeBits[firstWordHint] = word & (word - 1)
                    freeCount -= 1
                    return UInt32(firstWordHint * 64 + word.trailingZeroBitCount)
                }
                firstWordHint += 1
            }
        }
        highWater += 1
        return UInt32(highWater - 1)
    }

    /// Marks a slot as used that recovery found to be.
    mutating func claim(_ slot: UInt32) {
        if Int(slot) >= highWater {
            let old = highWater
            highWater = Int(slot) + 1
            for skipped in old..<Int(slot) { release(UInt32(skipped)) }
        } else if Int(slot) >> 6 < freeBits.count {
            let bit = UInt64(1) << (UInt64(slot) & 63)
            if freeBits[Int(slot) >> 6] & bit != 0 {
                freeBits[Int(slot) >> 6] &= ~bit
                freeCount -= 1
            }
        }
    }
}
