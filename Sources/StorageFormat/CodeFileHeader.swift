/// The header of a database's code file: whose codes they are, how they were made, and how far they can be believed; the
/// code store writes it when codes are durable and reads it when the file is opened.

/// One 4,096-byte page. Generation `g` is written to copy `g mod 2`, so the one before it survives a write that fails; what
/// an older generation says stays true for as long as the file is the same.
package struct CodeFileHeader: Sendable, Hashable {
    package static let byteCount = 4096
    package static let copyCount = 2
    /// Where the centre's components stand.
    package static let centreOffset = copyCount * byteCount
    static let magic: UInt32 = 0x444f_434e  // "NCOD"
    static let part = "code file header"
    /// The longest row of a plane: 65,536 components of 8 bits and room for factors.
    package static let strideLimit = 1 << 18

    package var uuid: StorageUUID
    package var incarnation: UInt64
    package var generation: UInt64
    /// What the codec's rotation is derived from.
    package var seed: UInt64
    /// Every record of a commit up to here whose slot is below ``codedSlotCount`` has a valid, durable code.
    package var codedThroughLSN: UInt64
    package var codedSlotCount: UInt64
    package var dimension: Int
    /// Changes when the codec makes other bytes of the same vector.
    package var codecVersion: UInt32
    /// Bytes per row of the high plane.
    package var highStride: Int
    /// Bytes per row of the low plane.
    package var lowStride: Int
    /// Bytes per row of the plane of signs; 0 if there is none.
    package var signStride: Int
    /// Slots in a chunk: a power of two, 128 … 65,536.
    package var chunkSlotCount: Int
    /// Components of the centre: 0 (the origin) or the dimension.
    package var centreCount: Int
    /// CRC-32C of the centre's bytes.
    package var centreChecksum: UInt32

    package init(
        uuid: StorageUUID, incarnation: UInt64, generation: UInt64, seed: UInt64, codedThroughLSN: UInt64 = 0,
        codedSlotCount: UInt64 = 0, dimension: Int, codecVersion: UInt32, highStride: Int, lowStride: Int,
        signStride: Int, chunkSlotCount: Int, centreCount: Int, centreChecksum: UInt32
    ) {
        self.uuid = uuid
        self.incarnation = incarnation
        self.generation = generation
        self.seed = seed
        self.codedThroughLSN = codedThroughLSN
        self.codedSlotCount = codedSlotCount
        self.dimension = dimension
        self.codecVersion = codecVersion
        self.highStride = highStride
        self.lowStride = lowStride
        self.signStride = signStride
        self.chunkSlotCount = chunkSlotCount
        self.centreCount = centreCount
        self.centreChecksum = centreChecksum
    }

    /// Where the first chunk begins.
    package var chunksOffset: Int {
        roundedUp(Self.centreOffset + centreCount * 4, toMultipleOf: FormatLimits.extentUnitByteCount)
    }

    /// The length of a chunk: rows of the high plane, of the low plane and of the plane of signs, their checksums, zeros up
    /// to a unit of 65,536 bytes.
    package var chunkByteCount: Int {
        roundedUp(
            checksumsOffset + chunkSlotCount * Self.checksumByteCount, toMultipleOf: FormatLimits.extentUnitByteCount)
    }

    /// Bytes of a slot's checksum.
    package static let checksumByteCount = 4

    /// Where the rows of the low plane begin in a chunk.
    package var lowRowsOffset: Int { chunkSlotCount * highStride }

    /// Where the rows of the plane of signs begin in a chunk.
    package var signRowsOffset: Int { chunkSlotCount * (highStride + lowStride) }

    /// Where the checksums begin in a chunk: those of its slots, one behind the other.
    package var checksumsOffset: Int { chunkSlotCount * (highStride + lowStride + signStride) }

    /// Where something of a slot stands in the file.
    ///
    /// - Parameters:
    ///   - slot: any; the file may end before it.
    ///   - stride: the thing's length.
    ///   - table: where those of a chunk's slots begin in their chunk.
    package func place(ofSlot slot: Int, stride: Int, table: Int) -> UInt64 {
        let (chunk, row) = slot.quotientAndRemainder(dividingBy: chunkSlotCount)
        return UInt64(chunksOffset + chunk * chunkByteCount + table + row * stride)
    }

    /// Chunks that hold the coded slots.
    package var codedChunkCount: Int { (Int(codedSlotCount) + chunkSlotCount - 1) / chunkSlotCount }

    /// The copy that this generation is written to.
    package var copy: Int { Int(generation % UInt64(Self.copyCount)) }

    /// The 4,096 bytes of this generation's copy.
    package func encode() -> [UInt8] {
        precondition(hasValidFields, "a code file header holds valid fields")
        var writer = ByteWriter(reservingCapacity: Self.byteCount)
        writer.append(Self.magic)
        writer.append(FormatVersion.current)
        writer.append(FormatVersion.current)
        writer.append(uuid)
        writer.append(incarnation)
        writer.append(generation)
        writer.append(seed)
        writer.append(codedThroughLSN)
        writer.append(codedSlotCount)
        writer.append(UInt32(dimension))
        writer.append(codecVersion)
        writer.append(UInt32(highStride))
        writer.append(UInt32(lowStride))
        writer.append(UInt32(chunkSlotCount))
        writer.append(UInt32(centreCount))
        writer.append(centreChecksum)
        writer.append(UInt32(signStride))
        writer.pad(to: Self.byteCount - 4)
        writer.appendChecksum(seed: Self.checksumSeed(copy: copy))
        return writer.bytes
    }

    package static func checksumSeed(copy: Int) -> UInt32 { CRC32C.seed("NCOD header", index: UInt8(copy)) }

    private var hasValidFields: Bool {
        let strides = 16...Self.strideLimit
        return generation > 0 && (1...FormatLimits.dimension).contains(dimension)
            && strides.contains(highStride) && highStride % 16 == 0 && strides.contains(lowStride)
            && lowStride % 16 == 0 && (0...Self.strideLimit).contains(signStride) && signStride % 16 == 0
            && (128...65_536).contains(chunkSlotCount)
            && chunkSlotCount & (chunkSlotCount - 1) == 0 && (centreCount == 0 || centreCount == dimension)
            && codedSlotCount <= FormatLimits.slotCount
    }

    /// Reads one copy.
    package static func decode(_ bytes: UnsafeRawBufferPointer, copy: Int) throws(FormatError) -> CodeFileHeader {
        precondition((0..<copyCount).contains(copy), "there are two copies")
        var reader = unsafe ByteReader(bytes, part: part)
        let version = try checkEnvelope(
            &reader, magic: magic, byteCount: byteCount, seed: checksumSeed(copy: copy))
        var header = CodeFileHeader(
            uuid: try reader.uuid(), incarnation: try reader.u64(), generation: try reader.u64(),
            seed: try reader.u64(), codedThroughLSN: try reader.u64(), codedSlotCount: try reader.u64(),
            dimension: Int(try reader.u32()), codecVersion: try reader.u32(), highStride: Int(try reader.u32()),
            lowStride: Int(try reader.u32()), signStride: 0, chunkSlotCount: Int(try reader.u32()),
            centreCount: Int(try reader.u32()), centreChecksum: try reader.u32())
        header.signStride = Int(try reader.u32())
        try reader.reserved(until: byteCount - 4, version: version)
        guard header.hasValidFields, header.copy == copy else { throw reader.error(.invalidValue, at: 32) }
        return header
    }

    /// The newest valid copy at the front of a file that has `fileSize` bytes.
    ///
    /// - Throws: `newerVersion` if any copy was written by a release that forbids this one to read the file; else, if none
    ///   is valid or none fits the file's length, what is wrong with the first.
    package static func newest(
        _ bytes: UnsafeRawBufferPointer, fileSize: UInt64
    ) throws(FormatError) -> CodeFileHeader {
        var best: CodeFileHeader?
        var failures: [FormatError] = []
        for copy in 0..<copyCount {
            let start = min(copy * byteCount, bytes.count)
            let end = min(start + byteCount, bytes.count)
            do throws(FormatError) {
                let header = try unsafe decode(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), copy: copy)
                let needed = UInt64(header.chunksOffset) + UInt64(header.codedChunkCount * header.chunkByteCount)
                guard needed <= fileSize else { throw FormatError(.truncated, part: part, offset: fileSize) }
                if header.generation > best?.generation ?? 0 { best = header }
            } catch {
                failures.append(error)
            }
        }
        for failure in failures {
            if case .newerVersion = failure.kind { throw failure }
        }
        guard let best else { throw failures[0] }
        return best
    }
}
