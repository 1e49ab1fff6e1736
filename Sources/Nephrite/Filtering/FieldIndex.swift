/// The inverted index of one declared field: which slots hold which value. ``FieldIndexes`` feeds it page by page and puts
/// its answers together.
import StorageFormat

struct FieldIndex: Sendable {
    let path: FieldPath
    private var scalars = ValuePostings()
    /// Elements of arrays that are scalars.
    private var elements = ValuePostings()
    /// Slots with the field, and those of them where it is an array or an object.
    private(set) var present = Posting.empty
    private(set) var composites = Posting.empty
    /// For each slot: 0 without the field, `composite` for arrays and objects, else the number of its value and 1.
    private var codes: [UInt32] = []
    /// The numbers of the elements of each slot's array.
    private var arrays: [UInt32: [UInt32]] = [:]

    private static let composite = UInt32.max

    /// Scalars that are held, or were until lately.
    var valueCount: Int { scalars.valueCount }

    init(_ path: FieldPath) { self.path = path }

    /// What a record holds in the field.
    enum Content: Sendable {
        case scalar(FieldKey)
        /// An array with these scalars among its elements, each once; an object has none.
        case composite([FieldKey])
    }

    /// Notes what a slot holds now; it held nothing before.
    mutating func insert(_ content: Content, _ slot: UInt32, slotCount: Int) {
        if Int(slot) >= codes.count {
            codes += [UInt32](repeating: 0, count: max(slotCount, Int(slot) + 1) - codes.count)
        }
        present.insert(slot, slotCount: slotCount)
        switch content {
        case .scalar(let key): codes[Int(slot)] = scalars.insert(key, slot, slotCount: slotCount) + 1
        case .composite(let keys):
            codes[Int(slot)] = Self.composite
            composites.insert(slot, slotCount: slotCount)
            if !keys.isEmpty {
                arrays[slot] = keys.map { elements.insert($0, slot, slotCount: slotCount) }
            }
        }
    }

    /// Forgets what a slot holds, if it holds something.
    mutating func remove(_ slot: UInt32) {
        guard Int(slot) < codes.count, codes[Int(slot)] != 0 else { return }
        present.remove(slot)
        if codes[Int(slot)] == Self.composite {
            composites.remove(slot)
            for number in arrays.removeValue(forKey: slot) ?? [] { elements.remove(number, slot) }
        } else {
            scalars.remove(codes[Int(slot)] - 1, slot)
        }
        codes[Int(slot)] = 0
    }

    /// Drops values that nobody holds any more, when they are many.
    mutating func tidy() {
        if scalars.isWasteful {
            let renumbered = scalars.renumber()
            for slot in codes.indices where codes[slot] != 0 && codes[slot] != Self.composite {
                codes[slot] = renumbered[Int(codes[slot]) - 1] + 1
            }
        }
        if elements.isWasteful {
            let renumbered = elements.renumber()
            for slot in arrays.keys { arrays[slot] = arrays[slot]?.map { renumbered[Int($0)] } }
        }
    }

    // MARK: Answers

    /// The postings that together are the slots a test holds for; nil if the index cannot tell. If `isExact` is false
    /// the test holds for some of the slots only.
    mutating func postings(_ test: FieldTest) -> (postings: [Posting], isExact: Bool)? {
        switch test {
        case .exists: return ([present], true)
        case .equals(let value):
            if let key = FieldKey(value) { return ([scalars.posting(key)], true) }
            return isComposite(value) ? ([composites], false) : ([], true)
        case .isIn(let values):
            let keys = Set(values.compactMap { FieldKey($0) })
            let hasComposites = values.contains(where: isComposite)
            return (keys.map { scalars.posting($0) } + (hasComposites ? [composites] : []), !hasComposites)
        case .contains(let value):
            if let key = FieldKey(value) { return ([elements.posting(key)], true) }
            return isComposite(value) ? ([composites], false) : ([], true)
        case .prefix(let prefix):
            let bytes = Array(prefix.utf8)
            let lower = FieldKey.string(bytes)
            return range(isBefore: { $0 < lower }, isInside: { $0.hasPrefix(bytes) })
        case .less(let value): return bounds(nil, true, value, false)
        case .atMost(let value): return bounds(nil, true, value, true)
        case .greater(let value): return bounds(value, false, nil, true)
        case .atLeast(let value): return bounds(value, true, nil, true)
        case .between(let lower, let upper): return bounds(lower, true, upper, true)
        case .notEquals: return nil
        }
    }

    private func isComposite(_ value: MetadataValue) -> Bool {
        switch value {
        case .array, .object: true
        default: false
        }
    }

    private mutating func bounds(
        _ lowerValue: MetadataValue?, _ includesLower: Bool, _ upperValue: MetadataValue?, _ includesUpper: Bool
    ) -> (postings: [Posting], isExact: Bool) {
        let lower = lowerValue.flatMap { FieldKey($0) }
        let upper = upperValue.flatMap { FieldKey($0) }
        // An operand that nothing can be compared with holds for nothing.
        guard (lowerValue == nil) == (lower == nil), (upperValue == nil) == (upper == nil) else { return ([], true) }
        guard let some = lower ?? upper, some.isComparable(to: upper ?? some) else { return ([], true) }
        // In front of a range without a lower limit is what cannot be compared with the upper one.
        func isBefore(_ key: FieldKey) -> Bool {
            if let lower { return key < lower || (!includesLower && key == lower) }
            return !key.isComparable(to: some) && key < some
        }
        func isInside(_ key: FieldKey) -> Bool {
            guard key.isComparable(to: some), !isBefore(key) else { return false }
            guard let upper else { return true }
            return key < upper || (includesUpper && key == upper)
        }
        return range(isBefore: isBefore, isInside: isInside)
    }

    private mutating func range(
        isBefore: (FieldKey) -> Bool, isInside: (FieldKey) -> Bool
    ) -> (postings: [Posting], isExact: Bool) {
        (scalars.range(isBefore: isBefore, isInside: isInside).map { scalars.posting(number: $0) }, true)
    }
}
