/// The slots that hold one value: a field index keeps one for each value, answers are put together from them.

/// A set of slots that takes little room whether it has one member or half of all.
enum Posting: Sendable {
    case one(UInt32)
    /// Ascending.
    case list([UInt32])
    case bitmap(SlotSet, count: Int)

    static let empty = Posting.list([])

    /// Members from which on a bitmap for `slotCount` slots is smaller than a list.
    private static func listLimit(slotCount: Int) -> Int { max(64, slotCount / 32) }

    var count: Int {
        switch self {
        case .one: 1
        case .list(let slots): slots.count
        case .bitmap(_, let count): count
        }
    }

    var isEmpty: Bool { count == 0 }

    func contains(_ slot: UInt32) -> Bool {
        switch self {
        case .one(let own): own == slot
        case .list(let slots): Self.isFound(slot, in: slots, at: Self.position(of: slot, in: slots))
        case .bitmap(let set, _): set.contains(slot)
        }
    }

    /// Adds a slot that is not there.
    mutating func insert(_ slot: UInt32, slotCount: Int) {
        switch consume self {
        case .one(let own): self = .list([min(own, slot), max(own, slot)])
        case .list(var slots):
            self = .empty
            if let last = slots.last, last > slot {
                slots.insert(slot, at: Self.position(of: slot, in: slots))
            } else {
                slots.append(slot)
            }
            if slots.count == 1 {
                self = .one(slot)
            } else if slots.count > Self.listLimit(slotCount: slotCount) {
                let count = slots.count
                self = .bitmap(SlotSet(slots, slotCount: max(slotCount, Int(slots[count - 1]) + 1)), count: count)
            } else {
                self = .list(slots)
            }
        case .bitmap(var set, let count):
            self = .empty
            let word = Int(slot >> 6)
            if word >= set.words.count {
                set.words += [UInt64](repeating: 0, count: max(word + 1, (slotCount + 63) / 64) - set.words.count)
            }
            set.insert(slot)
            self = .bitmap(set, count: count + 1)
        }
    }

    /// Takes out a slot that is there.
    mutating func remove(_ slot: UInt32) {
        switch consume self {
        case .one: self = .empty
        case .list(var slots):
            self = .empty
            slots.remove(at: Self.position(of: slot, in: slots))
            self = slots.count == 1 ? .one(slots[0]) : .list(slots)
        case .bitmap(var set, let count):
            self = .empty
            set.remove(slot)
            // Well below the size at which it became a bitmap, so that it does not go back and forth.
            let isSparse = count - 1 < Self.listLimit(slotCount: set.words.count * 64) / 4
            self = isSparse ? .list(set.firstSlots(.max)) : .bitmap(set, count: count - 1)
        }
    }

    /// The slots in ascending order.
    var slots: [UInt32] {
        switch self {
        case .one(let slot): [slot]
        case .list(let slots): slots
        case .bitmap(let set, _): set.firstSlots(.max)
        }
    }

    /// Adds the slots to a set that has room for them.
    func insert(into set: inout SlotSet) {
        switch self {
        case .one(let slot): set.insert(slot)
        case .list(let slots): for slot in slots { set.insert(slot) }
        case .bitmap(let own, _): set.formUnion(own)
        }
    }

