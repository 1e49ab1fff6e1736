/// The store's life: open, serve, drain, checkpoint, close. Everything the engine runs is a child of `run()` (C8).
import StorageFormat
import StorageIO
import Synchronization

extension VectorStore {
    /// Opens the store, recovers what a crash left, and serves until the task is cancelled; then finishes the writes
    /// under way, checkpoints, and closes. Call it once.
    ///
    /// - Throws: `locked`, `notAStore`, `newerFormat`, `corruption`, `tooManyThreads`, … when the store cannot be
    ///   opened; `invalidArgument` for a setting outside its range; what kept it from closing cleanly. Nothing when it
    ///   was cancelled and closed well.
    public func run() async throws {
        let mayRun = state.withLock { state in
            guard case .idle = state.phase else { return false }
            state.phase = .opening
            return true
        }
        guard mayRun else {
            throw StoreError.argument("run() was called a second time.", remedy: "Make a new VectorStore for each run.")
        }
        let threads: StoreThreads
        do throws(StoreError) {
            try configuration.validate()
            threads = try StoreThreads(configuration)
        } catch {
            finish(.failed(error))
            throw error
        }
        defer { threads.shutDown() }
        do {
            var disk = configuration.environment.fileSystem(path)
            #if NEPHRITE_MUTANTS
                disk = MutantFileSystem(disk)
            #endif
            let fileSystem = configuration.access == .readOnly ? OverlayFileSystem(over: disk) : disk
            let opening = StoreOpening(path: path, configuration: configuration, fileSystem: fileSystem)
            let io = IOContext(executor: threads.io, returning: configuration.environment.executor)
            let opened = try await io.throwing { () throws(StoreError) in try opening.open() }
            let store = assemble(opened, fileSystem: fileSystem, io: io, threads: threads)
            try await serve(store, opened, threads)
            finish(.closed)
        } catch {
            finish(.failed(.wrapping(error)))
            throw error
        }
    }

    private func assemble(
        _ opened: StoreOpening.Outcome, fileSystem: any FileSystem, io: IOContext, threads: StoreThreads
    ) -> RunningStore {
        let metrics = StoreMetrics()
        let log = WriteAheadLog(
            nextLSN: opened.nextLSN, fileSystem: fileSystem, storeUUID: opened.catalogue.storeUUID,
            configuration: configuration, sealed: opened.sealed, metrics: metrics)
        let context = StoreContext(
            path: path, configuration: configuration, fileSystem: fileSystem, log: log, io: io,
            searcher: Searcher(executor: threads.search, threadCount: threads.searchThreadCount), metrics: metrics)
        for database in opened.recovered {
            log.retention.noteRecovered(
                database: database.database, checkpointLSN: database.oldCheckpointLSN,
                lastWriteLSN: database.lastWriteLSN)
            guard database.failure == nil else { continue }
            log.retention.noteCheckpoint(database: database.database, lsn: database.lastWriteLSN)
            context.generations.note(database.generation, of: database.database)
        }
        return RunningStore(
            context: context,
            registry: StoreRegistry(
                context: context, catalogue: opened.catalogue,
                failures: opened.recovered.compactMap { database in database.failure.map { (database.database, $0) } }))
    }

    private func serve(
        _ store: RunningStore, _ opened: StoreOpening.Outcome, _ threads: StoreThreads
    ) async throws {
        let context = store.context
        let log = context.log
        let scheduler = FlushScheduler(context: context)
        let encoder = CodeEncoder(context: context)
        var failure: (any Error)?
        await withDiscardingTaskGroup { group in
            group.addTask(executorPreference: threads.log) {
                await log.run(from: opened.segment)
            }
            group.addTask { await store.checkpointer.run() }
            group.addTask { await store.checkpointer.runTimer() }
            group.addTask { await scheduler.run() }
            group.addTask { await encoder.run() }
            if configuration.access == .readWrite {
                _ = await context.io.run { log.replenishReserve() }
            }
            becomeReady(store, opened.report)
            await untilCancelled()
            group.cancelAll()
            failure = await close(store)
        }
        if failure == nil { failure = await seal(store, opened) }
        await store.registry.closeFiles()
        opened.lock.release()
        if let failure { throw failure }
    }

    private func becomeReady(_ store: RunningStore, _ report: RecoveryReport) {
        let waiters = state.withLock { state in
            state.phase = .running(store)
            state.report = report
            defer { state.waiters = [:] }
            return state.waiters.sorted { $0.key < $1.key }.map(\.value)
        }
        for waiter in waiters { waiter.resume() }
    }

    private func finish(_ phase: Phase) {
        let (waiters, error) = state.withLock { state -> ([CheckedContinuation<Void, any Error>], StoreError) in
            state.phase = phase
            defer { state.waiters = [:] }
            var reason = StoreError.closed(path)
            if case .failed(let error) = phase { reason = error }
            return (state.waiters.sorted { $0.key < $1.key }.map(\.value), reason)
        }
        for waiter in waiters { waiter.resume(throwing: error) }
    }

