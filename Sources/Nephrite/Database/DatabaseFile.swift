/// The actor behind an open database file: it owns the mapping and the index, judges and stages every write, applies
/// commits in log order, and makes the snapshots that everybody else reads. Its methods are short and never block.
import StorageFormat
import StorageIO

/// The state of a database as it was loaded or created.
struct LoadedDatabase: Sendable {
    /// The epoch of pages that were read from disk.
    static let epoch: UInt64 = 1

    var identity: DatabaseIdentity
    var dataFile: DataFile
    var layout: FileLayout
    var mapping: DataMapping
    var index: DatabaseIndex
    var lastCommitLSN: UInt64
    var slots: SlotAllocator
    var payload: PayloadAllocator
    var updatedAt: UInt64
    /// Whether the directory's pages are in the region of `generation`, rather than rebuilt from the record table.
    var directoryIsOnDisk: Bool
    /// The newest durable checkpoint.
    var generation: UInt64
    var checkpointLSN: UInt64
    /// The checkpoint of the generation before, if that is still there; else the newest one.
    var previousCheckpointLSN: UInt64
    var headerChecksum: UInt32
    /// Whether both header copies of the other generation are damaged, as by a crash while they were written.
    var otherGenerationIsLost: Bool
    /// Damage that was met and got over.
    var damages: [Damage]
}

actor DatabaseFile {
    nonisolated let identity: DatabaseIdentity
    nonisolated let cell: DatabaseCell
    nonisolated let dataFile: DataFile
    nonisolated let context: StoreContext
    nonisolated let logState: DatabaseLogState
    /// Codes of the vectors, if there are any.
    nonisolated let codes: CodeStore

    var layout: FileLayout
    var mapping: DataMapping
    var index: DatabaseIndex
    var lastCommitLSN: UInt64
    var updatedAt: UInt64

    var slots: SlotAllocator
    var payload: PayloadAllocator
    var reclaim = ReclaimQueue()
    var pending = PendingWrites()
    var nextSerial: UInt32 = 1
    /// Inserts that are staged, for judging whether the directory has room.
    var pendingInserts = 0

    /// Pages changed now are stamped with it; every checkpoint begins a new one.
    var epoch: UInt64
    /// The generation and LSN of the newest durable checkpoint.
    var generation: UInt64
    var checkpointLSN: UInt64
    var headerChecksum: UInt32
    /// For each region, the epoch through which its pages are current; 0 when it must be written whole.
    var recordRegions: [UInt64]
    var directoryRegions: [UInt64]
    var isCheckpointing = false
    var isGrowing = false
    var isClosed = false
    /// The commit that last added extents; they make the file dirty even without a record.
    var lastLayoutLSN: UInt64 = 0
    var waiters: [CheckedContinuation<Void, Never>] = []
    /// How often waiters were woken, for those who look at one time and wait at another.
    var changeCount: UInt64 = 0
    /// Whether the directory is ready for the next commits; see ``prepareDirectory()``.
    var isDirectoryPrepared = false
    /// Pages of the record table with records that the encoder has not been told of yet.
    var storedPages = PageMarks()
    /// Whether the encoder wants to be told.
    var notesStoredPages = false

    init(_ loaded: LoadedDatabase, cell: DatabaseCell, context: StoreContext) {
        identity = loaded.identity
        self.cell = cell
        self.context = context
        dataFile = loaded.dataFile
        codes = CodeStore(identity: loaded.identity, cell: cell, context: context)
        layout = loaded.layout
        mapping = loaded.mapping
        index = loaded.index
        lastCommitLSN = loaded.lastCommitLSN
        updatedAt = loaded.updatedAt
        generation = loaded.generation
        checkpointLSN = loaded.checkpointLSN
        headerChecksum = loaded.headerChecksum
        // Loaded pages are of epoch 1. What lies in the inactive region may come from a checkpoint that never finished:
        // it is written whole next.
        epoch = LoadedDatabase.epoch + 1
        recordRegions = [0, 0]
        directoryRegions = [0, 0]
        recordRegions[Int(loaded.generation % 2)] = LoadedDatabase.epoch
        if loaded.directoryIsOnDisk { directoryRegions[Int(loaded.generation % 2)] = LoadedDatabase.epoch }
        slots = loaded.slots
        payload = loaded.payload
        logState = DatabaseLogState(fingerprint: loaded.index.fingerprint, liveCount: loaded.index.liveCount)
    }

    /// A snapshot of everything applied so far.
    func makeSnapshot() -> DatabaseSnapshot {
        DatabaseSnapshot(
            identity: identity, records: index.records, directory: index.directory.shared, mapping: mapping,
            count: index.liveCount, version: lastCommitLSN, fingerprint: index.fingerprint, ledger: cell.ledger,
            searcher: context.searcher, codeStore: codes, filters: cell.filters,
            verifiesReads: context.configuration.verifiesReads)
    }

    // MARK: Waiting

    /// Suspends until something that others wait for has changed: growth, a checkpoint, a prepared transaction.
    func waitForChange() async {
        await withCheckedContinuation { waiters.append($0) }
    }

    func wakeWaiters() {
        changeCount &+= 1
        let woken = waiters
        waiters = []
        for waiter in woken { waiter.resume() }
    }

    func checkOpen() throws(StoreError) {
        if let failure = context.log.queue.failure { throw failure }
        if isClosed { throw .closed(context.path) }
    }

    /// What is applied, to look ids up in.
    var applied: AppliedState { AppliedState(identity: identity, index: index, mapping: mapping) }

    /// Closes the file; the mapping lives on while snapshots hold it.
    func close() throws(FileSystemError) {
        isClosed = true
        wakeWaiters()
        codes.close()
        try dataFile.file.close()
    }
}

extension RecordEntry {
    /// The payload heap units that id and metadata take.
    var payloadUnitCount: Int {
        (payloadLength + FormatLimits.payloadUnitByteCount - 1) / FormatLimits.payloadUnitByteCount
    }
}
