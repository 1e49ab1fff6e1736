/// Runs searches over snapshots: divides the slots among the store's search threads, merges what they find, and turns
/// slots into ids. Snapshots hand it queries; it hands back hits.
import StorageFormat
import StorageIO

final class Searcher: Sendable {
    /// Scans of less than this are made where they are asked for.
    private static let inlineByteCount = 256 << 10

    let executor: (any TaskExecutor)?
    let threadCount: Int

    /// - Parameter executor: where large scans run; nil runs all of them on the caller.
    init(executor: (any TaskExecutor)?, threadCount: Int) {
        self.executor = executor
        self.threadCount = max(1, threadCount)
    }

    func search(
        _ snapshot: DatabaseSnapshot, _ query: [Float], k: Int, plan: FilterPlan = .all
    ) async throws -> [SearchHit] {
        try Task.checkCancellation()
        let pageCount = snapshot.records.pages.pageCount
        let byteCount = snapshot.count * snapshot.identity.stride
        guard let executor, byteCount > Self.inlineByteCount else {
            return try Self.scan(snapshot, query, k: k, pages: 0..<pageCount, plan).hits(in: snapshot)
        }
        let partCount = min(threadCount, pageCount)
        return try await withThrowingTaskGroup(of: ExactScanner.self) { group in
            for part in 0..<partCount {
                let pages = pageCount * part / partCount..<pageCount * (part + 1) / partCount
                group.addTask(executorPreference: executor) {
                    try Task.checkCancellation()
                    return try Self.scan(snapshot, query, k: k, pages: pages, plan)
                }
            }
            var best: ExactScanner?
            for try await scanner in group {
                if best == nil {
                    best = scanner
                } else {
                    best?.merge(scanner, precedes: snapshot.idPrecedes)
                }
            }
            return best?.hits(in: snapshot) ?? []
        }
    }

    private static func scan(
        _ snapshot: DatabaseSnapshot, _ query: [Float], k: Int, pages: Range<Int>, _ plan: FilterPlan
    ) throws -> ExactScanner {
        var scanner = ExactScanner(
            metric: ScanMetric(snapshot.options.metric), query: query, stride: snapshot.identity.stride, limit: k)
        switch plan {
        case .all: scan(pages, of: snapshot, with: &scanner)
        case .none: break
        case .slots(let slots): scan(slots, pages, of: snapshot, with: &scanner)
        case .list(let slots):
            scan(SlotSet(slots, slotCount: snapshot.records.slotCount), pages, of: snapshot, with: &scanner)
        case .predicate(let filter):
            let failure = FilterFailure()
            scanner.accepts = { slot in failure.matches(filter, slot: slot, in: snapshot) }
            scan(pages, of: snapshot, with: &scanner)
            try failure.check()
        }
        return scanner
    }

    private static func scan(_ pages: Range<Int>, of snapshot: DatabaseSnapshot, with scanner: inout ExactScanner) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            // Pages without a hole are scanned together.
            var end = page
            while end < pages.upperBound, snapshot.records.pages.page(end).activeCount == RecordTable.entriesPerPage {
                end += 1
            }
            if end > page {
                let slot = UInt32(page * RecordTable.entriesPerPage)
                unsafe scanner.scan(
                    rows: snapshot.vectorAddress(slot), firstSlot: slot,
                    count: (end - page) * RecordTable.entriesPerPage, isLive: nil, precedes: snapshot.idPrecedes)
                page = end
                continue
            }
            scan(holes: page, of: snapshot, with: &scanner)
            page += 1
        }
    }

    /// Scans the slots of a set that lie in some pages.
    private static func scan(
        _ slots: SlotSet, _ pages: Range<Int>, of snapshot: DatabaseSnapshot, with scanner: inout ExactScanner
    ) {
        let first = pages.lowerBound * RecordTable.entriesPerPage
        let count = min(pages.upperBound * RecordTable.entriesPerPage, slots.words.count * 64) - first
        guard count > 0 else { return }
        unsafe slots.words.withUnsafeBufferPointer { words in
            unsafe scanner.scan(
                rows: snapshot.vectorAddress(UInt32(first)), firstSlot: UInt32(first), count: count,
                isLive: words.baseAddress! + first / 64, precedes: snapshot.idPrecedes)
        }
    }

    private static func scan(holes page: Int, of snapshot: DatabaseSnapshot, with scanner: inout ExactScanner) {
        let first = page * RecordTable.entriesPerPage
        let count = min(RecordTable.entriesPerPage, snapshot.records.slotCount - first)
        guard snapshot.records.pages.page(page).activeCount > 0, count > 0 else { return }
        unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { live in
            unsafe live.initialize(repeating: 0)
            for index in 0..<count where snapshot.records[first + index].isActive {
                unsafe live[index >> 6] |= 1 << UInt64(index & 63)
            }
            unsafe scanner.scan(
                rows: snapshot.vectorAddress(UInt32(first)), firstSlot: UInt32(first), count: count,
                isLive: UnsafePointer(live.baseAddress!), precedes: snapshot.idPrecedes)
        }
    }
}

extension ExactScanner {
    fileprivate func hits(in snapshot: DatabaseSnapshot) -> [SearchHit] {
        finish(precedes: snapshot.idPrecedes).map { hit in
            SearchHit(id: snapshot.id(of: snapshot.records[Int(hit.slot)]), score: hit.score)
        }
    }
}

extension ScanMetric {
    fileprivate init(_ metric: DistanceMetric) {
        switch metric {
        case .cosine: self = .cosine
        case .dotProduct: self = .dot
        case .euclidean: self = .euclidean
        }
    }
}

extension DatabaseSnapshot {
    /// Whether the id at one slot sorts before that at another, byte by byte: the order of equal scores.
    func idPrecedes(_ first: UInt32, _ second: UInt32) -> Bool {
        unsafe idBytes(first).lexicographicallyPrecedes(idBytes(second))
    }

    private func idBytes(_ slot: UInt32) -> UnsafeRawBufferPointer {
        let entry = records[Int(slot)]
        return unsafe UnsafeRawBufferPointer(start: payloadAddress(entry), count: Int(entry.idLength))
    }
}
