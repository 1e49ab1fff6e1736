// What keeps things alive and in order: the ledger of snapshots, the log's retention and the commit queue, each against its
// definition.
import StorageFormat
import StorageSimulation
import Testing

@testable import Nephrite

/// Snapshots that are alive, against a list.
@Suite struct SnapshotLedgerTests {
    @Test("Random openings and closings: the oldest version alive is known", arguments: 0..<4 as Range<UInt64>)
    func model(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let ledger = SnapshotLedger()
        var alive: [(ticket: UInt64, version: UInt64)] = []
        var version: UInt64 = 0
        #expect(ledger.oldestVersion == .max && ledger.aliveCount == 0)
        for step in 0..<6_000 {
            if alive.isEmpty || random.chance(step / 500 % 2 == 0 ? 0.6 : 0.4) {
                version += UInt64(random.next(below: 3))
                alive.append((ledger.open(version: version), version))
            } else {
                let index = random.chance(0.5) ? 0 : random.next(below: alive.count)
                ledger.close(alive.remove(at: index).ticket)
            }
            #expect(ledger.oldestVersion == alive.map(\.version).min() ?? .max)
            #expect(ledger.aliveCount == alive.count)
        }
    }

    @Test("One old snapshot holds the oldest version while thousands come and go")
    func oneHolds() {
        let ledger = SnapshotLedger()
        let held = ledger.open(version: 5)
        for version in 6..<5_000 as Range<UInt64> { ledger.close(ledger.open(version: version)) }
        #expect(ledger.oldestVersion == 5 && ledger.aliveCount == 1)
        ledger.close(held)
        #expect(ledger.oldestVersion == .max)
    }
}

/// Which segments may go, against the definition: none that replaying from some database's previous checkpoint needs.
@Suite struct LogRetentionTests {
    private struct Progress {
        var lastWrite: UInt64 = 0
        var checkpoint: UInt64 = 0
        var previous: UInt64 = 0
    }

    @Test("Random commits, checkpoints and segments agree with the definition", arguments: 0..<6 as Range<UInt64>)
    func model(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let retention = LogRetention(sealed: [])
        var databases: [UInt32: Progress] = [:]
        var sealed: [LogRetention.SealedSegment] = []
        var lsn: UInt64 = 0
        var sequence: UInt64 = 1
        for _ in 0..<3_000 {
            let database = UInt32(1 + random.next(below: 6))
            switch random.next(below: 10) {
            case 0...4:
                lsn += 1
                retention.noteCommit(database: database, lsn: lsn)
                databases[database, default: Progress()].lastWrite = lsn
            case 5, 6:
                // A checkpoint reaches as far as what was applied when it began.
                guard var progress = databases[database] else { continue }
                let reach = max(progress.checkpoint, progress.lastWrite &- UInt64(random.next(below: 3)))
                retention.noteCheckpoint(database: database, lsn: min(reach, progress.lastWrite))
                progress.previous = progress.checkpoint
                progress.checkpoint = min(reach, progress.lastWrite)
                databases[database] = progress
            case 7:
                let segment = LogRetention.SealedSegment(sequence: sequence, lastLSN: lsn)
                sequence += 1
                retention.noteSealed(segment)
                sealed.append(segment)
            case 8 where random.chance(0.1):
                retention.forget(database: database)
                databases[database] = nil
            default:
                let needed =
                    databases.values.filter { $0.lastWrite > $0.previous }.map { $0.previous + 1 }.min() ?? .max
                #expect(retention.oldestNeededLSN == needed)
                let holding = databases.filter {
                    $1.lastWrite > $1.previous && $1.previous + 1 <= sealed.first?.lastLSN ?? 0
                }
                #expect(retention.databasesHoldingBack == holding.keys.sorted())
                let expected = Array(sealed.prefix { $0.lastLSN < needed })
                #expect(retention.takeDeletable() == expected)
                sealed.removeFirst(expected.count)
            }
            #expect(retention.sealedCount == sealed.count)
        }
    }

