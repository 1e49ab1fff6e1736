/// The records of a snapshot in the order of their distance from a query, as many as are asked for: pages of a search, each
/// going on where the one before ended.

/// An asynchronous sequence of hits, nearest first; every record comes up once.
///
/// The first hits cost one search; going on costs another search for each page, and pages become longer.
public struct NearestRecords: AsyncSequence, Sendable {
    /// Hits.
    public typealias Element = SearchHit

    let snapshot: DatabaseSnapshot
    let query: [Float]
    let options: SearchOptions
    let after: SearchCursor?

    /// Begins with the nearest, or behind the cursor.
    public func makeAsyncIterator() -> Iterator {
        Iterator(snapshot: snapshot, query: query, options: options, position: after?.position)
    }

    /// Goes through the hits.
    public struct Iterator: AsyncIteratorProtocol {
        let snapshot: DatabaseSnapshot
        let query: [Float]
        let options: SearchOptions
        var position: SearchPosition?
        private var pages = SearchPages<TopK.Entry>()

        init(snapshot: DatabaseSnapshot, query: [Float], options: SearchOptions, position: SearchPosition?) {
            self.snapshot = snapshot
            self.query = query
            self.options = options
            self.position = position
        }

        /// The next hit; nil at the end.
        ///
        /// - Throws: what a search throws.
        public mutating func next() async throws -> SearchHit? {
            let (snapshot, query, options, position) = (snapshot, query, options, position)
            let row = try await pages.next { limit in
                var request = try await snapshot.request([query], limit: limit, options: options)
                request.after = position
                return try await snapshot.searcher.search(snapshot, request).rows[0]
            }
            guard let row else { return nil }
            let hit = snapshot.hit(row)
            self.position = SearchPosition(rank: row.score, id: RecordID(hit.id))
            return hit
        }

        /// The place behind the hit that was returned last, to go on from later; nil before the first.
        public var cursor: SearchCursor? { position.map(SearchCursor.init) }
    }
}

/// A place in the order of the hits of one query over one snapshot.
public struct SearchCursor: Sendable, Hashable {
    let position: SearchPosition

    init(_ position: SearchPosition) { self.position = position }
}

extension DatabaseSnapshot {
    /// The records in the order of their distance from a query, nearest first; equal scores are ordered by id.
    ///
    /// - Parameters:
    ///   - query: as many finite components as the database's dimension; it is checked when the first hit is asked for.
    ///   - options: which records to search, and how.
    ///   - cursor: where to go on, from an iterator of the same query over the same snapshot; nil begins with the nearest.
    public func nearest(
        to query: [Float], options: SearchOptions = SearchOptions(), after cursor: SearchCursor? = nil
    ) -> NearestRecords {
        NearestRecords(snapshot: self, query: query, options: options, after: cursor)
    }
}
