/// Opens a store's directory: lock, catalogue, log, recovery of what a crash left, a fresh log segment (O7). `run()`
/// calls it once on an I/O thread and builds the running store from its outcome.
import StorageFormat
import StorageIO

/// What recovery found and did when the store was opened.
public struct RecoveryReport: Sendable, Hashable {
    /// Whether the store had been shut down cleanly, so that nothing was to recover.
    public internal(set) var wasClean = true
    /// Commits that were replayed from the log.
    public internal(set) var replayedCommitCount = 0
    /// Log bytes that were read.
    public internal(set) var logByteCount = 0
    /// Bytes cut from the end of the log: a write that was under way and had not been acknowledged.
    public internal(set) var tornByteCount = 0
    /// Directories in the store that no database claims; they were left alone.
    public internal(set) var orphans: [String] = []
    /// Damage of the catalogue or the log that was met and mended: one of two copies was good.
    public internal(set) var damages: [Damage] = []
}

struct StoreOpening {
    let path: String
    let configuration: StoreConfiguration
    let fileSystem: any FileSystem

    /// Everything the running store starts from.
    struct Outcome: Sendable {
        var lock: any StorageLock
        var catalogue: Catalogue
        var segment: SegmentWriter
        var nextLSN: UInt64
        var sealed: [LogRetention.SealedSegment]
        /// Databases that the log had records of.
        var recovered: [DatabaseRecovery]
        var report: RecoveryReport
    }

    var catalogueFile: CatalogueFile { CatalogueFile(fileSystem: fileSystem) }
    var random: any RandomSource { configuration.environment.random }
    var now: UInt64 { configuration.environment.clock.wallNanoseconds() }

    /// Whether everything is done in memory, and damage that a writer would refuse is noted instead.
    var isReadOnly: Bool { configuration.access == .readOnly }

    func open() throws(StoreError) -> Outcome {
        let lock: any StorageLock
        do {
            try fileSystem.openRoot(createIfMissing: !isReadOnly)
            try checkMount()
            try checkOwnership()
            lock = try fileSystem.lockRoot(exclusive: !isReadOnly)
        } catch let error as FileSystemError {
            throw StoreError(error)
        } catch {
            throw .wrapping(error)
        }
        do throws(StoreError) {
            return try open(holding: lock)
        } catch {
            lock.release()
            throw error
        }
    }

    /// Refuses a directory that is not ours before so much as a lock file is put there.
    private func checkOwnership() throws {
        // The log is looked at first: a store being created elsewhere has its CATALOG before its first segment.
        let walIsEmpty: Bool
        do {
            walIsEmpty = try fileSystem.list(SegmentWriter.directory).isEmpty
        } catch {
            // Something else of that name is not ours.
            walIsEmpty = error.isNotFound
        }
        let names = try fileSystem.list(.root).map(\.name)
        if names.contains("CATALOG") { return }
        guard walIsEmpty, names.allSatisfy(Self.namesBeforeCatalogue.contains) else { throw refusal }
    }

    /// What a creation that was cut short leaves at most.
    private static let namesBeforeCatalogue: Set<String> = ["LOCK", "CATALOG.tmp", "wal"]

    private func checkMount() throws(StoreError) {
        guard let posix = fileSystem as? POSIXFileSystem, !configuration.allowsNetworkFileSystems,
            case .network(let kind) = posix.mountKind()
        else { return }
        throw StoreError(
            .notWritable, "The directory is on a network file system (\(kind)).", path: path,
            remedy: "Use a local disk, or set allowsNetworkFileSystems and accept that locks and syncs may not hold.")
    }

