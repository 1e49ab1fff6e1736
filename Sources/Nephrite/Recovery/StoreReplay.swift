/// Replays a scanned log over the whole store: the catalogue's changes first, then each database that has records in it.
import StorageFormat
import StorageIO

struct StoreReplay {
    let opening: StoreOpening
    let log: LogScan.Outcome

    /// Refuses a log that ends before something that was written after it had been synced.
    func checkReach(_ catalogue: Catalogue) throws(StoreError) {
        let reached = log.segments.isEmpty ? catalogue.lastLSN : log.lastLSN
        guard reached >= catalogue.catalogueLSN, reached >= catalogue.lastLSN else {
            throw .corruption(
                "The log ends at commit \(reached), but the catalogue knows of commit "
                    + "\(max(catalogue.catalogueLSN, catalogue.lastLSN)).", path: "wal")
        }
    }

    // MARK: Catalogue

    func replayCatalogue(_ catalogue: inout Catalogue) throws(StoreError) {
        for commit in log.commits where commit.lsn > catalogue.catalogueLSN {
            unsafe try forEachRecord(of: commit) { (header, body) throws(StoreError) in
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
        _ catalogue: Catalogue
    ) throws(StoreError) -> ([(database: UInt32, oldCheckpointLSN: UInt64, lastWriteLSN: UInt64)], Int) {
        var commits: [UInt32: [CommitLocation]] = [:]
        for commit in log.commits {
            var seen: Set<UInt32> = []
            unsafe try forEachRecord(of: commit) { (header, _) throws(StoreError) in
                if header.database != 0, seen.insert(header.database).inserted {
                    commits[header.database, default: []].append(commit)
                }
            }
        }
        var recovered: [(database: UInt32, oldCheckpointLSN: UInt64, lastWriteLSN: UInt64)] = []
        var replayed = 0
        for entry in catalogue.entries {
            guard let own = commits[entry.number] else { continue }
            let loader = DatabaseLoader(
                entry: entry, fileSystem: opening.fileSystem, reservation: 1 << 20, acceptsOlderGeneration: true)
            let loaded = try loader.load()
            let old = loaded.checkpointLSN
            let last = own.last?.lsn ?? old
            guard log.lastLSN >= old else {
                throw .corruption(
                    "The log ends at commit \(log.lastLSN), but the database holds commit \(old).",
                    database: entry.name)
            }
            if last > old || loaded.otherGenerationIsLost {
                var replay = DatabaseReplay(loaded)
                for commit in own { try replay.replay(commit, in: log.segments[commit.segment]) }
                // A log that begins later (the store was closed cleanly in between) is complete for this database if
                // the fingerprint that its last commit recorded is reached, which `finish` checks.
                if loaded.otherGenerationIsLost, (log.firstLSN ?? .max) > old + 1, !replay.isProvenComplete {
                    throw .corruption(
                        "One generation of the header is damaged and the log does not reach back to the other.",
                        database: entry.name)
                }
                try replay.finish(through: max(old, last))
                replayed += replay.replayedCommitCount
                recovered.append((entry.number, old, last))
            }
            try? loaded.dataFile.file.close()
        }
        return (recovered, replayed)
    }

    private func forEachRecord(
        of commit: CommitLocation, _ body: (LogRecordHeader, UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) {
        let segment = log.segments[commit.segment]
        let bytes = unsafe segment.bytes
        var position = commit.range.lowerBound
        while position < commit.range.upperBound {
            guard
                case .record(let header, let range, let next) = unsafe LogCodec.read(
                    bytes, at: position, saltSeed: segment.header.saltSeed)
            else { throw .corruption("A commit in the log changed while it was replayed.", path: "wal") }
            try unsafe body(header, UnsafeRawBufferPointer(rebasing: bytes[range]))
            position = next
        }
    }
}
