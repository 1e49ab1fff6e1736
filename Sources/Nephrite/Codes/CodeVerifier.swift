/// Compares codes in a file with their checksums: the encoder asks it before the rows of a file that was opened are
/// believed, the integrity check about all of them.
import StorageFormat
import StorageIO

final class CodeVerifier {
    private let file: any StorageFile
    private let header: CodeFileHeader
    private let high: AlignedBuffer
    private let low: AlignedBuffer
    private let signs: AlignedBuffer
    private let checksums: AlignedBuffer

    init(_ file: any StorageFile, _ header: CodeFileHeader) {
        self.file = file
        self.header = header
        high = AlignedBuffer(byteCount: RecordTable.entriesPerPage * header.highStride)
        low = AlignedBuffer(byteCount: RecordTable.entriesPerPage * header.lowStride)
        signs = AlignedBuffer(byteCount: max(16, RecordTable.entriesPerPage * header.signStride))
        checksums = AlignedBuffer(byteCount: RecordTable.entriesPerPage * CodeFileHeader.checksumByteCount)
    }

    /// Which of some rows of a record page are not the codes of the snapshot's records, by their checksums.
    ///
    /// The file is read, not the mapping: what is only verified need not be resident.
    func mismatches(_ rows: PageBits, ofPage page: Int, _ snapshot: DatabaseSnapshot) throws(FileSystemError)
        -> PageBits
    {
        guard let first = rows.first, let last = rows.last else { return .none }
        let start = page * RecordTable.entriesPerPage + first
        let count = last - first + 1
        let high = try unsafe read(high, slot: start, count: count, stride: header.highStride, table: 0)
        let low = try unsafe read(
            low, slot: start, count: count, stride: header.lowStride, table: header.lowRowsOffset)
        let signs = try unsafe read(
            signs, slot: start, count: count, stride: header.signStride, table: header.signRowsOffset)
        let stored = try unsafe read(
            checksums, slot: start, count: count, stride: CodeFileHeader.checksumByteCount,
            table: header.checksumsOffset)
        var wrong = PageBits.none
        rows.forEach { index in
            let slot = page * RecordTable.entriesPerPage + index
            let row = index - first
            // What a file that is too short does not have, is not right.
            guard stored.count >= (row + 1) * CodeFileHeader.checksumByteCount else { return wrong.insert(index) }
            let checksum = unsafe snapshot.identity.salt.codeRowChecksum(
                slot: UInt64(slot), tag: snapshot.records[slot].tag,
                high: UnsafeRawBufferPointer(rebasing: high[row * header.highStride..<(row + 1) * header.highStride]),
                low: UnsafeRawBufferPointer(rebasing: low[row * header.lowStride..<(row + 1) * header.lowStride]),
                signs: UnsafeRawBufferPointer(
                    rebasing: signs[row * header.signStride..<(row + 1) * header.signStride]))
            let expected = unsafe stored.loadUnaligned(
                fromByteOffset: row * CodeFileHeader.checksumByteCount, as: UInt32.self)
            if checksum != UInt32(littleEndian: expected) { wrong.insert(index) }
        }
        return wrong
    }

    /// Reads rows of slots that follow one another in one record page.
    private func read(
        _ buffer: borrowing AlignedBuffer, slot: Int, count: Int, stride: Int, table: Int
    ) throws(FileSystemError) -> UnsafeRawBufferPointer {
        guard stride > 0 else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<(count * stride)])
        let done = try unsafe file.readFully(
            into: target, at: header.place(ofSlot: slot, stride: stride, table: table))
        return unsafe UnsafeRawBufferPointer(rebasing: target[..<done])
    }
}
