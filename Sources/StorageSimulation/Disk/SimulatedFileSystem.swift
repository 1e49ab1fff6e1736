/// A disk in memory that can lose, tear and corrupt: the engine under test calls it like any ``FileSystem``, tests
/// hand it a ``FaultPlan`` and take crash images from it.
public import StorageIO
import Synchronization

/// A file system in memory with a volatile and a durable layer.
///
/// Every call changes the volatile layer, which is what later calls see. What survives a crash is the durable
/// layer, into which contents and sizes go by ``StorageFile/synchronizeData()``, and names by
/// ``FileSystem/synchronizeDirectory(_:)`` of the directory that holds them. Everything in between is a list of
/// ``pendingOperations``; ``crashImage(_:)`` makes a new file system in which a part of them survived.
///
/// It never waits and may be used from any thread.
public final class SimulatedFileSystem: FileSystem {
    /// A call about to be made.
    public struct Call: Sendable {
        /// Its number, from 1.
        public let number: Int
        /// The call.
        public let call: SystemCall
        /// The path.
        public let path: StoragePath
        let offset: UInt64
        let length: UInt64
    }

    /// Looks at the file system before a call that can change it.
    public typealias SnapshotHook = @Sendable (_ callNumber: Int, _ fileSystem: SimulatedFileSystem) -> Void
    /// Looks at any call before it is made; may advance a ``VirtualClock``.
    public typealias CallHook = @Sendable (Call) -> Void

    private struct Hooks: Sendable {
        var snapshot: SnapshotHook?
        var call: CallHook?
    }

    /// Where the root is, for messages.
    public let rootDescription: String
    let state: Mutex<DiskState>
    private let hooks = Mutex(Hooks())
    private let clock: VirtualClock?

    /// Creates a file system with an empty root directory.
    ///
    /// - Parameters:
    ///   - rootExists: whether the root directory exists already.
    ///   - faults: what goes wrong.
    ///   - capacityByteCount: how many bytes all files together may have before `ENOSPC`; `nil` for no limit.
    ///   - clock: what `.delay` faults advance.
    public init(
        rootDescription: String = "simulation", rootExists: Bool = true, faults: FaultPlan = .none,
        capacityByteCount: UInt64? = nil, clock: VirtualClock? = nil
    ) {
        self.rootDescription = rootDescription
        self.clock = clock
        var state = DiskState()
        state.rootExists = rootExists
        state.faults = faults
        state.capacityByteCount = capacityByteCount
        self.state = Mutex(state)
    }

    private init(state: DiskState, rootDescription: String, clock: VirtualClock?) {
        self.rootDescription = rootDescription
        self.clock = clock
        self.state = Mutex(state)
    }

    // MARK: Observation

    /// How many calls were made so far.
    public var callCount: Int { state.withLock { $0.callCount } }

    /// Whether a `.crash` fault has struck.
    public var hasCrashed: Bool { state.withLock { $0.crashedAtCall != nil } }

    /// Whether the sync of a directory failed and the disk lost changes of names for good.
    package var hasLostNames: Bool { state.withLock { $0.hasLostNames } }

    /// What a crash may lose now, in the order it was done.
    public var pendingOperations: [PendingOperation] { state.withLock { $0.pending } }

    /// How many effects a crash may lose now.
    public var pendingOperationCount: Int { state.withLock { $0.pending.count } }

    /// Changes whenever a crash that loses all it may would leave something else.
    var durableVersion: Int { state.withLock { $0.durableVersion } }

    /// A hash over all calls made, equal for equal runs in any process.
    public var traceHash: UInt64 { state.withLock { $0.trace.hash } }

    /// The last calls made, oldest first.
    public var trace: [TraceEntry] { state.withLock { $0.trace.entries } }

    /// Sets how many calls ``trace`` keeps; 4,096 unless set. Set it before the first call.
    public func setTraceCapacity(_ count: Int) { state.withLock { $0.trace.capacity = count } }

