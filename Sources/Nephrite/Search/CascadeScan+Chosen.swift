/// Goes through the rows that a filter chose: where they are sparse, rows of many words share a block, so that the kernels
/// look at full blocks and at nothing else. CascadeScan says which words have chosen rows.
import CNephrite

extension CascadeScan {
    /// From so many chosen rows of a word on, the word is a block of its own, which is read straight through: that takes as
    /// long as 28 rows that are asked for one by one (384 components, codes in the third cache).
    static let denseCount = 28

    /// Scans words with chosen rows, which are live, until there are no more.
    ///
    /// - Parameter next: the next word and its chosen rows, one or more.
    func scanChosen(_ next: () -> (word: Int, mask: UInt64)?) throws {
        guard plan.codes != nil else {
            while let (word, mask) = next() {
                for query in queries { try compareInSteps(mask, word: word, query) }
            }
            return
        }
        if isForOneCode, let search = coded[0].codeSearch { return try searchChosen(search, coded[0], next) }
        let blockRowCount = nephrite_code_block_rows
        try unsafe withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: blockRowCount) { rows in
            try unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: blockRowCount) { slots in
                var gathered = unsafe GatheredRows(rows: rows.baseAddress!, slots: slots.baseAddress!)
                var wordCount = 0
                while let (word, mask) = next() {
                    assert(mask & ~snapshot.records.liveWord(word) == 0, "a filter holds for live rows only")
                    if wordCount % 16 == 0 { try look() }
                    wordCount += 1
                    if mask.nonzeroBitCount >= Self.denseCount {
                        try scan(mask, word: word)
                    } else {
                        let hasCode = try compareUncoded(mask, word: word)
                        unsafe gather(hasCode, word: word, &gathered)
                    }
                }
                unsafe bound(&gathered)
            }
        }
    }

    /// Has the kernels search the words for one query, and keep its candidates.
    private func searchChosen(
        _ search: CodeSearch, _ query: CascadeQuery, _ next: () -> (word: Int, mask: UInt64)?
    ) throws {
        guard let codes = plan.codes else { return }
        let blockRowCount = Int(nephrite_code_block_rows)
        try unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: blockRowCount) { slots in
            let slots = slots.baseAddress!
            var count = 0
            var chunk = -1
            var rows = unsafe nephrite_code_rows()
            func searchGathered() {
                guard count > 0 else { return }
                query.beginRun(search)
                unsafe nephrite_code_search_rows(kernels, search.pointer, &rows, slots, count)
                query.endRun(search, rowCount: count, bySigns: false)
                count = 0
            }
            var wordCount = 0
            while let (word, mask) = next() {
                assert(mask & ~snapshot.records.liveWord(word) == 0, "a filter holds for live rows only")
                if wordCount % 16 == 0 { try Task.checkCancellation() }
                wordCount += 1
                var rest = try compareUncoded(mask, word: word)
                guard rest != 0 else { continue }
                let (place, _) = codes.place(ofSlot: word * 64)
                if place != chunk {
                    searchGathered()
                    chunk = place
                    unsafe rows = codes.rows(from: chunk * codes.chunkSlotCount, false)
                }
                if rest.nonzeroBitCount >= Self.denseCount {
                    query.beginRun(search)
                    var block = unsafe codes.rows(from: word * 64, false)
                    unsafe nephrite_code_search_blocks(kernels, search.pointer, &block, &rest, 1)
                    query.endRun(search, rowCount: rest.nonzeroBitCount, bySigns: false)
                    continue
                }
                while rest != 0 {
                    unsafe (slots + count).initialize(to: UInt32(word * 64 + rest.trailingZeroBitCount))
                    rest &= rest - 1
                    count += 1
                    if count == blockRowCount { searchGathered() }
                }
            }
            searchGathered()
        }
    }

    /// Looks at whether the search was cancelled, and at what other threads have found.
    private func look() throws {
        try Task.checkCancellation()
        for query in queries { query.refreshThreshold() }
    }

    /// Puts the rows of a word, which have codes, to those that wait for a full block.
    private func gather(_ mask: UInt64, word: Int, _ gathered: inout GatheredRows) {
        guard mask != 0, let codes = plan.codes, !coded.isEmpty else { return }
        let (chunk, first) = (word * 64).quotientAndRemainder(dividingBy: codes.chunkSlotCount)
        let stride = codes.codec.highStride
        let start = unsafe codes.highRows(chunk: chunk) + first * stride
        var rest = mask
        while rest != 0 {
            let index = rest.trailingZeroBitCount
            rest &= rest - 1
            unsafe (gathered.rows + gathered.count).initialize(to: start + index * stride)
            unsafe (gathered.slots + gathered.count).initialize(to: UInt32(word * 64 + index))
            unsafe gathered.count += 1
            if unsafe gathered.count == nephrite_code_block_rows { unsafe bound(&gathered) }
        }
    }

    /// Shows all queries the rows that wait.
    private func bound(_ gathered: inout GatheredRows) {
        let count = unsafe gathered.count
        guard count > 0 else { return }
        defer { unsafe gathered.count = 0 }
        let mask = count == 64 ? UInt64.max : (1 << UInt64(count)) - 1
        let slots = unsafe BlockSlots(gathered.slots)
        let rows = unsafe gathered.rows
        if coded.count == 1, let code = coded[0].code {
            unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 128) { bounds in
                let lower = bounds.baseAddress!
                let upper = unsafe lower + 64
                let survivors = unsafe nephrite_code_scan_rows(
                    kernels, code.pointer, rows, count, coded[0].threshold, lower, upper)
                unsafe coded[0].take(survivors: survivors, of: mask, lower: lower, upper: upper, slots: slots)
            }
            return
        }
        forEachGroup { group in
            unsafe bound(group, of: mask, slots) { bounds in
                unsafe nephrite_code_scan_rows_many(
                    kernels, bounds.queries, group.count, rows, count, bounds.thresholds, bounds.survivors,
                    bounds.lower, bounds.upper)
            }
        }
    }
}

/// Rows of the high plane that wait for a full block.
@unsafe private struct GatheredRows {
    let rows: UnsafeMutablePointer<UnsafeRawPointer?>
    let slots: UnsafeMutablePointer<UInt32>
    var count = 0

    init(rows: UnsafeMutablePointer<UnsafeRawPointer?>, slots: UnsafeMutablePointer<UInt32>) {
        unsafe self.rows = rows
        unsafe self.slots = slots
    }
}
