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
        return DatabaseStatistics(
            name: identity.name, recordCount: index.liveCount, deletedCount: index.deletedCount,
            dimension: identity.options.dimension, fileByteCount: Int(layout.fileByteCount),
            vectorByteCount: index.liveCount * identity.vectorByteCount, indexByteCount: pages * IndexPage.byteCount,
            lastVersion: lastCommitLSN, checkpointVersion: checkpointLSN,
            recordsWritten: cell.metrics.recordsWritten.current, recordsDeleted: cell.metrics.recordsDeleted.current,
            commits: cell.metrics.commits.current, checkpoints: cell.metrics.checkpoints.current,
            searches: cell.metrics.searches.current, snapshotCount: cell.ledger.aliveCount,
            createdAt: Double(identity.createdAt) / 1_000_000_000, updatedAt: Double(updatedAt) / 1_000_000_000)
    }
}

extension VectorDatabase {
    /// What the database holds and what was done to it.
    public func statistics() async throws -> DatabaseStatistics { try await withFile { await $0.statistics() } }
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
