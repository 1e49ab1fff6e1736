/// Reads the rows of a binary vector file by its layout, and hands them out in batches.

/// The rows of an `.fvecs`, `.bvecs`, `.fbin` or `.npy` file.
final class BinaryVectorReader: RowReader {
    private static let reservedComponentCount = 1 << 18
    private let file: InputFile
    private let layout: VectorFileLayout?
    private var row = 0

    /// Reads the rows of `file` from where it is; without a layout there are none.
    init(_ file: InputFile, _ layout: VectorFileLayout?) {
        self.file = file
        self.layout = layout
    }

    var dimension: Int? { layout?.dimension }
    var isFile: Bool { file.byteCount != nil }

    func next(limit: Int) throws -> RowBatch {
        var batch = RowBatch(firstRow: row)
        guard let layout else { return batch }
        // What a header claims is not believed any further than this.
        batch.vectors.reserveCapacity(min(limit, Self.reservedComponentCount / layout.dimension) * layout.dimension)
        while batch.rowCount < limit, row != layout.rowCount {
            let bytes = try file.next(layout.rowByteCount)
            if bytes.isEmpty, layout.rowCount == nil { break }
            guard bytes.count == layout.rowByteCount else {
                throw layout.truncated(file, row: row, available: bytes.count)
            }
            if layout.hasRowPrefix { try checkPrefix(bytes, layout) }
            layout.element.decode(layout.hasRowPrefix ? bytes.dropFirst(4) : bytes, into: &batch.vectors)
            batch.rowCount += 1
            row += 1
        }
        if row == layout.rowCount, batch.rowCount < limit, try !file.peek(1).isEmpty {
            throw CommandError.malformed(
                "Bytes follow the last row.", path: file.path, offset: file.offset, row: row,
                remedy: "The header and the file do not belong together; write the file again.")
        }
        return batch
    }

    private func checkPrefix(_ bytes: ArraySlice<UInt8>, _ layout: VectorFileLayout) throws(CommandError) {
        let claimed = Int32(bitPattern: VectorFileLayout.littleEndian32(bytes))
        guard Int(claimed) == layout.dimension else {
            throw .malformed(
                "The row claims a dimension of \(claimed), the first row has \(layout.dimension).", path: file.path,
                offset: UInt64(row * layout.rowByteCount), row: row,
                remedy: "All rows must have one dimension; write the file again.")
        }
    }
}
