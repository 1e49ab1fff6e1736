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
        /// For recovered databases: the checkpoint before recovery, the last write, and the checkpoint recovery made.
        var recovered: [(database: UInt32, oldCheckpointLSN: UInt64, lastWriteLSN: UInt64)]
        var report: RecoveryReport
    }

    private var catalogueFile: CatalogueFile { CatalogueFile(fileSystem: fileSystem) }
    private var random: any RandomSource { configuration.environment.random }
    private var now: UInt64 { configuration.environment.clock.wallNanoseconds() }

    func open() throws(StoreError) -> Outcome {
        let lock: any StorageLock
        do {
            try fileSystem.openRoot(createIfMissing: true)
            try checkMount()
            lock = try fileSystem.lockRoot(exclusive: true)
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

    private func checkMount() throws(StoreError) {
        guard let posix = fileSystem as? POSIXFileSystem, !configuration.allowsNetworkFileSystems,
            case .network(let kind) = posix.mountKind()
        else { return }
        throw StoreError(
            .notWritable, "The directory is on a network file system (\(kind)).", path: path,
            remedy: "Use a local disk, or set allowsNetworkFileSystems and accept that locks and syncs may not hold.")
    }

    private func open(holding lock: any StorageLock) throws(StoreError) -> Outcome {
        var catalogue = try readOrCreateCatalogue()
        var report = RecoveryReport()
        let sequences = try logSequences()
        let isClean =
            catalogue.isCleanShutdown
            && (sequences.last.map { $0 < catalogue.nextSegmentSequence } ?? true)
        let scan = LogScan(fileSystem: fileSystem, storeUUID: catalogue.storeUUID)
        var log = LogScan.Outcome()
        log.highestSequence = sequences.last ?? 0
        var recovered: [(database: UInt32, oldCheckpointLSN: UInt64, lastWriteLSN: UInt64)] = []
        if isClean {
            log.obsolete = sequences
        } else {
            log = try scan.run(sequences: sequences)
            try StoreReplay(opening: self, log: log).checkReach(catalogue)
        }
        let lastLSN = max(log.lastLSN, catalogue.lastLSN, catalogue.catalogueLSN)
        let segment: SegmentWriter
        do {
            segment = try startLog(after: log, catalogue: catalogue, lastLSN: lastLSN)
        } catch {
            throw StoreError(error)
        }
        if !isClean {
            report.wasClean = false
            report.tornByteCount = log.tornByteCount
            report.logByteCount = log.segments.reduce(0) { $0 + $1.acceptedEnd }
            let replay = StoreReplay(opening: self, log: log)
            try replay.replayCatalogue(&catalogue)
            (recovered, report.replayedCommitCount) = try replay.replayDatabases(catalogue)
        }
        report.orphans = try orphans(catalogue)
        catalogue.isCleanShutdown = false
        catalogue.lastLSN = lastLSN
        catalogue.nextSegmentSequence = segment.header.sequence + 1
        catalogue.generation += 1
        do {
            try catalogueFile.write(catalogue)
            try removeObsolete(log, catalogue: catalogue)
        } catch {
            throw StoreError(error)
        }
        let sealed = log.segments.dropLast().map {
            LogRetention.SealedSegment(sequence: $0.header.sequence, lastLSN: $0.lastLSN)
        }
        return Outcome(
            lock: lock, catalogue: catalogue, segment: segment, nextLSN: lastLSN + 1, sealed: Array(sealed),
            recovered: recovered, report: report)
    }

    // MARK: Catalogue

    private func readOrCreateCatalogue() throws(StoreError) -> Catalogue {
        if let catalogue = try catalogueFile.read() { return catalogue }
        do {
            let names = try fileSystem.list(.root).map(\.name)
            // A creation that was cut short leaves at most these.
            let ours: Set<String> = ["LOCK", "CATALOG.tmp", "wal"]
            let walIsEmpty = names.contains("wal") ? try fileSystem.list(SegmentWriter.directory).isEmpty : true
            guard names.allSatisfy(ours.contains), walIsEmpty else {
                throw refusal
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

    private var refusal: StoreError {
        StoreError(
            .notAStore, "The directory is not empty and has no CATALOG of ours.", path: path,
            remedy: "Choose an empty directory; nothing was changed in this one.")
    }

    /// Directories that no database claims; unused leftovers of interrupted creations and drops are removed.
    private func orphans(_ catalogue: Catalogue) throws(StoreError) -> [String] {
        do {
            let names = Set(catalogue.entries.map(\.name))
            let directory = DatabaseDirectory(fileSystem: fileSystem)
            var orphans: [String] = []
            for entry in try fileSystem.list(.root) where entry.kind == .directory && entry.name != "wal" {
                if names.contains(entry.name) { continue }
                let isLeftover =
                    entry.name.hasPrefix(DatabaseDirectory.trashPrefix)
                    || entry.name.hasPrefix(DatabaseDirectory.creatingPrefix) || directory.isUnused(entry.name)
                if isLeftover {
                    try directory.removeIfThere(entry.name)
                } else {
                    orphans.append(entry.name)
                }
            }
            return orphans
        } catch {
            throw StoreError(error)
        }
    }

    // MARK: Log

    private func logSequences() throws(StoreError) -> [UInt64] {
        do throws(FileSystemError) {
            var sequences: [UInt64] = []
            for entry in try fileSystem.list(SegmentWriter.directory) {
                if let sequence = SegmentHeader.sequence(fileName: entry.name) {
                    sequences.append(sequence)
                } else if entry.name.hasSuffix(".tmp") {
                    try fileSystem.unlink(StoragePath("wal", entry.name))
                }
            }
            return sequences.sorted()
        } catch {
            throw StoreError(error)
        }
    }

    /// Starts a fresh segment that holds the accepted records of the last one, resealed and synced: the page cache may
    /// hold what the disk lost, and nothing is ever appended behind a torn tail.
    private func startLog(
        after log: LogScan.Outcome, catalogue: Catalogue, lastLSN: UInt64
    ) throws(FileSystemError) -> SegmentWriter {
        let sequence = max(log.highestSequence + 1, catalogue.nextSegmentSequence)
        let last = log.segments.last
        let tail = LogTail(log: log)
        let byteCount = max(
            max(configuration.logSegmentByteCount, 1 << 16), SegmentHeader.recordsOffset + tail.byteCount + (1 << 16))
        let header = SegmentHeader(
            storeUUID: catalogue.storeUUID, sequence: sequence, saltLow: random.next(), saltHigh: random.next(),
            previousSequence: last?.header.previousSequence ?? 0,
            previousByteCount: last?.header.previousByteCount ?? 0,
            previousLastLSN: last?.header.previousLastLSN ?? 0,
            previousLastChecksum: last?.header.previousLastChecksum ?? 0,
            // Without a predecessor it stands for itself: what else lies there was of no use when it was made.
            flags: last.map { $0.header.flags.union(.replacesPrevious) } ?? .replacesPrevious,
            firstLSN: last?.header.firstLSN ?? lastLSN + 1, createdAt: now, byteCount: UInt64(byteCount),
            oldestNeededLSN: last?.header.oldestNeededLSN ?? lastLSN + 1)
        let temporary = StoragePath("wal", SegmentHeader.fileName(sequence: sequence) + ".tmp")
        let file = try fileSystem.open(temporary, .createNew)
        var segment = SegmentWriter(header: header, file: file)
        do {
            try SegmentWriter.prepare(file, header)
            try tail.copy(to: &segment)
            try file.synchronize()
            try fileSystem.rename(temporary, to: SegmentWriter.path(sequence))
            try fileSystem.synchronizeDirectory(SegmentWriter.directory)
        } catch {
            try? file.close()
            try? fileSystem.unlink(temporary)
            throw error
        }
        segment.lastLSN = max(lastLSN, segment.lastLSN)
        return segment
    }

    private func removeObsolete(_ log: LogScan.Outcome, catalogue: Catalogue) throws(FileSystemError) {
        var gone = log.obsolete
        if let last = log.segments.last { gone.append(last.header.sequence) }
        for segment in log.segments { try? segment.file.close() }
        for sequence in gone.sorted() {
            do {
                try fileSystem.unlink(SegmentWriter.path(sequence))
            } catch  where error.isNotFound {}
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
