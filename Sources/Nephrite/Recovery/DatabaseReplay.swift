/// Replays the log on one database: index changes in commit order first, then the vectors and payloads of those records
/// that survived, then a checkpoint (O7). Running it again after a crash at any point gives the same state.
import StorageFormat
import StorageIO

struct DatabaseReplay {
    /// Where the payload of a record is that replay has seen but not yet put in place.
    @safe fileprivate enum Source {
        /// Replay has not seen it, or it is gone again.
        case none
        /// In a store or update record: reference, vector, id and metadata.
        case log(UnsafeRawPointer)
        /// Already in the data file, by the bulk path, and intact.
        case placed
        /// By the bulk path, and not intact: overwritten since by a record that is newer, or damaged.
        case lost
    }

    private(set) var state: LoadedDatabase
    private var sources = SourceMap()
    private var recorded: CommittedState?
    private var ioFailure: FileSystemError?
    private(set) var replayedCommitCount = 0

    init(_ state: LoadedDatabase) { self.state = state }

    private var identity: DatabaseIdentity { state.identity }

    /// Whether a commit was replayed whose recorded fingerprint tells if any commit before it is missing.
    var isProvenComplete: Bool { recorded != nil }

    private func damaged(_ message: String, ids: [String] = []) -> StoreError {
        .corruption(message, database: identity.name, ids: ids)
    }

    // MARK: First pass: the index

    /// Applies one commit's records of this database.
    mutating func replay(_ commit: CommitLocation, in segment: LoadedSegment) throws(StoreError) {
        let bytes = unsafe segment.bytes
        var position = commit.range.lowerBound
        let isNew = commit.lsn > state.checkpointLSN
        while position < commit.range.upperBound {
            guard
                case .record(let header, let body, let next) = unsafe LogCodec.read(
                    bytes, at: position, saltSeed: segment.header.saltSeed)
            else { throw damaged("A commit in the log changed while it was replayed.") }
            position = next
            let content = unsafe UnsafeRawBufferPointer(rebasing: bytes[body])
            do throws(FormatError) {
                if header.type == .commit, isNew {
                    let commit = try unsafe CommitBody.decode(content)
                    if let own = commit.databases.first(where: { $0.database == identity.number }) {
                        recorded = own
                        state.lastCommitLSN = header.lsn
                        replayedCommitCount += 1
                    }
                    continue
                }
                guard header.database == identity.number else { continue }
                if header.type == .resize {
                    try unsafe replayResize(ResizeBody.decode(content))
                } else if isNew {
                    try unsafe replay(header, content)
                }
            } catch {
                if let ioFailure { throw StoreError(ioFailure, database: identity.name) }
                throw StoreError(
                    error, path: SegmentWriter.path(segment.header.sequence).description, database: identity.name)
            }
        }
    }

    private mutating func replayResize(_ resize: ResizeBody) {
        for extent in resize.extents
        where !state.layout.extents.contains(where: { $0.startUnit == extent.startUnit }) {
            state.layout.add(extent)
        }
    }

    private mutating func replay(
        _ header: LogRecordHeader, _ body: UnsafeRawBufferPointer
    ) throws(FormatError) {
        switch header.type {
        case .store, .update:
            try checkDirectory()
            let store = try unsafe StoreBody.decode(body, dimension: identity.options.dimension)
            let id = unsafe UnsafeRawBufferPointer(rebasing: body[store.id])
            unsafe place(store.reference, id: id, lsn: header.lsn, source: .log(body.baseAddress!))
        case .delete:
            #if NEPHRITE_MUTANTS
                if Mutant.isActive(.forgetDeletes) { return }
            #endif
            let delete = try unsafe DeleteBody.decode(body)
            let id = unsafe UnsafeRawBufferPointer(rebasing: body[delete.id])
            if let slot = unsafe find(id, hash: delete.reference.idHash) {
                _ = state.index.delete(slot: slot, context(header.lsn))
                sources[slot] = .none
            }
        case .bulkStore:
            let bulk = try unsafe BulkStoreBody.decode(body)
            for index in 0..<bulk.count { try unsafe replayBulk(bulk.reference(at: index, in: body), lsn: header.lsn) }
        default:
            break
        }
    }

    /// A log that was doctored may have more records than extents for the directory; the engine's grows before it is full.
    private func checkDirectory() throws(FormatError) {
        guard state.index.directory.count + 1 < state.index.directory.bucketCount else {
            throw FormatError(.outOfBounds, part: "directory")
        }
    }

