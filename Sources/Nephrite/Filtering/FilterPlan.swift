/// How a search applies a filter: resolving a filter on a snapshot gives the plan, the searcher carries it out.
import StorageFormat
import Synchronization

/// The slots that a filter holds for, in the form that costs a search least. Sets and lists hold live slots of the
/// snapshot only, and all of them that the filter holds for.
enum FilterPlan: Sendable {
    /// Every live slot.
    case all
    /// No slot.
    case none
    /// Bitmap first: only these slots are scored.
    case slots(SlotSet)
    /// Few slots, in ascending order; they are scored one by one.
    case list([UInt32])
    /// Scan first: every live slot is scored, and the filter is asked about those that would be among the nearest.
    case predicate(CompiledFilter)

    /// The plan for a set of live slots.
    init(_ slots: SlotSet) {
        let count = slots.count
        if count == 0 {
            self = .none
        } else if count <= Self.listLimit(slotCount: slots.words.count * 64) {
            self = .list(slots.firstSlots(count))
        } else {
            self = .slots(slots)
        }
    }

    /// How many rows it may hold for.
    func rowCount(in snapshot: DatabaseSnapshot) -> Int {
        switch self {
        case .all, .predicate: snapshot.count
        case .none: 0
        case .slots(let slots): slots.count
        case .list(let slots): slots.count
        }
    }

    /// The plan for a posting of live slots below `slotCount`.
    init(_ posting: Posting, slotCount: Int) {
        if posting.isEmpty {
            self = .none
        } else if posting.count <= Self.listLimit(slotCount: slotCount) {
            self = .list(posting.slots)
        } else {
            var slots = SlotSet(slotCount: slotCount)
            posting.insert(into: &slots)
            self = .slots(slots)
        }
    }

    /// How many slots are few.
    private static func listLimit(slotCount: Int) -> Int { max(64, slotCount / 256) }
}

extension DatabaseSnapshot {
    /// The encoded metadata of a live slot, where it lies.
    @inline(__always)
    func metadataBytes(_ entry: RecordEntry) -> UnsafeRawBufferPointer {
        let idLength = Int(entry.idLength)
        return unsafe UnsafeRawBufferPointer(
            start: payloadAddress(entry) + idLength, count: max(0, entry.payloadLength - idLength))
    }

    /// Whether a filter holds for a live slot.
    ///
    /// - Throws: `corruption` if the record's metadata is damaged.
    @inline(__always)
    func matches(_ filter: CompiledFilter, slot: UInt32) throws(StoreError) -> Bool {
        try matches(filter, slot: slot, entry: records[Int(slot)])
    }

    @inline(__always)
    func matches(_ filter: CompiledFilter, slot: UInt32, entry: RecordEntry) throws(StoreError) -> Bool {
        do throws(FormatError) {
            return try unsafe filter.matches(metadataBytes(entry))
        } catch {
            throw damaged(slot: slot, entry: entry)
        }
    }
}

/// The first record whose metadata was damaged, met by a scan that asks about single rows and cannot throw.
final class FilterFailure: Sendable {
    private let first = Mutex<StoreError?>(nil)

    /// Whether a filter holds for a live slot; false, and the error kept, if its metadata is damaged.
    func matches(_ filter: CompiledFilter, slot: UInt32, in snapshot: DatabaseSnapshot) -> Bool {
        do throws(StoreError) {
            return try snapshot.matches(filter, slot: slot)
        } catch {
            first.withLock { if $0 == nil { $0 = error } }
            return false
        }
    }

    /// Throws what was kept.
    func check() throws(StoreError) {
        if let error = first.withLock({ $0 }) { throw error }
    }
}
