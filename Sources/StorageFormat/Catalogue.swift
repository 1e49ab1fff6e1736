/// The list of a store's databases and where its log goes on: the file `CATALOG`, which the registry replaces as a
/// whole and opening a store reads first.

/// Two identical copies, each padded to a multiple of 4,096 bytes; the second begins at half the file.
package struct Catalogue: Sendable, Hashable {
    static let magic: UInt32 = 0x5441_434e  // "NCAT"
    static let part = "catalogue"
    /// Bytes before the first entry.
    static let headerByteCount = 80

    package var storeUUID: StorageUUID
    package var generation: UInt64
    /// Every catalogue change in the log up to here is in this catalogue.
    package var catalogueLSN: UInt64
    package var lastLSN: UInt64
    package var nextSegmentSequence: UInt64
    package var nextDatabaseNumber: UInt32
    package var isCleanShutdown: Bool
    /// Nanoseconds since 1970.
    package var createdAt: UInt64
    /// Sorted by name in the file, and after reading.
    package var entries: [CatalogueEntry]

    package init(
        storeUUID: StorageUUID, generation: UInt64, catalogueLSN: UInt64, lastLSN: UInt64,
        nextSegmentSequence: UInt64, nextDatabaseNumber: UInt32, isCleanShutdown: Bool, createdAt: UInt64,
        entries: [CatalogueEntry]
    ) {
        self.storeUUID = storeUUID
        self.generation = generation
        self.catalogueLSN = catalogueLSN
        self.lastLSN = lastLSN
        self.nextSegmentSequence = nextSegmentSequence
        self.nextDatabaseNumber = nextDatabaseNumber
        self.isCleanShutdown = isCleanShutdown
        self.createdAt = createdAt
        self.entries = entries
    }

    /// The whole file: both copies.
    package func encodeFile() -> [UInt8] {
        let copy = encodeCopy()
        return copy + copy
    }

    private func encodeCopy() -> [UInt8] {
        let byteCount = entries.reduce(Self.headerByteCount + 4) { $0 + $1.encodedByteCount }
        let padded = roundedUp(byteCount, toMultipleOf: FormatLimits.pageByteCount)
        var writer = ByteWriter(reservingCapacity: padded)
        writer.append(Self.magic)
        writer.append(FormatVersion.current)
        writer.append(FormatVersion.current)
        writer.append(storeUUID)
        writer.append(generation)
        writer.append(catalogueLSN)
        writer.append(lastLSN)
        writer.append(nextSegmentSequence)
        writer.append(nextDatabaseNumber)
        writer.append(UInt32(isCleanShutdown ? 1 : 0))
        writer.append(UInt32(entries.count))
        writer.append(UInt32(byteCount))
        writer.append(createdAt)
        for entry in entries.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
            entry.encode(into: &writer)
        }
        writer.appendChecksum(seed: Self.seed)
        writer.pad(to: padded)
        return writer.bytes
    }

    package static var seed: UInt32 { CRC32C.seed("NCAT") }

    /// The newer valid copy (they only differ if something other than Nephrite wrote the file), and the copies, 0 or
    /// 1, that are damaged or differ from it.
    package static func decodeFile(
        _ bytes: UnsafeRawBufferPointer
    ) throws(FormatError) -> (Catalogue, damagedCopies: [Int]) {
        let half = bytes.count / 2
        var copies: [Catalogue?] = [nil, nil]
        var failures: [FormatError] = []
        // A file that lost its end may still hold all of copy A.
        for (index, range) in [0..<bytes.count, half..<bytes.count].enumerated() {
            do throws(FormatError) {
                let copy = unsafe UnsafeRawBufferPointer(rebasing: bytes[range])
                let (catalogue, byteCount) = try unsafe decodeCopy(copy)
                let padded = roundedUp(byteCount, toMultipleOf: FormatLimits.pageByteCount)
                guard index == 0 || padded == copy.count else {
                    throw FormatError(.outOfBounds, part: part, offset: 68)
                }
                let padding = unsafe UnsafeRawBufferPointer(rebasing: copy[byteCount..<min(padded, copy.count)])
                guard unsafe isAllZero(padding) else {
                    throw FormatError(.invalidValue, part: part, offset: UInt64(byteCount))
                }
                copies[index] = catalogue
            } catch {
                failures.append(error)
            }
        }
        if let newer = failures.first(where: { if case .newerVersion = $0.kind { true } else { false } }) {
            throw newer
        }
        guard let best = copies.compactMap(\.self).max(by: { $0.generation < $1.generation }) else {
            throw failures.first ?? FormatError(.truncated, part: part)
        }
        return (best, copies.indices.filter { copies[$0] != best })
    }

    /// Reads the copy at the front of `bytes`.
    private static func decodeCopy(
        _ bytes: UnsafeRawBufferPointer
    ) throws(FormatError) -> (Catalogue, byteCount: Int) {
        var header = unsafe ByteReader(bytes, part: part)
        guard header.remaining >= headerByteCount + 4 else { throw header.error(.truncated, at: bytes.count) }
        let magic = try header.u32()
        guard magic == Self.magic else {
            throw header.error(magic == Self.magic.byteSwapped ? .wrongEndianness : .badMagic, at: 0)
        }
        let byteCount = unsafe Int(bytes.loadUnaligned(fromByteOffset: 68, as: UInt32.self))
        guard byteCount >= headerByteCount + 4 else { throw header.error(.outOfBounds, at: 68) }
        guard byteCount <= bytes.count else { throw header.error(.truncated, at: bytes.count) }
        let covered = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<(byteCount - 4)])
        let stored = unsafe bytes.loadUnaligned(fromByteOffset: byteCount - 4, as: UInt32.self)
        guard unsafe CRC32C.checksum(covered, continuing: seed) == stored else {
            throw header.error(.checksumMismatch, at: byteCount - 4)
        }
        var reader = unsafe ByteReader(covered, part: part, offset: 4)
        _ = try checkVersion(&reader)
        return (try decodeFields(from: &reader), byteCount)
    }

    private static func decodeFields(from reader: inout ByteReader) throws(FormatError) -> Catalogue {
        var catalogue = Catalogue(
            storeUUID: try reader.uuid(), generation: try reader.u64(), catalogueLSN: try reader.u64(),
            lastLSN: try reader.u64(), nextSegmentSequence: try reader.u64(), nextDatabaseNumber: try reader.u32(),
            isCleanShutdown: false, createdAt: 0, entries: [])
        let flags = try reader.u32()
        guard flags <= 1 else { throw reader.error(.invalidValue, at: 60) }
        catalogue.isCleanShutdown = flags == 1
        let entryCount = Int(try reader.u32())
        _ = try reader.u32()
        catalogue.createdAt = try reader.u64()
        guard entryCount <= reader.remaining / CatalogueEntry.fixedByteCount else {
            throw reader.error(.outOfBounds, at: 64)
        }
        catalogue.entries.reserveCapacity(entryCount)
        var numbers: Set<UInt32> = []
        for _ in 0..<entryCount {
            let start = reader.offset
            let entry = try CatalogueEntry.decode(from: &reader)
            let isSorted =
                catalogue.entries.last.map { $0.name.utf8.lexicographicallyPrecedes(entry.name.utf8) } ?? true
            guard isSorted, numbers.insert(entry.number).inserted else { throw reader.error(.invalidValue, at: start) }
            catalogue.entries.append(entry)
        }
        try reader.finish()
        return catalogue
    }
}