    /// Runs before each call that can change the file system, which it may take crash images of but not call.
    ///
    /// The file system is as it was before the call, and ``callCount`` is already the number of the call.
    public var snapshotHook: SnapshotHook? {
        get { hooks.withLock { $0.snapshot } }
        set { hooks.withLock { $0.snapshot = newValue } }
    }

    /// Runs before each call of any kind.
    public var callHook: CallHook? {
        get { hooks.withLock { $0.call } }
        set { hooks.withLock { $0.call = newValue } }
    }

    /// Replaces the fault plan; its counts begin with the next call.
    public func inject(_ plan: FaultPlan) { state.withLock { $0.faults = plan } }

    /// Replaces the limit on the bytes of all files.
    public func setCapacity(byteCount: UInt64?) { state.withLock { $0.capacityByteCount = byteCount } }

    /// What is left after a crash at this moment: a new file system without faults, hooks, locks or open files.
    ///
    /// Shares all unchanged bytes; neither file system sees what is done to the other later.
    ///
    /// - Parameter staleSeed: if given, blocks of 4 KiB that were allocated and never written do not read as zeros: the
    ///   seed decides which of them hold what files that were deleted earlier had there; and files that were unlinked, are
    ///   not open, and come back because their directory was not synced may hold others' bytes. ext4 does both after a
    ///   loss of power where it journals data or does not order it, even if the file was synced after it was allocated.
    public func crashImage(_ choice: CrashChoice, staleSeed: UInt64? = nil) -> SimulatedFileSystem {
        let image = state.withLock { $0 }.crashImage(choice, staleSeed: staleSeed)
        return SimulatedFileSystem(state: image, rootDescription: rootDescription, clock: clock)
    }

    /// What another process finds after this one was killed: everything that was readable still is, and what
    /// was not durable still is not, including what a failed sync dropped (RELIABILITY H3).
    ///
    /// No faults, hooks, locks or open files; neither file system sees what is done to the other later.
    public func processKillImage() -> SimulatedFileSystem {
        let image = state.withLock { $0 }.processKillImage()
        return SimulatedFileSystem(state: image, rootDescription: rootDescription, clock: clock)
    }

    // MARK: Calls

    /// Counts a call, lets the hooks and the fault plan have their say, makes it and records it.
    func perform<Result: Sendable>(
        _ call: SystemCall, _ path: StoragePath, offset: UInt64 = 0, length: UInt64 = 0, dataHash: UInt64 = 0,
        _ body: (inout DiskState, FaultEffect?) throws(FileSystemError) -> Result
    ) throws(FileSystemError) -> Result {
        let number = state.withLock { state in
            state.callCount += 1
            return state.callCount
        }
        let hooks = hooks.withLock { $0 }
        hooks.call?(Call(number: number, call: call, path: path, offset: offset, length: length))
        if call.changesState { hooks.snapshot?(number, self) }
        let effect = state.withLock { $0.faults.decide(call, path, offset: offset, length: length) }
        if case .delay(let nanoseconds) = effect { clock?.advance(by: nanoseconds) }

        return try state.withLock { (state) throws(FileSystemError) -> Result in
            do throws(FileSystemError) {
                try state.admit(call, path, offset: offset, number: number, effect)
                let result = try body(&state, effect)
                state.trace.append(
                    TraceEntry(
                        number: number, call: call, path: path, offset: offset, length: length, dataHash: dataHash,
                        code: 0))
                return result
            } catch {
                state.trace.append(
                    TraceEntry(
                        number: number, call: call, path: path, offset: offset, length: length, dataHash: dataHash,
                        code: error.code))
                throw error
            }
        }
    }

    /// Opens the root directory; a root that is created is durable at once, as the protocol cannot sync its parent.
    public func openRoot(createIfMissing: Bool) throws(FileSystemError) {
        try perform(.openRoot, .root) { (state, _) throws(FileSystemError) in
            guard state.rootExists || createIfMissing else {
                throw state.fault(ErrorNumber.noEntry, .openRoot, .root)
            }
            state.rootExists = true
        }
    }

