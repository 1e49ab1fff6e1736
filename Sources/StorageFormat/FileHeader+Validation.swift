/// Whether the numbers of a file header fit one another and the file; decoding calls it, and the engine before it
/// publishes a header.
extension FileHeader {
    /// Checks the contents and that the file reaches to the end of the last extent.
    package func validate(fileSize: UInt64) throws(FormatError) {
        try validateContents()
        guard fileSize >= endOfExtents else { throw Self.error(.outOfBounds, at: 256) }
    }

    /// Byte offset of the end of the extent that ends last; at least the headers' own unit.
    package var endOfExtents: UInt64 {
        let units = extents.reduce(1) { max($0, $1.endUnit) }
        return units * UInt64(FormatLimits.extentUnitByteCount)
    }

    /// Bytes of the area of `kind`; for areas that are kept twice, of one region.
    package func areaByteCount(_ kind: Extent.Kind) -> UInt64 {
        // At most 319 extents of less than 2^48 bytes each: no overflow.
        let units = extents.reduce(UInt64(0)) { $1.kind == kind ? $0 + UInt64($1.unitCount) : $0 }
        return (kind.isShadowed ? units / 2 : units) * UInt64(FormatLimits.extentUnitByteCount)
    }

    static func error(_ kind: FormatError.Kind, at offset: UInt64) -> FormatError {
        FormatError(kind, part: part, offset: offset)
    }

    func validateContents() throws(FormatError) {
        guard (1...FormatLimits.dimension).contains(dimension) else { throw Self.error(.invalidValue, at: 8) }
        guard extents.count <= FormatLimits.extentCount else { throw Self.error(.outOfBounds, at: 196) }
        try validateExtents()
        try validateCounts()
        try validateAreas()
    }

    private func validateExtents() throws(FormatError) {
        for (index, extent) in extents.enumerated() {
            let place = UInt64(256 + index * Extent.byteCount)
            guard extent.unitCount > 0, !extent.kind.isShadowed || extent.unitCount % 2 == 0 else {
                throw Self.error(.invalidValue, at: place + 4)
            }
            // Unit 0 holds the headers; units are numbered with 32 bits.
            guard extent.startUnit > 0, extent.endUnit <= UInt64(UInt32.max) + 1 else {
                throw Self.error(.outOfBounds, at: place)
            }
        }
        let order = extents.indices.sorted { extents[$0].startUnit < extents[$1].startUnit }
        for (lower, upper) in zip(order, order.dropFirst())
        where extents[lower].endUnit > UInt64(extents[upper].startUnit) {
            throw Self.error(.outOfBounds, at: UInt64(256 + upper * Extent.byteCount))
        }
    }

    private func validateCounts() throws(FormatError) {
        guard slotCount <= UInt64(FormatLimits.slotCount) else { throw Self.error(.outOfBounds, at: 120) }
        guard vectorCount <= slotCount else { throw Self.error(.invalidValue, at: 16) }
        guard deletedCount <= slotCount - vectorCount else { throw Self.error(.invalidValue, at: 24) }
        guard FormatLimits.directoryBucketCounts.contains(directoryBucketCount),
            directoryBucketCount.nonzeroBitCount == 1
        else { throw Self.error(.invalidValue, at: 128) }
        let recordsPerPage = UInt64(FormatLimits.recordsPerPage)
        guard UInt64(recordPageCount) == (slotCount + recordsPerPage - 1) / recordsPerPage else {
            throw Self.error(.invalidValue, at: 152)
        }
        // A directory that is not in the file is rebuilt from the record table; it has no pages.
        let directoryPages = directoryIsValid ? directoryBucketCount / UInt64(FormatLimits.bucketsPerPage) : 0
        guard UInt64(directoryPageCount) == directoryPages else {
            throw Self.error(.invalidValue, at: 156)
        }
        guard payloadUnitCount <= UInt64(FormatLimits.payloadUnitCount) else {
            throw Self.error(.outOfBounds, at: 168)
        }
    }

    /// The operands were bounded by ``validateCounts()``: no product here reaches 2^50.
    private func validateAreas() throws(FormatError) {
        let pageByteCount = UInt64(FormatLimits.pageByteCount)
        guard slotCount * UInt64(vectorStride(dimension: dimension)) <= areaByteCount(.vectors) else {
            throw Self.error(.outOfBounds, at: 120)
        }
        guard UInt64(recordPageCount) * pageByteCount <= areaByteCount(.recordTable) else {
            throw Self.error(.outOfBounds, at: 152)
        }
        guard UInt64(directoryPageCount) * pageByteCount <= areaByteCount(.directory) else {
            throw Self.error(.outOfBounds, at: 156)
        }
        let entryCount = UInt64(recordPageCount) + UInt64(directoryPageCount)
        guard entryCount * UInt64(PageTableEntry.byteCount) <= areaByteCount(.pageTable) else {
            throw Self.error(.outOfBounds, at: 160)
        }
        guard payloadUnitCount * UInt64(FormatLimits.payloadUnitByteCount) <= areaByteCount(.payload) else {
            throw Self.error(.outOfBounds, at: 168)
        }
        guard indexOffset <= endOfExtents, dataOffset <= endOfExtents else {
            throw Self.error(.outOfBounds, at: 32)
        }
    }
}
