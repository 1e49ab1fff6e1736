/// The store: a directory of databases with one log. Applications make one, run it in a task, and get handles from it.
import StorageFormat
import StorageIO
import Synchronization

/// A directory of vector databases that one process has open.
///
/// A store does its work in ``run()``, which a service runs beside its others; cancelling it is the graceful shutdown.
/// Scripts and tests use ``withVectorStore(at:configuration:_:)``.
///
/// ```swift
/// let store = VectorStore(at: "/var/lib/app/vectors")
/// try await withThrowingTaskGroup(of: Void.self) { group in
///     group.addTask { try await store.run() }
///     try await store.waitUntilReady()
///     let glosses = try await store.createDatabase("glosses", options: .init(dimension: 384))
///     try await glosses.upsert(VectorRecord(id: "a", vector: embedding))
///     group.cancelAll()
/// }
/// ```
public final class VectorStore: Sendable {
    enum Phase {
        case idle
        case opening
        case running(RunningStore)
        case failed(StoreError)
        case closed
    }

    struct State {
        var phase = Phase.idle
        var waiters: [UInt64: CheckedContinuation<Void, any Error>] = [:]
        var nextWaiter: UInt64 = 0
        var report: RecoveryReport?
    }

    /// The directory.
    public let path: String
    let configuration: StoreConfiguration
    let state = Mutex(State())

    /// Names a store; nothing is opened or created before ``run()``.
    ///
    /// - Parameters:
    ///   - path: the directory, which is made (0700) if it is not there.
    ///   - configuration: sizes, intervals and the environment.
    public init(at path: String, configuration: StoreConfiguration = StoreConfiguration()) {
        self.path = path
        self.configuration = configuration
    }

    /// A store that lives in memory and is gone with its last reference: the same API and the same code, without a disk.
    public static func inMemory(configuration: StoreConfiguration = StoreConfiguration()) -> VectorStore {
        var configuration = configuration
        let fileSystem = MemoryFileSystem(name: "memory")
        configuration.environment.fileSystem = { _ in fileSystem }
        return VectorStore(at: "memory", configuration: configuration)
    }

    /// The running parts.
    func running() throws(StoreError) -> RunningStore {
        let outcome: Result<RunningStore, StoreError> = state.withLock { state in
            switch state.phase {
            case .running(let store): .success(store)
            case .idle, .opening: .failure(.notRunning(path))
            case .failed(let error): .failure(error)
            case .closed: .failure(.closed(path))
            }
        }
        return try outcome.get()
    }

