/// Threads for blocking system calls: engine tasks prefer this executor, and their jobs run on its own threads.

/// A task executor with threads of its own, so that a slow disk never holds up Swift's cooperative pool (DESIGN C1).
///
/// Jobs start in the order in which they were enqueued. With one thread they also run one after the other; with
/// several they run in parallel.
///
/// ```swift
/// let executor = IOExecutor(name: "nephrite-io", threadCount: 2)
/// await withTaskExecutorPreference(executor) { … }
/// executor.shutdown()
/// ```
public final class IOExecutor: TaskExecutor {
    private let queue: WorkerQueue

    /// The number of threads.
    public let threadCount: Int

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - name: The start of the threads' names; the system shows the last 15 bytes of name, dash and number.
    ///   - threadCount: 1 or more.
    public init(name: String, threadCount: Int) {
        precondition(threadCount > 0, "an executor needs a thread")
        self.threadCount = threadCount
        queue = WorkerQueue(name: name)
        queue.start(threadCount: threadCount)
    }

    /// Ends the threads. No job is waiting then, because each keeps its executor alive. The last reference may be
    /// dropped on one of the executor's own threads, which then ends by itself.
    deinit { queue.stop() }

    /// Queues a job.
    public func enqueue(_ job: consuming ExecutorJob) {
        queue.append(WorkerQueue.Item(job: UnownedJob(job), executor: self))
    }

    /// Runs what is queued, then ends the threads and waits for them (but not for the calling thread). Idempotent.
    ///
    /// A task that comes back to the executor later still runs, on a thread started for it.
    public func shutdown() { queue.stop() }
}
