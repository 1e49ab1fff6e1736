/// Transactions: a snapshot of the store to read from, writes kept aside until the end, and one commit of all of them.
/// Snapshot isolation; of two transactions that write the same record the first to commit wins.
import StorageFormat
import Synchronization

/// A transaction under way. It sees the store as of its beginning, and its own writes.
///
/// Use it only inside the closure it is passed to. Its methods may be called from several tasks.
public struct Transaction: Sendable {
    let state: TransactionState

    /// Stores a record, whether or not its id is there. It is written when the transaction commits.
    ///
    /// - Throws: `databaseNotFound`, `dimensionMismatch`, `notFinite`, `invalidID`, `invalidMetadata`, at once; `conflict`.
    public func upsert(_ record: VectorRecord, into database: String) async throws {
        try await state.store(record, into: database, condition: .none)
    }

    /// Stores a record whose id must not be there.
    ///
    /// - Throws: `recordExists`, and what ``upsert(_:into:)`` throws.
    public func insert(_ record: VectorRecord, into database: String) async throws {
        try await state.store(record, into: database, condition: .mustNotExist)
    }

    /// Replaces a record whose id must be there.
    ///
    /// - Throws: `recordNotFound`, and what ``upsert(_:into:)`` throws.
    public func update(_ record: VectorRecord, into database: String) async throws {
        try await state.store(record, into: database, condition: .mustExist)
    }

    /// Deletes a record.
    ///
    /// - Returns: whether it was there, as the transaction sees it.
    @discardableResult
    public func delete(_ id: String, from database: String) async throws -> Bool {
        try await state.delete(id, from: database)
    }

    /// A record as the transaction sees it, nil if there is none.
    public func record(for id: String, in database: String) async throws -> VectorRecord? {
        try await state.record(for: id, in: database)
    }

    /// A record's vector as the transaction sees it, nil if there is none.
    public func vector(for id: String, in database: String) async throws -> [Float]? {
        try await state.record(for: id, in: database)?.vector
    }

    /// Whether a record is there as the transaction sees it, be it damaged.
    public func contains(_ id: String, in database: String) async throws -> Bool {
        try await state.contains(id, in: database)
    }
}

final class TransactionState: Sendable {
    /// What the transaction has to do with one database.
    struct Participant: Sendable {
        let cell: DatabaseCell
        let snapshot: DatabaseSnapshot
        /// The last write on each id; nil deletes.
        var writes: [RecordID: VectorRecord?] = [:]
    }

    struct State {
        var participants: [String: Participant] = [:]
        /// Snapshots of everything that was open when the transaction began: one consistent cut.
        var cut: [UInt32: DatabaseSnapshot]
        var isOver = false
    }

    private let running: RunningStore
    private let state: Mutex<State>
    private let beginLSN: UInt64

    init(_ running: RunningStore) async {
        self.running = running
        let cells = await running.registry.openCells()
        let (cut, lsn) = running.context.log.publication.withLock { _ in
            var cut: [UInt32: DatabaseSnapshot] = [:]
            for cell in cells { cut[cell.number] = cell.currentSnapshot() }
            return (cut, running.context.log.publishedLSN)
        }
        beginLSN = lsn
        state = Mutex(State(cut: cut))
    }

    // MARK: Reading and writing

    func record(for id: String, in database: String) async throws -> VectorRecord? {
        let snapshot = try await join(database)
        let written: VectorRecord?? = state.withLock { $0.participants[database]?.writes[RecordID(id)] }
        if let written { return written }
        return try snapshot.record(for: id)
    }

    func contains(_ id: String, in database: String) async throws -> Bool {
        let snapshot = try await join(database)
        return state.withLock { $0.contains(id, in: database, snapshot) }
    }

    func store(_ record: VectorRecord, into database: String, condition: WriteCondition) async throws {
        try running.context.requireWritable()
        let snapshot = try await join(database)
        // Judged now, by itself, so that the mistake is reported where it is made.
        let encoder = BatchEncoder(identity: snapshot.identity, bulkByteThreshold: .max)
        _ = try encoder.encode(.records([record]), condition: .none)
        try state.withLock { state throws(StoreError) in
            try state.checkUnderWay()
            let isThere = state.contains(record.id, in: database, snapshot)
            if condition == .mustNotExist, isThere {
                throw StoreError(
                    .recordExists, "A record of this id is there.", database: database, ids: [record.id],
                    remedy: "Use update to change it, or upsert for either.")
            }
            if condition == .mustExist, !isThere {
                throw StoreError(
                    .recordNotFound, "There is no record of this id.", database: database, ids: [record.id],
                    remedy: "Use insert to add it, or upsert for either.")
            }
            state.participants[database]?.writes[RecordID(record.id)] = .some(record)
        }
    }

    func delete(_ id: String, from database: String) async throws -> Bool {
        try running.context.requireWritable()
        let snapshot = try await join(database)
        return try state.withLock { state throws(StoreError) in
            try state.checkUnderWay()
            let isThere = state.contains(id, in: database, snapshot)
            if isThere { state.participants[database]?.writes[RecordID(id)] = .some(nil) }
            return isThere
        }
    }

