/// Which log segments must stay. A database needs the log from its previous checkpoint on (so that a lost header write
/// costs nothing, O4); a segment goes when no database needs any of it. The log task notes commits and segments,
/// checkpoints note their progress, the checkpointer deletes.
import Synchronization

#if NEPHRITE_MUTANTS
    import StorageFormat
#endif

final class LogRetention: Sendable {
    /// A segment that is no longer written to.
    struct SealedSegment: Sendable, Hashable {
        let sequence: UInt64
        let lastLSN: UInt64
    }

    private struct Progress {
        var lastWriteLSN: UInt64 = 0
        var checkpointLSN: UInt64 = 0
        var previousCheckpointLSN: UInt64 = 0

        /// The first LSN that replaying from the previous checkpoint would need; nil if none.
        var neededLSN: UInt64? { lastWriteLSN > previousCheckpointLSN ? previousCheckpointLSN + 1 : nil }
    }

    private struct State {
        var sealed: [SealedSegment] = []
        var databases: [UInt32: Progress] = [:]
        var bytesSinceCheckpoint = 0
    }

    private let state = Mutex(State())

    init(sealed: [SealedSegment]) {
        state.withLock { $0.sealed = sealed.sorted { $0.sequence < $1.sequence } }
    }

    /// A commit was written to the log.
    func noteCommit(database: UInt32, lsn: UInt64) {
        state.withLock { $0.databases[database, default: Progress()].lastWriteLSN = lsn }
    }

    /// Bytes were logged; returns how many since the last reset.
    func noteBytes(_ count: Int) -> Int {
        state.withLock { state in
            state.bytesSinceCheckpoint += count
            return state.bytesSinceCheckpoint
        }
    }

    func resetBytes() { state.withLock { $0.bytesSinceCheckpoint = 0 } }

    func noteSealed(_ segment: SealedSegment) { state.withLock { $0.sealed.append(segment) } }

    /// A database was opened whose newest header is a checkpoint at `lsn`.
    func noteOpened(database: UInt32, checkpointLSN lsn: UInt64) {
        state.withLock { state in
            if state.databases[database] == nil {
                state.databases[database] = Progress(
                    lastWriteLSN: 0, checkpointLSN: lsn, previousCheckpointLSN: lsn)
            }
        }
    }

    /// Recovery found records of a database behind its newest header's checkpoint.
    func noteRecovered(database: UInt32, checkpointLSN: UInt64, lastWriteLSN: UInt64) {
        state.withLock {
            $0.databases[database] = Progress(
                lastWriteLSN: lastWriteLSN, checkpointLSN: checkpointLSN, previousCheckpointLSN: checkpointLSN)
        }
    }

    /// A checkpoint of a database is durable.
    func noteCheckpoint(database: UInt32, lsn: UInt64) {
        state.withLock { state in
            var progress = state.databases[database, default: Progress()]
            progress.previousCheckpointLSN = progress.checkpointLSN
            progress.checkpointLSN = lsn
            #if NEPHRITE_MUTANTS
                if Mutant.isActive(.ignorePreviousCheckpoint) { progress.previousCheckpointLSN = lsn }
            #endif
            state.databases[database] = progress
        }
    }

    func forget(database: UInt32) { state.withLock { $0.databases[database] = nil } }

    /// The oldest LSN that any database needs, `UInt64.max` if none needs any.
    var oldestNeededLSN: UInt64 {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.deleteNeededSegments) { return .max }
        #endif
        return state.withLock { state in state.databases.values.compactMap(\.neededLSN).min() ?? .max }
    }

    /// The segments that no database needs, which the caller deletes, oldest first.
    func takeDeletable() -> [SealedSegment] {
        let oldest = oldestNeededLSN
        return state.withLock { state in
            let count = state.sealed.prefix { $0.lastLSN < oldest }.count
            let taken = Array(state.sealed.prefix(count))
            state.sealed.removeFirst(count)
            return taken
        }
    }

    /// Takes back segments that could not be deleted; they are the oldest again.
    func putBack(_ segments: ArraySlice<SealedSegment>) {
        state.withLock { $0.sealed.insert(contentsOf: segments, at: 0) }
    }

    /// The databases whose second checkpoint would let the oldest sealed segment go.
    var databasesHoldingBack: [UInt32] {
        state.withLock { state in
            guard let first = state.sealed.first else { return [] }
            return state.databases.filter { ($0.value.neededLSN ?? .max) <= first.lastLSN }.map(\.key).sorted()
        }
    }

    var sealedCount: Int { state.withLock { $0.sealed.count } }
}
