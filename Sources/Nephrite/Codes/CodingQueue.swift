/// Which databases wait to have their vectors encoded: searches and commits ask, the encoder takes them in turn. Asking
/// twice is asking once, and nothing asked for is lost.
import Synchronization

final class CodingQueue: Sendable {
    private struct State {
        var cells: [DatabaseCell] = []
        var numbers: Set<UInt32> = []
        var holdCount = 0
    }

    /// Wakes the encoder.
    let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation
    private let state = Mutex(State())

    init() {
        (wakeups, wakeup) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Puts a database at the end of the queue, unless it is in it already.
    func request(_ cell: DatabaseCell) {
        let isNew = state.withLock { state in
            guard state.numbers.insert(cell.number).inserted else { return false }
            state.cells.append(cell)
            return true
        }
        if isNew { wakeup.yield() }
    }

    /// Takes all databases in the order of their requests; none if none may be worked on now.
    func takeAll() -> [DatabaseCell] {
        state.withLock { state in
            guard state.holdCount == 0 else { return [] }
            defer {
                state.cells = []
                state.numbers = []
            }
            return state.cells
        }
    }

    /// Whether somebody has to close a file.
    var isHeldBack: Bool { state.withLock { $0.holdCount > 0 } }

    /// Keeps the encoder from taking hold of another file, for whoever has to close one; each call needs a ``release()``.
    func holdBack() { state.withLock { $0.holdCount += 1 } }

    func release() {
        let isFree = state.withLock { state in
            state.holdCount -= 1
            return state.holdCount == 0 && !state.cells.isEmpty
        }
        if isFree { wakeup.yield() }
    }
}
