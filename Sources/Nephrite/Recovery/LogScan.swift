/// Reads the log as a crash or a shutdown left it: which commits are whole, where the log ends, and whether it ends there
/// because the last write was torn or because something that was on disk is damaged (O7). Recovery replays what it finds.
import StorageFormat
import StorageIO

/// Where a whole commit lies.
struct CommitLocation: Sendable {
    let segment: Int
    /// The commit's records, its commit record last.
    let range: Range<Int>
    let lsn: UInt64
    let contents: Contents

    /// What its records are about, so that replay need not read them to know whom they concern.
    struct Contents: Sendable {
        /// The first database that a record is of; 0 if there is none.
        private(set) var database: UInt32 = 0
        private(set) var otherDatabases: [UInt32] = []
        /// Whether databases are created or deleted.
        private(set) var changesCatalogue = false
        /// Whether vectors that it refers to may have reached the disk later than it did.
        private(set) var mayPrecedeData = false

        mutating func note(_ header: LogRecordHeader) {
            if header.type == .bulkStore, header.flags & LogRecordHeader.mayPrecedeData != 0 { mayPrecedeData = true }
            changesCatalogue = changesCatalogue || header.type == .createDatabase || header.type == .deleteDatabase
            let number = header.database
            guard number != 0, number != database else { return }
            if database == 0 {
                database = number
            } else if !otherDatabases.contains(number) {
                otherDatabases.append(number)
            }
        }
    }
}

/// A segment in memory: mapped, after every byte of it was read once so that a bad sector is an error and no signal.
// SAFETY: read-only memory that lives as long as the address space.
struct LoadedSegment: @unchecked Sendable {
    let header: SegmentHeader
    let file: any StorageFile
    let space: any AddressSpace
    let byteCount: Int
    /// The end of the last whole commit or note.
    var acceptedEnd = SegmentHeader.recordsOffset
    var lastLSN: UInt64
    var lastChecksum: UInt32

    var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: space.baseAddress, count: byteCount) }
}

struct LogScan {
    let fileSystem: any FileSystem
    let storeUUID: StorageUUID
    /// Whether damage ends the log instead of making it unreadable: for stores that are only read.
    let stopsAtDamage: Bool
    /// Told how much of the log is read.
    var progress: (@Sendable (RecoveryProgress) -> Void)?

    /// What the log holds.
    struct Outcome {
        var segments: [LoadedSegment] = []
        /// All whole commits, in LSN order.
        var commits: [CommitLocation] = []
        /// Sequences of files that are of no use any more: a recovery has replaced them.
        var obsolete: [UInt64] = []
        /// The highest sequence of any segment file.
        var highestSequence: UInt64 = 0
        /// Bytes after the last whole commit that were cut as a torn tail.
        var tornByteCount = 0
        /// The last commit that a record, or a later segment, says was on disk.
        var syncedLSN: UInt64 = 0
        /// Damage that was met and got over.
        var damages: [Damage] = []
        /// What lies behind the damage that ended the log, if any did.
        var beyond: [(segment: LoadedSegment, start: Int)] = []

        var lastLSN: UInt64 { segments.last.map(\.lastLSN) ?? 0 }
        var firstLSN: UInt64? { segments.first.map(\.header.firstLSN) }

        /// Ends the log before a commit of the last segment, as if it and what follows it had been torn.
        ///
        /// - Parameter index: which of ``commits`` it is; a later segment vouches for those of any other.
        mutating func cut(before index: Int) {
            let last = segments.count - 1
            precondition(commits[index].segment == last, "only the last segment may end early")
            commits.removeSubrange(index...)
            let end = commits.last.flatMap { $0.segment == last ? $0 : nil }
            let acceptedEnd = end?.range.upperBound ?? SegmentHeader.recordsOffset
            tornByteCount += segments[last].acceptedEnd - acceptedEnd
            segments[last].acceptedEnd = acceptedEnd
            segments[last].lastLSN = end?.lsn ?? segments[last].header.firstLSN &- 1
        }

