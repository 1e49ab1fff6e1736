/// Reading through a handle: each call answers from the newest snapshot. Several reads that must agree take one
/// ``VectorDatabase/snapshot()`` and read from that.

extension VectorDatabase {
    /// The vector of a record, nil if there is none.
    ///
    /// - Throws: `corruption` if the record's checksum does not match; `closed`, `databaseNotFound`, …
    public func vector(for id: String) async throws -> [Float]? { try await snapshot().vector(for: id) }

    /// A record, nil if there is none.
    ///
    /// - Throws: as ``vector(for:)``.
    public func record(for id: String) async throws -> VectorRecord? { try await snapshot().record(for: id) }

    /// The vectors of several records in the order of `ids`, all as of one commit; nil where there is none.
    ///
    /// - Throws: as ``vector(for:)``.
    public func vectors(for ids: [String]) async throws -> [[Float]?] { try await snapshot().vectors(for: ids) }

    /// Several records in the order of `ids`, all as of one commit; nil where there is none.
    ///
    /// - Throws: as ``vector(for:)``.
    public func records(for ids: [String]) async throws -> [VectorRecord?] { try await snapshot().records(for: ids) }

    /// Calls `body` with the vector of a record where it lies, without a copy; nil if there is none. See
    /// ``DatabaseSnapshot/withVector(for:_:)``.
    public func withVector<R>(for id: String, _ body: (Span<Float>) throws -> R) async throws -> R? {
        try await snapshot().withVector(for: id, body)
    }

    /// Whether a record of that id is there, be it damaged.
    public func contains(_ id: String) async throws -> Bool { try await snapshot().contains(id) }

    /// The number of records.
    public func count() async throws -> Int { try await snapshot().count }

    /// The ids as of now, whatever is written while they are gone through; from the first or from behind a cursor.
    public func ids(after cursor: RecordCursor? = nil) async throws -> RecordIDs {
        RecordIDs(ids: try await snapshot().ids(after: cursor))
    }

    /// The records as of now, whatever is written while they are gone through; from the first or from behind a cursor.
    public func records(after cursor: RecordCursor? = nil) async throws -> Records {
        Records(records: try await snapshot().records(after: cursor))
    }

    /// The `k` records nearest to a query, nearest first; see ``DatabaseSnapshot/search(_:k:options:)-([Float],_,_)``.
    public func search(
        _ query: [Float], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> [SearchHit] {
        cell.metrics.searches.add(1)
        return try await snapshot().search(query, k: k, options: options)
    }

    /// The nearest records to each of several queries, all as of one commit.
    public func search(
        _ queries: [[Float]], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> [[SearchHit]] {
        cell.metrics.searches.add(UInt64(queries.count))
        return try await snapshot().search(queries, k: k, options: options)
    }

    /// The records within a radius of a query; see ``DatabaseSnapshot/search(_:within:limit:options:)``.
    public func search(
        _ query: [Float], within radius: Float, limit: Int = 10_000, options: SearchOptions = SearchOptions()
    ) async throws -> [SearchHit] {
        cell.metrics.searches.add(1)
        return try await snapshot().search(query, within: radius, limit: limit, options: options)
    }

    /// As a search, and the records found are verified; see ``DatabaseSnapshot/searchVerified(_:k:options:)``.
    public func searchVerified(
        _ query: [Float], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> [SearchHit] {
        cell.metrics.searches.add(1)
        return try await snapshot().searchVerified(query, k: k, options: options)
    }

    /// Searches and tells how; see ``DatabaseSnapshot/explain(_:k:options:)``.
    public func explain(
        _ query: [Float], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> SearchExplanation {
        try await snapshot().explain(query, k: k, options: options)
    }
}
