/// Resolves a filter on a snapshot into a ``FilterPlan``: from the cache, from the field indexes, or by evaluating it over
/// the records' metadata on the store's search threads. Searches, counts and deletes ask for it.
import StorageFormat

extension DatabaseSnapshot {
    /// How a search of this snapshot should apply a filter.
    ///
    /// - Throws: `invalidFilter`; `corruption` if a record's metadata is damaged; `CancellationError`.
    func resolve(_ filter: Filter) async throws -> FilterPlan {
        try await FilterResolver(snapshot: self, filter: try CompiledFilter(filter)).plan()
    }

    /// The slots that a filter holds for.
    ///
    /// - Throws: as ``resolve(_:)``.
    func matches(_ filter: Filter) async throws -> SlotSet {
        try await FilterResolver(snapshot: self, filter: try CompiledFilter(filter)).matches()
    }
}

struct FilterResolver {
    /// Records that are asked about on the caller's thread; more go to the search threads.
    private static let inlinePageCount = 16
    /// Records that tell how many of all match.
    private static let sampleCount = 256
    /// Candidates that are asked about one by one, and postings that are put together without a trace.
    private static let listCount = 64
    /// From this share of matching records on, the first search scores everything instead of resolving the filter.
    private static let scanFirstShare = 0.5

    let snapshot: DatabaseSnapshot
    let filter: CompiledFilter

    func plan() async throws -> FilterPlan {
        if let constant = filter.constant { return constant ? .all : .none }
        guard snapshot.count > 0 else { return .none }
        let key = filter.filter.canonicalBytes
        let (base, wasSeen) = snapshot.filters.cache.find(key)
        if let base, let plan = try await continued(key, base) { return plan }
        if let indexed = try await indexed(key) { return indexed }
        if base == nil, !wasSeen, snapshot.records.pages.pageCount > Self.inlinePageCount,
            try sampledShare() >= Self.scanFirstShare
        {
            // A filter that is used again is worth its bitmap.
            snapshot.filters.cache.keep(nil, version: snapshot.version, for: key)
            return .predicate(filter)
        }
        return try await scan(key, base).plan
    }

    /// The slots that a filter holds for, however many they are.
    func matches() async throws -> SlotSet {
        let slotCount = snapshot.records.pages.pageCount * RecordTable.entriesPerPage
        switch try await plan() {
        case .none: return SlotSet(slotCount: slotCount)
        case .slots(let set): return set
        case .list(let slots): return SlotSet(slots, slotCount: slotCount)
        case .all:
            var live = SlotSet(slotCount: slotCount)
            snapshot.records.forEachActive { slot, _ in live.insert(UInt32(slot)) }
            return live
        case .predicate: return try await scan(filter.filter.canonicalBytes, nil).matches
        }
    }

    /// The cached result brought to this snapshot, if few pages have changed since.
    private func continued(_ key: [UInt8], _ base: FilterScan.Base) async throws -> FilterPlan? {
        let changed = snapshot.records.pages.pagesDiffering(from: base.records.pages)
        guard snapshot.filters.indexes == nil || changed.count <= Self.inlinePageCount else { return nil }
        return try await scan(key, base).plan
    }

    /// Evaluates the filter over the pages that are not those of `base`, and keeps the result.
    private func scan(_ key: [UInt8], _ base: FilterScan.Base?) async throws -> FilterScan.Base {
        let pages = snapshot.records.pages
        let wordCount = pages.pageCount * RecordTable.entriesPerPage / 64
        let changed = base.map { pages.pagesDiffering(from: $0.records.pages) } ?? Array(0..<pages.pageCount)
        if let base, changed.isEmpty, base.matches.words.count == wordCount { return base }
        var matches = SlotSet(slotCount: wordCount * 64)
        if let base {
            let common = min(wordCount, base.matches.words.count)
            matches.words.replaceSubrange(0..<common, with: base.matches.words[..<common])
        }
        try await evaluate(FilterScan(snapshot: snapshot, filter: filter, base: base), changed, into: &matches)
        let result = FilterScan.Base(records: snapshot.records, matches: matches)
        snapshot.filters.cache.keep(result, version: snapshot.version, for: key)
        return result
    }

