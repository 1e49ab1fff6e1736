/// Goes through all rows for one query: pages that follow one another are shown to the code kernels in runs of blocks.
/// CascadeScan says which pages.
import CNephrite

extension CascadeScan {
    /// Words of slots in a run, at most: 16 pages' worth of 64 rows each.
    static let runWordCount = 16
    /// Bytes of codes that are scanned between two looks at whether the search was cancelled, and at what others found.
    static let runByteCount = 512 << 10

    /// Pages in the longest run, and in a chunk of the codes; nil if a page is too much for one run, or for a chunk.
    func runLength(_ codes: CodeView) -> (longest: Int, chunk: Int)? {
        let pageByteCount =
            (plan.usesSigns ? codes.codec.signStride : codes.codec.highStride) * RecordTable.entriesPerPage
        let chunk = codes.chunkSlotCount / RecordTable.entriesPerPage
        guard pageByteCount <= Self.runByteCount, chunk > 0 else { return nil }
        return (min(Self.runWordCount / 2, Self.runByteCount / pageByteCount), chunk)
    }

    /// Calls `body` with runs of pages, each in one chunk: short ones until there is a threshold, which then soon rises.
    private func forEachRun(_ pages: Range<Int>, _ codes: CodeView, _ body: (Range<Int>) throws -> Void) throws {
        guard let (longest, chunk) = runLength(codes) else { return }
        var page = pages.lowerBound
        var length = coded[0].threshold == -.infinity ? 1 : longest
        while page < pages.upperBound {
            try Task.checkCancellation()
            let end = min(pages.upperBound, page + length, (page / chunk + 1) * chunk)
            try body(page..<end)
            page = end
            length = coded[0].threshold == -.infinity ? 1 : min(longest, 2 * length)
        }
    }

