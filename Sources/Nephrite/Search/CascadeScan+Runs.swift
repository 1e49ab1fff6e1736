/// Goes through all rows for one query: pages that follow one another are shown to the code kernels in runs of blocks.
/// CascadeScan says which pages.
import CNephrite

extension CascadeScan {
    /// Words of slots in a run, at most: 16 pages' worth of 64 rows each.
    static let runWordCount = 16
    /// Bytes of codes that are scanned between two looks at whether the search was cancelled, and at what others found.
    static let runByteCount = 512 << 10

    /// Scans the pages for one query, which has a form as integers.
    func boundRuns(_ pages: Range<Int>, _ query: CascadeQuery) throws {
        guard let codes = plan.codes, query.code != nil else { return }
        let pageByteCount =
            (plan.usesSigns ? codes.codec.signStride : codes.codec.highStride) * RecordTable.entriesPerPage
        if query.budget != nil || pageByteCount > Self.runByteCount {
            return try boundPages(pages, query)
        }
        let longest = min(Self.runWordCount / 2, Self.runByteCount / pageByteCount)
        let chunkPageCount = codes.chunkSlotCount / RecordTable.entriesPerPage
        try unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.runWordCount) { masks in
            try unsafe withUnsafeTemporaryAllocation(
                of: nephrite_code_survivor.self, capacity: Self.runWordCount * 64
            ) { survivors in
                var page = pages.lowerBound
                while page < pages.upperBound {
                    try Task.checkCancellation()
                    query.refreshThreshold()
                    // Until there is a threshold, every row is left: a page at a time.
                    let length = query.threshold == -.infinity ? 1 : longest
                    let chunkEnd = (page / chunkPageCount + 1) * chunkPageCount
                    let end = min(pages.upperBound, page + length, chunkEnd)
                    let run = unsafe Run(
                        codes: codes, masks: masks.baseAddress!, survivors: survivors.baseAddress!)
                    unsafe try bound(page..<end, run, query)
                    page = end
                }
            }
        }
    }

    /// The same a word at a time.
    private func boundPages(_ pages: Range<Int>, _ query: CascadeQuery) throws {
        for page in pages where snapshot.records.pages.page(page).activeCount > 0 {
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
        let firstWord = pages.lowerBound * 2
        var rowCount = 0
        for page in pages {
            let live = snapshot.records.liveWords(ofPage: page)
            for (offset, mask) in [live.low, live.high].enumerated() {
                let word = page * 2 + offset
                var hasCode: UInt64 = 0
                if mask != 0 { hasCode = try compareUncoded(mask, word: word) }
                rowCount += hasCode.nonzeroBitCount
                unsafe (run.masks + word - firstWord).initialize(to: hasCode)
            }
        }
        guard rowCount > 0, let code = query.code else { return query.settle() }
        let codes = unsafe run.codes
        let firstSlot = firstWord * 64
        let (chunk, row) = firstSlot.quotientAndRemainder(dividingBy: codes.chunkSlotCount)
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
