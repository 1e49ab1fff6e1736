/// Writing: every form encodes on the caller's thread and commits through the database's actor.
import StorageFormat

extension VectorDatabase {
    // MARK: One record

    /// Stores a record, whether or not its id is there. Durable as the database promises when it returns.
    ///
    /// - Parameters:
    ///   - record: the record; its `version` is ignored.
    ///   - expectedVersion: if given, the write is made only if the stored record has this version.
    /// - Returns: the version the record has now.
    /// - Throws: `dimensionMismatch`, `notFinite`, `invalidID`, `invalidMetadata`, `versionMismatch`, `diskFull`,
    ///   `outcomeUnknown`, `fenced`, …; `CancellationError`, in which case nothing was written.
    @discardableResult
    public func upsert(_ record: VectorRecord, expectedVersion: RecordVersion? = nil) async throws -> RecordVersion {
        try await write(.records([record]), expectedVersion.map(WriteCondition.version) ?? .none)
    }

    /// Stores a record whose id must not be there.
    ///
    /// - Throws: `recordExists`, and what ``upsert(_:expectedVersion:)`` throws.
    @discardableResult
    public func insert(_ record: VectorRecord) async throws -> RecordVersion {
        try await write(.records([record]), .mustNotExist)
    }

    /// Replaces a record whose id must be there.
    ///
    /// - Parameters:
    ///   - record: the record; its `version` is ignored.
    ///   - expectedVersion: if given, the write is made only if the stored record has this version.
    /// - Throws: `recordNotFound`, or, with an expected version, `versionMismatch`; and what
    ///   ``upsert(_:expectedVersion:)`` throws.
    @discardableResult
    public func update(_ record: VectorRecord, expectedVersion: RecordVersion? = nil) async throws -> RecordVersion {
        try await write(.records([record]), expectedVersion.map(WriteCondition.version) ?? .mustExist)
    }

    /// Deletes a record. Durable as the database promises when it returns.
    ///
    /// - Parameters:
    ///   - id: the record's id.
    ///   - expectedVersion: if given, the record is deleted only if it has this version.
    /// - Returns: whether it was there.
    /// - Throws: `versionMismatch`, `outcomeUnknown`, `fenced`, …; `CancellationError`.
    @discardableResult
    public func delete(_ id: String, expectedVersion: RecordVersion? = nil) async throws -> Bool {
        try store.context.requireWritable()
        return try await withFile { file in
            try await file.delete([id], condition: expectedVersion.map(WriteCondition.version) ?? .none).count > 0
        }
    }

    // MARK: Batches

    /// Stores records in one commit: all of them or, if this throws, none. Durable as the database promises when it returns.
    ///
    /// - Returns: the version that all of them have now; 0 if there are none.
    /// - Throws: `duplicateID`, and what ``upsert(_:expectedVersion:)`` throws.
    @discardableResult
    public func upsert(_ records: [VectorRecord]) async throws -> RecordVersion {
        try await write(.records(records), .none)
    }

    /// Stores records in one commit if none of their ids is there.
    ///
    /// - Throws: `recordExists` with one of the ids that are there, and what ``upsert(_:)`` throws.
    @discardableResult
    public func insert(_ records: [VectorRecord]) async throws -> RecordVersion {
        try await write(.records(records), .mustNotExist)
    }

    /// Replaces records in one commit if all of their ids are there.
    ///
    /// - Throws: `recordNotFound` with one of the ids that are not there, and what ``upsert(_:)`` throws.
    @discardableResult
    public func update(_ records: [VectorRecord]) async throws -> RecordVersion {
        try await write(.records(records), .mustExist)
    }

    /// Stores rows in one commit, from contiguous vectors.
    ///
    /// - Parameters:
    ///   - ids: one id a row, each once.
    ///   - vectors: `ids.count` × dimension floats, row after row.
    ///   - metadata: one value a row, or an empty array for none at all.
    /// - Returns: the version that all of them have now; 0 if there are none.
    /// - Throws: `invalidArgument` if the arrays do not fit one another, and what ``upsert(_:)`` throws.
    @discardableResult
    public func upsert(
        ids: [String], vectors: [Float], metadata: [Metadata] = []
    ) async throws -> RecordVersion {
        try await write(.columns(ids: ids, vectors: vectors, metadata: metadata), .none)
    }

    /// Stores rows in one commit if none of their ids is there; see ``upsert(ids:vectors:metadata:)``.
    @discardableResult
    public func insert(
        ids: [String], vectors: [Float], metadata: [Metadata] = []
    ) async throws -> RecordVersion {
        try await write(.columns(ids: ids, vectors: vectors, metadata: metadata), .mustNotExist)
    }

    /// Replaces rows in one commit if all of their ids are there; see ``upsert(ids:vectors:metadata:)``.
    @discardableResult
    public func update(
        ids: [String], vectors: [Float], metadata: [Metadata] = []
    ) async throws -> RecordVersion {
        try await write(.columns(ids: ids, vectors: vectors, metadata: metadata), .mustExist)
    }

    /// Deletes records in one commit; ids that are not there are passed over, an id given twice counts once.
    ///
    /// - Returns: how many were there.
    /// - Throws: `outcomeUnknown`, `fenced`, …; `CancellationError`. Then none was deleted, but for `outcomeUnknown`.
    @discardableResult
    public func delete(_ ids: [String]) async throws -> Int {
        try store.context.requireWritable()
        var seen: Set<RecordID> = []
        let unique = ids.filter { seen.insert(RecordID($0)).inserted }
        return try await withFile { file in try await file.delete(unique, condition: .none).count }
    }

    private func write(_ rows: RowSource, _ condition: WriteCondition) async throws -> RecordVersion {
        try store.context.requireWritable()
        try Task.checkCancellation()
        return try await withFile { file in
            let encoder = BatchEncoder(
                identity: file.identity, bulkByteThreshold: store.context.configuration.bulkByteThreshold,
                jointSyncByteLimit: store.context.configuration.jointSyncByteLimit, pool: store.context.buffers)
            if encoder.isBulk(rows) { return try await file.commitBulk(rows, condition, encoder) }
            let batch = try encoder.encode(rows, condition: condition)
            return batch.operations.isEmpty ? 0 : try await file.commit(batch)
        }
    }
}
