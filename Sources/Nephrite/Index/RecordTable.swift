/// The record table: one 32-byte entry per slot, saying which record is there. The database actor writes it as commits
/// are applied; snapshots, scans and checkpoints read it.
import StorageFormat

struct RecordTable: Sendable {
    static let entriesPerPage = FormatLimits.recordsPerPage

    private(set) var pages: PagedTable
    /// Slots that were ever used; entries at and beyond it do not exist.
    private(set) var slotCount: Int

    init(epoch: UInt64) {
        pages = PagedTable(epoch: epoch)
        slotCount = 0
    }

    /// A table of pages read from disk.
    init(pages: PagedTable, slotCount: Int) {
        self.pages = pages
        self.slotCount = slotCount
    }

    /// The entry of a slot; empty for a slot that was never used.
    @inline(__always)
    subscript(slot: Int) -> RecordEntry {
        guard slot < slotCount else { return .empty }
        let page = unsafe pages.address(ofPage: slot &>> 7)
        return unsafe page.load(fromByteOffset: (slot & 127) &* 32, as: RecordEntry.self)
    }

    /// Writes the entry of a slot, growing the table to reach it.
    ///
    /// - Returns: the entry that was there.
    @inline(__always)
    mutating func set(_ entry: RecordEntry, at slot: Int, epoch: UInt64) -> RecordEntry {
        while slot / Self.entriesPerPage >= pages.pageCount { pages.appendZeros(epoch: epoch) }
        let page = unsafe pages.mutablePage(slot / Self.entriesPerPage, epoch: epoch)
        let offset = (slot % Self.entriesPerPage) * 32
        let old = unsafe page.bytes.load(fromByteOffset: offset, as: RecordEntry.self)
        unsafe page.noteEntry(slot % Self.entriesPerPage, isActive: entry.isActive)
        unsafe page.bytes.storeBytes(of: entry, toByteOffset: offset, as: RecordEntry.self)
        slotCount = max(slotCount, slot + 1)
        return old
    }

    /// Whether a slot is active with a given top half of its id's hash, for directory buckets on the move.
    func isLive(_ slot: UInt32, fragment: UInt32) -> Bool {
        let entry = self[Int(slot)]
        return entry.isActive && UInt32(truncatingIfNeeded: entry.idHash >> 32) == fragment
    }

    /// Calls `body` with every active entry in slot order.
    func forEachActive<Failure: Error>(_ body: (Int, RecordEntry) throws(Failure) -> Void) throws(Failure) {
        for pageIndex in 0..<pages.pageCount {
            let page = pages.page(pageIndex)
            guard !page.activeEntries.isEmpty else { continue }
            for index in 0..<Self.entriesPerPage {
                let entry = unsafe page.bytes.load(fromByteOffset: index * 32, as: RecordEntry.self)
                if entry.isActive { try body(pageIndex * Self.entriesPerPage + index, entry) }
            }
        }
    }
}
