/// A set of slots as a bitmap: filters resolve to it, scans combine it with the slots that are live.

/// Bit `i % 64` of word `i / 64` stands for slot `i`.
struct SlotSet: Sendable, Equatable {
    var words: [UInt64]

    /// The empty set with room for slots below `slotCount`.
    init(slotCount: Int) { words = [UInt64](repeating: 0, count: (slotCount + 63) / 64) }

    init(words: [UInt64]) { self.words = words }

    init(_ slots: some Sequence<UInt32>, slotCount: Int) {
        self.init(slotCount: slotCount)
        for slot in slots { insert(slot) }
    }

    @inline(__always)
    func contains(_ slot: UInt32) -> Bool {
        let word = Int(slot >> 6)
        return word < words.count && words[word] & (1 << UInt64(slot & 63)) != 0
    }

    /// Inserts a slot below the count that the set was made for.
    @inline(__always)
    mutating func insert(_ slot: UInt32) { words[Int(slot >> 6)] |= 1 << UInt64(slot & 63) }

    @inline(__always)
    mutating func remove(_ slot: UInt32) { words[Int(slot >> 6)] &= ~(1 << UInt64(slot & 63)) }

    /// How many slots there are. O(words).
    var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    /// Adds the slots of another set that this one has room for.
    mutating func formUnion(_ other: SlotSet) {
        for index in 0..<min(words.count, other.words.count) { words[index] |= other.words[index] }
    }

    mutating func formIntersection(_ other: SlotSet) {
        for index in words.indices { words[index] &= index < other.words.count ? other.words[index] : 0 }
    }

    mutating func subtract(_ other: SlotSet) {
        for index in 0..<min(words.count, other.words.count) { words[index] &= ~other.words[index] }
    }

    /// The first slots in ascending order, `limit` of them at most.
    func firstSlots(_ limit: Int) -> [UInt32] {
        var slots: [UInt32] = []
        for (index, word) in words.enumerated() where word != 0 {
            var rest = word
            while rest != 0 {
                guard slots.count < limit else { return slots }
                slots.append(UInt32(index * 64 + rest.trailingZeroBitCount))
                rest &= rest - 1
            }
        }
        return slots
    }

    /// The first slot at or behind `slot`, nil if there is none.
    func next(from slot: Int) -> Int? {
        var index = slot >> 6
        guard index < words.count else { return nil }
        var word = words[index] & (UInt64.max << UInt64(slot & 63))
        while word == 0 {
            index += 1
            guard index < words.count else { return nil }
            word = words[index]
        }
        return index * 64 + word.trailingZeroBitCount
    }
}
