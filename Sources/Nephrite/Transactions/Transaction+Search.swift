/// Searching inside a transaction: the snapshot's records, less those that the transaction has written or deleted, with
/// what it has written in their place.

extension Transaction {
    /// The `k` records nearest to a query as the transaction sees them: its own writes are among them.
    ///
    /// - Parameters:
    ///   - query: as many finite components as the database's dimension.
    ///   - k: how many to find, 1 or more.
    ///   - database: the database's name.
    ///   - options: which records to search, and how.
    /// - Throws: as ``DatabaseSnapshot/search(_:k:options:)-([Float],_,_)``; `databaseNotFound`; `conflict`.
    public func search(
        _ query: [Float], k: Int, in database: String, options: SearchOptions = SearchOptions()
    ) async throws -> [SearchHit] {
        let view = try await state.view(of: database)
        let request = try await view.snapshot.request([query], limit: k, options: options)
        return try await view.hits(view.search(request, options))
    }

    /// The records within a radius of a query as the transaction sees them, nearest first.
    ///
    /// - Parameters:
    ///   - query: as many finite components as the database's dimension.
    ///   - radius: as for ``DatabaseSnapshot/search(_:within:limit:options:)``.
    ///   - limit: of more records than this within the radius the nearest are returned.
    ///   - database: the database's name.
    ///   - options: which records to search, and how.
    /// - Throws: as ``search(_:k:in:options:)``; `invalidArgument` if the radius is not a number.
    public func search(
        _ query: [Float], within radius: Float, limit: Int = 10_000, in database: String,
        options: SearchOptions = SearchOptions()
    ) async throws -> [SearchHit] {
        let view = try await state.view(of: database)
        let request = try await view.snapshot.request(query, within: radius, limit: limit, options: options)
        let metric = view.snapshot.options.metric
        return try await view.hits(view.search(request, options)).filter { metric.isWithin($0.score, radius) }
    }

    /// The records in the order of their distance from a query, as the transaction sees them when this is called; equal
    /// scores are ordered by id.
    ///
    /// - Parameters:
    ///   - query: as many finite components as the database's dimension; it is checked when the first hit is asked for.
    ///   - database: the database's name.
    ///   - options: which records to search, and how.
    ///   - cursor: where to go on, from an iterator of the same query in this transaction; nil begins with the nearest.
    /// - Throws: `databaseNotFound`; `conflict`.
    public func nearest(
        to query: [Float], in database: String, options: SearchOptions = SearchOptions(),
        after cursor: SearchCursor? = nil
    ) async throws -> NearestRecordsInTransaction {
        NearestRecordsInTransaction(
            view: try await state.view(of: database), query: query, options: options, after: cursor)
    }
}

/// The records that a transaction sees in the order of their distance from a query: pages of a search, each going on where
/// the one before ended.
public struct NearestRecordsInTransaction: AsyncSequence, Sendable {
    /// Hits.
    public typealias Element = SearchHit

    let view: TransactionView
    let query: [Float]
    let options: SearchOptions
    let after: SearchCursor?

    /// Begins with the nearest, or behind the cursor.
    public func makeAsyncIterator() -> Iterator {
        Iterator(view: view, query: query, options: options, position: after?.position)
    }

    /// Goes through the hits.
    public struct Iterator: AsyncIteratorProtocol {
        let view: TransactionView
        let query: [Float]
        let options: SearchOptions
        var position: SearchPosition?
        private var pages = SearchPages<SearchPosition>()

        init(view: TransactionView, query: [Float], options: SearchOptions, position: SearchPosition?) {
            self.view = view
            self.query = query
            self.options = options
            self.position = position
        }

        /// The next hit; nil at the end.
        ///
        /// - Throws: what a search throws.
        public mutating func next() async throws -> SearchHit? {
            let (view, query, options, position) = (view, query, options, position)
            let next = try await pages.next { limit in
                var request = try await view.snapshot.request([query], limit: limit, options: options)
                request.after = position
                return try await view.search(request, options)
            }
            guard let next else { return nil }
            self.position = next
            return view.hits([next])[0]
        }

