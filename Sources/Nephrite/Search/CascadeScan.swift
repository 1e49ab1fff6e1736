/// Goes through the rows of a part of a snapshot once, for one or several queries: the searcher gives it pages of the
/// record table, it gives blocks of 64 rows to the code kernels, or to the exact scan where there is no code.
import CNephrite
import StorageFormat
import StorageIO

@safe struct CascadeScan {
    /// Queries that one call of the kernel for several queries serves.
    static let groupSize = 16
    /// Bytes of rows that are compared between two looks at whether the search was cancelled.
    private static let stepByteCount = 4 << 20

    private let plan: CascadePlan
    private let snapshot: DatabaseSnapshot
    private let queries: [CascadeQuery]
    private let coded: [CascadeQuery]
    private let uncoded: [CascadeQuery]
    private let kernels: OpaquePointer

    /// What a part hands back.
    struct Part: Sendable {
        var scanners: [ExactScanner]
        var budgets: [TopK?]
        var counts: SearchCounts
    }

    private init(_ plan: CascadePlan) {
        self.plan = plan
        snapshot = plan.snapshot
        queries = plan.request.queries.indices.map { CascadeQuery(plan, query: $0) }
        coded = queries.filter { $0.code != nil }
        uncoded = queries.filter { $0.code == nil }
        unsafe kernels = nephrite_code_set_in_use()
    }

    /// Searches some pages of the record table.
    static func run(_ plan: CascadePlan, pages: Range<Int>) throws -> Part {
        let start = plan.request.isTimed ? SystemClock().monotonicNanoseconds() : 0
        let scan = CascadeScan(plan)
        try scan.run(pages)
        for query in scan.queries { query.finish() }
        var part = Part(scanners: [], budgets: [], counts: SearchCounts())
        for query in scan.queries {
            part.scanners.append(query.exact)
            part.budgets.append(query.budget)
            part.counts += query.counts
        }
        if plan.request.isTimed {
            let whole = SystemClock().monotonicNanoseconds() - start
            part.counts.scanTime = whole - min(whole, part.counts.refineTime + part.counts.compareTime)
        }
        return part
    }

    private func run(_ pages: Range<Int>) throws {
        switch plan.request.rows {
        case .none: return
        case .all where plan.codes == nil && queries.count == 1: try compareRuns(pages, queries[0])
        case .all, .predicate:
            try forEachPage(pages) { page in
                let live = snapshot.records.liveWords(ofPage: page)
                scan(live.low, word: page * 2)
                scan(live.high, word: page * 2 + 1)
            }
        case .slots(let set):
            try scan(words: pages.lowerBound * 2..<min(pages.upperBound * 2, set.words.count)) { set.words[$0] }
        case .list(let slots): try scan(slots, in: pages)
        }
    }

    /// Scans the words of a set of live slots.
    private func scan(words: Range<Int>, _ mask: (Int) -> UInt64) throws {
        for word in words where mask(word) != 0 { try scan(chosen: mask(word), word: word) }
    }

    /// Scans live slots that are in ascending order.
    private func scan(_ slots: [UInt32], in pages: Range<Int>) throws {
        let end = pages.upperBound * RecordTable.entriesPerPage
        var index = slots.firstIndex { $0 >= UInt32(pages.lowerBound * RecordTable.entriesPerPage) } ?? slots.count
        while index < slots.count, slots[index] < end {
            let word = Int(slots[index] >> 6)
            var mask: UInt64 = 0
            while index < slots.count, Int(slots[index] >> 6) == word {
                mask |= 1 << UInt64(slots[index] & 63)
                index += 1
            }
            try scan(chosen: mask, word: word)
        }
    }

    /// Shows all queries the chosen rows of one word of slots, which are live.
    private func scan(chosen mask: UInt64, word: Int) throws {
        assert(mask & ~snapshot.records.liveWord(word) == 0, "a filter holds for live rows only")
        if plan.codes == nil {
            for query in queries { try compareInSteps(mask, word: word, query) }
        } else {
            try Task.checkCancellation()
            for query in queries { query.refreshThreshold() }
            scan(mask, word: word)
        }
    }

    private func forEachPage(_ pages: Range<Int>, _ body: (Int) -> Void) throws {
        for page in pages where snapshot.records.pages.page(page).activeCount > 0 {
            try Task.checkCancellation()
            for query in queries { query.refreshThreshold() }
            body(page)
        }
    }

    /// The plain scan of one query: pages without a hole are compared in long runs.
    private func compareRuns(_ pages: Range<Int>, _ query: CascadeQuery) throws {
        let records = snapshot.records
        let pageByteCount = snapshot.identity.stride * RecordTable.entriesPerPage
        let longest = max(1, Self.stepByteCount / pageByteCount)
        var page = pages.lowerBound
        while page < pages.upperBound {
            try Task.checkCancellation()
            var end = page
            let limit = min(pages.upperBound, page + longest)
            while end < limit, records.pages.page(end).activeCount == RecordTable.entriesPerPage { end += 1 }
            if end > page, pageByteCount <= Self.stepByteCount {
                query.compare(run: page * RecordTable.entriesPerPage..<end * RecordTable.entriesPerPage)
                page = end
            } else {
                let live = records.liveWords(ofPage: page)
                try compareInSteps(live.low, word: page * 2, query)
                try compareInSteps(live.high, word: page * 2 + 1, query)
                page += 1
            }
        }
    }

