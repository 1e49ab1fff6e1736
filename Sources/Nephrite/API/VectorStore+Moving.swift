/// Moving and deleting many records at once: conveniences made of transactions and snapshots.

extension VectorStore {
    /// Moves records from one database to another of the same dimension, in one commit: after a crash each is in exactly
    /// one of them.
    ///
    /// - Parameters:
    ///   - ids: the records; those that are not there are passed over.
    ///   - source: where they are.
    ///   - target: where they go; a record of the same id there is replaced.
    /// - Returns: how many were moved.
    /// - Throws: `databaseNotFound`, `dimensionMismatch`, `conflict` if another commit changed one of them meanwhile, …
    @discardableResult
    public func moveRecords(_ ids: [String], from source: String, to target: String) async throws -> Int {
        try await transaction { transaction in
            var moved = 0
            for id in ids {
                guard let record = try await transaction.record(for: id, in: source) else { continue }
                try await transaction.upsert(record, into: target)
                try await transaction.delete(id, from: source)
                moved += 1
            }
            return moved
        }
    }
}

extension VectorDatabase {
    /// Deletes the records whose id and metadata satisfy a condition, as of now, in one commit.
    ///
    /// - Parameter isDoomed: told the id and the metadata of each record; runs on the caller.
    /// - Returns: how many were deleted.
    /// - Complexity: O(count); metadata is read, vectors are not.
    @discardableResult
    public func delete(where isDoomed: (_ id: String, _ metadata: Metadata) throws -> Bool) async throws -> Int {
        let snapshot = try await snapshot()
        var walk = SlotWalk(snapshot: snapshot, slot: 0)
        var ids: [String] = []
        while let (_, entry) = walk.next() {
            try Task.checkCancellation()
            let id = snapshot.id(of: entry)
            if try isDoomed(id, snapshot.metadata(of: entry)) { ids.append(id) }
        }
        return ids.isEmpty ? 0 : try await delete(ids)
    }
}