        /// Calls `body` with each record of a commit and its body.
        func forEachRecord(
            of commit: CommitLocation, _ body: (LogRecordHeader, UnsafeRawBufferPointer) throws(StoreError) -> Void
        ) throws(StoreError) {
            let segment = segments[commit.segment]
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

    /// Reads and classifies all segments.
    ///
    /// - Throws: `corruption` when something is missing that later bytes prove to have been on disk.
    func run(sequences: [UInt64]) throws(StoreError) -> Outcome {
        var outcome = Outcome()
        outcome.highestSequence = sequences.max() ?? 0
        var meter = RecoveryMeter(.reading, total: progress == nil ? 0 : totalByteCount(sequences), progress)
        for sequence in sequences {
            let segment: LoadedSegment
            do throws(StoreError) {
                segment = try load(sequence, &meter)
                outcome.damages += try damagedHeaderCopies(of: segment)
            } catch  where stopsAtDamage && error.code != .newerFormat {
                // Whether what comes before it ends the log is seen from what comes after.
                outcome.damages.append(Damage(error))
                continue
            }
            if segment.header.replacesPrevious {
                // A recovery copied what came after its predecessor into it.
                let kept = segment.header.hasPrevious ? segment.header.previousSequence : 0
                while let replaced = outcome.segments.last, replaced.header.sequence > kept {
                    outcome.segments.removeLast()
                    outcome.obsolete.append(replaced.header.sequence)
                }
            }
            outcome.segments.append(segment)
        }
        meter.finish()
        for index in outcome.segments.indices {
            do throws(StoreError) {
                try scan(index, in: &outcome)
            } catch  where stopsAtDamage && error.code == .corruption {
                outcome.damages.append(Damage(error))
                outcome.beyond = outcome.segments[index...].map { ($0, $0.acceptedEnd) }
                outcome.segments.removeSubrange((index + 1)...)
                break
            }
        }
        return outcome
    }

    // MARK: Loading

    private func path(_ sequence: UInt64) -> String { SegmentWriter.path(sequence).description }

    private func totalByteCount(_ sequences: [UInt64]) -> Int {
        sequences.reduce(0) { total, sequence in
            guard let file = try? fileSystem.open(SegmentWriter.path(sequence), .read) else { return total }
            defer { try? file.close() }
            return total + ((try? file.size()).map { Int(clamping: $0) } ?? 0)
        }
    }

    private func load(_ sequence: UInt64, _ meter: inout RecoveryMeter) throws(StoreError) -> LoadedSegment {
        do {
            let file = try fileSystem.open(SegmentWriter.path(sequence), .read)
            let size = Int(try file.size())
            let first = try file.readBytes(count: min(size, SegmentHeader.recordsOffset), at: 0)
            let header: SegmentHeader
            do throws(FormatError) {
                header = try unsafe first.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                    try unsafe SegmentHeader.decode(bytes)
                }
            } catch {
                throw StoreError(error, path: path(sequence))
            }
            // A segment gets its name when it is on disk in its full length.
            guard UInt64(size) >= header.byteCount else {
                throw StoreError.corruption(
                    "The log segment is cut short: it has \(size) of \(header.byteCount) bytes.", path: path(sequence))
            }
            guard header.storeUUID == storeUUID, header.sequence == sequence else {
                throw StoreError.corruption("The log segment belongs to another store or place.", path: path(sequence))
            }
            let byteCount = min(size, Int(clamping: header.byteCount))
            try prefault(file, byteCount: byteCount, &meter)
            let granularity = StorageGranularity.byteCount
            let mapped = (byteCount + granularity - 1) / granularity * granularity
            let space = try fileSystem.reserveAddressSpace(byteCount: mapped)
            try file.map(offset: 0, length: byteCount, into: space, at: 0)
            return LoadedSegment(
                header: header, file: file, space: space, byteCount: byteCount, lastLSN: header.firstLSN &- 1,
                lastChecksum: header.saltSeed)
        } catch {
            throw .wrapping(error)
        }
    }

    /// A header copy that cannot be read although records stand behind it: both copies were synced before those.
    private func damagedHeaderCopies(of segment: LoadedSegment) throws(StoreError) -> [Damage] {
        let bytes = unsafe segment.bytes
        let damaged = [0, 1].filter { unsafe (try? SegmentHeader.decode(bytes, copy: $0)) == nil }
        do throws(FileSystemError) {
            guard !damaged.isEmpty, try !isUnused(segment.file, size: segment.byteCount) else { return [] }
        } catch {
            throw StoreError(error)
        }
        return damaged.map {
            .mended(
                "Copy \($0 + 1) of 2 of the log segment's header is damaged; the other was used.",
                path: path(segment.header.sequence), offset: UInt64($0 * SegmentHeader.copyByteCount))
        }
    }

    private func prefault(
        _ file: any StorageFile, byteCount: Int, _ meter: inout RecoveryMeter
    ) throws(FileSystemError) {
        guard byteCount > 0 else { return }
        let scratch = AlignedBuffer(byteCount: min(1 << 20, byteCount), alignment: 4_096)
        var offset = 0
        while offset < byteCount {
            let part = min(byteCount - offset, scratch.byteCount)
            let read = try unsafe file.readFully(
                into: UnsafeMutableRawBufferPointer(rebasing: scratch.bytes[..<part]), at: UInt64(offset))
            if read == 0 { break }
            offset += read
            meter.advance(read)
        }
    }

    private func isUnused(_ file: any StorageFile, size: Int) throws(FileSystemError) -> Bool {
        var offset = SegmentHeader.recordsOffset
        while offset < size {
            let bytes = try file.readBytes(count: min(1 << 20, size - offset), at: UInt64(offset))
            if bytes.isEmpty { break }
            if bytes.contains(where: { $0 != 0 }) { return false }
            offset += bytes.count
        }
        return true
    }

