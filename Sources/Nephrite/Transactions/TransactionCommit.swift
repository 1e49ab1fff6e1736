/// Commits a transaction's batches: staged on each database in the order of their numbers, then enqueued as one commit.
/// Transactions hand it what they wrote; it hands the log one commit with a part for each database.
import Synchronization

struct TransactionCommit {
    let running: RunningStore

    func run(_ batches: [(cell: DatabaseCell, batch: OperationBatch)]) async throws {
        // All of them are held open together: what does not fit at all is not worth waiting for.
        let limit = running.registry.openFileLimit
        guard batches.count <= limit else {
            throw StoreError.tooManyDatabases("writes to \(batches.count) databases", limit: limit)
        }
        var files: [(DatabaseCell, DatabaseFile)] = []
        defer { for (cell, _) in files { cell.unpin() } }
        for (cell, _) in batches {
            if let file = cell.pin() {
                files.append((cell, file))
            } else {
                files.append((cell, try await running.registry.pinned(cell)))
            }
        }
        await running.context.log.queue.waitForRoom()
        if batches.count == 1 {
            _ = try await files[0].1.commit(batches[0].batch)
            return
        }
        let byteCount = batches.reduce(0) { $0 + $1.batch.byteCount }
        try await running.context.pacer.waitForTurn(byteCount: byteCount)
        try await prepareAndCommit(batches.map(\.batch), files.map(\.1))
    }

    /// Prepares the parts one database after the other; whoever meets a prepared record waits, or, if it is a
    /// transaction, is in conflict. Nothing waits while it holds something prepared, so nothing waits in a circle.
    private func prepareAndCommit(_ batches: [OperationBatch], _ files: [DatabaseFile]) async throws {
        let log = running.context.log
        log.preparing.add(1, ordering: .acquiringAndReleasing)
        defer { log.preparing.subtract(1, ordering: .acquiringAndReleasing) }
        var parts: [CommitPart] = []
        do {
            for (batch, file) in zip(batches, files) { parts.append(try await file.prepare(batch)) }
        } catch {
            for part in parts.reversed() { await part.file.undo(part) }
            throw error
        }
        let isDurable = files.contains { $0.identity.options.durability == .durable }
        let commit = StagedCommit(parts: parts, isDurable: isDurable)
        let result: Result<RecordVersion, any Error>
        do {
            result = .success(
                try await withCheckedThrowingContinuation { continuation in
                    commit.setWaiter(continuation)
                    do throws(StoreError) {
                        try running.context.log.queue.append(commit)
                    } catch {
                        commit.finish(.failure(error))
                    }
                })
        } catch {
            result = .failure(error)
        }
        // Writers that met a prepared record wait for what has become of it.
        for file in files { await file.wakeWaiters() }
        _ = try result.get()
    }
}

extension DatabaseFile {
    /// Stages one part of a commit over several databases.
    func prepare(_ batch: OperationBatch) async throws -> CommitPart {
        while true {
            try await makeRoom(for: SpaceNeed(batch))
            if let part = try stage(batch) { return part }
            await waitForChange()
        }
    }
}
