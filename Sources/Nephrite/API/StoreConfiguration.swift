/// How a store behaves: sizes, intervals, and the environment it runs in.
public import StorageIO

/// Settings of a store, none of which changes what is on disk.
///
/// ``VectorStore/run()`` throws ``StoreError/Code/invalidArgument`` for one that is outside its range.
public struct StoreConfiguration: Sendable {
    /// What the store is opened for.
    public enum Access: Sendable, Hashable {
        /// Reading and writing, by one store at a time.
        case readWrite
        /// Reading, by any number of stores while none has it open for writing.
        ///
        /// Nothing is written, so it works on a medium that cannot be: what a crash left is recovered in memory, which
        /// takes as much of it as there are changes behind the last checkpoints. A store whose log is damaged opens
        /// with what comes before the damage, and ``RecoveryReport/damages`` says what does not; a database that cannot
        /// be read throws when it is used, the others serve. Writes throw ``StoreError/Code/readOnly``.
        /// Searches use the codes that a writer has made, once they are verified, and compare the vectors that have none.
        ///
        /// Where there is no lock file, or no locks, nothing keeps another process from opening the store for writing
        /// meanwhile, and then answers are undefined. A file system in a network is not refused.
        case readOnly
    }

    /// What the store is opened for.
    public var access = Access.readWrite
    /// Database files open at once, at most, 1 or more; the least recently used that nothing holds is closed first. When all are held
    /// by writes or snapshots, opening another waits for ten seconds at most, then throws `tooManyOpenFiles`.
    public var maximumOpenFiles = 100
    /// The preallocated length of a log segment in bytes, 64 KiB to 16 GiB.
    public var logSegmentByteCount = 64 << 20
    /// Log bytes since the last checkpoint that start one, 1 or more.
    public var logByteLimit = 256 << 20
    /// The time after which changes are checkpointed even when the log is short, 1 millisecond or more. Together with
    /// ``logByteLimit`` it bounds what recovery has to replay, not what is durable.
    public var checkpointInterval: Duration = .seconds(60)
    /// Whether point reads check the record's checksum.
    ///
    /// Without it a point read is faster and may return bytes that a broken disk changed; ``VectorStore/check()`` finds them.
    /// Searches never check records.
    public var verifiesReads = true
    /// Threads that scan for searches, 1,024 at most; 0 for one per core.
    public var searchThreadCount = 0
    /// How long such a thread looks for its next scan before it sleeps, 0 to 10 milliseconds; 0 for not at all.
    ///
    /// A sleeping thread takes up to 0.1 ms to wake. Where one task asks for one search after the other, 200 microseconds make short
    /// ones a tenth to a quarter faster, and keep cores busy between them. A thread looks only while at least half of the last
    /// eight scans came within that time. It yields its core to others that want it, and then may get it back late: one search in
    /// a thousand took milliseconds beside a busy thread on two cores.
    public var searchThreadSpin: Duration = .zero
    /// Bytes of commits that may wait for the log before writers are made to wait, 1 or more.
    public var commitQueueByteLimit = 64 << 20
    /// Batches whose vectors take at least this many bytes go to the data file first and only by reference to the log.
    ///
    /// Above it a vector is written once; below it twice, but with one sync instead of two.
    public var bulkByteThreshold = 384 << 10
    /// Of such batches in a durable database those whose vectors take at most this many bytes are on their way to the disk while
    /// the log is: one that is larger would hold up for too long what comes behind it in the log.
    package var jointSyncByteLimit = 1 << 20
    /// Bytes of large batches that are written a second for each core while searches keep all cores busy, 1 or more; `Int.max`
    /// for no limit.
    ///
    /// Whoever writes more than that waits before anything is written, a second at most for each batch. Batches of less than
    /// 32 KiB never wait, and none does while a core is free of searches.
    public var writeByteRateBesideSearches = 4 << 20
    /// Bytes of vectors from which on a database that is searched has codes made of them, unless its
    /// ``DatabaseOptions/quantization`` says never. Fewer are scanned quickly enough as they are.
    public var quantizationByteThreshold = 4 << 20
    /// Address space reserved per mapped area of an open database, in bytes, 64 KiB to 16 TiB.
    public var addressSpaceReservation = 4 << 30
    /// Whether a root on a network file system is accepted, where locks and mappings may not keep their promises.
    public var allowsNetworkFileSystems = false
    /// Told how far recovery is while a store opens that was not shut down cleanly; it runs on an I/O thread, which it should
    /// not keep for long.
    public var recoveryProgress: (@Sendable (RecoveryProgress) -> Void)?
    /// The system the store runs on; simulations replace it.
    public var environment = StoreEnvironment()
    /// About how many bytes a chunk of a new code file takes; tests make it small.
    package var codeChunkByteCount = 4 << 20

