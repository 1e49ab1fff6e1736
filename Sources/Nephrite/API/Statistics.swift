/// Statistics as values: what the engine counted, copied at one moment.
import StorageFormat

/// What a database holds and what was done to it since the store was opened.
public struct DatabaseStatistics: Sendable, Hashable, Codable {
    /// The name.
    public var name: String
    /// Records it holds.
    public var recordCount: Int
    /// Slots of deleted or replaced records that are not in use again yet.
    public var deletedCount: Int
    /// Components per vector.
    public var dimension: Int
    /// Bytes of the data file.
    public var fileByteCount: Int
    /// Bytes of the vectors it holds, without padding.
    public var vectorByteCount: Int
    /// Bytes of the index in memory.
    public var indexByteCount: Int
    /// The newest commit that changed it.
    public var lastVersion: UInt64
    /// The commit that the newest checkpoint holds.
    public var checkpointVersion: UInt64
    /// Records stored since the store was opened.
    public var recordsWritten: UInt64
    /// Records deleted since the store was opened.
    public var recordsDeleted: UInt64
    /// Commits since the store was opened.
    public var commits: UInt64
    /// Checkpoints since the store was opened.
    public var checkpoints: UInt64
    /// Queries answered through handles since the store was opened.
    public var searches: UInt64
    /// Snapshots that are held, the published one included.
    public var snapshotCount: Int
    /// Whether codes of the vectors are kept.
    public var quantization: Quantization
    /// Records that have a code.
    public var codedCount: Int
    /// Bytes of the file of codes.
    public var codeByteCount: Int
    /// The share of the records that have a code, 0…1; nil while no codes are kept: nobody has searched, the database is
    /// small, or the file of codes failed.
    public var codingProgress: Double?
    /// What there is of the codes.
    public var codingState: CodingState
    /// How often encoding was given up because the disk had no room or a call on the file of codes failed. Searches do
    /// without meanwhile.
    public var codingFailures: UInt64
    /// Codes in the file that did not match their checksums and were made anew since the store was opened. They were not
    /// used.
    public var codesMended: UInt64
    /// When it was created, in seconds since 1970.
    public var createdAt: Double
    /// When it was changed last, in seconds since 1970.
    public var updatedAt: Double
}

/// What a store did since it was opened.
public struct StoreStatistics: Sendable, Hashable, Codable {
    /// Databases in the catalogue.
    public var databases: Int
    /// Database files that are open.
    public var openFiles: Int
    /// Commits over all databases.
    public var commits: UInt64
    /// Syncs of the log; fewer than commits where commits were grouped.
    public var syncs: UInt64
    /// Bytes written to the log.
    public var logByteCount: UInt64
    /// Checkpoints over all databases.
    public var checkpoints: UInt64
    /// Database files opened.
    public var opens: UInt64
    /// Database files closed to make room for others.
    public var evictions: UInt64
    /// The newest version given out.
    public var lastVersion: UInt64
    /// The newest version known to be on disk.
    public var syncedVersion: UInt64
}

extension DatabaseFile {
    func statistics() -> DatabaseStatistics {
        let pages = index.records.pages.pageCount + index.directory.pages.pageCount
        // The index may hold a commit already that is not on disk yet.
        let seen = cell.currentSnapshot()
        let recordCount = seen?.count ?? index.liveCount
        return DatabaseStatistics(
            name: identity.name, recordCount: recordCount, deletedCount: index.deletedCount,
            dimension: identity.options.dimension, fileByteCount: Int(layout.fileByteCount),
            vectorByteCount: recordCount * identity.vectorByteCount, indexByteCount: pages * IndexPage.byteCount,
            lastVersion: seen?.version ?? lastCommitLSN, checkpointVersion: checkpointLSN,
            recordsWritten: cell.metrics.recordsWritten.current, recordsDeleted: cell.metrics.recordsDeleted.current,
            commits: cell.metrics.commits.current, checkpoints: cell.metrics.checkpoints.current,
            searches: cell.metrics.searches.current, snapshotCount: cell.ledger.aliveCount,
            quantization: cell.quantization, codedCount: 0, codeByteCount: 0,
            codingProgress: nil, codingState: .off, codingFailures: cell.metrics.codingFailures.current,
            codesMended: cell.metrics.codesMended.current,
            createdAt: Double(identity.createdAt) / 1_000_000_000, updatedAt: Double(updatedAt) / 1_000_000_000)
    }
}

extension VectorDatabase {
    /// What the database holds and what was done to it.
    public func statistics() async throws -> DatabaseStatistics {
        try await withFile { file in
            var statistics = await file.statistics()
            let snapshot = await file.makeSnapshot()
            let checkpointLSN = statistics.checkpointVersion
            let fileSystem = store.context.fileSystem
            let usage = file.codes.usage
            let status = await file.codingStatus(usage)
            statistics.codingState = status.state
            statistics.codeByteCount = usage.byteCount
            switch usage.phase {
            case .off, .failed, .closed: break
            case _ where usage.hasView, .open:
                statistics.codedCount = status.codedCount
                statistics.codingProgress =
                    status.recordCount == 0 ? 1 : Double(status.codedCount) / Double(status.recordCount)
            case .idle, .requested:
                let found = await store.context.io.run { () -> (byteCount: Int, codedCount: Int)? in
                    CodeFile.inspect(snapshot.identity, checkpointLSN: checkpointLSN, on: fileSystem).map {
                        ($0.byteCount, $0.header.map(snapshot.codedCount(by:)) ?? 0)
                    }
                }
                statistics.codeByteCount = found?.byteCount ?? 0
                statistics.codedCount = found?.codedCount ?? 0
            case .full, .settled: break
            }
            return statistics
        }
    }
}

extension VectorStore {
    /// What the store did since it was opened.
    public func statistics() async throws -> StoreStatistics {
        let store = try running()
        let metrics = store.context.metrics
        return StoreStatistics(
            databases: await store.registry.descriptions().count, openFiles: await store.registry.openFileCount,
            commits: metrics.commits.current, syncs: metrics.syncs.current,
            logByteCount: metrics.logBytesWritten.current, checkpoints: metrics.checkpoints.current,
            opens: metrics.opens.current, evictions: metrics.evictions.current,
            lastVersion: store.context.log.queue.lastLSN, syncedVersion: store.context.log.syncedLSN)
    }
}
