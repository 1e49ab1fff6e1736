/// Ctrl-C and SIGTERM: hands the first one to the running command, which finishes what is in flight; the
/// second one ends the process at once.
import Dispatch
import Foundation
import Synchronization

/// Whether the user asked the command to stop.
final class Interrupt: Sendable {
    /// The descriptors that libdispatch takes for good while ``listen(_:)`` runs: for its events, for the two signals, and
    /// for timers, which sleeping tasks need. It traps if it cannot have one.
    static let descriptorCount = 8

    private let requested = Atomic<Bool>(false)
    private let continuation: AsyncStream<Void>.Continuation
    /// Yields once, at the first signal.
    let requests: AsyncStream<Void>

    init() {
        (requests, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Whether a signal has come.
    var isRequested: Bool { requested.load(ordering: .acquiring) }

    /// Notes a signal; answers whether it was the first.
    @discardableResult func request() -> Bool {
        let isFirst = requested.exchange(true, ordering: .acquiringAndReleasing) == false
        if isFirst {
            continuation.yield()
            continuation.finish()
        }
        return isFirst
    }

    /// Throws when a signal has come; a command calls it between two pieces of work.
    func check() throws(CommandError) {
        if isRequested { throw .interrupted }
    }

    /// Takes SIGINT and SIGTERM from now on, as long as what it answers is kept, and ignores SIGPIPE: a
    /// closed output is an error of the write.
    ///
    /// A mask and `sigwait` would not do: the Dispatch main loop empties the main thread's mask on Linux.
    ///
    /// Returns when libdispatch has all the descriptors that it will want, so that it and the store do not compete for
    /// the last ones.
    func listen(_ console: Console) async -> [any DispatchSourceSignal] {
        signal(SIGPIPE, SIG_IGN)
        var sources: [any DispatchSourceSignal] = []
        for number in [SIGINT, SIGTERM] {
            // Without its default action the signal reaches nobody but the source.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
            source.setEventHandler { [self] in receive(console) }
            await withCheckedContinuation { continuation in
                source.setRegistrationHandler { continuation.resume() }
                source.activate()
            }
            sources.append(source)
        }
        try? await ContinuousClock().sleep(for: .nanoseconds(1))
        return sources
    }

    private func receive(_ console: Console) {
        guard request() else { _exit(ExitCode.interrupted.rawValue) }
        if console.showsProgress { console.note("\nFinishing what is in flight; press Ctrl-C again to abort.") }
    }
}