    @Test(
        "A database that was only opened needs nothing; one that recovery replayed needs what is behind its checkpoint")
    func openedAndRecovered() {
        let retention = LogRetention(sealed: [.init(sequence: 2, lastLSN: 20), .init(sequence: 1, lastLSN: 10)])
        retention.noteOpened(database: 1, checkpointLSN: 5)
        #expect(retention.oldestNeededLSN == .max)
        retention.noteRecovered(database: 2, checkpointLSN: 12, lastWriteLSN: 18)
        #expect(retention.oldestNeededLSN == 13)
        #expect(retention.takeDeletable().map(\.sequence) == [1])
        #expect(retention.databasesHoldingBack == [2])
        retention.noteCheckpoint(database: 2, lsn: 18)
        #expect(retention.takeDeletable() == [], "the generation before that checkpoint still needs the log")
        retention.noteCheckpoint(database: 2, lsn: 18)
        #expect(retention.takeDeletable().map(\.sequence) == [2])
    }

    @Test("Bytes are counted until they are reset")
    func bytes() {
        let retention = LogRetention(sealed: [])
        #expect([retention.noteBytes(3), retention.noteBytes(4)] == [3, 7])
        retention.resetBytes()
        #expect(retention.noteBytes(1) == 1)
    }
}

/// The queue in front of the log.
@Suite(.timeLimit(.minutes(20))) struct CommitQueueTests {
    private static func commit(bodyByteCount: Int = 100) -> StagedCommit {
        let log = LogBuffer(capacity: 64)
        _ = log.appendRecord(.resize, database: 1, bodyLength: bodyByteCount)
        return StagedCommit(parts: [], administration: log, isDurable: true)
    }

    @Test("Commits get LSNs one after the other and are drained in that order, whoever appends them")
    func order() async throws {
        let queue = CommitQueue(nextLSN: 10, byteLimit: .max)
        try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try (0..<100).map { _ in
                        let commit = Self.commit()
                        try queue.append(commit)
                        return commit.lsn
                    }
                }
            }
            var all: [UInt64] = []
            for try await own in group {
                #expect(own == own.sorted())
                all += own
            }
            #expect(all.sorted() == Array(10..<810))
        }
        #expect(queue.lastLSN == 809 && !queue.isEmpty)
        #expect(queue.drain().commits.map(\.lsn) == Array(10..<810))
        #expect(queue.isEmpty && queue.drain().isEmpty)
    }

    @Test("A wake-up waits for the log task, however many commits there are")
    func wakeups() async throws {
        let queue = CommitQueue(nextLSN: 1, byteLimit: .max)
        for _ in 0..<5 { try queue.append(Self.commit()) }
        var iterator = queue.wakeups.makeAsyncIterator()
        #expect(await iterator.next() != nil)
        #expect(queue.drain().commits.count == 5)
        queue.finish()
        #expect(await iterator.next() == nil)
        #expect(await queue.waitWhileDraining() == false)
    }

    @Test(
        "Who finds more than the limit waiting is let through by draining, or by a failure", arguments: [false, true])
    func backPressure(_ fails: Bool) async throws {
        let queue = CommitQueue(nextLSN: 1, byteLimit: 50)
        await queue.waitForRoom()
        try queue.append(Self.commit())
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<10 { group.addTask { await queue.waitForRoom() } }
            for _ in 0..<100 { await Task.yield() }
            if fails { _ = queue.fail(.closed("x")) } else { _ = queue.drain() }
        }
        await queue.waitForRoom()
    }

    @Test("After a failure nothing is taken, and what waited is handed back")
    func failure() async throws {
        let queue = CommitQueue(nextLSN: 1, byteLimit: .max)
        try queue.append(Self.commit())
        let error = StoreError.closed("x")
        #expect(queue.fail(error).commits.map(\.lsn) == [1])
        #expect(queue.failure == error)
        #expect(throws: StoreError.self) { try queue.append(Self.commit()) }
        await #expect(throws: StoreError.self) { try await queue.synchronize() }
        queue.append(note: LogBuffer(capacity: 64))
        #expect(queue.isEmpty && queue.lastLSN == 1)
        #expect(queue.fail(.closed("y")).isEmpty && queue.failure == error)
    }

    @Test("A log task that drains at the end is woken by a commit, and ends when all is over")
    func draining() async throws {
        let queue = CommitQueue(nextLSN: 1, byteLimit: .max)
        let drained = await withTaskGroup(of: Int.self) { group in
            group.addTask {
                var count = 0
                while await queue.waitWhileDraining() { count += queue.drain().commits.count }
                return count
            }
            for _ in 0..<50 {
                try? queue.append(Self.commit())
                await Task.yield()
            }
            queue.finish()
            return await group.next()!
        }
        #expect(drained == 50)
        #expect(throws: StoreError.self) { try queue.append(Self.commit()) }
    }
}
