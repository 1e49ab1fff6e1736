/// What the parts of a running store share: configuration, file system, log, threads and counters.
import StorageFormat
import StorageIO
import Synchronization

final class StoreContext: Sendable {
    let path: String
    let configuration: StoreConfiguration
    let fileSystem: any FileSystem
    let log: WriteAheadLog
    let io: IOContext
    let searcher: Searcher
    let metrics: StoreMetrics
    let generations = DurableGenerations()
    /// Databases whose vectors wait to be encoded.
    let coding = CodingQueue()
    /// Large buffers of the write path.
    let buffers = BufferPool()
    /// The registry's logical clock, which tells how recently a database was used.
    let useClock = Atomic<UInt64>(1)

    init(
        path: String, configuration: StoreConfiguration, fileSystem: any FileSystem, log: WriteAheadLog,
        io: IOContext, searcher: Searcher, metrics: StoreMetrics
    ) {
        self.path = path
        self.configuration = configuration
        self.fileSystem = fileSystem
        self.log = log
        self.io = io
        self.searcher = searcher
        self.metrics = metrics
    }

    /// Commits records that change the catalogue or a layout, durably; returns the commit's LSN.
    func commitAdministration(_ records: LogBuffer, layoutChange: LayoutChange? = nil) async throws -> RecordVersion {
        await log.queue.waitForRoom()
        return try await withCheckedThrowingContinuation { continuation in
            let commit = StagedCommit(
                parts: [], administration: records, layoutChange: layoutChange, isDurable: true,
                continuation: continuation)
            do throws(StoreError) {
                try log.queue.append(commit)
            } catch {
                commit.finish(.failure(error))
            }
        }
    }

    /// Refuses to write to a store that was opened for reading.
    func requireWritable() throws(StoreError) {
        if configuration.access == .readOnly { throw .readOnly(path) }
    }

    /// Stops all writing after a failure that leaves the disk's state unknown (O8).
    func fence(_ error: StoreError) { log.fence(error) }
}

/// Where blocking work runs: never on the cooperative pool (C1).
struct IOContext: Sendable {
    let executor: any TaskExecutor
    /// Where what called for the work goes on.
    let returning: any TaskExecutor

    /// - Parameter returning: where callers go on; Swift's cooperative pool unless a simulation says otherwise.
    init(executor: any TaskExecutor, returning: (any TaskExecutor)? = nil) {
        self.executor = executor
        self.returning = returning ?? globalConcurrentExecutor
    }

    /// Runs blocking work on an I/O thread, and comes back from there.
    ///
    /// A task that returns straight into an actor takes the thread along: the actor's other callers are served there, too,
    /// and whatever they go on with is in the way of the work that the thread is for.
    @concurrent
    func run<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
        let result = await withTaskExecutorPreference(executor) { await Self.perform(body) }
        await withTaskExecutorPreference(returning) { await Self.perform {} }
        return result
    }

    @concurrent
    private static func perform<R: Sendable>(_ body: @Sendable () -> R) async -> R { body() }

    /// Runs blocking work that may fail with a store error on an I/O thread.
    func throwing<R: Sendable>(_ body: @escaping @Sendable () throws(StoreError) -> R) async throws -> R {
        let result: Result<R, StoreError> = await run {
            do throws(StoreError) {
                return .success(try body())
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

/// A file's new extents, which the log task has the database adopt in log order.
struct LayoutChange: Sendable {
    let file: DatabaseFile
    let extents: [Extent]
    let mapping: DataMapping
}
