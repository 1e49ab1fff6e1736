/// Ctrl-C and SIGTERM: a thread waits for them and hands them to the running command, which finishes what is
/// in flight; the second one ends the process at once.
import Foundation
import Synchronization

/// Whether the user asked the command to stop.
final class Interrupt: Sendable {
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

    /// Blocks the signals in every thread and starts the one thread that takes them. Must be called before
    /// any other thread exists, as threads inherit what is blocked.
    func listen(_ console: Console) {
        var signals = Self.signals
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        signal(SIGPIPE, SIG_IGN)
        Thread.detachNewThread { [self] in
            var signals = Self.signals
            var received: Int32 = 0
            while true {
                guard unsafe sigwait(&signals, &received) == 0 else { continue }
                guard request() else { _exit(ExitCode.interrupted.rawValue) }
                if console.showsProgress {
                    console.note("\nFinishing what is in flight; press Ctrl-C again to abort.")
                }
            }
        }
    }

    private static var signals: sigset_t {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGINT)
        unsafe sigaddset(&signals, SIGTERM)
        return signals
    }
}
