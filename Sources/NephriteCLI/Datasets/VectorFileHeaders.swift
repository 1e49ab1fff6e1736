/// The headers of the simple vector formats: `.fvecs` and `.bvecs` (corpus-texmex.irisa.fr) and `.fbin`
/// (big-ann-benchmarks.com); they take the first bytes of a file and answer its layout.

extension VectorFileLayout {
    /// The layout of `.fvecs` and `.bvecs`: each row is a little-endian int32 dimension and the components.
    /// The first row tells the dimension; nil for an empty file.
    static func vecs(_ file: InputFile, element: VectorElement) throws -> VectorFileLayout? {
        let prefix = try file.peek(4)
        if prefix.isEmpty { return nil }
        guard prefix.count == 4 else {
            throw CommandError.malformed(
                "The row is cut off: \(prefix.count) of the 4 bytes of its dimension are there.", path: file.path,
                offset: 0, row: 0, remedy: "Copy the file again, whole.")
        }
        let layout = VectorFileLayout(
            headerByteCount: 0, hasRowPrefix: true, dimension: try dimension(prefix, file, row: 0), element: element)
        try layout.check(file)
        return layout
    }

    /// The layout of `.fbin`: little-endian uint32 row count and dimension, then float32 rows.
    static func fbin(_ file: InputFile) throws -> VectorFileLayout {
        let header = try file.next(8)
        guard header.count == 8 else {
            throw CommandError.malformed(
                "The header is cut off: \(header.count) of its 8 bytes are there.", path: file.path, offset: 0,
                remedy: "Copy the file again, whole; an .fbin file begins with its row count and dimension.")
        }
        let layout = VectorFileLayout(
            headerByteCount: 8, hasRowPrefix: false, dimension: try dimension(header.dropFirst(4), file, row: nil),
            element: .float32, rowCount: Int(littleEndian32(header)))
        try layout.check(file)
        return layout
    }

    /// A dimension the store accepts, or an error.
    static func dimension(_ bytes: ArraySlice<UInt8>, _ file: InputFile, row: Int?) throws(CommandError) -> Int {
        let dimension = Int(littleEndian32(bytes))
        guard dimensions.contains(dimension) else {
            throw .malformed(
                "It claims a dimension of \(Int32(truncatingIfNeeded: dimension)).", path: file.path,
                offset: file.offset, row: row,
                remedy: "Dimensions are 1 to 65,536; check the format of the file (--format).")
        }
        return dimension
    }

    /// The first four bytes as a little-endian number.
    static func littleEndian32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
