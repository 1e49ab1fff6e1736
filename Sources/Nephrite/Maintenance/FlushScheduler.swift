/// The task behind relaxed durability: after a commit that was acknowledged before it was on disk, it syncs the log within
/// the shortest interval that any database was promised.
import StorageIO

#if NEPHRITE_MUTANTS
    import StorageFormat
#endif

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
            #if NEPHRITE_MUTANTS
                if Mutant.isActive(.neverFlush) { continue }
            #endif
            // A failed sync has fenced the store; whoever writes next is told.
            try? await context.log.queue.synchronize()
        }
    }
}
