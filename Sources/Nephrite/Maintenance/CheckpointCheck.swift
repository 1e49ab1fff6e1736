/// Reads the newest checkpoint of an open database as it lies in the file: header, page table and index pages, which a
/// running database has in memory and does not read again. `check()` runs it on an I/O thread and reports what it returns.
import StorageFormat
import StorageIO

struct CheckpointCheck: Sendable {
    private static let damageLimit = 1_000
    private static let chunkByteCount = 1 << 20

    let identity: DatabaseIdentity
    let file: any StorageFile
    /// The generation of the newest checkpoint.
    let generation: UInt64

    private var location: String { "\(identity.name)/\(DatabaseIdentity.dataFileName)" }

    /// What is damaged, page by page; nothing if all of it is what was written.
    ///
    /// Only what the header refers to is looked at. Pages that are newer in memory, or that the checkpoint before this one
    /// left in the other region, are none of it.
    func run() -> [Damage] {
        var damages: [Damage] = []
        do {
            if let header = try checkHeaders(&damages) { try checkIndex(header, &damages) }
        } catch {
            damages.append(Damage(StoreError(error, database: identity.name)))
        }
        return damages
    }

    // MARK: Headers

    /// The newest header, if it is the one that was written last; what is wrong with the four pages.
    private func checkHeaders(_ damages: inout [Damage]) throws(FileSystemError) -> FileHeader? {
        let size = try file.size()
        let bytes = try file.readBytes(count: FileHeader.pageCount * FileHeader.byteCount, at: 0)
        let found: (header: FileHeader, alternatives: [FileHeader], damagedPages: [Int])
        do throws(FormatError) {
            found = try unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                try unsafe FileHeader.newest(pages: bytes, fileSize: size)
            }
        } catch {
            damages.append(Damage(StoreError(error, path: location, database: identity.name)))
            return nil
        }
        guard found.header.generation == generation, found.header.uuid == identity.uuid,
            found.header.incarnation == identity.incarnation
        else {
            damages.append(
                damage(
                    "The newest header in the file is of generation \(found.header.generation); generation "
                        + "\(generation) was written, and both copies of it are damaged or gone.",
                    offset: UInt64(FileHeader.firstPage(generation: generation) * FileHeader.byteCount)))
            return nil
        }
        for page in found.damagedPages {
            let offset = UInt64(page * FileHeader.byteCount)
            if found.damagedPages.contains(page ^ 1) {
                damages.append(
                    damage(
                        "Page \(page) of the file's four header pages is damaged, and so is its twin.", offset: offset))
            } else {
                damages.append(
                    .mended(
                        "Page \(page) of the file's four header pages is damaged; its twin is whole.", path: location,
                        offset: offset))
            }
        }
        return found.header
    }

    // MARK: Index

    private func checkIndex(_ header: FileHeader, _ damages: inout [Damage]) throws(FileSystemError) {
        let layout = FileLayout(extents: header.extents)
        let region = Int(header.generation % 2)
        let recordCount = Int(header.recordPageCount)
        let count = recordCount + Int(header.directoryPageCount)
        let table = layout.pageTable[region]
        var entries: [UInt8] = []
        entries.reserveCapacity(count * PageTableEntry.byteCount)
        unsafe try forEachChunk(of: table, byteCount: count * PageTableEntry.byteCount) { bytes, _, _ in
            entries += unsafe Array(bytes)
        }
        let seed = identity.salt.seed(.pageTable, position: UInt64(region))
        let checksum = unsafe entries.withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: seed) }
        guard entries.count == count * PageTableEntry.byteCount, checksum == header.pageTableChecksum else {
            damages.append(
                damage("The page table's checksum does not match.", offset: table.pieces.first?.fileOffset))
            return
        }
        let expected = unsafe entries.withUnsafeBytes { bytes in
            (0..<count).map { unsafe bytes.loadUnaligned(fromByteOffset: $0 * 8, as: PageTableEntry.self).checksum }
        }
        try checkPages(expected[..<recordCount], in: layout.recordTable[region], kind: .recordPage, &damages)
        try checkPages(expected[recordCount...], in: layout.directory[region], kind: .directoryPage, &damages)
    }

    private func checkPages(
        _ expected: ArraySlice<UInt32>, in area: AreaMap, kind: ChecksumSalt.Kind, _ damages: inout [Damage]
    ) throws(FileSystemError) {
        var found: [Damage] = []
        var done = 0
        unsafe try forEachChunk(of: area, byteCount: expected.count * IndexPage.byteCount) {
            bytes, areaOffset, fileOffset in
            for start in stride(from: 0, to: bytes.count - IndexPage.byteCount + 1, by: IndexPage.byteCount) {
                let index = (Int(areaOffset) + start) / IndexPage.byteCount
                let page = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<start + IndexPage.byteCount])
                let seed = identity.salt.seed(kind, position: UInt64(index))
                done += 1
                guard unsafe CRC32C.checksum(page, continuing: seed) != expected[expected.startIndex + index] else {
                    continue
                }
                let message = "Index page \(index) (\(kind)) does not match its checksum."
                let offset = fileOffset + UInt64(start)
                // The id directory can be derived from the record table; nothing can be lost with it.
                found.append(
                    kind == .directoryPage
                        ? .mended(message + " Opening the file would rebuild it.", path: location, offset: offset)
                        : damage(message, offset: offset))
            }
        }
        if done < expected.count { found.append(damage("The file ends before its index does.", offset: nil)) }
        damages += found.prefix(max(0, Self.damageLimit - damages.count))
    }

    /// Reads the front of an area in large pieces: bytes, where they begin in the area, and where in the file.
    private func forEachChunk(
        of area: AreaMap, byteCount: Int, _ body: (UnsafeRawBufferPointer, UInt64, UInt64) -> Void
    ) throws(FileSystemError) {
        guard UInt64(byteCount) <= area.byteCount else { return }
        var position: UInt64 = 0
        try area.forEachPart(offset: 0, byteCount: UInt64(byteCount)) { (offset, length) throws(FileSystemError) in
            var done: UInt64 = 0
            while done < length {
                let part = min(length - done, UInt64(Self.chunkByteCount))
                let bytes = try file.readBytes(count: Int(part), at: offset + done)
                unsafe bytes.withUnsafeBytes { unsafe body($0, position, offset + done) }
                done += part
                position += part
            }
        }
    }

    private func damage(_ message: String, offset: UInt64?) -> Damage {
        Damage(.corruption(message, database: identity.name, path: location, offset: offset))
    }
}