    private func untilCancelled() async {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        // A stream ends when its consumer is cancelled; nothing is ever sent on this one.
        for await _ in stream {}
        withExtendedLifetime(continuation) {}
    }

    /// Finishes what is under way, checkpoints, and ends the log task; what went wrong, if anything.
    private func close(_ store: RunningStore) async -> (any Error)? {
        await store.registry.beginClosing()
        var failure: (any Error)?
        if let fenced = store.context.log.queue.failure {
            failure = fenced
        } else {
            do {
                try await store.context.log.queue.synchronize()
                #if NEPHRITE_MUTANTS
                    if Mutant.isActive(.cleanWithoutCheckpoint) { throw CancellationError() }
                #endif
                try await store.checkpointer.checkpointAll()
            } catch {
                failure = error
                #if NEPHRITE_MUTANTS
                    if Mutant.isActive(.cleanWithoutCheckpoint) { failure = nil }
                #endif
            }
        }
        store.context.log.queue.finish()
        return failure
    }

    /// Declares the shutdown clean, so that the next open need not read the log, and removes the log.
    private func seal(_ store: RunningStore, _ opened: StoreOpening.Outcome) async -> (any Error)? {
        if let failure = store.context.log.queue.failure { return failure }
        if configuration.access == .readOnly { return nil }
        // The log holds what a damaged database is missing; it stays, and is read again at the next open.
        if await store.registry.hasDamagedDatabases { return nil }
        var catalogue = store.context.generations.sealed(await store.registry.currentCatalogue())
        catalogue.isCleanShutdown = true
        catalogue.lastLSN = store.context.log.queue.lastLSN
        catalogue.generation += 1
        let fileSystem = store.context.fileSystem
        let final = catalogue
        let result: Result<Void, StoreError> = await store.context.io.run {
            do throws(FileSystemError) {
                var sequences: [UInt64] = []
                for entry in try fileSystem.list(SegmentWriter.directory) {
                    if let sequence = SegmentHeader.sequence(fileName: entry.name) { sequences.append(sequence) }
                }
                var sealed = final
                sealed.nextSegmentSequence = max(final.nextSegmentSequence, (sequences.max() ?? 0) + 1)
                guard try Self.write(sealed, on: fileSystem) else { return .success(()) }
                do throws(FileSystemError) {
                    try SegmentWriter.remove(sequences.sorted(), on: fileSystem)
                } catch  where error.isTooManyOpenFiles {
                    // Nobody reads them any more, and the next opening removes them.
                }
                return .success(())
            } catch {
                return .failure(StoreError(error))
            }
        }
        if case .failure(let error) = result { return error }
        return nil
    }

    /// Writes the catalogue, if need be where the reserve was; false when even then the disk has no room for it. Then
    /// nothing is lost: the catalogue that is there says that the log is to be read, and so it will be.
    private static func write(
        _ catalogue: Catalogue, on fileSystem: any FileSystem
    ) throws(FileSystemError) -> Bool {
        let file = CatalogueFile(fileSystem: fileSystem)
        do {
            try file.write(catalogue)
            return true
        } catch  where error.isOutOfSpace {
            try? fileSystem.unlink(WriteAheadLog.reservePath)
        }
        do {
            try file.write(catalogue)
            return true
        } catch  where error.isOutOfSpace {
            return false
        }
    }
}

/// The threads of a running store: one for the log, some for other I/O, some for searches. A simulation puts one
/// executor in the place of all.
struct StoreThreads: Sendable {
    let log: any TaskExecutor
    let io: any TaskExecutor
    let search: (any TaskExecutor)?
    let searchThreadCount: Int
    private let owned: [IOExecutor]

    /// - Throws: `tooManyThreads`; the threads that were started are ended by the executors' going away.
    init(_ configuration: StoreConfiguration) throws(StoreError) {
        if let executor = configuration.environment.executor {
            log = executor
            io = executor
            search = nil
            searchThreadCount = 1
            owned = []
            return
        }
        let cores = ProcessStatistics.activeProcessorCount
        searchThreadCount = configuration.searchThreadCount > 0 ? configuration.searchThreadCount : cores
        let start = configuration.environment.startThreads
        do throws(ThreadError) {
            let logThreads = try start("nephrite-log", 1, .zero)
            let ioThreads = try start("nephrite-io", 2, .zero)
            let searchThreads = try start("nephrite-scan", searchThreadCount, configuration.searchThreadSpin)
            log = logThreads
            io = ioThreads
            search = searchThreads
            owned = [logThreads, ioThreads, searchThreads]
        } catch {
            throw StoreError(error)
        }
    }

    /// Ends the threads; nothing of the store runs on them any more.
    func shutDown() { for executor in owned { executor.shutdown() } }
}
