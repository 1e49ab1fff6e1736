/// Turns rows into an ``OperationBatch``: checks them, hashes ids, computes content checksums and encodes log records,
/// on the caller's thread, so that the database actor has little left to do.
import CNephrite
import StorageFormat

/// Rows to be stored, in either of the forms the API takes.
enum RowSource {
    case records([VectorRecord])
    case columns(ids: [String], vectors: [Float], metadata: [Metadata])

    var count: Int {
        switch self {
        case .records(let records): records.count
        case .columns(let ids, _, _): ids.count
        }
    }

    /// Calls `body` with the number, id, metadata and vector of each row. Columns are asked to have one shape before.
    func forEach(
        dimension: Int,
        _ body: (Int, String, Metadata, UnsafeBufferPointer<Float>) throws(StoreError) -> Void
    ) throws(StoreError) {
        switch self {
        case .records(let records):
            for (row, record) in records.enumerated() {
                unsafe try record.vector.withUnsafeBytesTyped { (bytes) throws(StoreError) in
                    try unsafe body(row, record.id, record.metadata, bytes.assumingMemoryBound(to: Float.self))
                }
            }
        case .columns(let ids, let vectors, let metadata):
            let none = Metadata()
            // Once for all rows: asking the arrays for each row costs more than hashing its id.
            unsafe try vectors.withUnsafeBytesTyped { (bytes) throws(StoreError) in
                let floats = unsafe bytes.assumingMemoryBound(to: Float.self)
                for row in ids.indices {
                    let vector = unsafe UnsafeBufferPointer(
                        rebasing: floats[row * dimension..<(row + 1) * dimension])
                    try unsafe body(row, ids[row], metadata.isEmpty ? none : metadata[row], vector)
                }
            }
        }
    }

    /// Checks that columns agree in length.
    func checkShape(_ identity: DatabaseIdentity) throws(StoreError) {
        guard case .columns(let ids, let vectors, let metadata) = self else { return }
        let dimension = identity.options.dimension
        guard vectors.count == ids.count * dimension else {
            throw StoreError(
                .dimensionMismatch,
                "\(ids.count) ids come with \(vectors.count) floats; \(ids.count * dimension) are needed.",
                database: identity.name, remedy: "Pass ids.count × \(dimension) floats, row after row.")
        }
        guard metadata.isEmpty || metadata.count == ids.count else {
            throw .argument(
                "\(ids.count) ids come with \(metadata.count) metadata values.",
                remedy: "Pass one for each id, or none.", database: identity.name)
        }
    }
}

struct BatchEncoder {
    let identity: DatabaseIdentity
    /// Bytes of vectors from which a batch takes the bulk path.
    let bulkByteThreshold: Int
    /// Bytes of vectors up to which a bulk batch is synced while the log is.
    var jointSyncByteLimit = 0
    /// Where large buffers come from.
    var pool: BufferPool?

    /// Room behind the operations for the commit record.
    private static let commitRoom = LogCodec.paddedByteCount(bodyLength: CommitBody.encodedByteCount(databaseCount: 4))

    /// Whether rows take the bulk path.
    func isBulk(_ rows: RowSource) -> Bool {
        rows.count > 1 && rows.count * identity.vectorByteCount >= bulkByteThreshold
    }

    /// Encodes rows to be stored, all of them for the log.
    func encode(_ rows: RowSource, condition: WriteCondition) throws(StoreError) -> OperationBatch {
        try rows.checkShape(identity)
        return try encodeSmall(rows) { _ in condition }
    }

    /// Encodes rows of a transaction with a condition each, and deletes.
    func encode(
        stores: [VectorRecord], conditions: [WriteCondition], deletes: [(id: String, condition: WriteCondition)]
    ) throws(StoreError) -> OperationBatch {
        let batch = try encodeSmall(.records(stores)) { conditions[$0] }
        for delete in deletes { append(delete: delete.id, condition: delete.condition, to: batch) }
        return batch
    }

