/// Threads for blocking system calls: engine tasks prefer this executor, and their jobs run on its own threads.

/// A task executor with threads of its own, so that a slow disk never holds up Swift's cooperative pool (DESIGN C1).
///
/// Jobs start in the order in which they were enqueued. With one thread they also run one after the other; with
/// several they run in parallel.
///
/// ```swift
/// let executor = try IOExecutor(name: "nephrite-io", threadCount: 2)
/// await withTaskExecutorPreference(executor) { … }
/// executor.shutdown()
/// ```
public final class IOExecutor: TaskExecutor {
    private let queue: WorkerQueue

    /// The number of threads that were asked for.
    public let threadCount: Int

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - name: The start of the threads' names; the system shows the last 15 bytes of name, dash and number.
    ///   - threadCount: 1 or more; there are fewer if the system does not let the process start so many.
    ///   - spinning: How long a thread without a job looks for one before it sleeps, while jobs come that fast.
    /// - Throws: if it does not let it start one.
    public convenience init(name: String, threadCount: Int, spinning: Duration = .zero) throws(ThreadError) {
        try self.init(name: name, threadCount: threadCount, spinning: spinning) { (name, queue) throws(Errno) in
            try WorkerThread(name: name, queue: queue)
        }
    }

    /// Starts the threads with a maker of them.
    init(
        name: String, threadCount: Int, spinning: Duration = .zero, makeThread: @escaping ThreadMaker
    ) throws(ThreadError) {
        precondition(threadCount > 0, "an executor needs a thread")
        self.threadCount = threadCount
        queue = WorkerQueue(name: name, spinNanoseconds: spinning.nanoseconds, makeThread: makeThread)
        try queue.start(threadCount: threadCount)
    }

    /// How often the threads went to sleep for want of a job.
    var sleepCount: Int { queue.sleeps }

    /// Ends the threads. No job is waiting then, because each keeps its executor alive. The last reference may be
    /// dropped on one of the executor's own threads, which then ends by itself.
    deinit { queue.stop() }

    /// Queues a job.
    public func enqueue(_ job: consuming ExecutorJob) {
        queue.append(WorkerQueue.Item(job: UnownedJob(job), executor: self))
    }

    /// Runs what is queued, then ends the threads and waits for them (but not for the calling thread). Idempotent.
    ///
    /// A task that comes back to the executor later still runs, on a thread started for it, or on Swift's cooperative
    /// pool if the system lets the process start none.
    public func shutdown() { queue.stop() }
}

/// The system let the process start no thread.
public struct ThreadError: Error, Sendable, Hashable {
    /// What `pthread_create` answered.
    public let code: Int32
    /// The name of the executor that has no thread.
    public let name: String

    /// Creates an error.
    public init(code: Int32, name: String) {
        self.code = code
        self.name = name
    }
}
