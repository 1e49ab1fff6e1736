/// Where the areas of a database file lie: vectors, payload heap, and the two ping-pong regions of the index tables.
/// The growth code adds extents, the header persists them, readers and writers translate through them.
import StorageFormat

/// One area as pieces of the file that follow one another in the area.
struct AreaMap: Sendable {
    struct Piece: Sendable {
        let areaOffset: UInt64
        let fileOffset: UInt64
        let byteCount: UInt64
    }

    private(set) var pieces: [Piece] = []

    /// The area's length in bytes.
    var byteCount: UInt64 { pieces.last.map { $0.areaOffset + $0.byteCount } ?? 0 }

    mutating func append(fileOffset: UInt64, byteCount: UInt64) {
        pieces.append(Piece(areaOffset: self.byteCount, fileOffset: fileOffset, byteCount: byteCount))
    }

    /// Calls `body` with the file offset and length of each part of a range of the area, in order.
    func forEachPart<Failure: Error>(
        offset: UInt64, byteCount: UInt64, _ body: (UInt64, UInt64) throws(Failure) -> Void
    ) throws(Failure) {
        precondition(offset + byteCount <= self.byteCount, "a range outside its area")
        var position = offset
        let end = offset + byteCount
        while position < end {
            let piece = piece(at: position)
            let within = position - piece.areaOffset
            let length = min(piece.byteCount - within, end - position)
            try body(piece.fileOffset + within, length)
            position += length
        }
    }

    private func piece(at offset: UInt64) -> Piece {
        var low = 0
        var high = pieces.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if pieces[middle].areaOffset <= offset { low = middle } else { high = middle }
        }
        return pieces[low]
    }
}

struct FileLayout: Sendable {
    private(set) var extents: [Extent] = []
    private(set) var vectors = AreaMap()
    private(set) var payload = AreaMap()
    /// The index areas, each with region A (even generations) and region B.
    private(set) var recordTable = [AreaMap(), AreaMap()]
    private(set) var directory = [AreaMap(), AreaMap()]
    private(set) var pageTable = [AreaMap(), AreaMap()]
    /// The first unit of 64 KiB beyond every extent; unit 0 holds the headers.
    private(set) var endUnit: UInt32 = 1

    init(extents: [Extent]) {
        for extent in extents { add(extent) }
    }

    mutating func add(_ extent: Extent) {
        let unit = UInt64(FormatLimits.extentUnitByteCount)
        let offset = UInt64(extent.startUnit) * unit
        let length = UInt64(extent.unitCount) * unit
        switch extent.kind {
        case .vectors: vectors.append(fileOffset: offset, byteCount: length)
        case .payload: payload.append(fileOffset: offset, byteCount: length)
        case .recordTable: Self.appendHalves(&recordTable, offset, length)
        case .directory: Self.appendHalves(&directory, offset, length)
        case .pageTable: Self.appendHalves(&pageTable, offset, length)
        }
        extents.append(extent)
        // The format allows the last unit of all, behind which nothing can be added.
        endUnit = max(endUnit, UInt32(clamping: extent.endUnit))
    }

    private static func appendHalves(_ regions: inout [AreaMap], _ offset: UInt64, _ length: UInt64) {
        regions[0].append(fileOffset: offset, byteCount: length / 2)
        regions[1].append(fileOffset: offset + length / 2, byteCount: length / 2)
    }

    /// The length of the file that holds all extents.
    var fileByteCount: UInt64 { UInt64(endUnit) * UInt64(FormatLimits.extentUnitByteCount) }

    func slotCapacity(stride: Int) -> Int {
        min(Int(vectors.byteCount) / stride, recordEntryCapacity, FormatLimits.slotCount)
    }

    /// Units of the payload heap that can be numbered; the area may be longer than that.
    var payloadUnitCapacity: Int {
        min(Int(payload.byteCount) / FormatLimits.payloadUnitByteCount, FormatLimits.payloadUnitCount)
    }

    var recordEntryCapacity: Int {
        Int(recordTable[0].byteCount) / FormatLimits.pageByteCount * FormatLimits.recordsPerPage
    }

    var bucketCapacity: Int {
        Int(directory[0].byteCount) / FormatLimits.pageByteCount * FormatLimits.bucketsPerPage
    }

    /// Index pages of both tables that the page table has room for.
    var pageTableCapacity: Int { Int(pageTable[0].byteCount) / 8 }
}