        /// The place behind the hit that was returned last, to go on from later; nil before the first.
        public var cursor: SearchCursor? { position.map(SearchCursor.init) }
    }
}

/// A database as a transaction sees it at one moment.
struct TransactionView: Sendable {
    let snapshot: DatabaseSnapshot
    /// The last write on each id; nil deletes.
    let writes: [RecordID: VectorRecord?]

    /// Answers a request for one query.
    ///
    /// - Parameter options: what the request was made of; the filter is asked about the transaction's own records.
    /// - Returns: ranks and ids, best first.
    func search(_ request: SearchRequest, _ options: SearchOptions) async throws -> [SearchPosition] {
        var request = request
        var replaced: Set<UInt32> = []
        for id in writes.keys {
            if let slot = snapshot.slot(of: id) { replaced.insert(slot) }
        }
        if !replaced.isEmpty { request.exclude(replaced) }
        let found = try await snapshot.searcher.search(snapshot, request).rows[0]
        var ranked = found.map { row in
            SearchPosition(rank: row.score, id: RecordID(snapshot.id(of: snapshot.records[Int(row.slot)])))
        }
        let filter = try options.filter.map { filter throws(StoreError) in try CompiledFilter(filter) }
        for case (let id, .some(let record)) in writes {
            if let filter, !filter.matches(record) { continue }
            guard let rank = rank(of: record, request) else { continue }
            let position = SearchPosition(rank: rank, id: id)
            if let after = request.after, !after.precedes(position) { continue }
            ranked.append(position)
        }
        ranked.sort { $0.precedes($1) }
        return Array(ranked.prefix(request.limit))
    }

    /// What the reference scan gives for a record that is not stored yet; nil if the request wants only better ones.
    private func rank(of record: VectorRecord, _ request: SearchRequest) -> Float? {
        var scanner = ExactScanner(
            metric: ScanMetric(snapshot.options.metric), query: request.queries[0], stride: record.vector.count * 4,
            limit: 1, floor: request.floor)
        unsafe record.vector.withUnsafeBytes { bytes in
            unsafe scanner.scan(
                rows: bytes.baseAddress!, firstSlot: 0, count: 1, isLive: nil, precedes: { _, _ in false })
        }
        return scanner.ranked(precedes: { _, _ in false }).first?.score
    }

    /// What users see of ranks and ids.
    func hits(_ positions: [SearchPosition]) -> [SearchHit] {
        let metric = ScanMetric(snapshot.options.metric)
        return positions.map { SearchHit(id: $0.id.text, score: metric.score(ofRank: $0.rank)) }
    }
}

extension SearchPosition {
    /// Whether it comes before another in the order of results.
    fileprivate func precedes(_ other: SearchPosition) -> Bool {
        rank > other.rank || (rank == other.rank && id.precedes(other.id))
    }
}

extension SearchRequest {
    /// Leaves some rows out.
    fileprivate mutating func exclude(_ slots: Set<UInt32>) {
        switch rows {
        case .none: break
        case .all, .predicate: accepts = { !slots.contains($0) }
        case .list(let list): rows = .list(list.filter { !slots.contains($0) })
        case .slots(var set):
            for slot in slots where set.contains(slot) { set.remove(slot) }
            rows = .slots(set)
        }
    }
}

extension CompiledFilter {
    /// Whether it holds for a record that is not stored yet. Metadata that a record can have are never damaged.
    fileprivate func matches(_ record: VectorRecord) -> Bool {
        unsafe record.metadata.encoded.withUnsafeBytes { bytes in (try? unsafe matches(bytes)) ?? false }
    }
}

extension DatabaseSnapshot {
    /// The slot of an id, if it is there.
    fileprivate func slot(of id: RecordID) -> UInt32? {
        var text = id.text
        return text.withUTF8 { bytes in
            bytes.isEmpty ? nil : unsafe find(UnsafeRawBufferPointer(bytes))?.slot
        }
    }
}