    private func open(holding lock: any StorageLock) throws(StoreError) -> Outcome {
        var report = RecoveryReport()
        var catalogue = try readOrCreateCatalogue(&report)
        let (sequences, hasDirectory) = try logSequences()
        let isClean =
            catalogue.isCleanShutdown
            && (sequences.last.map { $0 < catalogue.nextSegmentSequence } ?? true)
        if !isClean {
            try tolerating(&report) { () throws(StoreError) in try checkLogIsThere(sequences, catalogue) }
        }
        if !hasDirectory { try makeLogDirectory() }
        let scan = LogScan(
            fileSystem: fileSystem, storeUUID: catalogue.storeUUID, stopsAtDamage: isReadOnly,
            progress: configuration.recoveryProgress)
        var log = LogScan.Outcome()
        log.highestSequence = sequences.last ?? 0
        if isClean {
            log.obsolete = sequences
        } else {
            log = try scan.run(sequences: sequences)
            let tail = UnsyncedTail(
                fileSystem: fileSystem, log: log, catalogue: catalogue, makesDurable: !isReadOnly)
            if let loss = try tail.firstLoss() { log.cut(before: loss) }
            report.damages += log.damages
            let replay = StoreReplay(opening: self, log: log)
            try tolerating(&report) { () throws(StoreError) in try replay.checkReach(catalogue) }
            try tolerating(&report) { () throws(StoreError) in try replay.checkCheckpoints(catalogue) }
        }
        let lastLSN = max(log.lastLSN, catalogue.lastLSN, catalogue.catalogueLSN)
        let segment: SegmentWriter
        do {
            segment =
                try isClean
                ? startLog(after: log, catalogue: catalogue, lastLSN: lastLSN)
                : startLogRemovingReplaced(after: log, catalogue: catalogue, lastLSN: lastLSN)
        } catch {
            throw StoreError(error)
        }
        let recovered = try recover(log, into: segment, isClean: isClean, lastLSN: lastLSN, &catalogue, &report)
        let sealed = log.segments.dropLast().map {
            LogRetention.SealedSegment(sequence: $0.header.sequence, lastLSN: $0.lastLSN)
        }
        return Outcome(
            lock: lock, catalogue: catalogue, segment: segment, nextLSN: lastLSN + 1, sealed: Array(sealed),
            recovered: recovered, report: report)
    }

    /// Replays the log and makes the fresh segment the one that counts.
    private func recover(
        _ log: LogScan.Outcome, into segment: SegmentWriter, isClean: Bool, lastLSN: UInt64,
        _ catalogue: inout Catalogue,
        _ report: inout RecoveryReport
    ) throws(StoreError) -> [DatabaseRecovery] {
        var recovered: [DatabaseRecovery] = []
        if !isClean {
            report.wasClean = false
            report.tornByteCount = log.tornByteCount
            report.logByteCount = log.segments.reduce(0) { $0 + $1.acceptedEnd }
            let replay = StoreReplay(opening: self, log: log)
            try replay.replayCatalogue(&catalogue)
            (recovered, report.replayedCommitCount) = try replay.replayDatabases(catalogue, isReadOnly: isReadOnly)
        }
        report.orphans = try orphans(catalogue)
        catalogue.isCleanShutdown = false
        catalogue.lastLSN = lastLSN
        catalogue.nextSegmentSequence = segment.header.sequence + 1
        catalogue.generation += 1
        do {
            if isReadOnly {
                for segment in log.segments { try? segment.file.close() }
            } else {
                try catalogueFile.write(catalogue)
                try removeObsolete(log, catalogue: catalogue)
            }
        } catch {
            throw StoreError(error)
        }
        return recovered
    }

    /// Makes a check that a writer must pass; a reader notes what it finds and goes on with what there is.
    private func tolerating(
        _ report: inout RecoveryReport, _ check: () throws(StoreError) -> Void
    ) throws(StoreError) {
        do throws(StoreError) {
            try check()
        } catch  where isReadOnly && error.code == .corruption {
            report.damages.append(Damage(error))
        }
    }

    // MARK: Catalogue

