/// Searching a snapshot: the public side of ``Searcher``.

extension DatabaseSnapshot {
    /// The `k` records nearest to a query, nearest first; equal scores are ordered by id.
    ///
    /// The result is exact (every record is compared, in 32-bit floating point) and does not depend on the number of
    /// threads. The scan runs on the store's own threads.
    ///
    /// - Parameters:
    ///   - query: as many finite components as the database's dimension.
    ///   - k: how many to find, 1 or more; fewer are returned when there are fewer.
    ///   - options: which records to search, and how.
    /// - Throws: `dimensionMismatch`, `notFinite`, `invalidArgument`, `invalidFilter`; `CancellationError`.
    /// - Complexity: O(count · dimension).
    public func search(
        _ query: [Float], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> [SearchHit] {
        try check(query, k: k)
        let plan = if let filter = options.filter { try await resolve(filter) } else { FilterPlan.all }
        return try await searcher.search(self, query, k: k, plan: plan)
    }

    /// The nearest records to each of several queries, in the order of the queries.
    ///
    /// - Returns: for each query its hits, nearest first.
    /// - Throws: as ``search(_:k:options:)-([Float],_,_)``.
    public func search(
        _ queries: [[Float]], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> [[SearchHit]] {
        for query in queries { try check(query, k: k) }
        var results: [[SearchHit]] = []
        results.reserveCapacity(queries.count)
        let plan = if let filter = options.filter { try await resolve(filter) } else { FilterPlan.all }
        for query in queries { results.append(try await searcher.search(self, query, k: k, plan: plan)) }
        return results
    }

    private func check(_ query: [Float], k: Int) throws(StoreError) {
        guard query.count == options.dimension else {
            throw .dimension(
                expected: options.dimension, actual: query.count, id: "(query)", database: identity.name)
        }
        guard query.allSatisfy(\.isFinite) else { throw .notFinite(id: "(query)", database: identity.name) }
        guard k >= 1 else {
            throw .argument("k is \(k).", remedy: "Ask for one record or more.", database: identity.name)
        }
    }
}
