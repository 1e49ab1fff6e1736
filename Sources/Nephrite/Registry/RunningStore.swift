/// The parts of a store while it runs; handles reach the registry and the context through it.

final class RunningStore: Sendable {
    let context: StoreContext
    let registry: StoreRegistry
    let checkpointer: Checkpointer

    init(context: StoreContext, registry: StoreRegistry) {
        self.context = context
        self.registry = registry
        checkpointer = Checkpointer(context: context, registry: registry)
    }
}
