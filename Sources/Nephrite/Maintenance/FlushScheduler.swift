/// The task behind relaxed durability: after a commit that was acknowledged before it was on disk, it syncs the log within
/// the shortest interval that any database was promised.
import StorageIO

struct FlushScheduler: Sendable {
    let context: StoreContext

    /// Serves wake-ups until cancelled.
    func run() async {
        for await _ in context.log.relaxedWakeups {
            let interval = context.log.relaxedInterval
            // A cancelled sleep means the store is closing, which syncs everything itself.
            guard (try? await context.configuration.environment.clock.sleep(nanoseconds: interval)) != nil else {
                return
            }
            // A failed sync has fenced the store; whoever writes next is told.
            try? await context.log.queue.synchronize()
        }
    }
}
