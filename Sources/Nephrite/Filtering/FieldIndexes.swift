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
///
/// Many pages are read on the search threads, but the actor itself never runs there: its other callers would be served on
/// the same thread, and whatever they go on with would be in the way of searches.
actor FieldIndexes {
    /// Pages read and taken over at once; in between, the task may have been cancelled, and others may go on.
    private static let pagesPerStep = 16

    nonisolated let paths: [FieldPath]
    private var fields: [FieldIndex] = []
    private var readers: [FieldReader] = []
    private var held: [IndexPage?] = []
    /// The slots that are active in the pages that are held.
    private var live = Posting.empty
    /// The table whose pages all are held, if it is known that they are.
    private var complete: PagedTable?
    /// The newest version that was asked for: pages of an older one are not taken over.
    private var newest: RecordVersion = 0
    /// Pages that a caller is reading, so that others who build the indexes at the same time read other ones.
    private var claimed: Set<Int> = []

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
        if fields.isEmpty {
            readers = try paths.map { path throws(StoreError) in try FieldReader(path) }
            fields = paths.map { FieldIndex($0) }
        }
        newest = max(newest, snapshot.version)
        guard snapshot.version == newest else { return }
        let wanted = pagesDiffering(from: snapshot)
        if wanted.isEmpty, complete != nil { return }
        if wanted.count > Self.pagesPerStep {
            try await takeMany(wanted, of: snapshot)
        } else {
            for page in wanted { apply(try PageChange(page, of: snapshot, from: heldPage(page), readers: readers)) }
        }
        for index in fields.indices { fields[index].tidy() }
        let table = snapshot.records.pages
        // The pages were all taken over just now, or some of them while others went on.
        if wanted.count <= Self.pagesPerStep || pagesDiffering(from: snapshot).isEmpty {
            complete = held.count == table.pageCount ? table : nil
        }
    }

    /// Takes pages over in steps, and lets others go on in between: first those that no other caller is reading, then what
    /// the others did not finish.
    private func takeMany(_ wanted: [Int], of snapshot: DatabaseSnapshot) async throws {
        var rest = wanted
        for isLastRound in [false, true] {
            var left: [Int] = []
            var next = 0
            while next < rest.count {
                var step: [Int] = []
                while step.count < Self.pagesPerStep, next < rest.count {
                    defer { next += 1 }
                    let page = rest[next]
                    if heldPage(page) === snapshot.records.pages.page(page) { continue }
                    if !isLastRound, claimed.contains(page) { left.append(page) } else { step.append(page) }
                }
                if step.isEmpty { continue }
                try Task.checkCancellation()
                let changes = try await read(step, of: snapshot)
                // Another caller may have gone on to a newer commit meanwhile, or taken over some of these pages.
                guard snapshot.version == newest else { return }
                for change in changes where heldPage(change.page) === change.old { apply(change) }
            }
            rest = left
        }
    }

    /// Reads pages on a search thread, if there are any.
    private func read(_ pages: [Int], of snapshot: DatabaseSnapshot) async throws -> [PageChange] {
        claimed.formUnion(pages)
        defer { claimed.subtract(pages) }
        let olds = pages.map(heldPage)
        let readers = readers
        @Sendable func changes() throws(StoreError) -> [PageChange] {
            var changes: [PageChange] = []
            for (page, old) in zip(pages, olds) {
                changes.append(try PageChange(page, of: snapshot, from: old, readers: readers))
            }
            return changes
        }
        guard let executor = snapshot.searcher.executor else {
            await Task.yield()
            return try changes()
        }
        return try await IOContext(executor: executor).throwing(changes)
    }

    private func heldPage(_ page: Int) -> IndexPage? { page < held.count ? held[page] : nil }

    /// Makes the indexes say about the slots of a page what the change says.
    private func apply(_ change: PageChange) {
        while held.count <= change.page { held.append(nil) }
        complete = nil
        let slotCount = max(held.count, change.pageCount) * RecordTable.entriesPerPage
        for slot in change.removed {
            live.remove(slot)
            for index in fields.indices { fields[index].remove(slot) }
        }
        for (slot, contents) in change.added {
            live.insert(slot, slotCount: slotCount)
            for (index, content) in contents.enumerated() {
                if let content { fields[index].insert(content, slot, slotCount: slotCount) }
            }
        }
        held[change.page] = change.new
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
