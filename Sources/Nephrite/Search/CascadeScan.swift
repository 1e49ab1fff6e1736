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

    let plan: CascadePlan
    let snapshot: DatabaseSnapshot
    let queries: [CascadeQuery]
    let coded: [CascadeQuery]
    private let uncoded: [CascadeQuery]
    let kernels: OpaquePointer

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

    /// Searches pages of the record table, as many as are left for it.
    static func run(_ plan: CascadePlan, _ shares: ScanShares) throws -> Part {
        let start = plan.request.isTimed ? SystemClock().monotonicNanoseconds() : 0
        let scan = CascadeScan(plan)
        while let pages = shares.next() { try scan.run(pages) }
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

    /// Whether there is one query, which has a form as integers.
    var isForOneCode: Bool { uncoded.isEmpty && coded.count == 1 }

    /// Whether the kernels keep the candidates of all queries that have a form as integers.
    private var isForRuns: Bool {
        !coded.isEmpty && coded.allSatisfy { $0.codeSearch != nil } && plan.codes.flatMap(runLength) != nil
    }

    private func run(_ pages: Range<Int>) throws {
        switch plan.request.rows {
        case .none: return
        case .all where plan.codes == nil && queries.count == 1: try compareRuns(pages, queries[0])
        case .all where isForRuns, .predicate where isForRuns: try searchRuns(pages)
        case .all where isForOneCode, .predicate where isForOneCode: try boundRuns(pages, coded[0])
        case .all, .predicate:
            try forEachPage(pages) { page in
                let live = snapshot.records.liveWords(ofPage: page)
                try scan(live.low, word: page * 2)
                try scan(live.high, word: page * 2 + 1)
            }
        case .slots(let set):
            var word = pages.lowerBound * 2
            let end = min(pages.upperBound * 2, set.words.count)
            try scanChosen {
                while word < end, set.words[word] == 0 { word += 1 }
                guard word < end else { return nil }
                word += 1
                return (word - 1, set.words[word - 1])
            }
        case .list(let slots):
            let end = pages.upperBound * RecordTable.entriesPerPage
            var index = slots.firstIndex(notBelow: pages.lowerBound * RecordTable.entriesPerPage)
            try scanChosen {
                guard index < slots.count, slots[index] < end else { return nil }
                let word = Int(slots[index] >> 6)
                var mask: UInt64 = 0
                while index < slots.count, Int(slots[index] >> 6) == word {
                    mask |= 1 << UInt64(slots[index] & 63)
                    index += 1
                }
                return (word, mask)
            }
        }
    }

    private func forEachPage(_ pages: Range<Int>, _ body: (Int) throws -> Void) throws {
        for page in pages where !snapshot.records.pages.page(page).activeEntries.isEmpty {
            try Task.checkCancellation()
            for query in queries { query.refreshThreshold() }
            try body(page)
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
    func compareInSteps(_ mask: UInt64, word: Int, _ query: CascadeQuery) throws {
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

    /// Shows all queries the rows of one word of slots: so many at a time that none of the looks at whether the search was
    /// cancelled are far apart, which only vectors of many thousand components make fewer than all.
    func scan(_ mask: UInt64, word: Int) throws {
        let stride = plan.codes?.codec.highStride ?? snapshot.identity.stride
        let count = max(4, min(64, Self.stepByteCount / (stride * min(queries.count, Self.groupSize))))
        guard count < 64 else { return try scanStep(mask, word: word) }
        for first in Swift.stride(from: 0, to: 64, by: count) {
            try scanStep(mask & ((1 << UInt64(count)) - 1) << UInt64(first), word: word)
        }
    }

    private func scanStep(_ mask: UInt64, word: Int) throws {
        guard mask != 0 else { return }
        try Task.checkCancellation()
        let firstSlot = word * 64
        let hasCode = try compareUncoded(mask, word: word)
        guard hasCode != 0, let codes = plan.codes, !coded.isEmpty else { return }
        let (chunk, row) = firstSlot.quotientAndRemainder(dividingBy: codes.chunkSlotCount)
        if plan.usesSigns {
            let signs = unsafe codes.signRows(chunk: chunk) + row * codes.codec.signStride
            for query in coded { unsafe bound(signs, hasCode, firstSlot, query) }
            return
        }
        let rows = unsafe codes.highRows(chunk: chunk) + row * codes.codec.highStride
        if coded.count == 1 {
            unsafe bound(rows, hasCode, firstSlot, coded[0])
            return
        }
        try forEachGroup { group in
            try Task.checkCancellation()
            unsafe bound(group, of: hasCode, BlockSlots(from: firstSlot)) { bounds in
                unsafe nephrite_code_scan_many(
                    kernels, bounds.queries, group.count, rows, hasCode, bounds.thresholds, bounds.survivors,
                    bounds.lower, bounds.upper)
            }
        }
    }

    /// Compares the rows of a word that have no code, and all with queries that have none; returns the others.
    func compareUncoded(_ mask: UInt64, word: Int) throws -> UInt64 {
        var hasCode: UInt64 = 0
        let firstSlot = word * 64
        if let codes = plan.codes, firstSlot < codes.slotCapacity { hasCode = mask & codes.codedWord(word) }
        for query in uncoded { try compareInSteps(mask, word: word, query) }
        if hasCode != mask {
            for query in coded { try compareInSteps(mask & ~hasCode, word: word, query) }
        }
        return hasCode
    }

    /// Groups of the queries that have a form as integers.
    func forEachGroup(_ body: (Range<Int>) throws -> Void) rethrows {
        for first in stride(from: 0, to: coded.count, by: Self.groupSize) {
            try body(first..<min(coded.count, first + Self.groupSize))
        }
    }

    /// What the kernels for several queries fill in.
    @unsafe struct Bounds {
        let queries: UnsafeMutablePointer<UnsafePointer<nephrite_code_query>?>
        let thresholds: UnsafeMutablePointer<Float>
        let survivors: UnsafeMutablePointer<UInt64>
        /// 64 for each query.
        let lower: UnsafeMutablePointer<Float>
        let upper: UnsafeMutablePointer<Float>
    }

    /// Shows a group of queries a block.
    ///
    /// - Parameter scan: calls a kernel for several queries.
    func bound(_ group: Range<Int>, of mask: UInt64, _ slots: BlockSlots, _ scan: (Bounds) -> Void) {
        let size = Self.groupSize
        typealias Pointers = UnsafePointer<nephrite_code_query>?
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 129 * size) { floats in
            unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: size) { survivors in
                unsafe withUnsafeTemporaryAllocation(of: Pointers.self, capacity: size) { pointers in
                    let start = floats.baseAddress!
                    let bounds = unsafe Bounds(
                        queries: pointers.baseAddress!, thresholds: start, survivors: survivors.baseAddress!,
                        lower: start + size, upper: start + size + 64 * size)
                    for (index, query) in coded[group].enumerated() {
                        unsafe (bounds.queries + index).initialize(
                            to: query.code.map { unsafe UnsafePointer($0.pointer) })
                        unsafe (bounds.thresholds + index).initialize(to: query.threshold)
                    }
                    unsafe scan(bounds)
                    for index in 0..<group.count {
                        unsafe coded[group.lowerBound + index].take(
                            survivors: bounds.survivors[index], of: mask, lower: bounds.lower + 64 * index,
                            upper: bounds.upper + 64 * index, slots: slots)
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
        let bits = liveBits(ofPage: index)
        return (bits.low, bits.high)
    }
}
