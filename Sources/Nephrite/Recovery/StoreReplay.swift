/// Replays a scanned log over the whole store: the catalogue's changes first, then each database that has records in it.
import StorageFormat
import StorageIO

/// What became of a database that the log has records of.
struct DatabaseRecovery: Sendable {
    let database: UInt32
    /// The checkpoint before recovery's own, or before the newest one if that holds everything.
    let oldCheckpointLSN: UInt64
    /// The last commit, which recovery checkpointed unless it failed.
    let lastWriteLSN: UInt64
    /// The generation of the newest header, which recovery has synced; 0 if it failed.
    var generation: UInt64 = 0
    /// What is damaged; such a database is refused, and the log kept for it.
    var failure: StoreError?
}

struct StoreReplay {
    /// What is wrong with a data file, rather than with the disk or the process.
    private static let concernsOneDatabase: Set<StoreError.Code> = [.corruption, .notAStore, .newerFormat]

    let opening: StoreOpening
    let log: LogScan.Outcome

    /// Refuses a log that ends before something that was written after it had been synced, or that begins behind a clean
    /// shutdown which the catalogue does not know of: what was created and dropped in between would be gone without a word.
    func checkReach(_ catalogue: Catalogue) throws(StoreError) {
        // A segment without a predecessor was begun after a clean shutdown, with the commit after the catalogue's last.
        let known = max(catalogue.catalogueLSN, catalogue.lastLSN)
        if let first = log.segments.first?.header, !first.hasPrevious, first.firstLSN > known &+ 1 {
            throw .corruption(
                "The catalogue knows of commits up to \(known) and is older than the log, which begins with commit "
                    + "\(first.firstLSN).", path: CatalogueFile.path.description)
        }
        let reached = log.segments.isEmpty ? catalogue.lastLSN : log.lastLSN
        guard reached >= known else {
            throw .corruption(
                "The log ends at commit \(reached), but the catalogue knows of commit \(known).", path: "wal")
        }
    }

    /// Refuses a log that ends before a checkpoint of a database: commits that were on disk are gone from its end, and other
    /// databases may have lost what nothing else tells. Damage to the last segment looks like what a crash leaves.
    func checkCheckpoints(_ catalogue: Catalogue) throws(StoreError) {
        let reached = max(log.lastLSN, catalogue.lastLSN)
        for entry in catalogue.entries {
            let loader = DatabaseLoader(
                entry: entry, fileSystem: opening.fileSystem, reservation: 1 << 20, purpose: .recovery)
            guard let checkpoint = try loader.newestCheckpointLSN(), checkpoint > reached else { continue }
            throw .corruption(
                "The log ends at commit \(reached), but the database holds commit \(checkpoint).", database: entry.name)
        }
    }

    // MARK: Catalogue

    func replayCatalogue(_ catalogue: inout Catalogue) throws(StoreError) {
        for commit in log.commits where commit.lsn > catalogue.catalogueLSN && commit.contents.changesCatalogue {
            unsafe try log.forEachRecord(of: commit) { (header, body) throws(StoreError) in
                do throws(FormatError) {
                    switch header.type {
                    case .createDatabase:
                        let entry = try unsafe CatalogueEntry.decode(body)
                        guard !catalogue.entries.contains(where: { $0.number == entry.number }) else { break }
                        catalogue.entries.append(entry)
                        catalogue.entries.sort { $0.name < $1.name }
                        catalogue.nextDatabaseNumber = max(catalogue.nextDatabaseNumber, entry.number + 1)
                        catalogue.catalogueLSN = header.lsn
                    case .deleteDatabase:
                        let number = try unsafe DeleteDatabaseBody.decode(body).number
                        try dropped(number, from: &catalogue)
                        catalogue.catalogueLSN = header.lsn
                    default:
                        break
                    }
                } catch {
                    throw StoreError(error, path: "wal")
                }
            }
        }
    }

    private func dropped(_ number: UInt32, from catalogue: inout Catalogue) throws(FormatError) {
        guard let index = catalogue.entries.firstIndex(where: { $0.number == number }) else { return }
        let entry = catalogue.entries.remove(at: index)
        let directory = DatabaseDirectory(fileSystem: opening.fileSystem)
        // The name may be that of a later database already, whose creation comes further on in the log.
        guard directory.holds(entry) else { return }
        // Left in place it would be reported as an orphan; a failure here is met again by whoever reuses the name.
        try? directory.moveToTrash(name: entry.name, number: number)
        try? directory.emptyTrash(number: number)
    }

    // MARK: Databases

