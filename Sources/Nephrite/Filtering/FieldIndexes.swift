/// The indexes of a database's declared fields, made and kept up from the record table's pages: the resolver asks here for
/// the slots of a filter as of a snapshot.
import CNephrite
import StorageFormat

/// What the indexes know about a filter.
struct IndexAnswer: Sendable {
    /// Slots of the snapshot that the filter may hold for, apart from those of the `changed` pages.
    var slots: Posting
    /// Whether it holds for all of them.
    var isExact: Bool
    /// Pages that the indexes have in another state than the snapshot.
    var changed: [Int]
    /// How many postings it was put together from.
    var cost: Int
}

/// The invariant: what the indexes say about the slots of page `p` is what the page object `held[p]` says, for every `p`.
/// A page object that is held is written by nobody, so the indexes are a function of the pages in `held`, and right for any
/// snapshot as far as its pages are the very same objects. To follow a commit they take over the pages it changed.
actor FieldIndexes {
    /// Pages taken over between looks at whether the task was cancelled, or another may go on.
    private static let pagesPerStep = 16

    nonisolated let paths: [FieldPath]
    private var fields: [FieldIndex] = []
    private var held: [IndexPage?] = []
    /// The slots that are active in the pages that are held.
    private var live = Posting.empty
    /// The table whose pages all are held, if it is known that they are.
    private var complete: PagedTable?
    /// The newest version that was asked for: pages of an older one are not taken over.
    private var newest: RecordVersion = 0
    /// Counts the pages taken over.
    private var changeCount = 0

    init(paths: [FieldPath]) { self.paths = paths }

    /// How many records the indexes know, and how many values of each field; for tests and statistics.
    var contents: (records: Int, values: [Int]) { (live.count, fields.map(\.valueCount)) }

    /// The slots of a filter; nil if no declared field narrows it down.
    ///
    /// - Throws: `corruption` if a record's metadata is damaged; `CancellationError`.
    func answer(_ filter: Filter, on snapshot: DatabaseSnapshot) async throws -> IndexAnswer? {
        guard isBounded(filter.node) else { return nil }
        try await advance(to: snapshot)
        let changed = pagesDiffering(from: snapshot)
        var cost = 0
        guard let found = group(filter.node, &cost) else { return nil }
        // What an older snapshot does not reach may be known already.
        let pageCount = snapshot.records.pages.pageCount
        let slots = held.count > pageCount ? found.slots.below(pageCount * RecordTable.entriesPerPage) : found.slots
        return IndexAnswer(slots: slots, isExact: found.isExact, changed: changed, cost: cost)
    }

    // MARK: Keeping up

    /// Takes over the pages of a snapshot, unless it is older than what was asked for before.
    private func advance(to snapshot: DatabaseSnapshot) async throws {
        if fields.isEmpty { fields = try paths.map { path throws(StoreError) in try FieldIndex(path) } }
        newest = max(newest, snapshot.version)
        guard snapshot.version == newest else { return }
        let table = snapshot.records.pages
        let wanted = complete.map { table.pagesDiffering(from: $0) } ?? Array(0..<table.pageCount)
        if wanted.isEmpty { return }
        complete = nil
        // Many pages are work for the search threads.
        let executor = wanted.count > Self.pagesPerStep ? snapshot.searcher.executor : nil
        try await withTaskExecutorPreference(executor) { try await take(wanted, of: snapshot) }
    }

    private func take(_ wanted: [Int], of snapshot: DatabaseSnapshot) async throws {
        let table = snapshot.records.pages
        let changesBefore = changeCount
        var ownChanges = 0
        for page in wanted where page >= held.count || held[page] !== table.page(page) {
            if ownChanges % Self.pagesPerStep == Self.pagesPerStep - 1 {
                try Task.checkCancellation()
                await Task.yield()
                // Another caller may have gone on to a newer commit meanwhile.
                guard snapshot.version == newest else { return }
            }
            try take(page, of: snapshot)
            ownChanges += 1
        }
        for index in fields.indices { fields[index].tidy() }
        // If nobody else took pages over meanwhile, all pages now are those of this table.
        if changeCount == changesBefore + ownChanges, held.count == table.pageCount { complete = table }
    }

    /// Makes the indexes say about the slots of a page what a snapshot's page says.
    private func take(_ page: Int, of snapshot: DatabaseSnapshot) throws(StoreError) {
        let new = snapshot.records.pages.page(page)
        while held.count <= page { held.append(nil) }
        let old = held[page]
        let first = page * RecordTable.entriesPerPage
        var removed: [UInt32] = []
        var added: [(slot: UInt32, contents: [FieldIndex.Content?])] = []
        for index in 0..<RecordTable.entriesPerPage {
            let offset = index * RecordEntry.byteCount
            let before = unsafe old?.bytes.load(fromByteOffset: offset, as: RecordEntry.self) ?? .empty
            let after = unsafe new.bytes.load(fromByteOffset: offset, as: RecordEntry.self)
            if before == after { continue }
            let slot = UInt32(first + index)
            if before.isActive { removed.append(slot) }
            // Read before anything is changed: damage must leave the page as it was.
            if after.isActive { added.append((slot, try contents(slot, after, snapshot))) }
        }
        let slotCount = max(held.count, snapshot.records.pages.pageCount) * RecordTable.entriesPerPage
        for slot in removed {
            live.remove(slot)
            for index in fields.indices { fields[index].remove(slot) }
        }
        for (slot, contents) in added {
            live.insert(slot, slotCount: slotCount)
            for (index, content) in contents.enumerated() {
                if let content { fields[index].insert(content, slot, slotCount: slotCount) }
            }
        }
        held[page] = new
        changeCount += 1
    }

    private func contents(
        _ slot: UInt32, _ entry: RecordEntry, _ snapshot: DatabaseSnapshot
    ) throws(StoreError) -> [FieldIndex.Content?] {
        do throws(FormatError) {
            var contents: [FieldIndex.Content?] = []
            contents.reserveCapacity(fields.count)
            // By index: an element that is copied out takes references to all its parts.
            for index in fields.indices {
                contents.append(try unsafe fields[index].content(snapshot.metadataBytes(entry)))
            }
            return contents
        } catch {
            throw snapshot.damaged(slot: slot, entry: entry)
        }
    }

    /// The pages of a snapshot that are not held.
    private func pagesDiffering(from snapshot: DatabaseSnapshot) -> [Int] {
        let table = snapshot.records.pages
        if let complete { return table.pagesDiffering(from: complete) }
        return (0..<table.pageCount).filter { $0 >= held.count || held[$0] !== table.page($0) }
    }

    // MARK: Answers

    /// Whether the declared fields narrow a filter down.
    private nonisolated func isBounded(_ node: FilterNode) -> Bool {
        switch node {
        case .constant: true
        case .test(let path, _): paths.contains(path)
        case .not(let inner): isBounded(inner)
        case .and(let parts): parts.contains(where: isBounded)
        case .or(let parts): parts.allSatisfy(isBounded)
        }
    }

    /// The slots that a node may hold for; nil if they cannot be told.
    private func group(_ node: FilterNode, _ cost: inout Int) -> (slots: Posting, isExact: Bool)? {
        switch node {
        case .constant(let value): return (value ? live : .empty, true)
        case .not(let inner): return complement(inner, &cost)
        case .test(let path, .notEquals(let value)): return complement(.test(path, .equals(value)), &cost)
        case .test(let path, let test):
            guard let index = paths.firstIndex(of: path), let found = fields[index].postings(test) else { return nil }
            cost += found.postings.count
            return (Posting(union: found.postings, slotCount: slotCount), found.isExact)
        case .and(let parts): return conjunction(parts, &cost)
        case .or(let parts):
            var groups: [Posting] = []
            var isExact = true
            for part in parts {
                guard let found = group(part, &cost) else { return nil }
                groups.append(found.slots)
                isExact = isExact && found.isExact
            }
            return (Posting(union: groups, slotCount: slotCount), isExact)
        }
    }

    private var slotCount: Int { held.count * RecordTable.entriesPerPage }

    private func complement(_ node: FilterNode, _ cost: inout Int) -> (slots: Posting, isExact: Bool)? {
        guard let found = group(node, &cost), found.isExact else { return nil }
        return (live.subtracting(found.slots), true)
    }

    /// What all parts may hold for. When few slots are left, the records are asked about the other parts.
    private func conjunction(_ parts: [FilterNode], _ cost: inout Int) -> (slots: Posting, isExact: Bool)? {
        var result: (slots: Posting, isExact: Bool)?
        var isComplete = true
        // Equalities first: they leave the fewest.
        for part in parts.sorted(by: { Self.breadth($0) < Self.breadth($1) }) {
            if let slots = result?.slots, slots.count <= 64 {
                isComplete = false
                break
            }
            guard let found = group(part, &cost) else {
                isComplete = false
                continue
            }
            guard let before = result else {
                result = found
                continue
            }
            result = (before.slots.intersection(found.slots), before.isExact && found.isExact)
        }
        return result.map { ($0.slots, $0.isExact && isComplete) }
    }

    /// A guess at which parts of a conjunction hold for fewer records, without looking.
    private static func breadth(_ node: FilterNode) -> Int {
        switch node {
        case .constant: 0
        case .test(_, .equals), .test(_, .contains): 1
        case .test(_, .isIn), .test(_, .prefix): 2
        case .test(_, .between): 3
        case .and: 4
        case .test(_, .notEquals), .test(_, .exists), .not: 7
        case .test: 5
        case .or: 6
        }
    }
}
