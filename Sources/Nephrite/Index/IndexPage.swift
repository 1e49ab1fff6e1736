/// A 4 KiB page of an index table: at once the copy-on-write unit, the dirty unit of a checkpoint, the checksum unit
/// and the on-disk unit. ``PagedTable`` owns pages; snapshots and checkpoints share them.
import StorageFormat

// SAFETY: a page is written only by the database actor and only while `isKnownUniquelyReferenced` says that no snapshot
// shares it (PagedTable.mutablePage); from the moment a second reference exists it is immutable.
@safe final class IndexPage: @unchecked Sendable {
    static let byteCount = FormatLimits.pageByteCount

    let bytes: UnsafeMutableRawPointer
    /// The checkpoint epoch of the last change; a checkpoint writes the pages whose epoch its region has not seen.
    var epoch: UInt64
    /// For record pages: how many entries are active, so that a scan can skip looking at each.
    var activeCount = 0

    /// A page of zeros.
    init(epoch: UInt64) {
        unsafe bytes = UnsafeMutableRawPointer.allocate(byteCount: Self.byteCount, alignment: 64)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0, count: Self.byteCount)
        self.epoch = epoch
    }

    /// A copy of another page.
    init(copying other: IndexPage) {
        unsafe bytes = UnsafeMutableRawPointer.allocate(byteCount: Self.byteCount, alignment: 64)
        unsafe bytes.copyMemory(from: other.bytes, byteCount: Self.byteCount)
        epoch = other.epoch
        activeCount = other.activeCount
    }

    /// A page read from disk.
    init(bytes source: UnsafeRawBufferPointer, epoch: UInt64, isRecords: Bool) {
        unsafe bytes = UnsafeMutableRawPointer.allocate(byteCount: Self.byteCount, alignment: 64)
        unsafe bytes.copyMemory(from: source.baseAddress!, byteCount: Self.byteCount)
        self.epoch = epoch
        guard isRecords else { return }
        for index in 0..<FormatLimits.recordsPerPage
        where unsafe bytes.load(fromByteOffset: index * 32, as: RecordEntry.self).isActive {
            activeCount += 1
        }
    }

    deinit { unsafe bytes.deallocate() }
}
