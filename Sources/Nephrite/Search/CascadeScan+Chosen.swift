/// Goes through the rows that a filter chose: where they are sparse, rows of many words share a block, so that the kernels
/// look at full blocks and at nothing else. CascadeScan says which words have chosen rows.
import CNephrite

extension CascadeScan {
    /// From so many chosen rows of a word on, the word is a block of its own, which is read straight through.
    private var denseCount: Int { unsafe Int(nephrite_code_dense_count(kernels)) }

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
                    if mask.nonzeroBitCount >= denseCount {
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
        let denseCount = denseCount
        // As many words as a run may have of long rows; one until there is a threshold, which then soon rises.
        let longest = min(
            Self.runWordCount, max(1, Self.runByteCount / (codes.codec.highStride * Int(nephrite_code_block_rows))))
        let slotCapacity = Int(nephrite_code_block_rows)
        try unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: slotCapacity) { slots in
            try unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.runWordCount) { masks in
                var chosen = unsafe ChosenRows(slots: slots.baseAddress!, masks: masks.baseAddress!)
                var chunk = -1
                var wordCount = 0
                while let (word, mask) = next() {
                    assert(mask & ~snapshot.records.liveWord(word) == 0, "a filter holds for live rows only")
                    if wordCount % longest == 0 { try Task.checkCancellation() }
                    wordCount += 1
                    var rest = try compareUncoded(mask, word: word)
                    guard rest != 0 else { continue }
                    let place = codes.place(ofSlot: word * 64).chunk
                    if place != chunk {
                        unsafe searchGathered(&chosen, search, query)
                        unsafe searchRun(&chosen, search, query)
                        chunk = place
                        unsafe chosen.start = codes.rows(from: chunk * codes.chunkSlotCount, false)
                    }
                    if rest.nonzeroBitCount >= denseCount {
                        let limit = search.threshold == -.infinity ? 1 : longest
                        if unsafe word >= chosen.firstWord + limit {
                            unsafe searchRun(&chosen, search, query)
                        }
                        unsafe chosen.append(rest, word: word)
                        continue
                    }
                    while rest != 0 {
                        unsafe chosen.append(slot: UInt32(word * 64 + rest.trailingZeroBitCount))
                        rest &= rest - 1
                        if unsafe chosen.slotCount == slotCapacity { unsafe searchGathered(&chosen, search, query) }
                    }
                }
                unsafe searchGathered(&chosen, search, query)
                unsafe searchRun(&chosen, search, query)
            }
        }
    }

    /// Searches the rows that were brought together.
    private func searchGathered(_ chosen: inout ChosenRows, _ search: CodeSearch, _ query: CascadeQuery) {
        let count = unsafe chosen.slotCount
        guard count > 0 else { return }
        unsafe chosen.slotCount = 0
        query.beginRun(search)
        unsafe nephrite_code_search_rows(kernels, search.pointer, &chosen.start, chosen.slots, count)
        query.endRun(search, rowCount: count, bySigns: false)
    }

    /// Searches the words that are blocks of their own.
    private func searchRun(_ chosen: inout ChosenRows, _ search: CodeSearch, _ query: CascadeQuery) {
        let count = unsafe chosen.wordCount
        guard count > 0, let codes = plan.codes else { return }
        unsafe chosen.wordCount = 0
        var rowCount = 0
        for index in 0..<count { unsafe rowCount += chosen.masks[index].nonzeroBitCount }
        query.beginRun(search)
        var rows = unsafe codes.rows(from: chosen.firstWord * 64, false)
        unsafe nephrite_code_search_blocks(kernels, search.pointer, &rows, chosen.masks, count)
        query.endRun(search, rowCount: rowCount, bySigns: false)
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

/// Chosen rows of one chunk that wait to be searched: some by their slots, others as words that follow one another.
@unsafe private struct ChosenRows {
    let slots: UnsafeMutablePointer<UInt32>
    let masks: UnsafeMutablePointer<UInt64>
    /// The chunk's first rows.
    var start = unsafe nephrite_code_rows()
    var slotCount = 0
    var firstWord = 0
    /// Words from the first one on; of some no row is to be looked at.
    var wordCount = 0

    init(slots: UnsafeMutablePointer<UInt32>, masks: UnsafeMutablePointer<UInt64>) {
        unsafe self.slots = slots
        unsafe self.masks = masks
    }

    mutating func append(slot: UInt32) {
        unsafe (slots + slotCount).initialize(to: slot)
        unsafe slotCount += 1
    }

    /// - Parameter word: behind the last, and less than ``CascadeScan/runWordCount`` words behind the first.
    mutating func append(_ mask: UInt64, word: Int) {
        if unsafe wordCount == 0 { unsafe firstWord = word }
        unsafe assert(word >= firstWord + wordCount, "words in descending order")
        while unsafe firstWord + wordCount < word {
            unsafe (masks + wordCount).initialize(to: 0)
            unsafe wordCount += 1
        }
        unsafe (masks + wordCount).initialize(to: mask)
        unsafe wordCount += 1
    }
}
