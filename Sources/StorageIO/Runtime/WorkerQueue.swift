/// The queue between ``IOExecutor`` and its threads: jobs go in at one end, worker threads take them at the other.
import CNephrite
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A first-in first-out queue of jobs under one lock, with a condition that idle workers wait on.
///
/// Threads own the queue, not the executor; each job owns the executor it runs for. So the executor outlives its last
/// job, and the queue outlives the last thread, whoever lets go first.
///
/// A worker may look for a job for a while before it waits (``IdleSpin``). It counts as one that takes a job: whoever adds no more
/// jobs than there are such workers wakes nobody. So each asks once more, with the lock, before it waits.
// SAFETY: every stored variable is read and written only between `lock()` and `unlock()`, but for the atomic one; the two pointers
// are immutable and freed when no thread refers to the queue any more.
@safe final class WorkerQueue: @unchecked Sendable {
    /// A job and the executor that must live until it has run.
    struct Item {
        let job: UnownedJob
        let executor: IOExecutor
    }

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let name: String
    private let makeThread: ThreadMaker
    private var items: [Item?] = []
    private var head = 0
    /// Jobs that nobody has taken, for workers that look without the lock; above 0 for good when the queue is stopped.
    private let queuedCount = Atomic<Int>(0)
    private var waitingCount = 0
    private var spinningCount = 0
    private var sleepCount = 0
    private var idleSpin: IdleSpin
    /// When a job was last added while a worker waited; noted where waits are measured.
    private var lastArrival: UInt64 = 0
    private var workerCount = 0
    private var startedCount = 0
    private var isStopping = false
    private var threads: [WorkerThread] = []

