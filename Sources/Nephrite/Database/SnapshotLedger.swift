/// Which snapshots of a database are alive, so that space they reach is not used again. Publishing adds an entry, a
/// snapshot's `deinit` strikes it out; the database actor asks for the oldest.
import Synchronization

final class SnapshotLedger: Sendable {
    private struct State {
        var firstSequence: UInt64 = 0
        var versions: [UInt64] = []
        var alive: [Bool] = []
        var head = 0
        var aliveCount = 0
    }

    private let state = Mutex(State())
    /// Told when no snapshot is left besides the published one.
    private let room: RoomQueue?

    init(room: RoomQueue? = nil) { self.room = room }

    /// Notes a new snapshot; the ticket is handed back in ``close(_:)``.
    func open(version: UInt64) -> UInt64 {
        state.withLock { state in
            state.versions.append(version)
            state.alive.append(true)
            state.aliveCount += 1
            return state.firstSequence + UInt64(state.versions.count - 1)
        }
    }

    /// Strikes a snapshot out.
    func close(_ ticket: UInt64) {
        let isFree = state.withLock { state in
            state.alive[Int(ticket - state.firstSequence)] = false
            state.aliveCount -= 1
            while state.head < state.alive.count, !state.alive[state.head] { state.head += 1 }
            if state.head > 64, state.head * 2 > state.alive.count {
                state.versions.removeFirst(state.head)
                state.alive.removeFirst(state.head)
                state.firstSequence += UInt64(state.head)
                state.head = 0
            }
            return state.aliveCount <= 1
        }
        if isFree { room?.signal() }
    }

    /// The version of the oldest snapshot alive, `UInt64.max` if there is none.
    var oldestVersion: UInt64 {
        state.withLock { $0.head < $0.versions.count ? $0.versions[$0.head] : .max }
    }

    /// How many snapshots are alive.
    var aliveCount: Int { state.withLock { $0.aliveCount } }
}