    /// Evaluates pages, on the search threads if there are many, and writes their words.
    func evaluate(_ scan: FilterScan, _ pages: [Int], into matches: inout SlotSet) async throws {
        let searcher = snapshot.searcher
        guard let executor = searcher.executor, pages.count > Self.inlinePageCount else {
            for (page, found) in zip(pages, try scan.run(pages)) { matches.set(found, page: page) }
            return
        }
        let partCount = min(searcher.threadCount, pages.count)
        try await withThrowingTaskGroup(of: (ArraySlice<Int>, [PageMatches]).self) { group in
            for part in 0..<partCount {
                let slice = pages[pages.count * part / partCount..<pages.count * (part + 1) / partCount]
                group.addTask(executorPreference: executor) { (slice, try scan.run(slice)) }
            }
            for try await (slice, found) in group {
                for (page, words) in zip(slice, found) { matches.set(words, page: page) }
            }
        }
    }

    /// The share of some records, spread over all, that the filter holds for.
    private func sampledShare() throws(StoreError) -> Double {
        let records = snapshot.records
        var asked = 0
        var found = 0
        let step = max(1, records.slotCount / Self.sampleCount)
        // Slots a little off the regular grid, so that what repeats in step with it is not mistaken.
        for index in 0..<min(Self.sampleCount, records.slotCount) {
            let slot = index * step + (index &* 7_919) % step
            let entry = records[slot]
            guard entry.isActive else { continue }
            asked += 1
            if try snapshot.matches(filter, slot: UInt32(slot), entry: entry) { found += 1 }
        }
        return asked == 0 ? 0 : Double(found) / Double(asked)
    }

    // MARK: Declared fields

    /// The plan from the indexes of the declared fields; nil if they do not narrow the filter down.
    private func indexed(_ key: [UInt8]) async throws -> FilterPlan? {
        guard let answer = try await snapshot.filters.indexes?.answer(filter.filter, on: snapshot) else { return nil }
        let slotCount = snapshot.records.pages.pageCount * RecordTable.entriesPerPage
        if answer.changed.isEmpty, answer.isExact, answer.cost <= Self.listCount {
            return FilterPlan(answer.slots, slotCount: slotCount)
        }
        if answer.changed.isEmpty, answer.slots.count <= Self.listCount {
            let slots = answer.slots.slots
            let matching = try slots.filter { slot throws(StoreError) in try snapshot.matches(filter, slot: slot) }
            return matching.isEmpty ? FilterPlan.none : .list(matching)
        }
        var matches = SlotSet(slotCount: slotCount)
        answer.slots.insert(into: &matches)
        for page in answer.changed { matches.set(PageMatches(low: 0, high: 0), page: page) }
        if !answer.isExact {
            let candidates = matches
            let pages = (0..<snapshot.records.pages.pageCount).filter { (page: Int) -> Bool in
                candidates.words[page * 2] != 0 || candidates.words[page * 2 + 1] != 0
            }
            let scan = FilterScan(snapshot: snapshot, filter: filter, candidates: candidates)
            try await evaluate(scan, pages, into: &matches)
        }
        try await evaluate(FilterScan(snapshot: snapshot, filter: filter), answer.changed, into: &matches)
        if !answer.isExact || answer.cost > Self.listCount {
            snapshot.filters.cache.keep(
                FilterScan.Base(records: snapshot.records, matches: matches), version: snapshot.version, for: key)
        }
        return FilterPlan(matches)
    }
}

extension SlotSet {
    fileprivate mutating func set(_ matches: PageMatches, page: Int) {
        words[page * 2] = matches.low
        words[page * 2 + 1] = matches.high
    }
}
