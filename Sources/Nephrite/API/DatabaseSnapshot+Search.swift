/// Searching a snapshot: the public side of ``Searcher``.
import CNephrite
import StorageFormat
import StorageIO

extension DatabaseSnapshot {
    /// The `k` records nearest to a query, nearest first; equal scores are ordered by id. (Euclidean distances are compared by
    /// their squares: two of these can have one root.)
    ///
    /// By default the result is exact, as if every record were compared in 32-bit floating point, and does not depend on
    /// the number of threads. Large scans run on the store's own threads.
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
        try await search([query], k: k, options: options)[0]
    }

    /// The nearest records to each of several queries, in the order of the queries; the queries share passes over the data.
    ///
    /// - Returns: for each query its hits, nearest first.
    /// - Throws: as ``search(_:k:options:)-([Float],_,_)``.
    public func search(
        _ queries: [[Float]], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> [[SearchHit]] {
        let request = try await request(queries, limit: k, options: options)
        return try await searcher.search(self, request).rows.map(hits)
    }

    /// The records within a radius of a query, nearest first.
    ///
    /// - Parameters:
    ///   - query: as many finite components as the database's dimension.
    ///   - radius: the largest distance for a Euclidean database, the smallest similarity or inner product for the others;
    ///     records at the radius itself are within.
    ///   - limit: of more records than this within the radius the nearest are returned.
    ///   - options: which records to search, and how.
    /// - Throws: as ``search(_:k:options:)-([Float],_,_)``; `invalidArgument` if the radius is not a number.
    public func search(
        _ query: [Float], within radius: Float, limit: Int = 10_000, options: SearchOptions = SearchOptions()
    ) async throws -> [SearchHit] {
        let request = try await request(query, within: radius, limit: limit, options: options)
        let metric = self.options.metric
        return hits(try await searcher.search(self, request).rows[0]).filter { metric.isWithin($0.score, radius) }
    }

    /// The request of a search within a radius; what it finds may be a little beyond.
    func request(
        _ query: [Float], within radius: Float, limit: Int, options: SearchOptions
    ) async throws -> SearchRequest {
        guard !radius.isNaN else {
            throw StoreError.argument("The radius is not a number.", remedy: "Pass a number.", database: identity.name)
        }
        var request = try await request([query], limit: limit, options: options)
        request.floor = ScanMetric(self.options.metric).floor(ofRadius: radius)
        return request
    }

    /// As ``search(_:k:options:)-([Float],_,_)``, and the records found are verified: vector, id and metadata are those
    /// that were written.
    ///
    /// - Throws: what a search throws; `corruption` with the id of a record that is damaged.
    public func searchVerified(
        _ query: [Float], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> [SearchHit] {
        let request = try await request([query], limit: k, options: options)
        return try await searcher.search(self, request).rows[0].map { row throws(StoreError) in
            let entry = records[Int(row.slot)]
            guard isIntact(slot: row.slot, entry: entry) else { throw damaged(slot: row.slot, entry: entry) }
            return hit(row)
        }
    }

    /// Searches as ``search(_:k:options:)-([Float],_,_)`` does and tells how: the plan, and what each stage looked at, read
    /// and took. So that they can be timed, stages take turns by the run of blocks, not by the block: a few more records get to
    /// the second one, and the whole takes longer.
    ///
    /// - Throws: what a search throws.
    public func explain(
        _ query: [Float], k: Int, options: SearchOptions = SearchOptions()
    ) async throws -> SearchExplanation {
        let clock = SystemClock()
        let start = clock.monotonicNanoseconds()
        var request = try await request([query], limit: k, options: options)
        if options.filter != nil { request.resolveTime = clock.monotonicNanoseconds() - start }
        request.isTimed = true
        let answer = try await searcher.search(self, request)
        return SearchExplanation(self, request, answer, isFiltered: options.filter != nil)
    }

    /// The request of a call, once its arguments are found to be right.
    func request(_ queries: [[Float]], limit: Int, options: SearchOptions) async throws -> SearchRequest {
        for query in queries { try check(query, k: limit) }
        switch options.mode {
        case .exact: break
        case .approximate(let recall):
            guard recall >= 0.5, recall <= 0.9999 else {
                throw StoreError.argument(
                    "The recall is \(recall).", remedy: "Ask for 0.5 … 0.9999, or for an exact search.",
                    database: identity.name)
            }
        case .approximateCandidates(let count):
            guard count >= 1 else {
                throw StoreError.argument(
                    "The number of candidates is \(count).", remedy: "Allow for one or more.", database: identity.name)
            }
        }
        var request = SearchRequest(
            queries: queries, limit: limit, mode: options.mode, maximumThreads: options.maximumThreads)
        if let filter = options.filter { request.rows = try await resolve(filter) }
        return request
    }

    private func check(_ query: [Float], k: Int) throws(StoreError) {
        guard query.count == options.dimension else {
            throw .dimension(
                expected: options.dimension, actual: query.count, id: "(query)", database: identity.name)
        }
        guard unsafe nephrite_all_finite(query, query.count) != 0 else {
            throw .notFinite(id: "(query)", database: identity.name)
        }
        guard k >= 1 else {
            throw .argument("k is \(k).", remedy: "Ask for one record or more.", database: identity.name)
        }
    }
}

extension DistanceMetric {
    /// Whether a score is within a radius.
    func isWithin(_ score: Float, _ radius: Float) -> Bool { self == .euclidean ? score <= radius : score >= radius }
}

extension ScanMetric {
    /// A rank that every row within a radius reaches; some a little beyond it may, too.
    fileprivate func floor(ofRadius radius: Float) -> Float {
        guard self == .euclidean else { return radius }
        return radius < 0 ? .infinity : -(radius * radius).nextUp.nextUp
    }
}
