/// A 4 KiB page of an index table: at once the copy-on-write unit, the dirty unit of a checkpoint, the checksum unit
/// and the on-disk unit. ``PagedTable`` owns pages; snapshots and checkpoints share them.
import StorageFormat

// SAFETY: a page is written only by the database actor and only while `isKnownUniquelyReferenced` says that no snapshot
// shares it (PagedTable.mutablePage); from the moment a second reference exists it is immutable.
@safe final class IndexPage: @unchecked Sendable {
    static let byteCount = PagePool.pageByteCount

    private let pool: PagePool
    let place: PagePool.Place

    var bytes: UnsafeMutableRawPointer { @inline(__always) get { unsafe place.bytes } }

    /// A page of zeros.
    init(epoch: UInt64, pool: PagePool) {
        self.pool = pool
        unsafe place = pool.take()
        unsafe place.bytes.initializeMemory(as: UInt8.self, repeating: 0, count: Self.byteCount)
        self.epoch = epoch
        activeEntries = PageBits.none
    }

    /// A copy of another page.
    init(copying other: IndexPage) {
        pool = other.pool
        unsafe place = pool.take()
        unsafe place.bytes.copyMemory(from: other.bytes, byteCount: Self.byteCount)
        epoch = other.epoch
        activeEntries = other.activeEntries
    }

    /// A page that was read from disk into the pool's memory.
    init(reading place: PagePool.Place, epoch: UInt64, isRecords: Bool, pool: PagePool) {
        self.pool = pool
        unsafe self.place = unsafe place
        self.epoch = epoch
        var active = PageBits.none
        if isRecords {
            for index in 0..<FormatLimits.recordsPerPage
            where unsafe place.bytes.load(fromByteOffset: index * 32, as: RecordEntry.self).isActive {
                active.insert(index)
            }
        }
        activeEntries = active
    }

    deinit { unsafe pool.giveBack(place) }

    // Not stored properties: those of a class are checked for overlapping accesses, and a commit would pay for that
    // with each record.

    /// The checkpoint epoch of the last change; a checkpoint writes the pages whose epoch its region has not seen.
    var epoch: UInt64 {
        @inline(__always) get { unsafe place.epoch }
        @inline(__always) set { unsafe place.epoch = newValue }
    }

    /// For record pages: which entries are active, so that a scan need not look at each.
    var activeEntries: PageBits {
        @inline(__always) get { unsafe place.note.load(fromByteOffset: 8, as: PageBits.self) }
        @inline(__always) set { unsafe place.note.storeBytes(of: newValue, toByteOffset: 8, as: PageBits.self) }
    }

    /// For record pages: how many entries are active.
    var activeCount: Int { activeEntries.count }
}
