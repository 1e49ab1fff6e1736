/// The slots that hold one value: a field index keeps one for each value, answers are put together from them.

/// A set of slots that takes little room whether it has one member or half of all.
struct Posting: Sendable {
    private(set) var count = 0
    /// The only slot, if there is one.
    private var only: UInt32 = 0
    /// Two slots or more in ascending order, unless there is a bitmap.
    private var list: [UInt32] = []
    /// The slots as a bitmap, when they are many.
    private var bitmap = SlotSet(words: [])

    static let empty = Posting()

    private init() {}

    /// Slots in ascending order, each once.
    init(list slots: [UInt32]) {
        count = slots.count
        if count == 1 { only = slots[0] } else { list = slots }
    }

    /// One slot.
    init(_ slot: UInt32) {
        count = 1
        only = slot
    }

    /// The slots of a set.
    init(_ set: SlotSet) {
        count = set.count
        if count > Self.listLimit(slotCount: set.words.count * 64) {
            bitmap = set
        } else if count == 1 {
            only = set.firstSlots(1)[0]
        } else {
            list = set.firstSlots(count)
        }
    }

    /// Members from which on a bitmap for `slotCount` slots is smaller than a list.
    private static func listLimit(slotCount: Int) -> Int { max(64, slotCount / 32) }

    private var isBitmap: Bool { !bitmap.words.isEmpty }

    var isEmpty: Bool { count == 0 }

    func contains(_ slot: UInt32) -> Bool {
        if isBitmap { return bitmap.contains(slot) }
        if count <= 1 { return count == 1 && only == slot }
        let position = position(of: slot)
        return position < list.count && list[position] == slot
    }

    /// Adds a slot that is not there.
    mutating func insert(_ slot: UInt32, slotCount: Int) {
        count += 1
        if isBitmap {
            let missing = max(Int(slot >> 6) + 1, (slotCount + 63) / 64) - bitmap.words.count
            if missing > 0 { bitmap.words += [UInt64](repeating: 0, count: missing) }
            bitmap.insert(slot)
        } else if count == 1 {
            only = slot
        } else if count == 2 {
            list = [min(only, slot), max(only, slot)]
        } else {
            if list[list.count - 1] < slot { list.append(slot) } else { list.insert(slot, at: position(of: slot)) }
            guard count > Self.listLimit(slotCount: slotCount) else { return }
            bitmap = SlotSet(list, slotCount: max(slotCount, Int(list[count - 1]) + 1))
            list = []
        }
    }

    /// Takes out a slot that is there.
    mutating func remove(_ slot: UInt32) {
        count -= 1
        if isBitmap {
            bitmap.remove(slot)
            // Well below the size at which it became a bitmap, so that it does not go back and forth.
            guard count < Self.listLimit(slotCount: bitmap.words.count * 64) / 4 else { return }
            list = bitmap.firstSlots(count)
            bitmap = SlotSet(words: [])
        } else if count > 0 {
            list.remove(at: position(of: slot))
        }
        if count == 1, !isBitmap {
            only = list[0]
            list = []
        }
    }

    /// The slots in ascending order.
    var slots: [UInt32] { isBitmap ? bitmap.firstSlots(count) : count == 1 ? [only] : list }

    /// Adds the slots to a set that has room for them.
    func insert(into set: inout SlotSet) {
        if isBitmap {
            set.formUnion(bitmap)
        } else if count == 1 {
            set.insert(only)
        } else {
            for slot in list { set.insert(slot) }
        }
    }

    /// Where a slot is, or would be, in the list.
    private func position(of slot: UInt32) -> Int {
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if list[middle] < slot { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Algebra

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
            self.init(list: unique)
            return
        }
        var set = SlotSet(slotCount: slotCount)
        for posting in postings { posting.insert(into: &set) }
        self.init(set)
    }

    func intersection(_ other: Posting) -> Posting {
        if isBitmap, other.isBitmap {
            var set = bitmap
            set.formIntersection(other.bitmap)
            return Posting(set)
        }
        return isBitmap
            ? Posting(list: other.slots.filter { contains($0) }) : Posting(list: slots.filter { other.contains($0) })
    }

    /// The slots below a limit, a multiple of 64.
    func below(_ limit: Int) -> Posting {
        isBitmap
            ? Posting(SlotSet(words: Array(bitmap.words.prefix(limit / 64))))
            : Posting(list: slots.filter { $0 < limit })
    }

    /// The slots that are not in `other`.
    func subtracting(_ other: Posting) -> Posting {
        guard isBitmap else { return Posting(list: slots.filter { !other.contains($0) }) }
        var set = bitmap
        if other.isBitmap {
            set.subtract(other.bitmap)
        } else {
            for slot in other.slots where set.contains(slot) { set.remove(slot) }
        }
        return Posting(set)
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
        postings.append(Posting(slot))
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
