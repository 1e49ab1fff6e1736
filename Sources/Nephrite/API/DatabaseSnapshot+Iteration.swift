/// Going through the records of a snapshot, with a cursor to go on from later.
import StorageFormat

/// A place in a database's order of records, to go on behind.
///
/// The order is that of storage. It does not change while a record stays as it is, but a record that is written again may
/// move: going on from a cursor in a *newer* snapshot can meet it a second time or pass it over. In the snapshot it came
/// from, a cursor is exact.
public struct RecordCursor: Sendable, Hashable, Codable {
    let slot: Int

    init(slot: Int) { self.slot = slot }

    /// Decodes a cursor, from wherever it may have been kept.
    ///
    /// - Throws: `DecodingError` if it is none.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        slot = try container.decode(Int.self, forKey: .slot)
        guard slot >= 0 else {
            throw DecodingError.dataCorruptedError(
                forKey: .slot, in: container, debugDescription: "A cursor is 0 or more.")
        }
    }
}

/// The ids of a snapshot's records, in the order in which they are stored.
public struct SnapshotIDs: Sequence, Sendable {
    let snapshot: DatabaseSnapshot
    let start: Int
    /// The only slots to go through; nil: all.
    var matches: SlotSet?

    /// Goes through the ids.
    public struct Iterator: IteratorProtocol {
        var walk: SlotWalk

        /// The next id.
        public mutating func next() -> String? { walk.next().map { walk.snapshot.id(of: $0.entry) } }

        /// Where the iteration is: behind the id that was returned last.
        public var cursor: RecordCursor { RecordCursor(slot: walk.slot) }
    }

    /// Begins going through the ids.
    public func makeIterator() -> Iterator {
        Iterator(walk: SlotWalk(snapshot: snapshot, slot: start, matches: matches))
    }
}

/// The records of a snapshot, in the order in which they are stored; a damaged one appears as the error it is.
public struct SnapshotRecords: Sequence, Sendable {
    let snapshot: DatabaseSnapshot
    let start: Int
    /// The only slots to go through; nil: all.
    var matches: SlotSet?

    /// Goes through the records.
    public struct Iterator: IteratorProtocol {
        var walk: SlotWalk

        /// The next record.
        public mutating func next() -> Result<VectorRecord, StoreError>? {
            guard let (slot, entry) = walk.next() else { return nil }
            do {
                return .success(try walk.snapshot.record(slot: slot, entry: entry))
            } catch {
                return .failure(error)
            }
        }

        /// Where the iteration is: behind the record that was returned last.
        public var cursor: RecordCursor { RecordCursor(slot: walk.slot) }
    }

    /// Begins going through the records.
    public func makeIterator() -> Iterator {
        Iterator(walk: SlotWalk(snapshot: snapshot, slot: start, matches: matches))
    }
}

/// Goes through active slots in order.
struct SlotWalk: Sendable {
    let snapshot: DatabaseSnapshot
    var slot: Int
    /// The only slots to go through; nil: all.
    var matches: SlotSet?

    mutating func next() -> (slot: UInt32, entry: RecordEntry)? {
        let records = snapshot.records
        if let matches {
            while let next = matches.next(from: slot) {
                slot = next + 1
                let entry = records[next]
                if entry.isActive { return (UInt32(next), entry) }
            }
            slot = max(slot, records.slotCount)
            return nil
        }
        while slot < records.slotCount {
            let page = slot / RecordTable.entriesPerPage
            if slot % RecordTable.entriesPerPage == 0, records.pages.page(page).activeCount == 0 {
                slot += RecordTable.entriesPerPage
                continue
            }
            let entry = records[slot]
            slot += 1
            if entry.isActive { return (UInt32(slot - 1), entry) }
        }
        return nil
    }
}

extension DatabaseSnapshot {
    /// The ids, from the first or from behind a cursor, in the order in which they are stored.
    public func ids(after cursor: RecordCursor? = nil) -> SnapshotIDs {
        SnapshotIDs(snapshot: self, start: cursor?.slot ?? 0)
    }

    /// The records, from the first or from behind a cursor, in the order in which they are stored.
    ///
    /// Each element is a record or the `corruption` error that reading it met; the walk goes on behind a damaged one.
    public func records(after cursor: RecordCursor? = nil) -> SnapshotRecords {
        SnapshotRecords(snapshot: self, start: cursor?.slot ?? 0)
    }
}

/// The ids of a database as of the moment of asking, whatever is written meanwhile. It holds a snapshot.
public struct RecordIDs: AsyncSequence, Sendable {
    let ids: SnapshotIDs

    /// Goes through the ids.
    public struct AsyncIterator: AsyncIteratorProtocol {
        var iterator: SnapshotIDs.Iterator

        /// The next id; nil at the end.
        ///
        /// - Throws: `CancellationError`.
        public mutating func next() async throws(CancellationError) -> String? {
            if Task.isCancelled { throw CancellationError() }
            return iterator.next()
        }

        /// Where the iteration is, to go on from later.
        public var cursor: RecordCursor { iterator.cursor }
    }

    /// Begins going through the ids.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(iterator: ids.makeIterator()) }
}

/// The records of a database as of the moment of asking, whatever is written meanwhile. It holds a snapshot.
public struct Records: AsyncSequence, Sendable {
    let records: SnapshotRecords

    /// Goes through the records.
    public struct AsyncIterator: AsyncIteratorProtocol {
        var iterator: SnapshotRecords.Iterator

        /// The next record; nil at the end.
        ///
        /// - Throws: `corruption` for a damaged record; the iteration may go on behind it. `CancellationError`.
        public mutating func next() async throws -> VectorRecord? {
            try Task.checkCancellation()
            return try iterator.next()?.get()
        }

        /// Where the iteration is, to go on from later.
        public var cursor: RecordCursor { iterator.cursor }
    }

    /// Begins going through the records.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(iterator: records.makeIterator()) }
}