    /// The defaults.
    public init() {}

    /// Throws for the first setting that is outside its range.
    func validate() throws(StoreError) {
        try Self.check("maximumOpenFiles", maximumOpenFiles, 1...Int.max)
        try Self.check("logSegmentByteCount", logSegmentByteCount, 64 << 10...16 << 30)
        try Self.check("logByteLimit", logByteLimit, 1...Int.max)
        try Self.check("searchThreadCount", searchThreadCount, 0...1_024)
        try Self.check("commitQueueByteLimit", commitQueueByteLimit, 1...Int.max)
        try Self.check("bulkByteThreshold", bulkByteThreshold, 0...Int.max)
        try Self.check("writeByteRateBesideSearches", writeByteRateBesideSearches, 1...Int.max)
        try Self.check("quantizationByteThreshold", quantizationByteThreshold, 0...Int.max)
        try Self.check("addressSpaceReservation", addressSpaceReservation, 64 << 10...16 << 40)
        if searchThreadSpin < .zero || searchThreadSpin > .milliseconds(10) {
            throw .argument("searchThreadSpin is \(searchThreadSpin).", remedy: "Use 0 to 10 milliseconds.")
        }
        if checkpointInterval < .milliseconds(1) {
            throw .argument("checkpointInterval is \(checkpointInterval).", remedy: "Use 1 millisecond or more.")
        }
    }

    private static func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws(StoreError) {
        guard !range.contains(value) else { return }
        let limit = range.upperBound == .max ? "or more" : "to \(range.upperBound)"
        throw .argument("\(name) is \(value).", remedy: "Use \(range.lowerBound) \(limit).")
    }
}

/// How far recovery is.
public struct RecoveryProgress: Sendable, Hashable {
    /// What is being done.
    public enum Phase: Sendable, Hashable {
        /// The log is read and checked.
        case reading
        /// Its commits are applied to the databases.
        case replaying
    }

    /// What is being done; the phases follow one another.
    public var phase: Phase
    /// Bytes of the log that are dealt with in this phase.
    public var byteCount: Int
    /// Bytes of the log that there are to deal with in this phase; a commit over several databases counts for each.
    public var totalByteCount: Int
}

/// What the engine takes from outside: files, time, randomness and threads.
public struct StoreEnvironment: Sendable {
    /// Makes the file system for a root directory.
    public var fileSystem: @Sendable (_ root: String) -> any FileSystem = { POSIXFileSystem(root: $0) }
    /// Time and sleeping.
    public var clock: any StorageClock = SystemClock()
    /// Randomness for identities, salts and hash keys.
    public var random: any RandomSource = SystemRandomSource()
    /// Runs everything, for simulations; nil gives each store I/O threads of its own.
    public var executor: (any TaskExecutor)?
    /// Starts the threads of a store when there is no ``executor``: by their name, their number, and how long they look for a
    /// job before they sleep.
    var startThreads: @Sendable (String, Int, Duration) throws(ThreadError) -> IOExecutor = {
        (name, count, spinning) throws(ThreadError) in
        try IOExecutor(name: name, threadCount: count, spinning: spinning)
    }

    /// The real system.
    public init() {}
}
