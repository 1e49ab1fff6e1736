/// The mapped data of a database: the vector slab and the payload heap as dense ranges of addresses. Snapshots hold it,
/// so that growth never takes memory from under a reader; the growth code extends or replaces it.
import StorageFormat
import StorageIO
import Synchronization

// SAFETY: immutable references; what lies behind them is written by pwrite only, into slots no reader reaches.
@safe final class DataMapping: @unchecked Sendable {
    let vectors: UnsafeRawPointer
    let payload: UnsafeRawPointer
    private let vectorSpace: any AddressSpace
    private let payloadSpace: any AddressSpace
    /// Bytes of each area that are mapped.
    let vectorByteCount: UInt64
    let payloadByteCount: UInt64
    private let scatteredReads = ScatteredReads()

    private init(
        vectorSpace: any AddressSpace, payloadSpace: any AddressSpace, vectorBytes: UInt64, payloadBytes: UInt64
    ) {
        self.vectorSpace = vectorSpace
        self.payloadSpace = payloadSpace
        vectorByteCount = vectorBytes
        payloadByteCount = payloadBytes
        unsafe vectors = vectorSpace.baseAddress
        unsafe payload = payloadSpace.baseAddress
    }

    /// Counts reads of single vectors that lie anywhere, and lets go of the pages that they mapped now and then.
    func noteScatteredReads(_ count: Int) {
        if scatteredReads.note(count, vectorByteCount: vectorByteCount) {
            vectorSpace.releasePages(at: 0, byteCount: Int(vectorByteCount))
        }
    }

    /// Maps all areas of a layout into reservations with room to grow.
    static func map(
        _ layout: FileLayout, of file: any StorageFile, on fileSystem: any FileSystem, reservation: Int
    ) throws(FileSystemError) -> DataMapping {
        try extended(
            from: nil, layout: layout, file: file, fileSystem: fileSystem, reservation: reservation)
    }

    /// A mapping that covers a larger layout: in place while the reservation has room, else a new reservation, while
    /// snapshots keep the old one.
    func extended(
        to layout: FileLayout, of file: any StorageFile, on fileSystem: any FileSystem, reservation: Int
    ) throws(FileSystemError) -> DataMapping {
        try Self.extended(from: self, layout: layout, file: file, fileSystem: fileSystem, reservation: reservation)
    }

    private static func extended(
        from old: DataMapping?, layout: FileLayout, file: any StorageFile, fileSystem: any FileSystem,
        reservation: Int
    ) throws(FileSystemError) -> DataMapping {
        func space(
            _ area: AreaMap, _ old: (any AddressSpace)?, _ mapped: UInt64
        ) throws(FileSystemError) -> any AddressSpace {
            var start = mapped
            var space = old
            if space == nil || Int(area.byteCount) > space!.byteCount {
                space = try fileSystem.reserveAddressSpace(byteCount: max(reservation, Int(area.byteCount) * 4))
                start = 0
            }
            let target = space!
            try area.forEachPart(offset: start, byteCount: area.byteCount - start) {
                (fileOffset, length) throws(FileSystemError) in
                try file.map(offset: fileOffset, length: Int(length), into: target, at: Int(start))
                start += length
            }
            return target
        }
        return DataMapping(
            vectorSpace: try space(layout.vectors, old?.vectorSpace, old?.vectorByteCount ?? 0),
            payloadSpace: try space(layout.payload, old?.payloadSpace, old?.payloadByteCount ?? 0),
            vectorBytes: layout.vectors.byteCount, payloadBytes: layout.payload.byteCount)
    }
}

/// Vectors that were read here and there since their pages were last let go of. For each, the system maps 64 KiB or more:
/// searches of a large database would come to have all its vectors mapped in time, some of 3 KB each.
struct ScatteredReads: ~Copyable {
    /// Smaller databases may well be mapped.
    static let largeByteCount: UInt64 = 1 << 30
    /// So many reads, 32 MiB of pages or so, between one release and the next: it costs less than they do.
    static let limit = 512

    private let count = Atomic<Int>(0)

    /// Counts reads.
    ///
    /// - Returns: whether the caller is to let go of the pages.
    func note(_ reads: Int, vectorByteCount: UInt64) -> Bool {
        guard vectorByteCount > Self.largeByteCount, reads > 0 else { return false }
        guard count.add(reads, ordering: .relaxed).newValue >= Self.limit else { return false }
        // Of several that come to see it one does it.
        return count.exchange(0, ordering: .relaxed) >= Self.limit
    }
}