    /// Takes the lock file `LOCK`.
    public func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock {
        try perform(.lock, StoragePath("LOCK")) { (state, _) throws(FileSystemError) in
            try state.lock(exclusive: exclusive)
        }
        return SimulatedLock(fileSystem: self, exclusive: exclusive)
    }

    func unlock(exclusive: Bool) { state.withLock { $0.unlock(exclusive: exclusive) } }

    /// Creates a directory.
    public func createDirectory(_ path: StoragePath) throws(FileSystemError) {
        try perform(.createDirectory, path) { (state, _) throws(FileSystemError) in
            try state.createDirectory(path)
        }
    }

    /// Removes an empty directory.
    public func removeDirectory(_ path: StoragePath) throws(FileSystemError) {
        try perform(.removeDirectory, path) { (state, _) throws(FileSystemError) in
            try state.removeDirectory(path)
        }
    }

    /// The entries of a directory, sorted by name.
    public func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] {
        try perform(.list, path) { (state, _) throws(FileSystemError) in try state.list(path) }
    }

    /// Opens a regular file.
    public func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile {
        let inode = try perform(.open, path) { (state, _) throws(FileSystemError) in try state.open(path, mode) }
        return SimulatedFile(fileSystem: self, inode: inode, path: path, isWritable: mode != .read)
    }

    /// Renames a file or directory.
    public func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
        try perform(.rename, source) { (state, _) throws(FileSystemError) in
            try state.rename(source, to: target)
        }
    }

    /// Removes a file's name.
    public func unlink(_ path: StoragePath) throws(FileSystemError) {
        try perform(.unlink, path) { (state, _) throws(FileSystemError) in try state.unlink(path) }
    }

    /// Makes the names in a directory durable.
    public func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError) {
        try perform(.synchronizeDirectory, path) { (state, effect) throws(FileSystemError) in
            let failure = effect?.syncFailure
            try state.synchronizeDirectory(path, losing: failure?.loss)
            if let failure { throw state.fault(failure.code, .synchronizeDirectory, path) }
        }
    }

    /// Reserves memory that files are mapped into.
    public func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace {
        try perform(.reserveAddressSpace, .root, length: UInt64(clamping: byteCount)) {
            (state, _) throws(FileSystemError) in
            guard byteCount > 0 else { throw state.fault(ErrorNumber.invalid, .reserveAddressSpace, .root) }
        }
        return SimulatedAddressSpace(byteCount: byteCount)
    }
}

extension DiskState {
    /// Lets a call through, or fails it because the machine stands still or a fault says so.
    mutating func admit(
        _ call: SystemCall, _ path: StoragePath, offset: UInt64, number: Int, _ effect: FaultEffect?
    ) throws(FileSystemError) {
        if effect == .crash && crashedAtCall == nil { crashedAtCall = number }
        if let crashedAtCall {
            throw FileSystemError(
                code: ErrorNumber.inputOutput, call: call, path: "\(path) (crashed at call \(crashedAtCall))",
                offset: offset)
        }
        guard case .fail(let code) = effect, !call.isSync, call != .close else { return }
        if call == .open { hasFailedOnNames = true }
        throw fault(code, call, path, offset: call.hasOffset ? offset : nil)
    }
}

extension FaultEffect {
    /// How a sync fails, if it does.
    var syncFailure: (code: Int32, loss: SyncLoss)? {
        switch self {
        case .fail(let code): (code, .everything)
        case .failSync(let code, let loss): (code, loss)
        default: nil
        }
    }
}

extension SystemCall {
    /// Whether a call can change what a crash leaves.
    var changesState: Bool {
        switch self {
        case .openRoot, .lock, .createDirectory, .removeDirectory, .open, .rename, .unlink, .synchronizeDirectory,
            .write, .synchronizeData, .synchronize, .allocate:
            true
        case .list, .reserveAddressSpace, .size, .read, .map, .close: false
        }
    }

    var isSync: Bool { self == .synchronizeData || self == .synchronize || self == .synchronizeDirectory }

    var hasOffset: Bool { self == .read || self == .write || self == .allocate || self == .map }
}