    /// Replays every database in the log; returns what retention must know, and how many commits were replayed.
    func replayDatabases(
        _ catalogue: Catalogue, isReadOnly: Bool
    ) throws(StoreError) -> ([DatabaseRecovery], Int) {
        var commits: [UInt32: [CommitLocation]] = [:]
        for commit in log.commits where commit.contents.database != 0 {
            commits[commit.contents.database, default: []].append(commit)
            for database in commit.contents.otherDatabases { commits[database, default: []].append(commit) }
        }
        var recovered: [DatabaseRecovery] = []
        var replayed = 0
        let total = catalogue.entries.reduce(0) { total, entry in
            (commits[entry.number] ?? []).reduce(total) { $0 + $1.range.count }
        }
        var meter = RecoveryMeter(.replaying, total: total, opening.configuration.recoveryProgress)
        defer { meter.finish() }
        for entry in catalogue.entries {
            guard let own = commits[entry.number] else { continue }
            let last = own.last?.lsn ?? 0
            let loader = DatabaseLoader(
                entry: entry, fileSystem: opening.fileSystem, reservation: 1 << 20, purpose: .recovery)
            let loaded: LoadedDatabase
            do throws(StoreError) {
                loaded = try loader.load()
            } catch {
                // One damaged database does not take the store down; what the log holds of it is kept.
                guard Self.concernsOneDatabase.contains(error.code) else { throw error }
                recovered.append(
                    DatabaseRecovery(database: entry.number, oldCheckpointLSN: 0, lastWriteLSN: last, failure: error))
                continue
            }
            defer { try? loaded.dataFile.file.close() }
            let old = loaded.checkpointLSN
            guard log.lastLSN >= old else {
                // The log itself has lost commits: others' too, perhaps.
                let loss = StoreError.corruption(
                    "The log ends at commit \(log.lastLSN), but the database holds commit \(old).",
                    database: entry.name)
                guard isReadOnly else { throw loss }
                // What the file holds is whole, and newer than anything that the log could add.
                if loaded.otherGenerationIsLost {
                    recovered.append(
                        DatabaseRecovery(
                            database: entry.number, oldCheckpointLSN: old, lastWriteLSN: last, failure: loss))
                }
                continue
            }
            // The checkpoint may be in the page cache alone; what is replayed builds on it, and the log will be let go.
            if !isReadOnly { try loader.makeHeaderDurable(of: loaded) }
            guard last > old || loaded.otherGenerationIsLost else {
                recovered.append(
                    DatabaseRecovery(
                        database: entry.number, oldCheckpointLSN: loaded.previousCheckpointLSN, lastWriteLSN: old,
                        generation: loaded.generation))
                continue
            }
            do throws(StoreError) {
                replayed += try replay(own, of: entry, on: loaded, through: max(old, last), &meter)
                recovered.append(
                    DatabaseRecovery(
                        database: entry.number, oldCheckpointLSN: old, lastWriteLSN: max(old, last),
                        generation: loaded.generation + 1))
            } catch {
                guard Self.concernsOneDatabase.contains(error.code) else { throw error }
                recovered.append(
                    DatabaseRecovery(database: entry.number, oldCheckpointLSN: old, lastWriteLSN: last, failure: error))
            }
        }
        return (recovered, replayed)
    }

    /// Replays one database's commits and checkpoints it; how many there were.
    private func replay(
        _ commits: [CommitLocation], of entry: CatalogueEntry, on loaded: LoadedDatabase, through lsn: UInt64,
        _ meter: inout RecoveryMeter
    ) throws(StoreError) -> Int {
        var replay = DatabaseReplay(loaded)
        for commit in commits {
            try replay.replay(commit, in: log.segments[commit.segment])
            meter.advance(commit.range.count)
        }
        // A log that begins later (the store was closed cleanly in between) is complete for this database if the
        // fingerprint that its last commit recorded is reached, which `finish` checks.
        // One that begins with the database's creation, before any record, is complete in any case; so is one that begins
        // with the clean shutdown after which the file was as it is.
        if loaded.otherGenerationIsLost, (log.firstLSN ?? .max) > loaded.checkpointLSN + 1, !replay.isProvenComplete,
            !holdsEverything(since: loaded.generation, of: entry), try !holdsCreation(of: loaded.identity.number)
        {
            throw .corruption(
                "One generation of the header is damaged and the log does not reach back to the other.",
                database: loaded.identity.name)
        }
        try replay.finish(through: lsn)
        return replay.replayedCommitCount
    }

    /// Whether the log has everything since the clean shutdown before it, when the catalogue was told of this generation.
    private func holdsEverything(since generation: UInt64, of entry: CatalogueEntry) -> Bool {
        generation == entry.generation && log.segments.first?.header.hasPrevious == false
    }

    /// Whether the log has the record that created a database, and so everything that was ever done to it.
    private func holdsCreation(of number: UInt32) throws(StoreError) -> Bool {
        var isFound = false
        for commit in log.commits where commit.contents.database == 0 && !isFound {
            unsafe try log.forEachRecord(of: commit) { (header, body) throws(StoreError) in
                guard header.type == .createDatabase else { return }
                isFound = unsafe isFound || (try? CatalogueEntry.decode(body))?.number == number
            }
        }
        return isFound
    }
}
