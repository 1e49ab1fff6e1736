/// The bulk form of a batch: vectors and payloads go straight to slots that nothing reaches, the log gets references.
import StorageFormat

extension BatchEncoder {
    /// - Parameter vectors: those of ``contiguous(_:)``.
    func encodeBulk(
        _ rows: RowSource, _ vectors: [Float], _ condition: WriteCondition
    ) throws(StoreError) -> OperationBatch {
        // What need not be durable at once has its data file synced first: the log is synced some time.
        let syncsWithLog =
            identity.options.durability == .durable && rows.count * identity.vectorByteCount <= jointSyncByteLimit
        let log = LogBuffer(
            capacity: LogCodec.paddedByteCount(bodyLength: BulkStoreBody.encodedByteCount(count: rows.count)) + 256,
            pool: pool)
        let recordOffset = log.appendRecord(
            .bulkStore, flags: syncsWithLog ? LogRecordHeader.mayPrecedeData : 0, database: identity.number,
            bodyLength: BulkStoreBody.encodedByteCount(count: rows.count))
        let references = recordOffset + LogRecordHeader.byteCount + BulkStoreBody.referencesOffset
        let payload = LogBuffer(capacity: rows.count * 128, pool: pool)
        var operations: [BatchOperation] = []
        operations.reserveCapacity(rows.count)
        unsafe try rows.forEach(dimension: identity.options.dimension) {
            (row, id, metadata, vector) throws(StoreError) in
            var id = id
            let result: Result<BatchOperation, StoreError> = id.withUTF8 { utf8 in
                let idBytes = UnsafeRawBufferPointer(utf8)
                do throws(StoreError) {
                    try unsafe check(id: idBytes, vector: vector, metadata: metadata)
                } catch {
                    return .failure(error)
                }
                return .success(
                    unsafe append(
                        id: idBytes, vector: UnsafeRawBufferPointer(vector), metadata: metadata.encoded,
                        condition: condition, recordOffset: recordOffset,
                        referenceOffset: references + row * StoreReference.byteCount, to: payload, log: log))
            }
            operations.append(try result.get())
        }
        unsafe log.start.storeBytes(
            of: UInt32(rows.count), toByteOffset: recordOffset + LogRecordHeader.byteCount, as: UInt32.self)
        unsafe log.start.storeBytes(
            of: UInt32(0), toByteOffset: recordOffset + LogRecordHeader.byteCount + 4, as: UInt32.self)
        unsafe log.start.storeBytes(
            of: UInt64(0), toByteOffset: recordOffset + LogRecordHeader.byteCount + 8, as: UInt64.self)
        return OperationBatch(
            log: log, operations: operations,
            bulk: BulkContent(payload: payload, vectors: vectors, syncsWithLog: syncsWithLog))
    }

    /// The rows' vectors, back to back.
    func contiguous(_ rows: RowSource) throws(StoreError) -> [Float] {
        switch rows {
        case .columns(_, let vectors, _):
            return vectors
        case .records(let records):
            var vectors: [Float] = []
            vectors.reserveCapacity(records.count * identity.options.dimension)
            for record in records {
                guard record.vector.count == identity.options.dimension else {
                    throw .dimension(
                        expected: identity.options.dimension, actual: record.vector.count, id: record.id,
                        database: identity.name)
                }
                vectors.append(contentsOf: record.vector)
            }
            return vectors
        }
    }

    private func append(
        id: UnsafeRawBufferPointer, vector: UnsafeRawBufferPointer, metadata: [UInt8], condition: WriteCondition,
        recordOffset: Int, referenceOffset: Int, to payload: LogBuffer, log: LogBuffer
    ) -> BatchOperation {
        let length = id.count + metadata.count
        let unit = FormatLimits.payloadUnitByteCount
        let padded = (length + unit - 1) / unit * unit
        let offset = payload.extend(by: padded)
        let target = unsafe payload.mutableBytes(offset..<offset + padded)
        unsafe target.copyMemory(from: id)
        unsafe metadata.withUnsafeBytes { bytes in
            guard unsafe !bytes.isEmpty else { return }
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[id.count...]).copyMemory(from: bytes)
        }
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[length...]).initializeMemory(as: UInt8.self, repeating: 0)
        let checksum = unsafe CRC32C.checksum(
            UnsafeRawBufferPointer(rebasing: target[..<length]), continuing: CRC32C.checksum(vector))
        let hash = unsafe IDHash.hash(id, key: identity.hashKey)
        let reference = StoreReference(
            slot: 0, payloadUnit: 0, idLength: id.count, metadataLength: metadata.count, contentChecksum: checksum,
            idHash: hash)
        unsafe reference.encode(into: log.mutableBytes(0..<log.count), at: referenceOffset)
        return BatchOperation(
            kind: .store, idHash: hash, idLength: id.count, payloadLength: length, contentChecksum: checksum,
            recordOffset: recordOffset, referenceOffset: referenceOffset, idOffset: offset, condition: condition)
    }
}
