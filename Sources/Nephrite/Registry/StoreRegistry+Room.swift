/// How the registry makes room for a file that is to be opened when as many are open as may be: callers in the order in
/// which they came close the least recently used one that nothing holds, or wait until something lets go of one.
import StorageIO

#if NEPHRITE_MUTANTS
    import StorageFormat
#endif

extension StoreRegistry {
    /// How long opening a file waits for another to be let go of.
    private static let patienceNanoseconds: UInt64 = 10_000_000_000

    /// How many files may be open at once.
    nonisolated var openFileLimit: Int { max(1, context.configuration.maximumOpenFiles) }

    /// Whether opening another file means closing one.
    var isFull: Bool { openFileCount >= openFileLimit }

    /// How many callers wait for a file to be closed so that theirs can be opened.
    var waitingForRoomCount: Int { room.waitingCount }

    /// Closes files until one more may be opened. There is no suspension between its return and the caller's next step.
    ///
    /// - Parameter started: when the caller came, by the monotonic clock.
    func makeRoom(since started: UInt64) async throws {
        guard isFull || room.waitingCount > 0 else { return }
        // The encoder takes hold of files again and again; none could be closed while it goes on.
        context.coding.holdBack()
        defer { context.coding.release() }
        let ticket = room.enter()
        defer { room.leave(ticket) }
        while true {
            if isClosing { throw StoreError.closed(context.path) }
            try Task.checkCancellation()
            let seen = room.news
            if room.isFirst(ticket) {
                if !isFull { return }
                if try await evictOne() { continue }
            }
            // Everything open is in use or on its way in or out. Writes end; snapshots may be held for long.
            let waited = context.configuration.environment.clock.monotonicNanoseconds() &- started
            guard waited < Self.patienceNanoseconds else {
                throw StoreError(
                    .tooManyOpenFiles, "All \(openFileCount) files that may be open are in use.",
                    remedy: "Let go of snapshots, or raise maximumOpenFiles.")
            }
            await wait(ticket, since: seen, atMost: Self.patienceNanoseconds - waited)
        }
    }

    /// Waits for the ticket's turn and for news, or for so long.
    private func wait(_ ticket: RoomQueue.Ticket, since seen: UInt64, atMost nanoseconds: UInt64) async {
        let room = room
        let clock = context.configuration.environment.clock
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                guard (try? await clock.sleep(nanoseconds: nanoseconds)) != nil else { return }
                room.excuse(ticket)
            }
            await room.wait(ticket, since: seen)
            group.cancelAll()
        }
    }

    /// Closes the least recently used file that nothing holds, checkpointing it first; false if there is none.
    private func evictOne() async throws -> Bool {
        let candidates = openCells().filter { !isInTransition($0) && !$0.isHeld }
        guard let cell = candidates.min(by: { ($0.lastUsed, $0.number) < ($1.lastUsed, $1.number) }) else {
            return false
        }
        beginTransition(cell)
        defer { endTransition(cell) }
        guard let file = cell.pin() else { return false }
        do {
            #if NEPHRITE_MUTANTS
                if !Mutant.isActive(.evictDirty) { try await file.checkpoint() }
            #else
                try await file.checkpoint()
            #endif
            await file.stampCodes()
        } catch {
            cell.unpin()
            throw error
        }
        cell.unpin()
        // Someone may have begun to use it while it was checkpointed.
        guard let taken = cell.takeFileIfIdle() else { return false }
        if await mustStay(taken) {
            cell.open(taken, snapshot: await taken.makeSnapshot())
            return false
        }
        noteClosed(cell)
        try? await taken.close()
        context.metrics.evictions.add(1)
        return true
    }

    /// Whether closing a file would lose what is not in it yet.
    private func mustStay(_ file: DatabaseFile) async -> Bool {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.evictDirty) { return false }
        #endif
        return await file.isDirty
    }
}