    // MARK: Scanning

    private func scan(_ index: Int, in outcome: inout Outcome) throws(StoreError) {
        var segment = outcome.segments[index]
        let bytes = unsafe segment.bytes
        var position = SegmentHeader.recordsOffset
        var chain = segment.header.saltSeed
        var groupStart: Int?
        var groupLSN: UInt64 = 0
        var hash: UInt64 = 0
        var contents = CommitLocation.Contents()
        // The header of a segment is written when all that was in the one before it is on disk.
        var synced = segment.header.previousLastLSN
        scanning: while case .record(let header, let body, let next) = unsafe LogCodec.read(
            bytes, at: position, saltSeed: segment.header.saltSeed)
        {
            guard header.previousChecksum == chain else { break }
            synced = max(synced, header.syncedUpTo)
            let record = unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<next])
            switch header.type {
            case .syncMarker, .checkpoint:
                guard groupStart == nil else { break scanning }
                segment.acceptedEnd = next
                segment.lastChecksum = header.checksum
            case .commit:
                guard groupStart == nil || header.lsn == groupLSN, header.lsn > segment.lastLSN,
                    let commit = unsafe try? CommitBody.decode(UnsafeRawBufferPointer(rebasing: bytes[body])),
                    commit.batchHash == hash
                else { break scanning }
                outcome.commits.append(
                    CommitLocation(
                        segment: index, range: (groupStart ?? position)..<next, lsn: header.lsn, contents: contents))
                contents = CommitLocation.Contents()
                segment.lastLSN = header.lsn
                segment.acceptedEnd = next
                segment.lastChecksum = header.checksum
                groupStart = nil
                hash = 0
            default:
                if groupStart == nil {
                    groupStart = position
                    groupLSN = header.lsn
                    hash = 0
                }
                guard header.lsn == groupLSN else { break scanning }
                contents.note(header)
                hash = unsafe CommitBody.hash(record, continuing: hash)
            }
            chain = header.checksum
            position = next
        }
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.acceptIncompleteCommit), let start = groupStart, groupLSN > segment.lastLSN {
                outcome.commits.append(
                    CommitLocation(segment: index, range: start..<position, lsn: groupLSN, contents: contents))
                segment.lastLSN = groupLSN
                segment.acceptedEnd = position
                segment.lastChecksum = chain
            }
        #endif
        outcome.segments[index] = segment
        outcome.syncedLSN = max(outcome.syncedLSN, synced)
        try classifyEnd(of: segment, at: position, isLast: index == outcome.segments.count - 1, outcome)
        if index == outcome.segments.count - 1 {
            outcome.tornByteCount = position - segment.acceptedEnd
        }
    }

    /// Decides whether a segment ends where reading stopped, or whether something is missing there.
    private func classifyEnd(
        of segment: LoadedSegment, at position: Int, isLast: Bool, _ outcome: Outcome
    ) throws(StoreError) {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.skipEndJudgement) { return }
        #endif
        let bytes = unsafe segment.bytes
        func corrupt(_ why: String) -> StoreError {
            .corruption(
                "The log is damaged after commit \(segment.lastLSN): \(why)", path: path(segment.header.sequence),
                offset: UInt64(position))
        }
        if !isLast {
            guard
                let next = outcome.segments.first(where: { $0.header.sequence > segment.header.sequence })?.header,
                next.previousSequence == segment.header.sequence
            else { throw corrupt("a segment between it and the next one is missing.") }
            guard segment.acceptedEnd == Int(clamping: next.previousByteCount),
                segment.lastLSN == next.previousLastLSN, segment.lastChecksum == next.previousLastChecksum
            else { throw corrupt("the next segment knows of records that cannot be read.") }
            return
        }
        // A record behind the end that says it was written after a later commit was synced proves a loss.
        // A hostile file could make every position look like the front of a long record: what that may cost is limited.
        var budget = 8 * bytes.count + (1 << 20)
        var search = position + LogRecordHeader.alignment
        while search + LogRecordHeader.byteCount <= bytes.count {
            defer { search += LogRecordHeader.alignment }
            guard unsafe bytes.loadUnaligned(fromByteOffset: search, as: UInt32.self) == LogRecordHeader.magic else {
                continue
            }
            budget -= min(bytes.count, Int(unsafe bytes.loadUnaligned(fromByteOffset: search + 12, as: UInt32.self)))
            guard budget > 0 else { throw corrupt("what follows is not what a torn write leaves.") }
            if case .record(let header, _, _) = unsafe LogCodec.read(
                bytes, at: search, saltSeed: segment.header.saltSeed), header.syncedUpTo > segment.lastLSN
            {
                throw corrupt("a later record says that commit \(header.syncedUpTo) was on disk.")
            }
        }
    }
}
