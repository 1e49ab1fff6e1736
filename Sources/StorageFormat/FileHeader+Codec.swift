/// A file header to bytes and back: the checkpoint writes the encoding, ``FileHeader/newest(pages:fileSize:)`` decodes
/// the pages it finds.
extension FileHeader {
    /// The 4,096 bytes of the copy for `pageIndex` (0…3): each copy has its own checksum seed, so a page that was
    /// written to the wrong place is not believed.
    package func encode(pageIndex: Int) -> [UInt8] {
        precondition((0..<Self.pageCount).contains(pageIndex), "there are four header pages")
        precondition(extents.count <= FormatLimits.extentCount, "more extents than a header holds")
        var writer = ByteWriter(reservingCapacity: Self.byteCount)
        encodeShortHeader(into: &writer)
        writer.append(uuid)
        writer.append(incarnation)
        writer.append(idHashKey.k0)
        writer.append(idHashKey.k1)
        writer.append(fingerprint.low)
        writer.append(fingerprint.high)
        writer.append(slotCount)
        writer.append(directoryBucketCount)
        writer.append(createdAt)
        writer.append(updatedAt)
        writer.append(recordPageCount)
        writer.append(directoryPageCount)
        writer.append(pageTableChecksum)
        writer.pad(to: 168)
        writer.append(payloadUnitCount)
        writer.append(lastCommitLSN)
        writer.append(logSequence)
        writer.append(previousHeaderChecksum)
        writer.append(UInt32(extents.count))
        writer.pad(to: 256)
        for extent in extents { extent.encode(into: &writer) }
        writer.pad(to: Self.byteCount - 4)
        writer.appendChecksum(seed: Self.seed(pageIndex: pageIndex))
        return writer.bytes
    }

    /// Bytes 0…63, which tools may read by themselves.
    private func encodeShortHeader(into writer: inout ByteWriter) {
        writer.append(Self.magic)
        writer.append(FormatVersion.current)
        writer.append(FormatVersion.current)
        writer.append(UInt32(dimension))
        writer.append(metric.rawValue)
        writer.append(flags.rawValue)
        writer.append(UInt16(0xfeff))
        writer.append(vectorCount)
        writer.append(deletedCount)
        writer.append(indexOffset)
        writer.append(dataOffset)
        writer.append(generation)
        writer.append(checkpointLSN)
    }

    package static func seed(pageIndex: Int) -> UInt32 {
        CRC32C.seed("JVDB header", index: UInt8(pageIndex))
    }

    /// Reads one page and checks everything that needs no file size.
    package static func decode(
        _ bytes: UnsafeRawBufferPointer, pageIndex: Int
    ) throws(FormatError) -> FileHeader {
        var reader = unsafe ByteReader(bytes, part: part)
        guard (0..<pageCount).contains(pageIndex) else { throw reader.error(.outOfBounds) }
        let version = try checkEnvelope(
            &reader, magic: magic, byteCount: byteCount, seed: seed(pageIndex: pageIndex))
        var header = try decodeShortHeader(from: &reader)
        header.uuid = try reader.uuid()
        header.incarnation = try reader.u64()
        header.idHashKey = IDHashKey(k0: try reader.u64(), k1: try reader.u64())
        header.fingerprint = StateFingerprint(low: try reader.u64(), high: try reader.u64())
        header.slotCount = try reader.u64()
        header.directoryBucketCount = try reader.u64()
        header.createdAt = try reader.u64()
        header.updatedAt = try reader.u64()
        header.recordPageCount = try reader.u32()
        header.directoryPageCount = try reader.u32()
        header.pageTableChecksum = try reader.u32()
        try reader.reserved(until: 168, version: version)
        header.payloadUnitCount = try reader.u64()
        header.lastCommitLSN = try reader.u64()
        header.logSequence = try reader.u64()
        header.previousHeaderChecksum = try reader.u32()
        let extentCount = try reader.u32()
        guard extentCount <= FormatLimits.extentCount else { throw reader.error(.outOfBounds, at: 196) }
        try reader.reserved(until: 256, version: version)
        header.extents.reserveCapacity(Int(extentCount))
        for _ in 0..<extentCount { header.extents.append(try Extent.decode(from: &reader)) }
        try reader.reserved(until: byteCount - 4, version: version)
        try header.validateContents()
        return header
    }

    private static func decodeShortHeader(from reader: inout ByteReader) throws(FormatError) -> FileHeader {
        let dimension = try reader.u32()
        guard let metric = FormatMetric(rawValue: try reader.u8()) else { throw reader.error(.invalidValue, at: 12) }
        let flags = Flags(rawValue: try reader.u8())
        guard flags.isSubset(of: .known) else { throw reader.error(.invalidValue, at: 13) }
        guard try reader.u16() == 0xfeff else { throw reader.error(.wrongEndianness, at: 14) }
        var header = FileHeader(
            dimension: Int(dimension), metric: metric, flags: flags, uuid: StorageUUID(high: 0, low: 0),
            incarnation: 0, idHashKey: IDHashKey(k0: 0, k1: 0))
        header.vectorCount = try reader.u64()
        header.deletedCount = try reader.u64()
        header.indexOffset = try reader.u64()
        header.dataOffset = try reader.u64()
        header.generation = try reader.u64()
        header.checkpointLSN = try reader.u64()
        return header
    }
}
