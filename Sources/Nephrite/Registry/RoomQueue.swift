/// Those who wait for one of the files that may be open at once, first come, first served. The registry puts them in line;
/// whatever lets go of a file, from a write that ends to a snapshot that goes away, wakes the first.
import Synchronization

final class RoomQueue: Sendable {
    typealias Ticket = UInt64

    private struct State {
        /// Tickets in the order in which they were drawn.
        var line: [Ticket] = []
        var nextTicket: Ticket = 0
        /// Counts what may have made room, so that nothing that happens between looking and waiting is missed.
        var news: UInt64 = 0
        /// Who waits, by ticket.
        var waiters: [Ticket: CheckedContinuation<Void, Never>] = [:]
        /// Tickets whose wait is over before it began.
        var excused: Set<Ticket> = []
        var isOver = false

        /// The first in line, if it waits.
        mutating func takeFirst() -> CheckedContinuation<Void, Never>? {
            line.first.flatMap { waiters.removeValue(forKey: $0) }
        }
    }

    private let state = Mutex(State())
    /// The length of the line, so that letting go of a file costs one load when nobody waits. Whoever enters counts itself
    /// before it looks for room: a file that is let go of after that look finds it counted.
    private let count = Atomic<Int>(0)

    /// How many are in line.
    var waitingCount: Int { count.load(ordering: .sequentiallyConsistent) }

    /// What has happened so far; to be asked before looking for room, and passed to ``wait(_:since:)`` after.
    var news: UInt64 { state.withLock { $0.news } }

    /// Draws a ticket at the end of the line.
    func enter() -> Ticket {
        state.withLock { state in
            state.nextTicket += 1
            state.line.append(state.nextTicket)
            count.add(1, ordering: .sequentiallyConsistent)
            return state.nextTicket
        }
    }

    /// Whether it is a ticket's turn.
    func isFirst(_ ticket: Ticket) -> Bool { state.withLock { $0.line.first == ticket } }

    /// Gives a ticket back; whoever is first then looks for room.
    func leave(_ ticket: Ticket) {
        let next = state.withLock { state in
            state.line.removeAll { $0 == ticket }
            state.waiters[ticket] = nil
            state.excused.remove(ticket)
            count.subtract(1, ordering: .sequentiallyConsistent)
            return state.takeFirst()
        }
        next?.resume()
    }

    /// Something made room, or may have.
    func signal() {
        guard count.load(ordering: .sequentiallyConsistent) > 0 else { return }
        let first = state.withLock { state in
            state.news += 1
            return state.takeFirst()
        }
        first?.resume()
    }

    /// Nobody is to wait any more: the store closes.
    func end() {
        let all = state.withLock { state in
            state.isOver = true
            defer { state.waiters = [:] }
            return state.line.compactMap { state.waiters[$0] }
        }
        for waiter in all { waiter.resume() }
    }

    /// Ends a ticket's wait, or the next one: the caller's patience is at an end, or it was cancelled.
    func excuse(_ ticket: Ticket) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if let waiter = state.waiters.removeValue(forKey: ticket) { return waiter }
            if state.line.contains(ticket) { state.excused.insert(ticket) }
            return nil
        }
        waiter?.resume()
    }

    /// Suspends until it is the ticket's turn and something has happened since its holder looked for room; or until its
    /// task is cancelled, it is excused, or the line ends. All of that may have happened when this returns, and none: look.
    func wait(_ ticket: Ticket, since seen: UInt64) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    let isDue = state.line.first == ticket && state.news != seen
                    if isDue || state.isOver || state.excused.remove(ticket) != nil { return true }
                    state.waiters[ticket] = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            excuse(ticket)
        }
    }
}
