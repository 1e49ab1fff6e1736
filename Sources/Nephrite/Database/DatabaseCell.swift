/// The place of a database in a running store, open or not: handles read the current snapshot from it without waiting
/// for any actor, the log publishes into it, the registry opens and closes what stands behind it.
import Synchronization

final class DatabaseCell: Sendable {
    /// A change of the catalogue that handles must see.
    enum Availability: Sendable { case available, dropped, storeClosed }

    private struct State {
        var snapshot: DatabaseSnapshot?
        var file: DatabaseFile?
        var pinCount = 0
        var availability = Availability.available
        var unpinWaiters: [CheckedContinuation<Void, Never>] = []
        var damages: [Damage] = []
        var quantization: Quantization
    }

    let number: UInt32
    let name: String
    private let creationOptions: DatabaseOptions
    let uuid: String
    let createdAt: UInt64
    let ledger: SnapshotLedger
    let metrics = DatabaseMetrics()
    let filters: DatabaseFilters
    /// When it was last used, on the registry's logical clock.
    private let lastUse = Atomic<UInt64>(0)
    private let state: Mutex<State>
    /// Told when nothing holds the file any more.
    private let room: RoomQueue

    init(
        number: UInt32, name: String, options: DatabaseOptions, uuid: String, createdAt: UInt64, room: RoomQueue
    ) {
        self.room = room
        ledger = SnapshotLedger(room: room)
        self.number = number
        self.name = name
        creationOptions = options
        state = Mutex(State(quantization: options.quantization))
        filters = DatabaseFilters(indexing: options.indexedFields)
        self.uuid = uuid
        self.createdAt = createdAt
    }

    // MARK: Readers and writers

    /// The newest published snapshot, nil while the file is closed.
    func currentSnapshot() -> DatabaseSnapshot? {
        state.withLock { $0.availability == .available ? $0.snapshot : nil }
    }

    /// The open file, kept open until ``unpin()``; nil while it is closed.
    func pin() -> DatabaseFile? {
        state.withLock { state in
            guard let file = state.file, state.availability == .available else { return nil }
            state.pinCount += 1
            return file
        }
    }

    /// Like ``pin()``, also while the store closes.
    func pinForClosing() -> DatabaseFile? {
        state.withLock { state in
            guard let file = state.file else { return nil }
            state.pinCount += 1
            return file
        }
    }

    func unpin() {
        let (waiters, isFree) = state.withLock { state in
            state.pinCount -= 1
            guard state.pinCount == 0 else { return ([CheckedContinuation<Void, Never>](), false) }
            defer { state.unpinWaiters = [] }
            return (state.unpinWaiters, true)
        }
        for waiter in waiters { waiter.resume() }
        if isFree { room.signal() }
    }

    /// What the database was created with, but for what may be changed since.
    var options: DatabaseOptions {
        var options = creationOptions
        options.quantization = quantization
        return options
    }

    /// Whether it wants codes.
    var quantization: Quantization {
        get { state.withLock { $0.quantization } }
        set { state.withLock { $0.quantization = newValue } }
    }

    var availability: Availability { state.withLock { $0.availability } }

    // MARK: The log and the registry

    /// Grants or refuses pins and reads from now on.
    func refusePins(_ availability: Availability) { state.withLock { $0.availability = availability } }

    /// Returns when no write or transaction holds the file.
    func waitUntilUnpinned() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.pinCount == 0 { return true }
                state.unpinWaiters.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    /// Makes a snapshot the one that readers get.
    func publish(_ snapshot: DatabaseSnapshot) {
        let old = state.withLock { state -> DatabaseSnapshot? in
            // A file that was taken away has no readers to publish to.
            guard state.file != nil else { return nil }
            let old = state.snapshot
            state.snapshot = snapshot
            return old
        }
        // The old snapshot may be the last reference to thousands of pages: let it go outside the lock.
        withExtendedLifetime(old) {}
    }

    /// Damage that opening the file met and got over; `check()` reports it.
    var damages: [Damage] {
        get { state.withLock { $0.damages } }
        set { state.withLock { $0.damages = newValue } }
    }

    /// Puts an opened file in place.
    func open(_ file: DatabaseFile, snapshot: DatabaseSnapshot) {
        state.withLock { state in
            state.file = file
            state.snapshot = snapshot
        }
    }

    /// Takes the file away if nothing holds it: no pin, and no snapshot beside the published one.
    func takeFileIfIdle() -> DatabaseFile? {
        let (file, old) = state.withLock { state -> (DatabaseFile?, DatabaseSnapshot?) in
            guard state.pinCount == 0, let file = state.file, ledger.aliveCount <= 1 else { return (nil, nil) }
            let old = state.snapshot
            state.file = nil
            state.snapshot = nil
            return (file, old)
        }
        withExtendedLifetime(old) {}
        if file != nil { filters.clear() }
        return file
    }

    /// Takes the file away whatever holds it: the store closes, or the database is dropped.
    func takeFile(_ availability: Availability) -> DatabaseFile? {
        let (file, old) = state.withLock { state -> (DatabaseFile?, DatabaseSnapshot?) in
            let taken = (state.file, state.snapshot)
            state.file = nil
            state.snapshot = nil
            state.availability = availability
            return taken
        }
        withExtendedLifetime(old) {}
        if file != nil { filters.clear() }
        return file
    }

    /// Whether something holds the file open besides the registry.
    var isHeld: Bool { state.withLock { $0.pinCount > 0 || ($0.file != nil && ledger.aliveCount > 1) } }

    func noteUse(_ tick: UInt64) { lastUse.store(tick, ordering: .relaxed) }

    var lastUsed: UInt64 { lastUse.load(ordering: .relaxed) }

    var description: DatabaseDescription {
        DatabaseDescription(
            name: name, options: options, uuid: uuid, createdAt: Double(createdAt) / 1_000_000_000)
    }
}
