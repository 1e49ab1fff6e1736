/// The log as opening a store finds and leaves it: which segments there are, the fresh one that goes on from them, and what
/// becomes of the old ones. Opening hands it what the scan made of the log.
import StorageFormat
import StorageIO

extension StoreOpening {
    /// The segment of the open that wrote the catalogue is there, or a later one: a store that was not shut down
    /// cleanly always has a log.
    func checkLogIsThere(_ sequences: [UInt64], _ catalogue: Catalogue) throws(StoreError) {
        guard (sequences.last ?? 0) &+ 1 < catalogue.nextSegmentSequence else { return }
        throw .corruption(
            "The log of a store that was not shut down cleanly is missing: there is no segment "
                + "\(catalogue.nextSegmentSequence - 1) or later.", path: SegmentWriter.directory.description)
    }

    /// The segments that are there, and whether there is a directory for them.
    func logSequences() throws(StoreError) -> (sequences: [UInt64], hasDirectory: Bool) {
        do throws(FileSystemError) {
            var sequences: [UInt64] = []
            var hasLeftovers = false
            let entries: [DirectoryEntry]
            do {
                entries = try fileSystem.list(SegmentWriter.directory)
            } catch  where error.isNotFound {
                return ([], false)
            }
            for entry in entries {
                if let sequence = SegmentHeader.sequence(fileName: entry.name) {
                    sequences.append(sequence)
                } else if entry.name.hasSuffix(".tmp") {
                    try fileSystem.unlink(StoragePath("wal", entry.name))
                    hasLeftovers = true
                }
            }
            // Gone before a new file takes the name: its renaming must not be one of the old file's.
            if hasLeftovers { try fileSystem.synchronizeDirectory(SegmentWriter.directory) }
            return (sequences.sorted(), true)
        } catch {
            throw StoreError(error)
        }
    }

    /// Makes the directory of the log anew: a clean shutdown leaves no log in it, and where no reserve was made nothing at
    /// all; some of the programs that copy stores leave out what is empty.
    func makeLogDirectory() throws(StoreError) {
        do throws(FileSystemError) {
            try fileSystem.createDirectory(SegmentWriter.directory)
            // Else a catalogue that relies on a log might be durable before the log's directory.
            try fileSystem.synchronizeDirectory(.root)
        } catch {
            throw StoreError(error)
        }
    }

    /// Starts a fresh segment that holds the accepted records of the last one, resealed and synced: the page cache may
    /// hold what the disk lost, and nothing is ever appended behind a torn tail.
    func startLog(
        after log: LogScan.Outcome, catalogue: Catalogue, lastLSN: UInt64
    ) throws(FileSystemError) -> SegmentWriter {
        let sequence = max(log.highestSequence + 1, catalogue.nextSegmentSequence)
        let last = log.segments.last
        #if NEPHRITE_MUTANTS
            if let last, Mutant.isActive(.appendAfterTornTail) {
                let file = try fileSystem.open(SegmentWriter.path(last.header.sequence), .readWrite)
                return SegmentWriter(
                    header: last.header, file: file, position: UInt64(last.acceptedEnd + log.tornByteCount),
                    previousChecksum: last.lastChecksum, lastLSN: last.lastLSN)
            }
        #endif
        // A store that is read writes nothing to its log, and nobody reads that again.
        let tail = LogTail(log: isReadOnly ? LogScan.Outcome() : log)
        let needed = SegmentHeader.recordsOffset + tail.byteCount + (1 << 16)
        var byteCount = isReadOnly ? needed : max(configuration.logSegmentByteCount, needed)
        var mayUseReserve = true
        while true {
            do {
                return try startLog(
                    sequence, byteCount: byteCount, after: last?.header, tail: tail, catalogue: catalogue,
                    lastLSN: lastLSN)
            } catch  where error.isOutOfSpace {
                // A store on a full disk must open, or nothing could be deleted from it. The shortest segment will do
                // and leaves room for the catalogue; later ones are longer again when there is space.
                if byteCount > needed {
                    byteCount = needed
                } else if mayUseReserve {
                    mayUseReserve = false
                    try? fileSystem.unlink(WriteAheadLog.reservePath)
                } else {
                    throw error
                }
            }
        }
    }

    private func startLog(
        _ sequence: UInt64, byteCount: Int, after last: SegmentHeader?, tail: LogTail, catalogue: Catalogue,
        lastLSN: UInt64
    ) throws(FileSystemError) -> SegmentWriter {
        let header = SegmentHeader(
            storeUUID: catalogue.storeUUID, sequence: sequence, saltLow: random.next(), saltHigh: random.next(),
            previousSequence: last?.previousSequence ?? 0,
            previousByteCount: last?.previousByteCount ?? 0,
            previousLastLSN: last?.previousLastLSN ?? 0,
            previousLastChecksum: last?.previousLastChecksum ?? 0,
            // Without a predecessor it stands for itself: what else lies there was of no use when it was made.
            flags: last.map { $0.flags.union(.replacesPrevious) } ?? .replacesPrevious,
            firstLSN: last?.firstLSN ?? lastLSN + 1, createdAt: now, byteCount: UInt64(byteCount),
            oldestNeededLSN: last?.oldestNeededLSN ?? lastLSN + 1)
        let temporary = SegmentWriter.temporaryPath(sequence)
        let file = try fileSystem.open(temporary, .createNew)
        var segment = SegmentWriter(header: header, file: file)
        do {
            try SegmentWriter.prepare(file, header)
            try tail.copy(to: &segment)
            if tail.byteCount > 0 { try segment.writeProof() }
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

    /// Starts a fresh segment, then removes those that an earlier opening has replaced and that it did not live to remove, so
    /// that a store which cannot be opened does not fill the disk however often that is tried. The segment that replaced
    /// them must stay in such a case: what it was made from may have been in the page cache only.
    ///
    /// They go when this opening's own segment is on disk, under a name whose sync has succeeded here. The name of the one
    /// that replaced them may be in the page cache only, and syncing it once more proves nothing: the sync that should have
    /// written it may have failed, which marks it as written (O8). What their removal takes, a descriptor and a sync of the
    /// directory, is made sure of first, or each opening that cannot have it would leave a segment more.
    func startLogRemovingReplaced(
        after log: LogScan.Outcome, catalogue: Catalogue, lastLSN: UInt64
    ) throws(FileSystemError) -> SegmentWriter {
        let replaced = log.obsolete.sorted()
        guard !isReadOnly, let first = replaced.first else {
            return try startLog(after: log, catalogue: catalogue, lastLSN: lastLSN)
        }
        try fileSystem.synchronizeDirectory(SegmentWriter.directory)
        let segment: SegmentWriter
        do {
            let held = try HeldFiles([SegmentWriter.path(first)], atLeast: 1, on: fileSystem)
            defer { held.release() }
            segment = try startLog(after: log, catalogue: catalogue, lastLSN: lastLSN)
        }
        try SegmentWriter.remove(replaced, on: fileSystem)
        return segment
    }

    func removeObsolete(_ log: LogScan.Outcome, catalogue: Catalogue) throws(FileSystemError) {
        var gone = log.obsolete
        if let last = log.segments.last { gone.append(last.header.sequence) }
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.appendAfterTornTail) { gone = log.obsolete }
        #endif
        for segment in log.segments { try? segment.file.close() }
        try SegmentWriter.remove(gone.sorted(), on: fileSystem)
    }
}
