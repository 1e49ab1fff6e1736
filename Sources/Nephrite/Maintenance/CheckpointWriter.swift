/// Writes one checkpoint to a database file, in the order of O4, on an I/O thread: from a plan that the database actor
/// made, so that writers go on meanwhile.
import StorageFormat
import StorageIO

/// A frozen state and where it goes.
struct CheckpointPlan: Sendable {
    let identity: DatabaseIdentity
    let dataFile: DataFile
    let layout: FileLayout
    let index: DatabaseIndex
    /// Everything of the database up to it is in the checkpoint.
    let lsn: UInt64
    /// The last commit that changed a record.
    let lastCommitLSN: UInt64
    let payloadHighWater: Int
    let updatedAt: UInt64
    /// The generation it becomes; its parity names the region.
    let generation: UInt64
    let previousHeaderChecksum: UInt32
    /// Pages of a later epoch are written; 0 writes all.
    let recordsCurrentThrough: UInt64
    let directoryCurrentThrough: UInt64
    let epoch: UInt64
    let logSequence: UInt64

    /// Whether the checkpoint has the id directory in it: not while its buckets are in two tables, nor before the file
    /// has room for one, as when a database that was never written to is checkpointed for the sake of the log.
    var includesDirectory: Bool { directory.isSettled && directory.bucketCount <= layout.bucketCapacity }

    var records: RecordTable { index.records }
    var directory: IDDirectory { index.directory }
    var region: Int {
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.writeActiveRegion) { return Int((generation + 1) % 2) }
        #endif
        return Int(generation % 2)
    }
}

/// Why a checkpoint was not made.
struct CheckpointFailure: Error {
    let cause: FileSystemError
    /// Whether the disk may hold what calls did not promise: a sync failed, or a header that may be whole was written
    /// beside pages that the next attempt would write again. Then nothing may be written any more (O8).
    let isFatal: Bool
}

struct CheckpointWriter {
    let plan: CheckpointPlan

    /// Writes and syncs everything; the header last.
    ///
    /// - Returns: the checksum of the new header.
    func write() throws(CheckpointFailure) -> UInt32 {
        let header: FileHeader
        do {
            header = try writeIndex()
        } catch {
            throw CheckpointFailure(cause: error, isFatal: error.call == .synchronizeData)
        }
        do {
            try writeHeader(header)
            #if NEPHRITE_MUTANTS
                if Mutant.isActive(.skipHeaderSync) { return header.checksum }
            #endif
            try plan.dataFile.synchronizeData()
        } catch {
            throw CheckpointFailure(cause: error, isFatal: true)
        }
        return header.checksum
    }

