/// Counting, listing and deleting the records that a filter holds for.
import StorageFormat

extension DatabaseSnapshot {
    /// How many records a filter holds for.
    ///
    /// - Throws: `invalidFilter`; `corruption` if a record's metadata is damaged; `CancellationError`.
    /// - Complexity: without an index O(count) the first time, then O(changes since).
    public func count(where filter: Filter) async throws -> Int {
        switch try await resolve(filter) {
        case .all: return count
        case .none: return 0
        case .list(let slots): return slots.count
        case .slots(let slots): return slots.count
        case .predicate: return try await matches(filter).count
        }
    }

    /// The ids of the records that a filter holds for, in the order in which they are stored, from the first or from
    /// behind a cursor.
    ///
    /// - Throws: as ``count(where:)``.
    public func ids(where filter: Filter, after cursor: RecordCursor? = nil) async throws -> SnapshotIDs {
        SnapshotIDs(snapshot: self, start: cursor?.slot ?? 0, matches: try await matches(filter))
    }

    /// The records that a filter holds for, in the order in which they are stored, from the first or from behind a cursor.
    ///
    /// - Throws: as ``count(where:)``.
    public func records(where filter: Filter, after cursor: RecordCursor? = nil) async throws -> SnapshotRecords {
        SnapshotRecords(snapshot: self, start: cursor?.slot ?? 0, matches: try await matches(filter))
    }
}

extension VectorDatabase {
    /// How many records a filter holds for, as of now; see ``DatabaseSnapshot/count(where:)``.
    public func count(where filter: Filter) async throws -> Int { try await snapshot().count(where: filter) }

    /// The ids of the records that a filter holds for, as of now, whatever is written while they are gone through.
    public func ids(where filter: Filter, after cursor: RecordCursor? = nil) async throws -> RecordIDs {
        RecordIDs(ids: try await snapshot().ids(where: filter, after: cursor))
    }

    /// The records that a filter holds for, as of now, whatever is written while they are gone through.
    public func records(where filter: Filter, after cursor: RecordCursor? = nil) async throws -> Records {
        Records(records: try await snapshot().records(where: filter, after: cursor))
    }

    /// Deletes the records that a filter holds for in one commit: all of them or, if this throws, none. Durable as the
    /// database promises when it returns.
    ///
    /// What is deleted is what the filter holds for as of the moment of asking. If another write changes one of these
    /// records before the commit, nothing is deleted and the filter is asked again.
    ///
    /// - Returns: how many were deleted.
    /// - Throws: `invalidFilter`, `corruption`, and what ``delete(_:)`` throws; `conflict` if other writes got in between
    ///   a hundred times.
    @discardableResult
    public func delete(where filter: Filter) async throws -> Int {
        for _ in 0..<100 {
            try Task.checkCancellation()
            let snapshot = try await snapshot()
            let matches = try await snapshot.matches(filter)
            if matches.isEmpty { return 0 }
            if let count = try await delete(matches, of: snapshot) { return count }
        }
        throw StoreError(
            .conflict, "Other writes kept changing the records to delete.", database: name,
            remedy: "Try again, or delete fewer records at a time.")
    }

    /// Deletes records if they still are what they are in the snapshot; nil if one is not.
    private func delete(_ matches: SlotSet, of snapshot: DatabaseSnapshot) async throws -> Int? {
        var deletes: [(id: String, condition: WriteCondition)] = []
        var walk = SlotWalk(snapshot: snapshot, slot: 0, matches: matches)
        while let (_, entry) = walk.next() {
            deletes.append((snapshot.id(of: entry), .unchanged(since: entry.lsn)))
        }
        do {
            return try await withFile { file in
                let encoder = BatchEncoder(identity: file.identity, bulkByteThreshold: .max)
                _ = try await file.commit(try encoder.encode(stores: [], conditions: [], deletes: deletes))
                return deletes.count
            }
        } catch let error as StoreError where error.code == .conflict {
            return nil
        }
    }
}