    /// Has the kernels scan the pages for all queries that have a form as integers, and keep their candidates.
    func searchRuns(_ pages: Range<Int>) throws {
        guard let codes = plan.codes else { return }
        let searches = coded.compactMap(\.codeSearch)
        let scratchByteCount = nephrite_code_search_scratch(codes.codec.dimension, searches.count)
        let isShared = searches.count > 1
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: isShared ? scratchByteCount : 64, alignment: 64)
        defer { unsafe scratch.deallocate() }
        let pointers: [UnsafeMutablePointer<nephrite_code_search>?] = unsafe searches.map { unsafe $0.pointer }
        if isShared {
            unsafe nephrite_code_search_prepare(kernels, pointers, pointers.count, plan.usesSigns ? 1 : 0, scratch)
        }
        try unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.runWordCount) { masks in
            guard let masks = masks.baseAddress else { return }
            try forEachRun(pages, codes) { run in
                let rowCount = try unsafe findCoded(run, masks)
                guard rowCount > 0 else { return }
                for (query, search) in zip(coded, searches) { query.beginRun(search) }
                var rows = unsafe codes.rows(from: run.lowerBound * RecordTable.entriesPerPage, plan.usesSigns)
                if isShared {
                    unsafe nephrite_code_search_many(
                        kernels, pointers, pointers.count, &rows, masks, run.count * 2, scratch)
                } else {
                    for search in searches {
                        unsafe nephrite_code_search_blocks(kernels, search.pointer, &rows, masks, run.count * 2)
                    }
                }
                for (query, search) in zip(coded, searches) {
                    query.endRun(search, rowCount: rowCount, bySigns: plan.usesSigns)
                }
            }
        }
    }

    /// Compares the rows of some pages that have no code, and notes which have one.
    ///
    /// - Parameter masks: a word for each 64 slots.
    /// - Returns: how many rows have a code.
    private func findCoded(_ pages: Range<Int>, _ masks: UnsafeMutablePointer<UInt64>) throws -> Int {
        let records = snapshot.records
        var next = unsafe masks
        var rowCount = 0
        func note(_ mask: UInt64, word: Int) throws {
            let hasCode = mask == 0 ? 0 : try compareUncoded(mask, word: word)
            rowCount += hasCode.nonzeroBitCount
            unsafe next.initialize(to: hasCode)
            unsafe next += 1
        }
        for page in pages {
            let live = records.liveWords(ofPage: page)
            try note(live.low, word: 2 * page)
            try note(live.high, word: 2 * page + 1)
        }
        return rowCount
    }

    /// Scans the pages for one query, which has a form as integers.
    func boundRuns(_ pages: Range<Int>, _ query: CascadeQuery) throws {
        guard let codes = plan.codes, query.code != nil else { return }
        if query.budget != nil || runLength(codes) == nil { return try boundPages(pages, query) }
        try unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.runWordCount) { masks in
            try unsafe withUnsafeTemporaryAllocation(
                of: nephrite_code_survivor.self, capacity: Self.runWordCount * 64
            ) { survivors in
                let run = unsafe Run(codes: codes, masks: masks.baseAddress!, survivors: survivors.baseAddress!)
                try forEachRun(pages, codes) { pages in
                    query.refreshThreshold()
                    unsafe try bound(pages, run, query)
                }
            }
        }
    }

    /// The same a word at a time.
    private func boundPages(_ pages: Range<Int>, _ query: CascadeQuery) throws {
        for page in pages where !snapshot.records.pages.page(page).activeEntries.isEmpty {
            try Task.checkCancellation()
            query.refreshThreshold()
            let live = snapshot.records.liveWords(ofPage: page)
            try scan(live.low, word: page * 2)
            try scan(live.high, word: page * 2 + 1)
        }
    }

    /// What scanning a run needs, valid while it goes on.
    @unsafe private struct Run {
        let codes: CodeView
        let masks: UnsafeMutablePointer<UInt64>
        let survivors: UnsafeMutablePointer<nephrite_code_survivor>
    }

    /// Scans the pages of a run, which lie in one chunk.
    private func bound(_ pages: Range<Int>, _ run: Run, _ query: CascadeQuery) throws {
        let rowCount = try unsafe findCoded(pages, run.masks)
        guard rowCount > 0, let code = query.code else { return query.settle() }
        let codes = unsafe run.codes
        let firstSlot = pages.lowerBound * RecordTable.entriesPerPage
        let (chunk, row) = codes.place(ofSlot: firstSlot)
        let rows =
            if plan.usesSigns {
                unsafe codes.signRows(chunk: chunk) + row * codes.codec.signStride
            } else {
                unsafe codes.highRows(chunk: chunk) + row * codes.codec.highStride
            }
        let count = unsafe nephrite_code_scan_blocks(
            kernels, code.pointer, plan.usesSigns ? 1 : 0, rows, run.masks, pages.count * 2, query.threshold,
            run.survivors)
        unsafe query.take(
            UnsafeBufferPointer(start: run.survivors, count: count), of: rowCount, bySigns: plan.usesSigns,
            firstSlot: firstSlot)
    }

    /// Shows a query rows of the high plane, or of the plane of signs.
    func bound(_ rows: UnsafeRawPointer, _ mask: UInt64, _ firstSlot: Int, _ query: CascadeQuery) {
        guard let code = query.code else { return }
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 128) { bounds in
            let lower = bounds.baseAddress!
            let upper = unsafe lower + 64
            let survivors =
                if plan.usesSigns {
                    unsafe nephrite_code_scan_signs(
                        kernels, code.pointer, rows, mask, query.threshold, lower, upper)
                } else {
                    unsafe nephrite_code_scan(kernels, code.pointer, rows, mask, query.threshold, lower, upper)
                }
            unsafe query.take(
                survivors: survivors, of: mask, bySigns: plan.usesSigns, lower: lower, upper: upper,
                slots: BlockSlots(from: firstSlot))
        }
    }
}

extension CodeView {
    /// The rows of a chunk from a slot on, as the kernels want them.
    func rows(from slot: Int, _ bySigns: Bool) -> nephrite_code_rows {
        let (chunk, row) = place(ofSlot: slot)
        return unsafe nephrite_code_rows(
            high: highRows(chunk: chunk) + row * codec.highStride, low: lowRows(chunk: chunk) + row * codec.lowStride,
            signs: bySigns ? signRows(chunk: chunk) + row * codec.signStride : nil, first_slot: UInt32(slot))
    }
}