    private mutating func replayBulk(_ reference: StoreReference, lsn: UInt64) throws(FormatError) {
        try checkDirectory()
        let units = state.layout.payloadUnitCapacity
        let length = reference.payloadLength
        guard Int(reference.slot) < state.layout.slotCapacity(stride: identity.stride),
            Int(reference.payloadUnit) + (length + 31) / 32 <= units
        else { throw FormatError(.outOfBounds, part: "bulk reference") }
        do {
            try extendMapping()
        } catch {
            ioFailure = error
            throw FormatError(.outOfBounds, part: "space behind a bulk reference")
        }
        let payload = unsafe UnsafeRawBufferPointer(
            start: state.mapping.payload + Int(reference.payloadUnit) * FormatLimits.payloadUnitByteCount, count: length
        )
        let vector = unsafe UnsafeRawBufferPointer(
            start: state.mapping.vectors + Int(reference.slot) * identity.stride, count: identity.vectorByteCount)
        let checksum = unsafe CRC32C.checksum(payload, continuing: CRC32C.checksum(vector))
        let id = unsafe UnsafeRawBufferPointer(rebasing: payload[..<Int(reference.idLength)])
        let isIntact =
            unsafe checksum == reference.contentChecksum
            && IDHash.hash(id, key: identity.hashKey) == reference.idHash
        unsafe place(reference, id: isIntact ? id : nil, lsn: lsn, source: isIntact ? .placed : .lost)
    }

    /// Makes a record the one of its id. Without an id's bytes the keyed 64-bit hash must do; the fingerprint at the
    /// end tells if it did not.
    private mutating func place(
        _ reference: StoreReference, id: UnsafeRawBufferPointer?, lsn: UInt64, source: Source
    ) {
        let previous = unsafe find(id, hash: reference.idHash)
        let store = DatabaseIndex.Store(
            idHash: reference.idHash, slot: reference.slot, payloadUnit: reference.payloadUnit,
            payloadLength: reference.payloadLength, idLength: Int(reference.idLength),
            contentChecksum: reference.contentChecksum)
        _ = state.index.store(store, replacing: previous, context(lsn))
        if let previous { sources[previous] = .none }
        sources[reference.slot] = source
    }

    private func context(_ lsn: UInt64) -> DatabaseIndex.Context {
        DatabaseIndex.Context(
            identity: identity, lsn: lsn, epoch: replayEpoch, bucketCapacity: state.layout.bucketCapacity)
    }

    private var replayEpoch: UInt64 { LoadedDatabase.epoch + 1 }

    private func find(_ id: UnsafeRawBufferPointer?, hash: UInt64) -> UInt32? {
        state.index.directory.find(hash: hash) { slot in
            let entry = state.index.records[Int(slot)]
            guard entry.isActive, entry.idHash == hash else { return false }
            guard let id = unsafe id else { return true }
            guard Int(entry.idLength) == id.count else { return false }
            switch sources[slot] {
            case .log(let body):
                let start = unsafe body + StoreReference.byteCount + identity.vectorByteCount
                return unsafe UnsafeRawBufferPointer(start: start, count: id.count).elementsEqual(id)
            case .lost:
                return true
            case .placed, .none:
                let start = unsafe state.mapping.payload + Int(entry.payloadUnit) * FormatLimits.payloadUnitByteCount
                if unsafe UnsafeRawBufferPointer(start: start, count: id.count).elementsEqual(id) { return true }
                // A lost header may have freed this record, and its space may have been used again; the hash must do.
                return !isIntact(entry, slot: slot)
            }
        }
    }

    /// Whether the data file still holds what an entry describes.
    private func isIntact(_ entry: RecordEntry, slot: UInt32) -> Bool {
        let payload = unsafe UnsafeRawBufferPointer(
            start: state.mapping.payload + Int(entry.payloadUnit) * FormatLimits.payloadUnitByteCount,
            count: entry.payloadLength)
        let vector = unsafe UnsafeRawBufferPointer(
            start: state.mapping.vectors + Int(slot) * identity.stride, count: identity.vectorByteCount)
        let checksum = unsafe CRC32C.checksum(payload, continuing: CRC32C.checksum(vector))
        return identity.tag(contentChecksum: checksum, slot: slot) == entry.tag
    }

    /// Maps extents that the log added since the header was written; their space is allocated already or again.
    private mutating func extendMapping() throws(FileSystemError) {
        guard
            state.layout.vectors.byteCount != state.mapping.vectorByteCount
                || state.layout.payload.byteCount != state.mapping.payloadByteCount
        else { return }
        let file = state.dataFile.file
        let unit = UInt64(FormatLimits.extentUnitByteCount)
        for extent in state.layout.extents where UInt64(extent.startUnit + extent.unitCount) * unit > (try file.size())
        {
            try file.allocate(offset: UInt64(extent.startUnit) * unit, length: UInt64(extent.unitCount) * unit)
        }
        state.mapping = try state.mapping.extended(
            to: state.layout, of: file, on: state.dataFile.fileSystem, reservation: 1 << 20)
    }

    // MARK: Second pass: the data

