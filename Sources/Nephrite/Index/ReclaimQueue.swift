/// Space that updates and deletes have let go, waiting until it may be used again: when the checkpoint that no longer
/// reaches it is durable and no snapshot reaches it (DESIGN §3). The database actor fills and empties it.
#if NEPHRITE_MUTANTS
    import StorageFormat
#endif

struct ReclaimQueue: Sendable {
    /// A slot and payload run that the commit `lsn` freed.
    struct Item: Sendable {
        let lsn: UInt64
        let slot: UInt32
        let payloadUnit: UInt32
        let payloadUnitCount: Int
    }

    private var items: [Item] = []
    private var head = 0

    /// How many slots wait.
    var count: Int { items.count - head }

    /// Adds space freed by a commit; commits come in LSN order.
    mutating func append(_ item: Item) {
        assert(head == items.count || items[items.count - 1].lsn <= item.lsn)
        items.append(item)
    }

    private static func limit(_ checkpointLSN: UInt64, _ oldestSnapshotLSN: UInt64) -> UInt64 {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.reuseBeforeCheckpoint) { return oldestSnapshotLSN }
            if Mutant.isActive(.reuseUnderSnapshot) { return checkpointLSN }
        #endif
        return min(checkpointLSN, oldestSnapshotLSN)
    }

    /// Takes out what was freed at or before both `checkpointLSN` (durable) and `oldestSnapshotLSN`.
    mutating func take(checkpointLSN: UInt64, oldestSnapshotLSN: UInt64) -> ArraySlice<Item> {
        let limit = Self.limit(checkpointLSN, oldestSnapshotLSN)
        var end = head
        while end < items.count, items[end].lsn <= limit { end += 1 }
        let taken = items[head..<end]
        head = end
        if head > 1_024, head * 2 > items.count {
            items.removeFirst(head)
            head = 0
        }
        return taken
    }
}
