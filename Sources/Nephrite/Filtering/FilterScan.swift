/// Evaluates a filter over pages of the record table: the resolver divides the pages among threads, each thread runs one
/// of these and hands back the words of its pages.
import CNephrite
import StorageFormat

/// Which slots of a page match: two words.
struct PageMatches: Sendable {
    var low: UInt64
    var high: UInt64
}

struct FilterScan: Sendable {
    /// A result for another state of the database, to go on from: what has not changed since need not be asked again.
    struct Base: Sendable {
        let records: RecordTable
        let matches: SlotSet
        /// The plan that the matches make.
        let plan: FilterPlan

        init(records: RecordTable, matches: SlotSet) {
            self.records = records
            self.matches = matches
            plan = FilterPlan(matches)
        }
    }

    /// Pages between looks at whether the task was cancelled: some thousands of records, less than a millisecond.
    private static let pagesPerCheck = 32

    let snapshot: DatabaseSnapshot
    let filter: CompiledFilter
    var base: Base?
    /// If given, the only slots that may match.
    var candidates: SlotSet?

    /// The words of some pages, in their order.
    ///
    /// - Throws: `CancellationError`; `corruption` if a record's metadata is damaged.
    func run(_ pages: some Collection<Int>) throws -> [PageMatches] {
        var matches: [PageMatches] = []
        matches.reserveCapacity(pages.count)
        for page in pages {
            if matches.count % Self.pagesPerCheck == 0 { try Task.checkCancellation() }
            matches.append(try evaluate(page))
        }
        return matches
    }

    private func evaluate(_ page: Int) throws(StoreError) -> PageMatches {
        let first = page * RecordTable.entriesPerPage
        let address = unsafe snapshot.records.pages.address(ofPage: page)
        let basePage = unsafe base.flatMap {
            unsafe page < $0.records.pages.pageCount ? $0.records.pages.address(ofPage: page) : nil
        }
        var words = (UInt64(0), UInt64(0))
        for half in 0..<2 {
            var kept: UInt64 = 0
            var asked: UInt64 = 0
            for bit in 0..<64 {
                let offset = (half * 64 + bit) * RecordEntry.byteCount
                let entry = unsafe address.load(fromByteOffset: offset, as: RecordEntry.self)
                guard entry.isActive else { continue }
                if let basePage = unsafe basePage,
                    unsafe basePage.load(fromByteOffset: offset, as: RecordEntry.self) == entry
                {
                    kept |= 1 << UInt64(bit)
                } else {
                    asked |= 1 << UInt64(bit)
                }
            }
            let word = first / 64 + half
            if let base { kept &= word < base.matches.words.count ? base.matches.words[word] : 0 }
            if let candidates { asked &= word < candidates.words.count ? candidates.words[word] : 0 }
            let found = try unsafe ask(asked, address + half * 64 * RecordEntry.byteCount, first: first + half * 64)
            if half == 0 { words.0 = kept | found } else { words.1 = kept | found }
        }
        return PageMatches(low: words.0, high: words.1)
    }

    /// Asks the filter about the slots of a word.
    @inline(__always)
    private func ask(_ asked: UInt64, _ entries: UnsafeRawPointer, first: Int) throws(StoreError) -> UInt64 {
        // The misses of all payloads overlap.
        var rest = asked
        while rest != 0 {
            let entry = unsafe entries.load(
                fromByteOffset: rest.trailingZeroBitCount * RecordEntry.byteCount, as: RecordEntry.self)
            unsafe nephrite_prefetch(snapshot.payloadAddress(entry))
            rest &= rest - 1
        }
        rest = asked
        var found: UInt64 = 0
        while rest != 0 {
            let bit = rest.trailingZeroBitCount
            let entry = unsafe entries.load(fromByteOffset: bit * RecordEntry.byteCount, as: RecordEntry.self)
            if try snapshot.matches(filter, slot: UInt32(first + bit), entry: entry) { found |= 1 << UInt64(bit) }
            rest &= rest - 1
        }
        return found
    }
}
