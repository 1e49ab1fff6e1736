/// How the rows of a binary vector file lie in it: the format's parser fills one in from the header, and
/// `BinaryVectorReader` reads rows by it.

/// The binary representation of one component.
enum VectorElement: Sendable, Equatable {
    case float16, float32, float64, uint8

    /// The size of a component.
    var byteCount: Int {
        switch self {
        case .uint8: 1
        case .float16: 2
        case .float32: 4
        case .float64: 8
        }
    }

    /// Appends the components in `bytes`, all little-endian, as floats.
    func decode(_ bytes: ArraySlice<UInt8>, into components: inout [Float]) {
        unsafe bytes.withUnsafeBytes { buffer in
            switch self {
            case .uint8:
                for index in buffer.indices { components.append(Float(unsafe buffer[index])) }
            case .float16:
                for index in 0..<buffer.count / 2 {
                    let bits = unsafe buffer.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
                    components.append(Self.float(half: UInt16(littleEndian: bits)))
                }
            case .float32:
                // On the machines this compiles for, the bytes are the floats.
                if Self.isLittleEndian, UInt(bitPattern: buffer.baseAddress).isMultiple(of: 4) {
                    return unsafe components.append(contentsOf: buffer.bindMemory(to: Float.self))
                }
                for index in 0..<buffer.count / 4 {
                    let bits = unsafe buffer.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
                    components.append(Float(bitPattern: UInt32(littleEndian: bits)))
                }
            case .float64:
                for index in 0..<buffer.count / 8 {
                    let bits = unsafe buffer.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
                    components.append(Float(Double(bitPattern: UInt64(littleEndian: bits))))
                }
            }
        }
    }

    private static var isLittleEndian: Bool { 1.littleEndian == 1 }

    /// An IEEE 754 half as a float: the exponent is rebased by a multiplication, which is exact and gives
    /// subnormal halves too. (`Float16` does not exist on every platform.)
    static func float(half: UInt16) -> Float {
        let sign = UInt32(half & 0x8000) << 16
        let magnitude = UInt32(half & 0x7FFF)
        if magnitude >= 0x7C00 {
            return Float(bitPattern: sign | 0x7F80_0000 | (magnitude & 0x3FF) << 13)
        }
        let scaled = Float(bitPattern: magnitude << 13) * Float(sign: .plus, exponent: 112, significand: 1)
        return Float(bitPattern: sign | scaled.bitPattern)
    }
}

/// Where the rows of a file are.
struct VectorFileLayout: Sendable, Equatable {
    /// Dimensions the store accepts; a file that claims another is refused before anything is read.
    static let dimensions = 1...65_536

    /// The bytes before the first row.
    var headerByteCount: Int
    /// Whether each row begins with its dimension, in 4 bytes.
    var hasRowPrefix: Bool
    /// The number of components of every row.
    var dimension: Int
    /// How a component is written.
    var element: VectorElement
    /// The number of rows, when the header tells.
    var rowCount: Int?

    /// The size of a row with its prefix.
    var rowByteCount: Int { (hasRowPrefix ? 4 : 0) + dimension * element.byteCount }

    /// Refuses a regular file whose size does not fit before any row is handed out.
    func check(_ file: InputFile) throws(CommandError) {
        guard let byteCount = file.byteCount else { return }
        let available = max(0, Int(clamping: byteCount) - headerByteCount)
        let complete = available / rowByteCount
        if let rowCount, complete >= rowCount {
            guard complete == rowCount, available % rowByteCount == 0 else {
                throw .malformed(
                    "\(available - rowCount * rowByteCount) bytes follow the last of \(rowCount) rows.",
                    path: file.path, offset: UInt64(headerByteCount + rowCount * rowByteCount), row: rowCount,
                    remedy: "The header and the file do not belong together; write the file again.")
            }
        } else if rowCount != nil || available % rowByteCount != 0 {
            throw truncated(file, row: complete, available: available - complete * rowByteCount)
        }
    }

    /// The error for a row of which only `available` bytes are there.
    func truncated(_ file: InputFile, row: Int, available: Int) -> CommandError {
        .malformed(
            "The row is cut off: \(available) of its \(rowByteCount) bytes are there.", path: file.path,
            offset: UInt64(headerByteCount + row * rowByteCount), row: row,
            remedy: "Copy the file again, whole.")
    }
}