    /// The snapshot of a database that belongs to the transaction's cut.
    private func join(_ name: String) async throws -> DatabaseSnapshot {
        let known = try state.withLock { state throws(StoreError) in
            try state.checkUnderWay()
            return state.participants[name]?.snapshot
        }
        if let known { return known }
        let cell = try await running.registry.cell(named: name)
        if let snapshot = state.withLock({ $0.cut[cell.number] }) { return try enter(name, cell, snapshot) }
        // It was closed when the transaction began, so nothing had been committed to it since it was closed; anything
        // newer than the beginning was committed after.
        if await running.registry.isFull {
            // Snapshots that nothing was read from keep files open that may have to make room for this one. What is
            // joined later is judged like this one.
            let unused = state.withLock { state in
                defer { state.cut = [:] }
                return state.cut
            }
            withExtendedLifetime(unused) {}
            try refuseIfNothingCanClose()
        }
        let database = VectorDatabase(cell: cell, store: running)
        let snapshot = try await database.snapshot()
        guard snapshot.version <= beginLSN else {
            throw StoreError(
                .conflict, "The database was changed after the transaction began and before it first looked there.",
                database: name, remedy: "Run the transaction again; it sees the new state.")
        }
        return try enter(name, cell, snapshot)
    }

    /// Refuses another database when the transaction itself keeps as many files open as may be: it lets go of none of them
    /// before its end, so waiting for room would be in vain.
    private func refuseIfNothingCanClose() throws(StoreError) {
        let limit = running.registry.openFileLimit
        // A snapshot holds a file only beside a newer one.
        let heldCount = state.withLock { state in
            state.participants.values.count { participant in
                participant.cell.currentSnapshot().map { $0 !== participant.snapshot } ?? false
            }
        }
        guard heldCount < limit else {
            throw .tooManyDatabases("holds snapshots of \(heldCount) databases that were changed since", limit: limit)
        }
    }

    private func enter(
        _ name: String, _ cell: DatabaseCell, _ snapshot: DatabaseSnapshot
    ) throws(StoreError) -> DatabaseSnapshot {
        try state.withLock { state throws(StoreError) in
            try state.checkUnderWay()
            if let known = state.participants[name] { return known.snapshot }
            state.participants[name] = Participant(cell: cell, snapshot: snapshot)
            return snapshot
        }
    }

    /// The snapshot of a database and what the transaction has written to it; nil deletes.
    func view(of database: String) async throws -> TransactionView {
        let snapshot = try await join(database)
        return TransactionView(
            snapshot: snapshot, writes: state.withLock { $0.participants[database]?.writes ?? [:] })
    }

    // MARK: Ending

    /// Ends the transaction without a trace.
    func abandon() { _ = end() }

    private func end() -> [Participant] {
        state.withLock { state in
            state.isOver = true
            let participants = state.participants.values.filter { !$0.writes.isEmpty }
            state.participants = [:]
            state.cut = [:]
            return participants.sorted { $0.cell.number < $1.cell.number }
        }
    }

    /// Commits all writes at once.
    ///
    /// - Throws: `conflict` if another commit changed one of the records since the transaction began.
    func commit() async throws {
        let participants = end()
        try Task.checkCancellation()
        guard !participants.isEmpty else { return }
        var batches: [(participant: Participant, batch: OperationBatch)] = []
        for participant in participants {
            if let batch = try encode(participant) { batches.append((participant, batch)) }
        }
        guard !batches.isEmpty else { return }
        try await TransactionCommit(running: running).run(batches.map { ($0.participant.cell, $0.batch) })
    }

    /// What the participant has to log. What is written over is not read: a damaged record can be replaced and deleted.
    private func encode(_ participant: Participant) throws(StoreError) -> OperationBatch? {
        var stores: [VectorRecord] = []
        var conditions: [WriteCondition] = []
        var deletes: [(id: String, condition: WriteCondition)] = []
        for (id, record) in participant.writes.sorted(by: { $0.key.precedes($1.key) }) {
            let seen = participant.snapshot.version(of: id.text)
            if let record {
                stores.append(record)
                conditions.append(.unchanged(since: seen))
            } else if seen != nil {
                deletes.append((id.text, .unchanged(since: seen)))
            }
        }
        if stores.isEmpty, deletes.isEmpty { return nil }
        let encoder = BatchEncoder(identity: participant.snapshot.identity, bulkByteThreshold: .max)
        return try encoder.encode(stores: stores, conditions: conditions, deletes: deletes)
    }
}

extension TransactionState.State {
    /// Whether a record is there, by what the transaction has written, else by its snapshot.
    fileprivate func contains(_ id: String, in database: String, _ snapshot: DatabaseSnapshot) -> Bool {
        participants[database]?.writes[RecordID(id)].map { $0 != nil } ?? snapshot.contains(id)
    }

    fileprivate func checkUnderWay() throws(StoreError) {
        if isOver {
            throw .argument(
                "The transaction is over.", remedy: "Use a transaction only inside the closure it was passed to.")
        }
    }
}

extension VectorStore {
    /// Runs a transaction over one or several databases: everything it writes is committed at once when `body` returns,
    /// or not at all if it throws.
    ///
    /// Reads see the store as of the beginning, and the transaction's own writes. Of two transactions that write the
    /// same record, the first to commit wins.
    ///
    /// The commit is durable when this returns if one of the databases it changes is. Transactions are for a handful of
    /// records; all that they write is kept in memory until then.
    ///
    /// - Parameter body: reads and writes through the transaction; it may be run again by the caller, so it should have no
    ///   other effects.
    /// - Returns: what `body` returns.
    /// - Throws: what `body` throws; `conflict` (run it again), and what writes throw; `tooManyOpenFiles` if it changes more
    ///   databases than ``StoreConfiguration/maximumOpenFiles`` allows; `CancellationError`, in which case nothing was written.
    public func transaction<R>(_ body: (Transaction) async throws -> R) async throws -> R {
        let state = await TransactionState(try running())
        let result: R
        do {
            result = try await body(Transaction(state: state))
        } catch {
            state.abandon()
            throw error
        }
        try await state.commit()
        return result
    }
}