    private func readOrCreateCatalogue(_ report: inout RecoveryReport) throws(StoreError) -> Catalogue {
        if let (catalogue, damagedCopies) = try readCatalogue() {
            report.damages += damagedCopies.map {
                .mended(
                    "Copy \($0 + 1) of 2 of the catalogue is damaged; the other was used, and both are written anew.",
                    path: CatalogueFile.path.description)
            }
            // A process that was killed may have renamed it and not synced the root. The log that is begun now relies on it.
            if !isReadOnly {
                do throws(FileSystemError) {
                    try fileSystem.synchronizeDirectory(.root)
                } catch {
                    throw StoreError(error)
                }
            }
            return catalogue
        }
        do {
            let names = try fileSystem.list(.root).map(\.name)
            let walIsEmpty = names.contains("wal") ? try fileSystem.list(SegmentWriter.directory).isEmpty : true
            guard names.allSatisfy(Self.namesBeforeCatalogue.contains), walIsEmpty else {
                throw refusal
            }
            if isReadOnly {
                throw StoreError(
                    .notAStore, "There is no store in the directory.", path: path,
                    remedy: "Check the path; a store that is opened for reading is not created.")
            }
            if !names.contains("wal") { try fileSystem.createDirectory(SegmentWriter.directory) }
            let catalogue = Catalogue(
                storeUUID: StorageUUID.random(random), generation: 1, catalogueLSN: 0, lastLSN: 0,
                nextSegmentSequence: 1, nextDatabaseNumber: 1, isCleanShutdown: true, createdAt: now, entries: [])
            try catalogueFile.write(catalogue)
            return catalogue
        } catch {
            throw .wrapping(error)
        }
    }

    /// The catalogue, and which of its copies are damaged; nil if there is none.
    private func readCatalogue() throws(StoreError) -> (Catalogue, damagedCopies: [Int])? {
        do throws(StoreError) {
            return try catalogueFile.read()
        } catch  where error.code == .notAStore && holdsFilesOfAStore {
            throw .corruption(
                "The catalogue does not begin as one of ours does, and the directory holds other files of a store.",
                path: CatalogueFile.path.description, offset: error.offset)
        }
    }

    /// Whether there are log segments, or directories with a data file, by their names.
    private var holdsFilesOfAStore: Bool {
        let segments = (try? fileSystem.list(SegmentWriter.directory)) ?? []
        if segments.contains(where: { SegmentHeader.sequence(fileName: $0.name) != nil }) { return true }
        return ((try? fileSystem.list(.root)) ?? []).contains { entry in
            guard entry.kind == .directory, entry.name != "wal" else { return false }
            let files = (try? fileSystem.list(StoragePath(entry.name))) ?? []
            return files.contains { $0.name == DatabaseIdentity.dataFileName }
        }
    }

    private var refusal: StoreError {
        if holdsFilesOfAStore {
            return .corruption(
                "The directory holds files of a store and no CATALOG.", path: CatalogueFile.path.description)
        }
        return StoreError(
            .notAStore, "The directory is not empty and has no CATALOG of ours.", path: path,
            remedy:
                "Choose an empty directory; nothing was changed in this one. If it was a store, salvage rebuilds it.")
    }

    /// Directories that no database claims; unused leftovers of interrupted creations and drops are removed.
    private func orphans(_ catalogue: Catalogue) throws(StoreError) -> [String] {
        do {
            let names = Set(catalogue.entries.map(\.name))
            let directory = DatabaseDirectory(fileSystem: fileSystem)
            var orphans: [String] = []
            for entry in try fileSystem.list(.root) where entry.kind == .directory && entry.name != "wal" {
                if names.contains(entry.name) { continue }
                if entry.name.hasPrefix(DatabaseDirectory.trashPrefix)
                    || entry.name.hasPrefix(DatabaseDirectory.creatingPrefix)
                {
                    try directory.removeIfThere(entry.name)
                } else if directory.isUnused(entry.name) {
                    try directory.removeUnclaimed(entry.name)
                } else {
                    orphans.append(entry.name)
                }
            }
            return orphans
        } catch {
            throw StoreError(error)
        }
    }
}

extension StorageUUID {
    /// A random (version 4) UUID.
    static func random(_ source: any RandomSource) -> StorageUUID {
        let high = source.next() & ~0xF000 | 0x4000
        let low = source.next() & ~(3 << 62) | 1 << 63
        return StorageUUID(high: high, low: low)
    }
}
