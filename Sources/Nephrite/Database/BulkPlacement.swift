/// Where the vectors and payloads of a bulk batch go. The database actor makes it once the batch has its slots and hands it
/// to an I/O thread, so that neither touches what the other works on.
import StorageFormat
import StorageIO

struct BulkPlacement: Sendable {
    /// Rows that follow one another and whose slots do, too.
    private struct Rows {
        let firstRow: Int
        let firstSlot: UInt32
        var count: Int
    }

    /// Payload bytes, padding included, that follow one another in memory and in the heap.
    private struct Payloads {
        let offset: Int
        let firstUnit: UInt32
        var unitCount: Int
    }

    private let content: BulkContent
    private var rows: [Rows] = []
    private var payloads: [Payloads] = []

    /// The placement of a bulk batch that has its slots.
    init(_ batch: OperationBatch) {
        guard let bulk = batch.bulk else { preconditionFailure("only a bulk batch is placed before it is logged") }
        content = bulk
        for (row, operation) in batch.operations.enumerated() {
            add(row: row, slot: operation.slot)
            add(payloadAt: operation.idOffset, unit: operation.payloadUnit, unitCount: operation.payloadUnitCount)
        }
    }

    private mutating func add(row: Int, slot: UInt32) {
        if let last = rows.last, Int(last.firstSlot) + last.count == Int(slot) {
            rows[rows.count - 1].count += 1
        } else {
            rows.append(Rows(firstRow: row, firstSlot: slot, count: 1))
        }
    }

    private mutating func add(payloadAt offset: Int, unit: UInt32, unitCount: Int) {
        if let last = payloads.last, Int(last.firstUnit) + last.unitCount == Int(unit) {
            payloads[payloads.count - 1].unitCount += unitCount
        } else {
            payloads.append(Payloads(offset: offset, firstUnit: unit, unitCount: unitCount))
        }
    }

    /// Writes everything; the disk begins with the first parts while the next are copied.
    ///
    /// - Parameters:
    ///   - stride: bytes from one slot to the next.
    ///   - vectorByteCount: bytes of a vector; what is left of the stride is filled with zeros.
    func write(
        to file: any StorageFile, layout: FileLayout, stride: Int, vectorByteCount: Int
    ) throws(FileSystemError) {
        var vectors = AreaWriter(file: file, area: layout.vectors, startsWriteback: true)
        unsafe try content.vectors.withUnsafeBytesTyped { (all) throws(FileSystemError) in
            for run in rows {
                if stride == vectorByteCount {
                    let bytes = unsafe UnsafeRawBufferPointer(
                        rebasing: all[run.firstRow * stride..<(run.firstRow + run.count) * stride])
                    try unsafe vectors.add(
                        bytes, at: UInt64(run.firstSlot) * UInt64(stride), paddedByteCount: bytes.count)
                    continue
                }
                for index in 0..<run.count {
                    let start = (run.firstRow + index) * vectorByteCount
                    let bytes = unsafe UnsafeRawBufferPointer(rebasing: all[start..<start + vectorByteCount])
                    let slot = UInt64(run.firstSlot) + UInt64(index)
                    try unsafe vectors.add(bytes, at: slot * UInt64(stride), paddedByteCount: stride)
                }
            }
            try vectors.flush()
        }
        var heap = AreaWriter(file: file, area: layout.payload)
        for run in payloads {
            let byteCount = run.unitCount * FormatLimits.payloadUnitByteCount
            try unsafe heap.add(
                UnsafeRawBufferPointer(rebasing: content.payload.bytes[run.offset..<run.offset + byteCount]),
                at: UInt64(run.firstUnit) * UInt64(FormatLimits.payloadUnitByteCount), paddedByteCount: byteCount)
        }
        try heap.flush()
    }
}