    /// Rows of many dimensions, a few at a time.
    private func compareInSteps(_ mask: UInt64, word: Int, _ query: CascadeQuery) throws {
        let count = max(1, min(64, Self.stepByteCount / snapshot.identity.stride))
        var first = 0
        while first < 64 {
            let step = count == 64 ? mask : (mask >> UInt64(first)) & ((1 << UInt64(count)) - 1)
            if step != 0 {
                try Task.checkCancellation()
                query.compare(step, firstSlot: word * 64 + first)
            }
            first += count
        }
    }

    /// Shows all queries the rows of one word of slots.
    private func scan(_ mask: UInt64, word: Int) {
        guard mask != 0 else { return }
        let firstSlot = word * 64
        var hasCode: UInt64 = 0
        if let codes = plan.codes, firstSlot < codes.slotCapacity { hasCode = mask & codes.codedWord(word) }
        for query in uncoded { query.compare(mask, firstSlot: firstSlot) }
        if hasCode != mask {
            for query in coded { query.compare(mask & ~hasCode, firstSlot: firstSlot) }
        }
        guard hasCode != 0, let codes = plan.codes, !coded.isEmpty else { return }
        let (chunk, row) = firstSlot.quotientAndRemainder(dividingBy: codes.chunkSlotCount)
        let rows = unsafe codes.highRows(chunk: chunk) + row * codes.codec.highStride
        if coded.count == 1 {
            unsafe bound(rows, hasCode, firstSlot, coded[0])
        } else {
            var first = 0
            while first < coded.count {
                let end = min(coded.count, first + Self.groupSize)
                unsafe bound(rows, hasCode, firstSlot, first..<end)
                first = end
            }
        }
    }

    private func bound(_ rows: UnsafeRawPointer, _ mask: UInt64, _ firstSlot: Int, _ query: CascadeQuery) {
        guard let code = query.code else { return }
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 128) { bounds in
            guard let lower = bounds.baseAddress else { return }
            let upper = unsafe lower + 64
            let survivors = unsafe nephrite_code_scan(
                kernels, code.pointer, rows, mask, query.threshold, lower, upper)
            unsafe query.take(survivors: survivors, of: mask, lower: lower, upper: upper, firstSlot: firstSlot)
        }
    }

    private func bound(_ rows: UnsafeRawPointer, _ mask: UInt64, _ firstSlot: Int, _ group: Range<Int>) {
        let count = group.count
        typealias Pointers = UnsafePointer<nephrite_code_query>?
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 129 * Self.groupSize) { floats in
            unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.groupSize) { survivors in
                unsafe withUnsafeTemporaryAllocation(of: Pointers.self, capacity: Self.groupSize) { pointers in
                    guard let thresholds = floats.baseAddress, let found = survivors.baseAddress else { return }
                    let lower = unsafe thresholds + Self.groupSize
                    let upper = unsafe lower + 64 * Self.groupSize
                    for index in 0..<count {
                        let query = coded[group.lowerBound + index]
                        unsafe (pointers.baseAddress! + index).initialize(
                            to: query.code.map { unsafe UnsafePointer($0.pointer) })
                        unsafe (thresholds + index).initialize(to: query.threshold)
                    }
                    unsafe nephrite_code_scan_many(
                        kernels, pointers.baseAddress!, count, rows, mask, thresholds, found, lower, upper)
                    for index in 0..<count {
                        unsafe coded[group.lowerBound + index].take(
                            survivors: found[index], of: mask, lower: lower + 64 * index, upper: upper + 64 * index,
                            firstSlot: firstSlot)
                    }
                }
            }
        }
    }
}

extension RecordTable {
    /// Which of the 64 entries of a word are active.
    func liveWord(_ word: Int) -> UInt64 {
        let words = liveWords(ofPage: word / 2)
        return word % 2 == 0 ? words.low : words.high
    }

    /// Which of the 128 entries of a page are active.
    func liveWords(ofPage index: Int) -> (low: UInt64, high: UInt64) {
        let page = pages.page(index)
        if page.activeCount == Self.entriesPerPage { return (.max, .max) }
        var words: (low: UInt64, high: UInt64) = (0, 0)
        guard page.activeCount > 0 else { return words }
        let first = index * Self.entriesPerPage
        for entry in 0..<min(Self.entriesPerPage, slotCount - first) where self[first + entry].isActive {
            if entry < 64 { words.low |= 1 << UInt64(entry) } else { words.high |= 1 << UInt64(entry - 64) }
        }
        return words
    }
}
