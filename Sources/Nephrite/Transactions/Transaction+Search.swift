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
        try await state.search(query, k: k, in: database, options: options)
    }
}

extension TransactionState {
    fileprivate func search(
        _ query: [Float], k: Int, in database: String, options: SearchOptions
    ) async throws -> [SearchHit] {
        let (snapshot, writes) = try await view(of: database)
        var request = try await snapshot.request([query], limit: k, options: options)
        var replaced: Set<UInt32> = []
        for id in writes.keys {
            if let slot = snapshot.slot(of: id) { replaced.insert(slot) }
        }
        if !replaced.isEmpty { request.exclude(replaced) }
        let found = try await snapshot.searcher.search(snapshot, request).rows[0]
        var ranked = found.map { row in
            (rank: row.score, id: RecordID(snapshot.id(of: snapshot.records[Int(row.slot)])))
        }
        let metric = ScanMetric(snapshot.options.metric)
        let filter = try options.filter.map { filter throws(StoreError) in try CompiledFilter(filter) }
        for case (let id, .some(let record)) in writes {
            if let filter, !filter.matches(record) { continue }
            var scanner = ExactScanner(
                metric: metric, query: query, stride: record.vector.count * 4, limit: 1)
            unsafe record.vector.withUnsafeBytes { bytes in
                unsafe scanner.scan(
                    rows: bytes.baseAddress!, firstSlot: 0, count: 1, isLive: nil, precedes: { _, _ in false })
            }
            if let row = scanner.ranked(precedes: { _, _ in false }).first { ranked.append((row.score, id)) }
        }
        ranked.sort { $0.rank > $1.rank || ($0.rank == $1.rank && $0.id.precedes($1.id)) }
        return ranked.prefix(k).map { SearchHit(id: $0.id.text, score: metric.score(ofRank: $0.rank)) }
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
