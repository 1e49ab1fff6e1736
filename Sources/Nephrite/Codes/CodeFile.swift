/// The file `vectors.codes` of a database: opened and judged, created, extended, mapped, written. The code store calls it
/// on I/O threads, with its work lock held.
import StorageFormat
import StorageIO

struct CodeFile {
    static let name = "vectors.codes"

    /// What opening found.
    enum Opening {
        case ready(CodeFile)
        case absent
        /// There is a file, but not one to be believed: damaged, cut short, or of another database or codec.
        case useless
        /// A newer release wrote it, which this one leaves alone.
        case newer
    }

    let file: any StorageFile
    let codec: VectorCodec
    private(set) var header: CodeFileHeader
    private(set) var chunkCount = 0
    private(set) var space: (any AddressSpace)?

    static func path(_ identity: DatabaseIdentity) -> StoragePath { StoragePath(identity.name, name) }

    private init(file: any StorageFile, header: CodeFileHeader, centre: [Float]) {
        self.file = file
        self.header = header
        codec = VectorCodec(dimension: header.dimension, seed: header.seed, centre: centre)
    }

    var byteCount: Int { header.chunksOffset + chunkCount * header.chunkByteCount }

    /// Slots that the file has room for.
    var slotCapacity: Int { chunkCount * header.chunkSlotCount }

    // MARK: Opening

    /// Opens the file of a database whose newest durable checkpoint is `checkpointLSN`.
    static func open(
        _ identity: DatabaseIdentity, checkpointLSN: UInt64, on fileSystem: any FileSystem, reservation: Int
    ) throws(FileSystemError) -> Opening {
        let file: any StorageFile
        do {
            file = try fileSystem.open(path(identity), .readWrite)
        } catch  where error.isNotFound {
            return .absent
        }
        do throws(FileSystemError) {
            let opening = try judge(file, identity, checkpointLSN, fileSystem, reservation)
            if case .ready = opening { return opening }
            try file.close()
            return opening
        } catch {
            try? file.close()
            throw error
        }
    }

    private static func judge(
        _ file: any StorageFile, _ identity: DatabaseIdentity, _ checkpointLSN: UInt64, _ fileSystem: any FileSystem,
        _ reservation: Int
    ) throws(FileSystemError) -> Opening {
        let size = try file.size()
        let header: CodeFileHeader
        switch try newest(in: file, size: size) {
        case .success(let newest): header = newest
        case .failure(let error):
            if case .newerVersion = error.kind { return .newer }
            return .useless
        }
        guard isBelievable(header, identity, checkpointLSN) else { return .useless }
        guard let centre = try centre(header, in: file) else { return .useless }
        var codes = CodeFile(file: file, header: header, centre: centre)
        guard codes.codec.highStride == header.highStride, codes.codec.lowStride == header.lowStride,
            codes.codec.signStride == header.signStride
        else {
            return .useless
        }
        let room = (Int(clamping: size) - header.chunksOffset) / header.chunkByteCount
        try codes.map(
            chunks: min(room, FormatLimits.slotCount / header.chunkSlotCount), on: fileSystem, reservation: reservation)
        return .ready(codes)
    }

    private static func newest(
        in file: any StorageFile, size: UInt64
    ) throws(FileSystemError) -> Result<CodeFileHeader, FormatError> {
        let front = try file.readBytes(count: CodeFileHeader.centreOffset, at: 0)
        return unsafe front.withUnsafeBytes { bytes in
            Result { () throws(FormatError) in try unsafe CodeFileHeader.newest(bytes, fileSize: size) }
        }
    }

    /// A stamp never says more than the checkpoint before it holds: if it does, the data file is an older one.
    private static func isBelievable(
        _ header: CodeFileHeader, _ identity: DatabaseIdentity, _ checkpointLSN: UInt64
    ) -> Bool {
        header.uuid == identity.uuid && header.incarnation == identity.incarnation
            && header.dimension == identity.options.dimension && header.codecVersion == VectorCodec.version
            && header.codedThroughLSN <= checkpointLSN
    }