    /// - Parameter spinNanoseconds: how long workers look for a job before they wait, if that pays; 0 for not at all.
    init(name: String, spinNanoseconds: UInt64, makeThread: @escaping ThreadMaker) {
        self.name = name
        idleSpin = IdleSpin(limit: spinNanoseconds)
        self.makeThread = makeThread
        // Darwin wants the memory initialised; both calls cannot fail with default attributes.
        unsafe mutex.initialize(to: pthread_mutex_t())
        unsafe condition.initialize(to: pthread_cond_t())
        let mutexResult = unsafe pthread_mutex_init(mutex, nil)
        let conditionResult = unsafe pthread_cond_init(condition, nil)
        precondition(mutexResult == 0 && conditionResult == 0, "the system has no memory for a mutex")
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    /// Starts workers that live until ``stop()``; fewer than wanted if the system refuses some, for they do all the work.
    ///
    /// - Throws: if it refuses even the first: without any no job would ever run.
    func start(threadCount: Int) throws(ThreadError) {
        lock()
        defer { unlock() }
        for _ in 0..<threadCount {
            do throws(Errno) {
                try startWorker()
            } catch {
                if workerCount == 0 { throw ThreadError(code: error.code, name: name) }
                break
            }
        }
    }

    /// Adds a job at the end. A wake-up costs a system call, so only a waiting worker gets one, and only if no other is looking.
    func append(_ item: Item) {
        lock()
        items.append(item)
        noteQueuedCount()
        if waitingCount > 0 {
            if idleSpin.limit > 0 { lastArrival = SystemClock().monotonicNanoseconds() }
            if items.count - head > spinningCount { unsafe pthread_cond_signal(condition) }
        } else if workerCount == 0 {
            // After the shutdown a suspended task may still come back; its job must run, or the task would hang.
            do throws(Errno) {
                try startWorker()
            } catch {
                items.removeLast()
                noteQueuedCount()
                unlock()
                globalConcurrentExecutor.enqueue(item.job)
                return
            }
        }
        unlock()
    }

    /// Takes the oldest job, waiting for one; nil when the queue is stopped and empty, and then the worker must end.
    func next() -> Item? {
        lock()
        defer { unlock() }
        if head == items.count { waitForItem() }
        guard head < items.count else {
            workerCount -= 1
            return nil
        }
        let item = items[head]
        items[head] = nil
        head += 1
        if head == items.count {
            items.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 1_024 && head * 2 >= items.count {
            items.removeFirst(head)
            head = 0
        }
        noteQueuedCount()
        return item
    }

    /// Returns when there is a job, or the queue is stopped and empty.
    private func waitForItem() {
        let start = idleSpin.limit > 0 ? SystemClock().monotonicNanoseconds() : 0
        if idleSpin.isWorthwhile { spin(until: start + idleSpin.limit) }
        if head < items.count {
            idleSpin.noteWait(nanoseconds: SystemClock().monotonicNanoseconds() - start)
            return
        }
        while head == items.count && !isStopping {
            waitingCount += 1
            sleepCount += 1
            unsafe pthread_cond_wait(condition, mutex)
            waitingCount -= 1
        }
        if idleSpin.limit > 0 { idleSpin.noteWait(nanoseconds: max(lastArrival, start) - start) }
    }

    /// Looks for a job until `end`, without the lock meanwhile. Whoever else wants the core gets it.
    private func spin(until end: UInt64) {
        while head == items.count && !isStopping && SystemClock().monotonicNanoseconds() < end {
            spinningCount += 1
            unlock()
            while queuedCount.load(ordering: .relaxed) == 0 && SystemClock().monotonicNanoseconds() < end {
                sched_yield()
                for _ in 0..<16 where queuedCount.load(ordering: .relaxed) == 0 { nephrite_spin_hint() }
            }
            lock()
            spinningCount -= 1
        }
    }

    /// Once the queue is stopped, whoever looks for a job looks up at once.
    private func noteQueuedCount() {
        queuedCount.store(isStopping ? 1 : items.count - head, ordering: .relaxed)
    }

    /// Lets the workers end once the queue is empty, and waits for them, except for the calling one.
    func stop() {
        lock()
        isStopping = true
        noteQueuedCount()
        let ending = threads
        threads = []
        unsafe pthread_cond_broadcast(condition)
        unlock()
        for thread in ending { thread.joinOrDetach() }
    }

    /// How often workers went to sleep.
    var sleeps: Int {
        lock()
        defer { unlock() }
        return sleepCount
    }

    private func startWorker() throws(Errno) {
        let thread = try makeThread("\(name)-\(startedCount)", self)
        startedCount += 1
        workerCount += 1
        if isStopping { thread.detach() } else { threads.append(thread) }
    }

    private func lock() { unsafe pthread_mutex_lock(mutex) }
    private func unlock() { unsafe pthread_mutex_unlock(mutex) }
}

/// Starts a thread for a queue, or throws what `pthread_create` says.
typealias ThreadMaker = @Sendable (_ name: String, _ queue: WorkerQueue) throws(Errno) -> WorkerThread

/// A thread that runs the jobs of one queue.
// SAFETY: the handle is immutable; only the one caller of `stop()` that took it out of the queue joins it.
@safe struct WorkerThread: @unchecked Sendable {
    private static let stackByteCount = 2 << 20

    private let handle: pthread_t

    /// What a new thread is given.
    private final class Start {
        let name: String
        let queue: WorkerQueue

        init(name: String, queue: WorkerQueue) {
            self.name = name
            self.queue = queue
        }
    }

    /// Starts a thread.
    ///
    /// - Throws: what the system says when it refuses, `EAGAIN` as a rule.
    init(name: String, queue: WorkerQueue) throws(Errno) {
        var attributes = pthread_attr_t()
        let prepared = unsafe pthread_attr_init(&attributes)
        guard prepared == 0 else { throw Errno(code: prepared) }
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setstacksize(&attributes, Self.stackByteCount)
        let start = unsafe Unmanaged.passRetained(Start(name: name, queue: queue))
        #if canImport(Darwin)
            var created: pthread_t?
            let result = unsafe pthread_create(&created, &attributes, { unsafe Self.main($0) }, start.toOpaque())
            guard result == 0, let created = unsafe created else {
                unsafe start.release()
                throw Errno(code: result)
            }
            unsafe handle = created
        #else
            var created = pthread_t()
            let result = unsafe pthread_create(&created, &attributes, { unsafe Self.main($0) }, start.toOpaque())
            guard result == 0 else {
                unsafe start.release()
                throw Errno(code: result)
            }
            handle = created
        #endif
    }

    /// Waits for the thread's end; a thread that would wait for itself is let go instead.
    func joinOrDetach() {
        // A handle is a number on Linux and a pointer on Darwin, where using one is unsafe.
        #if canImport(Darwin)
            if unsafe pthread_equal(handle, pthread_self()) != 0 {
                detach()
            } else {
                unsafe pthread_join(handle, nil)
            }
        #else
            if pthread_equal(handle, pthread_self()) != 0 {
                detach()
            } else {
                pthread_join(handle, nil)
            }
        #endif
    }

    /// Lets the thread end by itself.
    func detach() {
        #if canImport(Darwin)
            unsafe pthread_detach(handle)
        #else
            pthread_detach(handle)
        #endif
    }

    private static func main(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        // The kernel keeps 15 bytes.
        let name = String(decoding: start.name.utf8.suffix(15), as: UTF8.self)
        #if canImport(Darwin)
            unsafe pthread_setname_np(name)
        #else
            SystemFile.write(name, to: "/proc/thread-self/comm")
        #endif
        while let item = start.queue.next() {
            unsafe item.job.runSynchronously(on: item.executor.asUnownedTaskExecutor())
        }
        return nil
    }
}