    /// Checks the outcome against what the last commit recorded, puts the surviving records in place and checkpoints.
    mutating func finish(through lsn: UInt64) throws(StoreError) {
        if let recorded {
            guard recorded.fingerprint == state.index.fingerprint, recorded.liveCount == UInt64(state.index.liveCount)
            else {
                throw damaged("Replaying the log did not give the state that commit \(state.lastCommitLSN) recorded.")
            }
        }
        do {
            try extendMapping()
            state.index.settleDirectory(epoch: replayEpoch)
            let directory = state.index.directory
            let directoryPages = directory.bucketCount <= state.layout.bucketCapacity ? directory.pages.pageCount : 0
            guard state.index.records.pages.pageCount + directoryPages <= state.layout.pageTableCapacity,
                state.index.records.slotCount <= state.layout.recordEntryCapacity
            else { throw damaged("The log refers to an index for which the file has no room.") }
            try placeSurvivors()
            try checkpoint(through: lsn)
        } catch let error as FileSystemError {
            throw StoreError(error, database: identity.name)
        } catch {
            throw .wrapping(error)
        }
    }

    /// Writes what the log holds to its slots, and what the bulk path wrote once more: the page cache may hold what a
    /// failed sync kept from the disk.
    private mutating func placeSurvivors() throws {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.skipPlacement) { return }
        #endif
        let file = state.dataFile.file
        var vectors = AreaWriter(file: file, area: state.layout.vectors, startsWriteback: true)
        var payloads = AreaWriter(file: file, area: state.layout.payload, startsWriteback: true)
        for slot in sources.slots {
            let entry = state.index.records[Int(slot)]
            let vectorBytes = identity.vectorByteCount
            let vector: UnsafeRawPointer
            let payload: UnsafeRawPointer
            switch sources[slot] {
            case .none:
                continue
            case .log(let body):
                unsafe vector = body + StoreReference.byteCount
                unsafe payload = vector + vectorBytes
            case .placed:
                unsafe vector = state.mapping.vectors + Int(slot) * identity.stride
                unsafe payload = state.mapping.payload + Int(entry.payloadUnit) * FormatLimits.payloadUnitByteCount
            case .lost:
                throw damaged("A record of slot \(slot) that the log refers to is damaged in the data file.")
            }
            guard Int(slot) < state.layout.slotCapacity(stride: identity.stride),
                Int(entry.payloadUnit) + entry.payloadUnitCount <= state.layout.payloadUnitCapacity
            else { throw damaged("The log refers to space that the file does not have.") }
            try unsafe vectors.add(
                UnsafeRawBufferPointer(start: vector, count: vectorBytes), at: UInt64(slot) * UInt64(identity.stride),
                paddedByteCount: identity.stride)
            try unsafe payloads.add(
                UnsafeRawBufferPointer(start: payload, count: entry.payloadLength),
                at: UInt64(entry.payloadUnit) * UInt64(FormatLimits.payloadUnitByteCount),
                paddedByteCount: entry.payloadUnitCount * FormatLimits.payloadUnitByteCount)
        }
        try vectors.flush()
        try payloads.flush()
    }

    private mutating func checkpoint(through lsn: UInt64) throws(FileSystemError) {
        var highWater = state.payload.highWater
        state.index.records.forEachActive { _, entry in
            highWater = max(highWater, Int(entry.payloadUnit) + entry.payloadUnitCount)
        }
        let plan = CheckpointPlan(
            identity: identity, dataFile: state.dataFile, layout: state.layout, index: state.index,
            lsn: lsn, lastCommitLSN: state.lastCommitLSN, payloadHighWater: highWater,
            updatedAt: state.updatedAt, generation: state.generation + 1,
            previousHeaderChecksum: state.headerChecksum, recordsCurrentThrough: 0, directoryCurrentThrough: 0,
            epoch: replayEpoch, logSequence: 0)
        do throws(CheckpointFailure) {
            _ = try CheckpointWriter(plan: plan).write()
        } catch {
            throw error.cause
        }
    }
}

/// Sources by slot, in blocks: a commit's slots mostly follow one another.
private struct SourceMap {
    private static let blockShift: UInt32 = 10

    private var blocks: [[DatabaseReplay.Source]] = []

    subscript(slot: UInt32) -> DatabaseReplay.Source {
        get {
            let block = Int(slot >> Self.blockShift)
            guard block < blocks.count, !blocks[block].isEmpty else { return .none }
            return blocks[block][Int(slot & (1 << Self.blockShift - 1))]
        }
        set {
            let block = Int(slot >> Self.blockShift)
            if block >= blocks.count {
                blocks += [[DatabaseReplay.Source]](repeating: [], count: block + 1 - blocks.count)
            }
            if blocks[block].isEmpty {
                blocks[block] = [DatabaseReplay.Source](repeating: .none, count: 1 << Self.blockShift)
            }
            blocks[block][Int(slot & (1 << Self.blockShift - 1))] = newValue
        }
    }

    /// The slots of blocks that have a source, in order.
    var slots: some Sequence<UInt32> {
        blocks.indices.lazy.filter { !blocks[$0].isEmpty }.flatMap { block in
            (0..<1 << Self.blockShift).lazy.map { UInt32(block) << Self.blockShift | $0 }
        }
    }
}