    /// What a file says about itself that is not in use: its length, and its header if that is to be believed.
    static func inspect(
        _ identity: DatabaseIdentity, checkpointLSN: UInt64, on fileSystem: any FileSystem
    ) -> (byteCount: Int, header: CodeFileHeader?)? {
        guard let file = try? fileSystem.open(path(identity), .read) else { return nil }
        defer { try? file.close() }
        guard let size = try? file.size() else { return nil }
        return (Int(clamping: size), believableHeader(of: file, identity, checkpointLSN: checkpointLSN))
    }

    /// The newest header of a file, if it is to be believed.
    static func believableHeader(
        of file: any StorageFile, _ identity: DatabaseIdentity, checkpointLSN: UInt64
    ) -> CodeFileHeader? {
        guard let size = try? file.size(), let found = try? newest(in: file, size: size) else { return nil }
        return (try? found.get()).flatMap { isBelievable($0, identity, checkpointLSN) ? $0 : nil }
    }

    private static func centre(_ header: CodeFileHeader, in file: any StorageFile) throws(FileSystemError) -> [Float]? {
        let byteCount = header.centreCount * 4
        let bytes = try file.readBytes(count: byteCount, at: UInt64(CodeFileHeader.centreOffset))
        let checksum = unsafe bytes.withUnsafeBytes { unsafe CRC32C.checksum($0) }
        guard bytes.count == byteCount, checksum == header.centreChecksum else { return nil }
        let centre = unsafe bytes.withUnsafeBytes { bytes in
            (0..<header.centreCount).map { unsafe bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
        return centre.allSatisfy(\.isFinite) ? centre : nil
    }

    // MARK: Creating

    /// Where a file is made: what a crash leaves of it is never taken for codes.
    private static func temporaryPath(_ identity: DatabaseIdentity) -> StoragePath {
        StoragePath(identity.name, name + ".tmp")
    }

    /// Makes an empty file in place of whatever is there, durably.
    ///
    /// The front of it is written whole before the file gets its name: space that was allocated and never written may
    /// show what an earlier file of the same database had there, and that is a header that would be believed.
    static func create(
        _ identity: DatabaseIdentity, seed: UInt64, centre: [Float], chunkByteCount: Int, on fileSystem: any FileSystem
    ) throws(FileSystemError) -> CodeFile {
        // Kept open until they are replaced for good, for the reason that ``SegmentWriter/remove(_:on:)`` gives.
        let held = [path(identity), temporaryPath(identity)].map { try? fileSystem.open($0, .read) }
        defer { for file in held { try? file?.close() } }
        do throws(FileSystemError) {
            try fileSystem.unlink(temporaryPath(identity))
        } catch  where error.isNotFound {}
        let codec = VectorCodec(dimension: identity.options.dimension, seed: seed, centre: centre)
        let centreBytes = unsafe centre.withUnsafeBytes { unsafe Array($0) }
        let header = CodeFileHeader(
            uuid: identity.uuid, incarnation: identity.incarnation, generation: 1, seed: seed,
            dimension: identity.options.dimension, codecVersion: VectorCodec.version, highStride: codec.highStride,
            lowStride: codec.lowStride, signStride: codec.signStride,
            chunkSlotCount: slotCount(
                ofChunk: chunkByteCount,
                rowByteCount: codec.highStride + codec.lowStride + codec.signStride + CodeFileHeader.checksumByteCount),
            centreCount: centre.count,
            centreChecksum: unsafe centreBytes.withUnsafeBytes { unsafe CRC32C.checksum($0) })
        var front = [UInt8](repeating: 0, count: CodeFileHeader.centreOffset)
        let start = header.copy * CodeFileHeader.byteCount
        front.replaceSubrange(start..<start + CodeFileHeader.byteCount, with: header.encode())
        let file = try fileSystem.open(temporaryPath(identity), .createNew)
        do throws(FileSystemError) {
            try file.allocate(offset: 0, length: UInt64(header.chunksOffset))
            try file.writeBytes(front + centreBytes, at: 0)
            try file.synchronize()
            try fileSystem.rename(temporaryPath(identity), to: path(identity))
            try fileSystem.synchronizeDirectory(path(identity).parent)
        } catch {
            try? file.close()
            try? fileSystem.unlink(temporaryPath(identity))
            try? fileSystem.unlink(path(identity))
            throw error
        }
        return CodeFile(file: file, header: header, centre: centre)
    }

    /// The largest power of two of slots whose codes fit a chunk; a record page at least.
    private static func slotCount(ofChunk byteCount: Int, rowByteCount: Int) -> Int {
        var count = RecordTable.entriesPerPage
        while count < 4_096, count * 2 * rowByteCount <= byteCount { count *= 2 }
        return count
    }

    // MARK: Growing

    /// Bytes that the file has to grow by to hold so many slots.
    func byteCount(toHold slotCount: Int) -> Int {
        max(0, (slotCount + header.chunkSlotCount - 1) / header.chunkSlotCount - chunkCount) * header.chunkByteCount
    }

    /// Makes room for a slot, and a little more than that.
    mutating func grow(toHold slot: Int, on fileSystem: any FileSystem, reservation: Int) throws(FileSystemError) {
        let needed = slot / header.chunkSlotCount + 1
        guard needed > chunkCount else { return }
        let count = max(needed, chunkCount + chunkCount / 8)
        try file.allocate(offset: UInt64(byteCount), length: UInt64((count - chunkCount) * header.chunkByteCount))
        try map(chunks: count, on: fileSystem, reservation: reservation)
    }

    /// Maps chunks behind those that are mapped: in place while the reservation has room, else all of them anew, while
    /// searches keep the old mapping.
    private mutating func map(
        chunks count: Int, on fileSystem: any FileSystem, reservation: Int
    ) throws(FileSystemError) {
        guard count > chunkCount else { return }
        let end = count * header.chunkByteCount
        var start = chunkCount * header.chunkByteCount
        var target = space
        if target == nil || end > target!.byteCount {
            target = try fileSystem.reserveAddressSpace(byteCount: max(reservation, end * 2))
            start = 0
        }
        try file.map(offset: UInt64(header.chunksOffset + start), length: end - start, into: target!, at: start)
        space = target
        chunkCount = count
    }

    // MARK: Writing

    /// Writes the codes of slots that follow one another in one record page, and their checksums.
    func write(slot: Int, _ codes: EncodedRows, checksums: [UInt32]) throws(FileSystemError) {
        try unsafe file.writeFully([codes.high], at: header.place(ofSlot: slot, stride: header.highStride, table: 0))
        try unsafe file.writeFully(
            [codes.low], at: header.place(ofSlot: slot, stride: header.lowStride, table: header.lowRowsOffset))
        if header.signStride > 0 {
            try unsafe file.writeFully(
                [codes.signs], at: header.place(ofSlot: slot, stride: header.signStride, table: header.signRowsOffset))
        }
        let start = header.place(ofSlot: slot, stride: CodeFileHeader.checksumByteCount, table: header.checksumsOffset)
        try file.writeBytes(
            checksums.flatMap { unsafe withUnsafeBytes(of: $0.littleEndian) { unsafe Array($0) } }, at: start)
    }

    /// Makes the codes durable, then says so.
    mutating func stamp(through lsn: UInt64, slotCount: Int) throws(FileSystemError) {
        try file.synchronizeData()
        var next = header
        next.generation += 1
        next.codedThroughLSN = lsn
        next.codedSlotCount = UInt64(slotCount)
        try file.writeBytes(next.encode(), at: UInt64(next.copy * CodeFileHeader.byteCount))
        try file.synchronizeData()
        header = next
    }
}
