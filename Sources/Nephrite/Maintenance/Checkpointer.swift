/// The task that checkpoints: woken when the log has grown past its limit and at intervals, it brings dirty databases up
/// to date and deletes the log segments that no database needs any more.
import StorageIO
import Synchronization

#if NEPHRITE_MUTANTS
    import StorageFormat
#endif

struct Checkpointer: Sendable {
    let context: StoreContext
    let registry: StoreRegistry

    /// Serves wake-ups until cancelled.
    func run() async {
        for await _ in context.log.checkpointWakeups { await checkpointDirty() }
    }

    /// Wakes the checkpointer at intervals until cancelled.
    func runTimer() async {
        let interval = max(context.configuration.checkpointInterval.nanoseconds, 1_000_000)
        while (try? await context.configuration.environment.clock.sleep(nanoseconds: interval)) != nil {
            context.log.requestCheckpoint()
        }
    }

    /// Checkpoints every open database that is dirty, then lets go of the log behind them.
    ///
    /// A database that cannot be checkpointed keeps its log; the others go on.
    func checkpointDirty() async {
        context.log.retention.resetBytes()
        for cell in await registry.openCells() where !Task.isCancelled { try? await checkpoint(cell, force: false) }
        // What is idle since its last checkpoint holds the log back until its previous generation has caught up.
        if context.log.retention.sealedCount > 0 {
            for number in context.log.retention.databasesHoldingBack where !Task.isCancelled {
                guard let cell = await registry.cell(numbered: number) else { continue }
                try? await checkpoint(cell, force: true)
            }
        }
        await deleteSegments()
    }

    private func checkpoint(_ cell: DatabaseCell, force: Bool) async throws {
        if let file = cell.pin() {
            defer { cell.unpin() }
            try await file.checkpoint(force: force)
        } else if force {
            let file = try await registry.pinned(cell)
            defer { cell.unpin() }
            try await file.checkpoint(force: true)
        }
    }

    /// Deletes segments that nothing needs, oldest first.
    func deleteSegments() async {
        let log = context.log
        guard log.queue.failure == nil, log.retention.sealedCount > 0 else { return }
        await context.io.run { log.deletion.withLock { _ in Self.deleteSegments(of: log) } }
    }

    /// One after the other, and none before those that are older: an older segment beside the gap of a newer one would be
    /// taken for a log with a hole.
    private static func deleteSegments(of log: WriteAheadLog) {
        var segments = ArraySlice(log.retention.takeDeletable())
        guard !segments.isEmpty else { return }
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.deleteNewestFirst) { segments = ArraySlice(segments.reversed()) }
        #endif
        do throws(FileSystemError) {
            while let segment = segments.first {
                try SegmentWriter.remove([segment.sequence], on: log.fileSystem)
                segments.removeFirst()
            }
        } catch {
            if error.call == .synchronizeDirectory { log.fence(StoreError(error)) }
            log.retention.putBack(segments)
            return
        }
        log.replenishReserve()
    }

    /// At shutdown: everything dirty. Once suffices although the log will be gone: the catalogue says how far each file is.
    func checkpointAll() async throws {
        for cell in await registry.openCells() {
            guard let file = cell.pinForClosing() else { continue }
            defer { cell.unpin() }
            try await file.checkpoint()
            await file.stampCodes()
        }
    }
}