    /// Writes and syncs the pages of the inactive region; the header that will make it the active one.
    private func writeIndex() throws(FileSystemError) -> FileHeader {
        try plan.dataFile.synchronizeData()
        let directoryIsValid = plan.includesDirectory
        try writePages(
            plan.records.pages, to: plan.layout.recordTable[plan.region], newerThan: plan.recordsCurrentThrough)
        if directoryIsValid {
            try writePages(
                plan.directory.pages, to: plan.layout.directory[plan.region],
                newerThan: plan.directoryCurrentThrough)
        }
        let tableChecksum = try writePageTable(includingDirectory: directoryIsValid)
        let header = header(pageTableChecksum: tableChecksum, directoryIsValid: directoryIsValid)
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.skipIndexSync) { return header }
        #endif
        try plan.dataFile.synchronizeData()
        return header
    }

    private func writePages(
        _ pages: PagedTable, to area: AreaMap, newerThan epoch: UInt64
    ) throws(FileSystemError) {
        var writer = AreaWriter(file: plan.dataFile.file, area: area)
        for index in 0..<pages.pageCount {
            let page = pages.page(index)
            guard page.epoch > epoch else { continue }
            #if NEPHRITE_MUTANTS
                if Mutant.isActive(.dropDirtyPage), epoch > 0 { continue }
            #endif
            try unsafe writer.add(
                UnsafeRawBufferPointer(start: page.bytes, count: IndexPage.byteCount),
                at: UInt64(index) * UInt64(IndexPage.byteCount), paddedByteCount: IndexPage.byteCount)
        }
        try writer.flush()
    }

    /// Writes the checksums of all pages, changed or not, and returns their checksum.
    private func writePageTable(includingDirectory: Bool) throws(FileSystemError) -> UInt32 {
        let records = plan.records.pages
        let directory = plan.directory.pages
        var entries: [PageTableEntry] = []
        entries.reserveCapacity(records.pageCount + directory.pageCount)
        for index in 0..<records.pageCount {
            entries.append(entry(records.page(index), .recordPage, index))
        }
        for index in 0..<(includingDirectory ? directory.pageCount : 0) {
            entries.append(entry(directory.page(index), .directoryPage, index))
        }
        let file = plan.dataFile.file
        let area = plan.layout.pageTable[plan.region]
        let salt = plan.identity.salt
        let region = UInt64(plan.region)
        return unsafe try entries.withUnsafeBytesTyped { (bytes) throws(FileSystemError) in
            var writer = AreaWriter(file: file, area: area)
            try unsafe writer.add(bytes, at: 0, paddedByteCount: bytes.count)
            try writer.flush()
            return unsafe CRC32C.checksum(bytes, continuing: salt.seed(.pageTable, position: region))
        }
    }

    private func entry(_ page: IndexPage, _ kind: ChecksumSalt.Kind, _ index: Int) -> PageTableEntry {
        let seed = plan.identity.salt.seed(kind, position: UInt64(index))
        let bytes = unsafe UnsafeRawBufferPointer(start: page.bytes, count: IndexPage.byteCount)
        return unsafe PageTableEntry(
            checksum: CRC32C.checksum(bytes, continuing: seed),
            generation: UInt32(truncatingIfNeeded: plan.generation))
    }

    private func header(pageTableChecksum: UInt32, directoryIsValid: Bool) -> FileHeader {
        FileHeader(
            dimension: plan.identity.options.dimension, metric: plan.identity.options.metric.format,
            flags: directoryIsValid ? [.directoryIsValid] : [], vectorCount: UInt64(plan.index.liveCount),
            deletedCount: UInt64(plan.index.deletedCount),
            indexOffset: plan.layout.recordTable[plan.region].pieces.first?.fileOffset ?? 0,
            dataOffset: plan.layout.vectors.pieces.first?.fileOffset ?? 0, generation: plan.generation,
            checkpointLSN: plan.lsn, uuid: plan.identity.uuid, incarnation: plan.identity.incarnation,
            idHashKey: plan.identity.hashKey, fingerprint: plan.index.fingerprint,
            slotCount: UInt64(plan.records.slotCount), directoryBucketCount: UInt64(plan.directory.bucketCount),
            createdAt: plan.identity.createdAt, updatedAt: plan.updatedAt,
            recordPageCount: UInt32(plan.records.pages.pageCount),
            directoryPageCount: directoryIsValid ? UInt32(plan.directory.pages.pageCount) : 0,
            pageTableChecksum: pageTableChecksum,
            payloadUnitCount: UInt64(plan.payloadHighWater), lastCommitLSN: plan.lastCommitLSN,
            logSequence: plan.logSequence, previousHeaderChecksum: plan.previousHeaderChecksum,
            extents: plan.layout.extents)
    }

    private func writeHeader(_ header: FileHeader) throws(FileSystemError) {
        let first = FileHeader.firstPage(generation: header.generation)
        let bytes = header.encode(pageIndex: first) + header.encode(pageIndex: first + 1)
        let file = plan.dataFile.file
        try file.writeBytes(bytes, at: UInt64(first * FileHeader.byteCount))
    }
}