    /// Suspends until the store is open.
    ///
    /// - Throws: the error that kept ``run()`` from opening it; `closed` after it has ended; `CancellationError`.
    public func waitUntilReady() async throws {
        let ticket = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    switch state.phase {
                    case .running: return .success(())
                    case .failed(let error): return .failure(error)
                    case .closed: return .failure(StoreError.closed(path))
                    case .idle, .opening:
                        if Task.isCancelled { return .failure(CancellationError()) }
                        state.waiters[ticket] = continuation
                        return nil
                    }
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: ticket) }
            waiter?.resume(throwing: CancellationError())
        }
    }

    /// What recovery found when the store was opened; nil before that.
    public var recoveryReport: RecoveryReport? { state.withLock { $0.report } }

    // MARK: Databases

    /// Creates a database; it is durable when this returns.
    ///
    /// - Parameters:
    ///   - name: `[a-z0-9][a-z0-9_-]{0,63}`, but not `wal`, `lock` or `catalog`.
    ///   - options: its dimension, metric and durability.
    /// - Throws: `invalidName`, `invalidArgument`, `databaseExists`, `diskFull`, …; `CancellationError`.
    @discardableResult
    public func createDatabase(_ name: String, options: DatabaseOptions) async throws -> VectorDatabase {
        let store = try running()
        return VectorDatabase(cell: try await store.registry.create(name, options: options), store: store)
    }

    /// A handle to a database. Its file is opened when it is first used, so damage is reported then.
    ///
    /// - Throws: `databaseNotFound`.
    public func database(_ name: String) async throws -> VectorDatabase {
        let store = try running()
        return VectorDatabase(cell: try await store.registry.cell(named: name), store: store)
    }

    /// A handle to a database, which is created if it is not there: what a service does when it starts.
    ///
    /// - Parameters:
    ///   - name: as for ``createDatabase(_:options:)``.
    ///   - options: what it is created with. Of one that is there, dimension and metric must be the same; the rest stays as
    ///     it is.
    /// - Throws: `invalidArgument` if there is one of another dimension or metric, and what ``createDatabase(_:options:)``
    ///   throws but `databaseExists`.
    public func openDatabase(_ name: String, options: DatabaseOptions) async throws -> VectorDatabase {
        while true {
            do {
                let database = try await database(name)
                let there = database.options
                guard there.dimension == options.dimension, there.metric == options.metric else {
                    throw StoreError.argument(
                        "The database has \(there.dimension) components and the metric \(there.metric.rawValue).",
                        remedy: "Ask for these, or choose another name.", database: name)
                }
                return database
            } catch let error as StoreError where error.code == .databaseNotFound {}
            do {
                return try await createDatabase(name, options: options)
            } catch let error as StoreError where error.code == .databaseExists && error.path == nil {
                // Somebody else was faster.
            }
        }
    }

    /// All databases, sorted by name. No file is opened for it.
    public func databases() async throws -> [DatabaseDescription] { try await running().registry.descriptions() }

    /// Drops a database and its files; the drop is durable when this returns. Reads under way and snapshots go on with what
    /// they have; writes under way finish first. Handles throw `databaseNotFound` from now on.
    ///
    /// - Throws: `databaseNotFound`, …; `CancellationError`.
    public func dropDatabase(_ name: String) async throws { try await running().registry.drop(name) }

    // MARK: The whole store

    /// Brings everything acknowledged so far to disk, in relaxed databases too, and checkpoints every open database that has
    /// changed: a crash afterwards has less to recover, and space that was freed can be used again. In a store that was opened
    /// for reading there is nothing to do.
    ///
    /// - Throws: `diskFull`, `inputOutput`, `fenced`, `notRunning`, `closed`.
    public func checkpoint() async throws {
        let store = try running()
        guard configuration.access == .readWrite else { return }
        try await store.context.log.queue.synchronize()
        for cell in await store.registry.openCells() {
            guard let file = cell.pin() else { continue }
            defer { cell.unpin() }
            try await file.checkpoint()
        }
        await store.checkpointer.deleteSegments()
    }

    /// Makes everything acknowledged so far survive a loss of power, in relaxed databases too.
    ///
    /// - Throws: `fenced` if the disk failed, `notRunning`, `closed`.
    public func flush() async throws { try await running().context.log.queue.synchronize() }
}

/// Opens a store for the duration of `body`, then shuts it down gracefully: for scripts, tools and tests.
///
/// - Parameters:
///   - path: the directory, which is made if it is not there.
///   - configuration: sizes, intervals and the environment.
///   - body: what to do with the store, which is open when it begins.
/// - Returns: what `body` returns, after everything is on disk and the files are closed.
/// - Throws: what opening throws (see ``VectorStore/run()``); what `body` throws; what kept the store from closing cleanly.
public func withVectorStore<R>(
    at path: String, configuration: StoreConfiguration = StoreConfiguration(),
    _ body: (VectorStore) async throws -> R
) async throws -> R {
    try await withVectorStore(VectorStore(at: path, configuration: configuration), body)
}

/// Runs a store for the duration of `body`, then shuts it down gracefully: for stores in memory, or where the
/// ``VectorStore`` is needed beforehand.
///
/// - Throws: as ``withVectorStore(at:configuration:_:)``.
public func withVectorStore<R>(_ store: VectorStore, _ body: (VectorStore) async throws -> R) async throws -> R {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await store.run() }
        let result: R
        do {
            try await store.waitUntilReady()
            result = try await body(store)
        } catch {
            group.cancelAll()
            // The body's error is the one to report; what closing says comes second.
            while let outcome = await group.nextResult() { _ = outcome }
            // Cancelling closes the store under the body: that is what happened, not that it was used too late.
            if Task.isCancelled, (error as? StoreError)?.code == .closed { throw CancellationError() }
            throw error
        }
        group.cancelAll()
        try await group.waitForAll()
        return result
    }
}
