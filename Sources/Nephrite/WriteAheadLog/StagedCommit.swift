/// A commit between staging and acknowledgement. Database actors stage its parts, the commit queue gives it its LSN,
/// the log task writes it, and whoever waits for it is resumed with its outcome.
import StorageFormat
import StorageIO
import Synchronization

/// The operations of a commit on one database, with what the log task needs to write and apply them.
// SAFETY: written by the staging actor before the commit is enqueued, afterwards read only.
final class CommitPart: @unchecked Sendable {
    let file: DatabaseFile
    let dataFile: DataFile
    let layout: FileLayout
    let batch: OperationBatch
    /// Where each log record begins in the batch's buffer, in order.
    let recordOffsets: [Int]
    /// The sum of the fingerprints of the records that this part replaces or deletes.
    let removed: StateFingerprint
    /// Records added minus records deleted.
    let liveDelta: Int
    /// The database's running fingerprint and count in log order.
    let logState: DatabaseLogState
    /// The LSNs of the commits not yet applied that this one was staged on top of.
    let dependsOn: Set<UInt64>
    /// Stores among the operations, and how many of them are of new ids.
    let storeCount: Int
    let insertCount: Int
    /// Its place in the database's order of staged commits.
    let serial: UInt32
    /// What a bulk batch has written to the data file may reach the disk while the log does; nil if all of it has.
    var dataSync: Handover<Result<Void, FileSystemError>>?

    init(
        file: DatabaseFile, dataFile: DataFile, layout: FileLayout, batch: OperationBatch, recordOffsets: [Int],
        removed: StateFingerprint, liveDelta: Int, logState: DatabaseLogState, dependsOn: Set<UInt64>,
        insertCount: Int, serial: UInt32
    ) {
        self.file = file
        self.dataFile = dataFile
        self.layout = layout
        self.batch = batch
        self.recordOffsets = recordOffsets
        self.removed = removed
        self.liveDelta = liveDelta
        self.logState = logState
        self.dependsOn = dependsOn
        self.insertCount = insertCount
        storeCount = batch.slotCount
        self.serial = serial
    }
}

/// The state of a database after the last commit that was sealed, in log order.
// SAFETY: created when the database is opened, then used by the log task only.
final class DatabaseLogState: @unchecked Sendable {
    var fingerprint: StateFingerprint
    var liveCount: Int

    init(fingerprint: StateFingerprint, liveCount: Int) {
        self.fingerprint = fingerprint
        self.liveCount = liveCount
    }
}

final class StagedCommit: Sendable {
    let parts: [CommitPart]
    /// A change to the catalogue or a layout: a buffer of records that no database applies.
    let administration: LogBuffer?
    /// New extents of a database, adopted in log order.
    let layoutChange: LayoutChange?
    /// Whether it is to be on disk when it is acknowledged.
    let isDurable: Bool
    private let assignedLSN = Atomic<UInt64>(0)
    private let waiter = Mutex<CheckedContinuation<RecordVersion, any Error>?>(nil)

    init(
        parts: [CommitPart], administration: LogBuffer? = nil, layoutChange: LayoutChange? = nil, isDurable: Bool,
        continuation: CheckedContinuation<RecordVersion, any Error>? = nil
    ) {
        self.parts = parts
        self.administration = administration
        self.layoutChange = layoutChange
        self.isDurable = isDurable
        if let continuation { waiter.withLock { $0 = continuation } }
    }

    /// 0 until the commit is in the queue.
    var lsn: UInt64 { assignedLSN.load(ordering: .acquiring) }

    func assign(lsn: UInt64) { assignedLSN.store(lsn, ordering: .releasing) }

    /// The log bytes it takes, its commit record included.
    var byteCount: Int {
        let records = parts.reduce(administration?.count ?? 0) { $0 + $1.batch.log.count }
        return records + LogCodec.paddedByteCount(bodyLength: CommitBody.encodedByteCount(databaseCount: parts.count))
    }

    func setWaiter(_ continuation: CheckedContinuation<RecordVersion, any Error>) {
        waiter.withLock { $0 = continuation }
    }

    /// Resumes whoever waits; only the first call counts.
    func finish(_ result: Result<RecordVersion, StoreError>) {
        let continuation = waiter.withLock { waiter in
            defer { waiter = nil }
            return waiter
        }
        switch result {
        case .success(let version): continuation?.resume(returning: version)
        case .failure(let error): continuation?.resume(throwing: error)
        }
    }
}