    /// Adds the deletion of an id that is known to be there.
    func append(delete id: String, condition: WriteCondition, to batch: OperationBatch) {
        var id = id
        id.withUTF8 { utf8 in
            let bytes = UnsafeRawBufferPointer(utf8)
            let hash = unsafe IDHash.hash(bytes, key: identity.hashKey)
            let offset = batch.log.appendRecord(
                .delete, database: identity.number,
                bodyLength: DeleteBody.encodedByteCount(idLength: bytes.count))
            let bodyOffset = offset + LogRecordHeader.byteCount
            let reference = StoreReference(
                slot: 0, payloadUnit: 0, idLength: bytes.count, metadataLength: 0, contentChecksum: 0, idHash: hash)
            unsafe DeleteBody.encode(
                into: batch.log.mutableBytes(bodyOffset..<batch.log.count), reference: reference, id: bytes)
            batch.operations.append(
                BatchOperation(
                    kind: .delete, idHash: hash, idLength: bytes.count, payloadLength: 0, contentChecksum: 0,
                    recordOffset: offset, referenceOffset: bodyOffset,
                    idOffset: bodyOffset + StoreReference.byteCount, condition: condition))
        }
    }

    func check(
        id: UnsafeRawBufferPointer, vector: UnsafeBufferPointer<Float>, metadata: Metadata
    ) throws(StoreError) {
        func text() -> String { unsafe String(decoding: id, as: UTF8.self) }
        guard (1...FormatLimits.idByteCount).contains(id.count) else {
            throw .invalidID(byteCount: id.count, id: text(), database: identity.name)
        }
        guard vector.count == identity.options.dimension else {
            throw .dimension(
                expected: identity.options.dimension, actual: vector.count, id: text(), database: identity.name)
        }
        guard unsafe nephrite_all_finite(vector.baseAddress, vector.count) != 0 else {
            throw .notFinite(id: text(), database: identity.name)
        }
        if let problem = metadata.problem { throw .invalidMetadata(problem) }
    }

    private func encodeSmall(
        _ rows: RowSource, condition: (Int) -> WriteCondition
    ) throws(StoreError) -> OperationBatch {
        let estimate = rows.count * (identity.vectorByteCount + 224) + Self.commitRoom
        let log = LogBuffer(capacity: estimate, pool: pool)
        var operations: [BatchOperation] = []
        operations.reserveCapacity(rows.count)
        unsafe try rows.forEach(dimension: identity.options.dimension) {
            (row, id, metadata, vector) throws(StoreError) in
            var id = id
            let result: Result<BatchOperation, StoreError> = id.withUTF8 { utf8 in
                let idBytes = UnsafeRawBufferPointer(utf8)
                do throws(StoreError) {
                    try unsafe check(id: idBytes, vector: vector, metadata: metadata)
                    return .success(
                        unsafe append(
                            id: idBytes, vector: UnsafeRawBufferPointer(vector), metadata: metadata.encoded,
                            condition: condition(row), to: log))
                } catch {
                    return .failure(error)
                }
            }
            operations.append(try result.get())
        }
        return OperationBatch(log: log, operations: operations)
    }

    private func append(
        id: UnsafeRawBufferPointer, vector: UnsafeRawBufferPointer, metadata: [UInt8], condition: WriteCondition,
        to log: LogBuffer
    ) -> BatchOperation {
        unsafe metadata.withUnsafeBytes { metadata in
            let offset = log.appendRecord(
                .store, database: identity.number,
                bodyLength: StoreBody.encodedByteCount(
                    dimension: identity.options.dimension, idLength: id.count, metadataLength: metadata.count))
            let bodyOffset = offset + LogRecordHeader.byteCount
            let hash = unsafe IDHash.hash(id, key: identity.hashKey)
            let idOffset = bodyOffset + StoreReference.byteCount + identity.vectorByteCount
            unsafe StoreBody.encode(
                into: log.mutableBytes(bodyOffset..<log.count),
                reference: StoreReference(
                    slot: 0, payloadUnit: 0, idLength: id.count, metadataLength: metadata.count,
                    contentChecksum: 0, idHash: hash),
                vector: vector, id: id, metadata: metadata)
            let contentEnd = idOffset + id.count + metadata.count
            let content = unsafe UnsafeRawBufferPointer(
                rebasing: log.bytes[bodyOffset + StoreReference.byteCount..<contentEnd])
            let checksum = unsafe CRC32C.checksum(content)
            unsafe log.start.storeBytes(of: checksum, toByteOffset: bodyOffset + 16, as: UInt32.self)
            return BatchOperation(
                kind: .store, idHash: hash, idLength: id.count, payloadLength: id.count + metadata.count,
                contentChecksum: checksum, recordOffset: offset, referenceOffset: bodyOffset, idOffset: idOffset,
                condition: condition)
        }
    }
}
