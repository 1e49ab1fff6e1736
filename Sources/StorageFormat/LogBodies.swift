/// The bodies of log records that concern records: store, update, delete and bulk; writers encode them behind a header
/// that ``LogCodec`` wrote, replay decodes them as views into the segment's bytes.

/// The body of a store or update: reference, vector, id, metadata. The ranges are positions in the body.
package struct StoreBody: Sendable, Hashable {
    package let reference: StoreReference
    package let vector: Range<Int>
    package let id: Range<Int>
    package let metadata: Range<Int>

    /// Bytes of a body.
    package static func encodedByteCount(dimension: Int, idLength: Int, metadataLength: Int) -> Int {
        StoreReference.byteCount + dimension * 4 + idLength + metadataLength
    }

    /// Writes a body to the front of `body`; `vector` is `dimension` floats.
    package static func encode(
        into body: UnsafeMutableRawBufferPointer, reference: StoreReference, vector: UnsafeRawBufferPointer,
        id: UnsafeRawBufferPointer, metadata: UnsafeRawBufferPointer
    ) {
        precondition(
            id.count == Int(reference.idLength) && metadata.count == Int(reference.metadataLength),
            "a store reference does not describe its payload")
        var offset = StoreReference.byteCount
        precondition(
            body.count >= offset + vector.count + id.count + metadata.count, "no room for a store body")
        unsafe reference.encode(into: body)
        unsafe copy(vector, into: body, at: &offset)
        unsafe copy(id, into: body, at: &offset)
        unsafe copy(metadata, into: body, at: &offset)
    }

    private static func copy(
        _ part: UnsafeRawBufferPointer, into body: UnsafeMutableRawBufferPointer, at offset: inout Int
    ) {
        unsafe UnsafeMutableRawBufferPointer(rebasing: body[offset...]).copyMemory(from: part)
        offset += part.count
    }

    package static func decode(
        _ body: UnsafeRawBufferPointer, dimension: Int
    ) throws(FormatError) -> StoreBody {
        var reader = unsafe ByteReader(body, part: "log store body", offset: 0)
        guard (1...FormatLimits.dimension).contains(dimension) else { throw reader.error(.invalidValue) }
        let reference = try unsafe StoreReference.decode(body)
        _ = try reader.take(StoreReference.byteCount)
        let vector = try reader.take(dimension * 4)
        let id = try reader.take(Int(reference.idLength))
        let metadata = try reader.take(Int(reference.metadataLength))
        try reader.finish()
        return StoreBody(reference: reference, vector: vector, id: id, metadata: metadata)
    }
}

/// The body of a delete: the reference names the slot that becomes free, its payload fields are zero; then the id.
package struct DeleteBody: Sendable, Hashable {
    package let reference: StoreReference
    package let id: Range<Int>

    package static func encodedByteCount(idLength: Int) -> Int { StoreReference.byteCount + idLength }

    package static func encode(
        into body: UnsafeMutableRawBufferPointer, reference: StoreReference, id: UnsafeRawBufferPointer
    ) {
        precondition(id.count == Int(reference.idLength), "a store reference does not describe its id")
        precondition(body.count >= encodedByteCount(idLength: id.count), "no room for a delete body")
        unsafe reference.encode(into: body)
        unsafe UnsafeMutableRawBufferPointer(rebasing: body[StoreReference.byteCount...]).copyMemory(from: id)
    }

    package static func decode(_ body: UnsafeRawBufferPointer) throws(FormatError) -> DeleteBody {
        var reader = unsafe ByteReader(body, part: "log delete body")
        let reference = try unsafe StoreReference.decode(body)
        guard reference.payloadUnit == 0, reference.metadataLength == 0 else { throw reader.error(.invalidValue) }
        _ = try reader.take(StoreReference.byteCount)
        let id = try reader.take(Int(reference.idLength))
        try reader.finish()
        return DeleteBody(reference: reference, id: id)
    }
}

/// The body of a bulk store: references to records whose vectors and payloads are in the data file already.
package struct BulkStoreBody: Sendable, Hashable {
    /// Where the first reference stands in the body.
    package static let referencesOffset = 16

    package let count: Int

    package static func encodedByteCount(count: Int) -> Int { referencesOffset + count * StoreReference.byteCount }

    package static func encode(into body: UnsafeMutableRawBufferPointer, references: some Collection<StoreReference>) {
        precondition(body.count >= encodedByteCount(count: references.count), "no room for a bulk body")
        unsafe body.store(UInt32(references.count), at: 0)
        unsafe body.store(UInt32(0), at: 4)
        unsafe body.store(UInt64(0), at: 8)
        var offset = referencesOffset
        for reference in references {
            unsafe reference.encode(into: body, at: offset)
            offset += StoreReference.byteCount
        }
    }

    /// Checks the count against the length and every reference's fields.
    package static func decode(_ body: UnsafeRawBufferPointer) throws(FormatError) -> BulkStoreBody {
        var reader = unsafe ByteReader(body, part: "log bulk body")
        let count = Int(try reader.u32())
        try reader.zeros(12)
        guard reader.remaining == count * StoreReference.byteCount else { throw reader.error(.outOfBounds, at: 0) }
        let bulk = BulkStoreBody(count: count)
        for index in 0..<count { _ = try unsafe bulk.reference(at: index, in: body) }
        return bulk
    }

    /// The reference at `index` of the body that was decoded.
    package func reference(
        at index: Int, in body: UnsafeRawBufferPointer
    ) throws(FormatError) -> StoreReference {
        precondition((0..<count).contains(index), "no such reference")
        return try unsafe StoreReference.decode(body, at: Self.referencesOffset + index * StoreReference.byteCount)
    }
}
