/// A database file that may be damaged anywhere: every entry of the record table that can be found, and every record whose
/// bytes are those that were written. ``SalvageDatabase`` decides which of them count.
import StorageFormat
import StorageIO

struct SalvageFile {
    /// Where a record's bytes are said to be.
    struct Place: Sendable, Hashable {
        let slot: UInt32
        let payloadUnit: UInt32
        let payloadLength: Int
        let idLength: Int
        let idHash: UInt64
        let contentChecksum: UInt32
    }

    /// A record as it was read, or why it cannot be; its id if that is certain.
    enum Reading {
        case whole(VectorRecord)
        case damaged(id: String?, reason: String)
    }

    let file: any StorageFile
    let fileSize: UInt64
    let header: FileHeader
    let identity: DatabaseIdentity
    private var layout: FileLayout
    private(set) var damages: [Damage] = []
    private let catalogueGeneration: UInt64

    /// The newest header that is valid by itself, even if the file no longer reaches as far as it says.
    static func newestHeader(of file: any StorageFile) -> FileHeader? {
        guard let bytes = try? file.readBytes(count: FileHeader.pageCount * FileHeader.byteCount, at: 0) else {
            return nil
        }
        let found = try? unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
            try unsafe FileHeader.newest(pages: bytes, fileSize: .max)
        }
        return found?.header
    }

    /// - Throws: why the file is of no use.
    init(_ entry: CatalogueEntry, on fileSystem: any FileSystem) throws(StoreError) {
        let path = StoragePath(entry.name, DatabaseIdentity.dataFileName)
        do throws(FileSystemError) {
            file = try fileSystem.open(path, .read)
            fileSize = try file.size()
        } catch {
            throw StoreError(error, database: entry.name)
        }
        guard let header = Self.newestHeader(of: file) else {
            throw .corruption(
                "No page of the file's header can be read; what is in the file cannot be told from one another.",
                database: entry.name, path: path.description)
        }
        guard header.uuid == entry.uuid, header.dimension == entry.dimension else {
            throw .corruption(
                "The file belongs to another database than the catalogue says.", database: entry.name,
                path: path.description)
        }
        self.header = header
        identity = DatabaseIdentity(
            number: entry.number, name: entry.name,
            options: DatabaseOptions(entry), uuid: entry.uuid, incarnation: header.incarnation,
            hashKey: header.idHashKey,
            salt: ChecksumSalt(uuid: entry.uuid, incarnation: header.incarnation), createdAt: header.createdAt,
            stride: vectorStride(dimension: entry.dimension))
        layout = FileLayout(extents: header.extents)
        catalogueGeneration = entry.generation
        if isOutdated {
            damages.append(
                damage(
                    "The newest header in the file is of generation \(header.generation), but the store was shut down "
                        + "with generation \(entry.generation); what changed in between is lost.",
                    offset: UInt64(FileHeader.firstPage(generation: entry.generation) * FileHeader.byteCount)))
        }
        if fileSize < header.endOfExtents {
            damages.append(damage("The file is cut short: it has \(fileSize) bytes of \(header.endOfExtents)."))
        }
    }

    /// Whether the file has lost the newest checkpoint that the catalogue knows of.
    var isOutdated: Bool { header.generation < catalogueGeneration }

    private func damage(_ message: String, offset: UInt64? = nil) -> Damage {
        Damage(
            kind: "corruption", message: message, path: "\(identity.name)/\(DatabaseIdentity.dataFileName)",
            offset: offset, ids: [])
    }

    /// Takes up extents that the log added after the header was written.
    mutating func add(_ extents: [Extent]) {
        for extent in extents where layout.extents.count < FormatLimits.extentCount {
            let overlaps = layout.extents.contains {
                UInt64($0.startUnit) < extent.endUnit && UInt64(extent.startUnit) < $0.endUnit
            }
            if !overlaps, extent.endUnit <= UInt64(UInt32.max) { layout.add(extent) }
        }
    }

    // MARK: The record table

    /// Calls `body` with every entry in use: its slot, and whether the page it stands on is the one that the last checkpoint
    /// wrote. Where it is not, entries of the checkpoint before are handed out as well.
    ///
    /// - Returns: the number of pages that are damaged.
    mutating func forEachEntry(_ body: (UInt32, RecordEntry, _ isCertain: Bool) -> Void) -> Int {
        let region = Int(header.generation % 2)
        let checksums = pageChecksums(region)
        if checksums == nil, header.recordPageCount > 0 { damages.append(damage("The page table is damaged.")) }
        var damagedCount = 0
        for index in 0..<Int(header.recordPageCount) {
            guard let offset = fileOffset(ofPage: index, region), offset < fileSize else {
                // Nothing of the file is left from here on.
                damagedCount += Int(header.recordPageCount) - index
                break
            }
            if let page = readPage(index, region), let checksums, isIntact(page, index, checksums[index]) {
                forEachEntry(of: page, index) { body($0, $1, true) }
                continue
            }
            damagedCount += 1
            if damagedCount <= 100 {
                damages.append(damage("Page \(index) of the record table is damaged.", offset: offset))
            }
            for region in [region, 1 - region] {
                if let page = readPage(index, region) { forEachEntry(of: page, index) { body($0, $1, false) } }
            }
        }
        return damagedCount
    }

    private func fileOffset(ofPage index: Int, _ region: Int) -> UInt64? {
        let area = layout.recordTable[region]
        let offset = UInt64(index) * UInt64(IndexPage.byteCount)
        guard offset + UInt64(IndexPage.byteCount) <= area.byteCount else { return nil }
        var first: UInt64?
        area.forEachPart(offset: offset, byteCount: 1) { (place, _) in first = place }
        return first
    }

    private func readPage(_ index: Int, _ region: Int) -> [UInt8]? {
        read(layout.recordTable[region], at: UInt64(index) * UInt64(IndexPage.byteCount), count: IndexPage.byteCount)
    }

    /// The checksums of the record pages, nil if they are not those that the header vouches for.
    private func pageChecksums(_ region: Int) -> [UInt32]? {
        let count = Int(header.recordPageCount) + Int(header.directoryPageCount)
        let byteCount = count * PageTableEntry.byteCount
        guard UInt64(byteCount) <= fileSize, let bytes = read(layout.pageTable[region], at: 0, count: byteCount) else {
            return nil
        }
        let seed = identity.salt.seed(.pageTable, position: UInt64(region))
        return unsafe bytes.withUnsafeBytes { bytes in
            guard unsafe CRC32C.checksum(bytes, continuing: seed) == header.pageTableChecksum else { return nil }
            return (0..<Int(header.recordPageCount)).map {
                unsafe bytes.loadUnaligned(fromByteOffset: $0 * PageTableEntry.byteCount, as: UInt32.self)
            }
        }
    }

    private func isIntact(_ page: [UInt8], _ index: Int, _ checksum: UInt32) -> Bool {
        let seed = identity.salt.seed(.recordPage, position: UInt64(index))
        return unsafe page.withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: seed) == checksum }
    }

    private func forEachEntry(of page: [UInt8], _ index: Int, _ body: (UInt32, RecordEntry) -> Void) {
        for position in 0..<FormatLimits.recordsPerPage {
            let entry = unsafe page.withUnsafeBytes {
                unsafe $0.loadUnaligned(fromByteOffset: position * RecordEntry.byteCount, as: RecordEntry.self)
            }
            let slot = index * FormatLimits.recordsPerPage + position
            if entry.isActive || entry.isDeleted, slot < FormatLimits.slotCount { body(UInt32(slot), entry) }
        }
    }

    func place(_ slot: UInt32, _ entry: RecordEntry) -> Place {
        Place(
            slot: slot, payloadUnit: entry.payloadUnit, payloadLength: entry.payloadLength,
            idLength: Int(entry.idLength), idHash: entry.idHash,
            contentChecksum: identity.tag(contentChecksum: entry.tag, slot: slot))
    }

    // MARK: Records

    /// Bytes of an area, nil where there are none.
    private func read(_ area: AreaMap, at offset: UInt64, count: Int) -> [UInt8]? {
        guard count >= 0, offset <= area.byteCount, UInt64(count) <= area.byteCount - offset else { return nil }
        var bytes: [UInt8] = []
        do throws(FileSystemError) {
            try area.forEachPart(offset: offset, byteCount: UInt64(count)) { (place, length) throws(FileSystemError) in
                // A file that ends early must not cost the memory of what it does not have.
                guard place < fileSize, length <= fileSize - place else { return }
                bytes += try file.readBytes(count: Int(length), at: place)
            }
        } catch {
            return nil
        }
        return bytes.count == count ? bytes : nil
    }

    /// Reads a record and checks every byte of it.
    func record(_ place: Place, version: UInt64) -> Reading {
        let unit = UInt64(FormatLimits.payloadUnitByteCount)
        guard (1...FormatLimits.idByteCount).contains(place.idLength), place.idLength <= place.payloadLength,
            place.payloadLength <= FormatLimits.idByteCount + FormatLimits.metadataByteCount
        else { return .damaged(id: nil, reason: "Its entry contradicts itself.") }
        guard let payload = read(layout.payload, at: UInt64(place.payloadUnit) * unit, count: place.payloadLength)
        else { return .damaged(id: nil, reason: "Its id and metadata cannot be read.") }
        let id = certainID(payload, place)
        let vectorOffset = UInt64(place.slot) * UInt64(identity.stride)
        guard let vector = read(layout.vectors, at: vectorOffset, count: identity.vectorByteCount) else {
            return .damaged(id: id, reason: "Its vector cannot be read.")
        }
        let checksum = unsafe vector.withUnsafeBytes { vector in
            unsafe payload.withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: CRC32C.checksum(vector)) }
        }
        guard checksum == place.contentChecksum else {
            return .damaged(id: id, reason: "Its bytes are not those that were written.")
        }
        guard let id else { return .damaged(id: nil, reason: "Its id is not the one that its entry describes.") }
        return Self.record(id: id, vector: vector, metadata: Array(payload[place.idLength...]), version: version)
    }

    /// The id at the front of a payload if it has the hash that the entry says.
    private func certainID(_ payload: [UInt8], _ place: Place) -> String? {
        let bytes = payload[..<place.idLength]
        let hash = unsafe bytes.withUnsafeBytes { unsafe IDHash.hash($0, key: identity.hashKey) }
        return hash == place.idHash ? String(validating: bytes, as: UTF8.self) : nil
    }

    /// Puts a record together whose bytes were found to be those that were written.
    static func record(id: String, vector: [UInt8], metadata: [UInt8], version: UInt64) -> Reading {
        let floats = unsafe vector.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { unsafe bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
        guard floats.allSatisfy(\.isFinite) else {
            return .damaged(id: id, reason: "Its vector is not finite.")
        }
        let isValid = unsafe metadata.withUnsafeBytes { unsafe (try? MetadataCodec.validate($0)) != nil }
        guard isValid else { return .damaged(id: id, reason: "Its metadata cannot be read.") }
        return .whole(
            VectorRecord(
                id: id, vector: floats, metadata: metadata.isEmpty ? Metadata() : Metadata(validated: metadata),
                version: version))
    }
}
