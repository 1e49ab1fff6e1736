/// The open data file of a database: puts vectors and payloads in place on behalf of the log task, and index pages and
/// headers on behalf of a checkpoint. All its methods block and run on the store's I/O threads.
import StorageFormat
import StorageIO
import Synchronization

final class DataFile: Sendable {
    let file: any StorageFile
    let fileSystem: any FileSystem
    private let stride: Int
    /// The sync that failed, if one has.
    private let failedSync = Mutex<FileSystemError?>(nil)

    init(file: any StorageFile, fileSystem: any FileSystem, stride: Int) {
        self.file = file
        self.fileSystem = fileSystem
        self.stride = stride
    }

    /// Makes everything that was written durable.
    ///
    /// After a sync that failed every other one fails, too. The kernel tells one caller of the pages it has lost; if a bulk
    /// write is told, a checkpoint that syncs next would hear of success and vouch for them (O8).
    func synchronizeData() throws(FileSystemError) {
        try failedSync.withLock { (failure) throws(FileSystemError) in
            if let failure { throw failure }
            do throws(FileSystemError) {
                try file.synchronizeData()
            } catch {
                failure = error
                throw error
            }
        }
    }

    /// Writes the vectors and payloads of a small commit, from its log buffer, to the slots it was given.
    func place(_ batch: OperationBatch, layout: FileLayout, vectorByteCount: Int) throws(FileSystemError) {
        var vectors = AreaWriter(file: file, area: layout.vectors)
        var payloads = AreaWriter(file: file, area: layout.payload)
        for operation in batch.operations where operation.kind == .store {
            try unsafe vectors.add(
                batch.vector(operation, byteCount: vectorByteCount), at: UInt64(operation.slot) * UInt64(stride),
                paddedByteCount: stride)
            try unsafe payloads.add(
                batch.payload(operation),
                at: UInt64(operation.payloadUnit) * UInt64(FormatLimits.payloadUnitByteCount),
                paddedByteCount: operation.payloadUnitCount * FormatLimits.payloadUnitByteCount)
        }
        try vectors.flush()
        try payloads.flush()
    }

    /// Writes the vectors of a bulk commit, then the payloads, when they are given, and makes all of it durable (O3); if none
    /// are given there will be no commit, and nothing more is done.
    ///
    /// The log may go on during the sync, unless another one of the file is under way: the log, and so all databases, would
    /// wait for that one, which may be a checkpoint's and long.
    func place(
        _ vectors: VectorPlacement, for work: BulkWork, vectorByteCount: Int
    ) async -> Result<Void, FileSystemError> {
        var outcome = noting { () throws(FileSystemError) in
            try vectors.write(to: file, stride: stride, vectorByteCount: vectorByteCount)
        }
        guard case .success = outcome, let payloads = await work.payloads.take() else {
            work.written.give(outcome.map { .written })
            return outcome
        }
        outcome = noting { () throws(FileSystemError) in try payloads.write(to: file) }
        if case .success = outcome {
            if payloads.maySyncWithLog, let synced = synchronizeIfFree({ work.written.give(.success(.written)) }) {
                work.synced.give(synced)
                return synced
            }
            outcome = noting { () throws(FileSystemError) in try synchronizeData() }
        }
        work.written.give(outcome.map { .synced })
        return outcome
    }

    /// Syncs as ``synchronizeData()`` does if no other sync is under way and none has failed, and calls `begin` before; nil if it
    /// has not.
    private func synchronizeIfFree(_ begin: () -> Void) -> Result<Void, FileSystemError>? {
        let outcome: Result<Void, FileSystemError>?? = failedSync.withLockIfAvailable { failure in
            guard failure == nil else { return nil }
            begin()
            do throws(FileSystemError) {
                try file.synchronizeData()
                return .success(())
            } catch {
                failure = error
                return .failure(error)
            }
        }
        return outcome ?? nil
    }

    /// Makes calls that may start a write-back: of one that failed, as of a sync, only the first to ask is told.
    private func noting(_ body: () throws(FileSystemError) -> Void) -> Result<Void, FileSystemError> {
        do throws(FileSystemError) {
            return .success(try body())
        } catch {
            if error.call == .synchronizeData { failedSync.withLock { $0 = $0 ?? error } }
            return .failure(error)
        }
    }

    /// Allocates the space of new extents, and maps it.
    func grow(
        by extents: [Extent], to layout: FileLayout, mapping: DataMapping, reservation: Int
    ) throws(FileSystemError) -> DataMapping {
        let unit = UInt64(FormatLimits.extentUnitByteCount)
        for extent in extents {
            try file.allocate(offset: UInt64(extent.startUnit) * unit, length: UInt64(extent.unitCount) * unit)
        }
        return try mapping.extended(to: layout, of: file, on: fileSystem, reservation: reservation)
    }
}