    /// Where a slot is, or would be, in an ascending list.
    private static func position(of slot: UInt32, in slots: [UInt32]) -> Int {
        var low = 0
        var high = slots.count
        while low < high {
            let middle = (low + high) / 2
            if slots[middle] < slot { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func isFound(_ slot: UInt32, in slots: [UInt32], at position: Int) -> Bool {
        position < slots.count && slots[position] == slot
    }
}

/// The values of a field and the slots that hold each: found by hash, and in order for ranges.
struct ValuePostings: Sendable {
    private var numbers: [FieldKey: UInt32] = [:]
    private var keys: [FieldKey] = []
    private(set) var postings: [Posting] = []
    /// Values that no slot holds any more; their numbers are used again after the next ordering.
    private var emptyCount = 0
    /// Numbers of values in the order of their keys, as of the last ordering; nil until it is asked for.
    private var ordered: [UInt32]?
    /// Numbers given since then.
    private var unordered: [UInt32] = []

    /// Values that are held, or were since the last ordering.
    var valueCount: Int { postings.count }

    func posting(_ key: FieldKey) -> Posting { numbers[key].map { postings[Int($0)] } ?? .empty }

    func posting(number: UInt32) -> Posting { postings[Int(number)] }

    /// Notes that a slot holds a value, which it did not; returns the value's number.
    mutating func insert(_ key: FieldKey, _ slot: UInt32, slotCount: Int) -> UInt32 {
        if let number = numbers[key] {
            if postings[Int(number)].isEmpty { emptyCount -= 1 }
            postings[Int(number)].insert(slot, slotCount: slotCount)
            return number
        }
        let number = UInt32(postings.count)
        numbers[key] = number
        keys.append(key)
        postings.append(.one(slot))
        if ordered != nil { unordered.append(number) }
        return number
    }

    /// Notes that a slot does not hold a value any more.
    mutating func remove(_ number: UInt32, _ slot: UInt32) {
        postings[Int(number)].remove(slot)
        if postings[Int(number)].isEmpty { emptyCount += 1 }
    }

    /// Whether so many values are held by nobody that ``renumber()`` is due.
    var isWasteful: Bool { emptyCount > 1_024 && emptyCount > postings.count / 2 }

    /// Drops the values that nobody holds; returns the new number of each old one.
    mutating func renumber() -> [UInt32] {
        var renumbered = [UInt32](repeating: 0, count: postings.count)
        var kept = ValuePostings()
        for number in postings.indices where !postings[number].isEmpty {
            renumbered[number] = UInt32(kept.postings.count)
            kept.numbers[keys[number]] = UInt32(kept.postings.count)
            kept.keys.append(keys[number])
            kept.postings.append(postings[number])
        }
        self = kept
        return renumbered
    }

    /// The values between two limits, by number, in no particular order.
    ///
    /// - Parameters:
    ///   - isBefore: holds for the keys in front of the range, all of which sort before the others.
    ///   - isInside: holds for the keys of the range, which follow each other.
    mutating func range(isBefore: (FieldKey) -> Bool, isInside: (FieldKey) -> Bool) -> [UInt32] {
        order()
        guard let ordered else { return [] }
        var low = 0
        var high = ordered.count
        while low < high {
            let middle = (low + high) / 2
            if isBefore(keys[Int(ordered[middle])]) { low = middle + 1 } else { high = middle }
        }
        var found: [UInt32] = []
        while low < ordered.count, isInside(keys[Int(ordered[low])]) {
            if !postings[Int(ordered[low])].isEmpty { found.append(ordered[low]) }
            low += 1
        }
        for number in unordered where isInside(keys[Int(number)]) && !postings[Int(number)].isEmpty {
            found.append(number)
        }
        return found
    }

    /// Puts new values in order, when there are so many that going through them would cost as much.
    private mutating func order() {
        if let old = ordered, unordered.count <= 256 + old.count / 64 { return }
        let added = (ordered == nil ? postings.indices.map { UInt32($0) } : unordered)
            .sorted { keys[Int($0)] < keys[Int($1)] }
        guard let old = ordered else {
            ordered = added
            return
        }
        var merged: [UInt32] = []
        merged.reserveCapacity(old.count + added.count)
        var position = 0
        for number in added {
            while position < old.count, keys[Int(old[position])] < keys[Int(number)] {
                merged.append(old[position])
                position += 1
            }
            merged.append(number)
        }
        merged += old[position...]
        ordered = merged
        unordered = []
    }
}

extension Posting {
    /// The slots of a set.
    init(_ set: SlotSet) {
        let count = set.count
        let isSparse = count <= Self.listLimit(slotCount: set.words.count * 64)
        self = isSparse ? .list(set.firstSlots(.max)) : .bitmap(set, count: count)
    }

    /// All slots that are in one of the postings or more; `slotCount` is more than any of them.
    init(union postings: [Posting], slotCount: Int) {
        if postings.count == 1 {
            self = postings[0]
            return
        }
        let total = postings.reduce(0) { $0 + $1.count }
        guard total > Self.listLimit(slotCount: slotCount) else {
            var slots: [UInt32] = []
            slots.reserveCapacity(total)
            for posting in postings { slots += posting.slots }
            slots.sort()
            var unique: [UInt32] = []
            unique.reserveCapacity(slots.count)
            for slot in slots where unique.last != slot { unique.append(slot) }
            self = .list(unique)
            return
        }
        var set = SlotSet(slotCount: slotCount)
        for posting in postings { posting.insert(into: &set) }
        self = Posting(set)
    }

    func intersection(_ other: Posting) -> Posting {
        switch (self, other) {
        case (.bitmap(var set, _), .bitmap(let others, _)):
            set.formIntersection(others)
            return Posting(set)
        case (.bitmap, _): return .list(other.slots.filter { contains($0) })
        default: return .list(slots.filter { other.contains($0) })
        }
    }

    /// The slots below a limit, a multiple of 64.
    func below(_ limit: Int) -> Posting {
        guard case .bitmap(let set, _) = self else { return .list(slots.filter { $0 < limit }) }
        return Posting(SlotSet(words: Array(set.words.prefix(limit / 64))))
    }

    /// The slots that are not in `other`; `slotCount` is more than any slot of the two.
    func subtracting(_ other: Posting, slotCount: Int) -> Posting {
        guard case .bitmap(var set, _) = self else { return .list(slots.filter { !other.contains($0) }) }
        if case .bitmap(let others, _) = other {
            set.subtract(others)
        } else {
            for slot in other.slots where set.contains(slot) { set.remove(slot) }
        }
        return Posting(set)
    }
}
