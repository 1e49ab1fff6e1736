/// Where the vectors and payloads of a bulk batch go. The database actor decides it and hands it to an I/O thread, so that
/// neither touches what the other works on.
import StorageFormat
import StorageIO

/// What an I/O thread that is at work on a bulk batch is told, and what it tells.
struct BulkWork: Sendable {
    /// What comes after the vectors; nil if nothing does.
    let payloads = Handover<PayloadPlacement?>()
    /// That vectors and payloads are written, and whether they are on disk; or why they are not.
    let written = Handover<Result<Progress, FileSystemError>>()
    /// For those that were written and not on disk: that they are, or why not.
    let synced = Handover<Result<Void, FileSystemError>>()

    enum Progress { case written, synced }
}

/// The vectors of a bulk batch: known, with their slots, before the batch is encoded.
struct VectorPlacement: Sendable {
    /// Rows that follow one another and whose slots do, too.
    private struct Run {
        let firstRow: Int
        let firstSlot: UInt32
        var count: Int
    }

    /// The rows' floats, back to back.
    private let vectors: [Float]
    private let layout: FileLayout
    private var runs: [Run] = []

    /// - Parameter slots: one for each row.
    init(_ vectors: [Float], slots: some Sequence<UInt32>, layout: FileLayout) {
        self.vectors = vectors
        self.layout = layout
        for (row, slot) in slots.enumerated() {
            if let last = runs.last, Int(last.firstSlot) + last.count == Int(slot) {
                runs[runs.count - 1].count += 1
            } else {
                runs.append(Run(firstRow: row, firstSlot: slot, count: 1))
            }
        }
    }

    /// Writes the vectors; the disk begins with the first parts while the next are copied.
    ///
    /// - Parameters:
    ///   - stride: bytes from one slot to the next.
    ///   - vectorByteCount: bytes of a vector; what is left of the stride is filled with zeros.
    func write(to file: any StorageFile, stride: Int, vectorByteCount: Int) throws(FileSystemError) {
        var writer = AreaWriter(file: file, area: layout.vectors, startsWriteback: true)
        unsafe try vectors.withUnsafeBytesTyped { (all) throws(FileSystemError) in
            for run in runs {
                if stride == vectorByteCount {
                    let bytes = unsafe UnsafeRawBufferPointer(
                        rebasing: all[run.firstRow * stride..<(run.firstRow + run.count) * stride])
                    try unsafe writer.add(
                        bytes, at: UInt64(run.firstSlot) * UInt64(stride), paddedByteCount: bytes.count)
                    continue
                }
                for index in 0..<run.count {
                    let start = (run.firstRow + index) * vectorByteCount
                    let bytes = unsafe UnsafeRawBufferPointer(rebasing: all[start..<start + vectorByteCount])
                    let slot = UInt64(run.firstSlot) + UInt64(index)
                    try unsafe writer.add(bytes, at: slot * UInt64(stride), paddedByteCount: stride)
                }
            }
            try writer.flush()
        }
    }
}

/// The ids and metadata of a bulk batch.
struct PayloadPlacement: Sendable {
    /// Payload bytes, padding included, that follow one another in memory and in the heap.
    private struct Run {
        let offset: Int
        let firstUnit: UInt32
        var unitCount: Int
    }

    /// Whether the log may go on while they are synced.
    let maySyncWithLog: Bool
    private let payload: LogBuffer
    private let layout: FileLayout
    private var runs: [Run] = []

    /// The payloads of a bulk batch that has its space.
    init(_ batch: OperationBatch, layout: FileLayout) {
        guard let bulk = batch.bulk else { preconditionFailure("only a bulk batch is placed before it is logged") }
        payload = bulk.payload
        maySyncWithLog = bulk.syncsWithLog
        self.layout = layout
        for operation in batch.operations {
            let unitCount = operation.payloadUnitCount
            if let last = runs.last, Int(last.firstUnit) + last.unitCount == Int(operation.payloadUnit) {
                runs[runs.count - 1].unitCount += unitCount
            } else {
                runs.append(
                    Run(offset: operation.idOffset, firstUnit: operation.payloadUnit, unitCount: unitCount))
            }
        }
    }

    /// Writes the payloads.
    func write(to file: any StorageFile) throws(FileSystemError) {
        var heap = AreaWriter(file: file, area: layout.payload)
        for run in runs {
            let byteCount = run.unitCount * FormatLimits.payloadUnitByteCount
            try unsafe heap.add(
                UnsafeRawBufferPointer(rebasing: payload.bytes[run.offset..<run.offset + byteCount]),
                at: UInt64(run.firstUnit) * UInt64(FormatLimits.payloadUnitByteCount), paddedByteCount: byteCount)
        }
        try heap.flush()
    }
}
