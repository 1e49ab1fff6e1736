/// The header of `.npy` files, versions 1 to 3 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
/// takes the first bytes of a file and answers its layout.

/// A parser for the Python dictionary literal that describes the array.
struct NumPyHeader {
    private static let byteCountLimit = 1 << 20
    private var text: ArraySlice<UInt8>
    private var description: String?
    private var isFortranOrder: Bool?
    private var shape: [Int]?

    /// Reads the header of `file` and answers the layout of its rows.
    static func layout(_ file: InputFile) throws -> VectorFileLayout {
        let prefix = Array(try file.next(8))
        guard prefix.count == 8, prefix.starts(with: [0x93] + "NUMPY".utf8) else {
            throw refused("It does not begin like a NumPy file.", file)
        }
        guard (1...3).contains(prefix[6]) else { throw refused("NumPy format version \(prefix[6]) is unknown.", file) }
        let lengthByteCount = prefix[6] == 1 ? 2 : 4
        let lengthBytes = try file.next(lengthByteCount)
        guard lengthBytes.count == lengthByteCount else { throw refused("The header is cut off.", file) }
        let length = Int(VectorFileLayout.littleEndian32(lengthBytes))
        guard length <= byteCountLimit else { throw refused("It claims a header of \(length) bytes.", file) }
        let text = try file.next(length)
        guard text.count == length else { throw refused("The header is cut off.", file) }
        var header = NumPyHeader(text: text)
        guard header.parse() else { throw refused("The header is no description of an array.", file) }
        let layout = try header.layout(file, headerByteCount: 8 + lengthByteCount + length)
        try layout.check(file)
        return layout
    }

    private init(text: ArraySlice<UInt8>) { self.text = text }

    private static func refused(_ message: String, _ file: InputFile) -> CommandError {
        .malformed(
            message, path: file.path, offset: 0,
            remedy: "Write it with numpy.save(path, numpy.ascontiguousarray(array, dtype='<f4')).")
    }

    private func layout(_ file: InputFile, headerByteCount: Int) throws(CommandError) -> VectorFileLayout {
        guard let description, let isFortranOrder, let shape else {
            throw Self.refused("The header lacks descr, fortran_order or shape.", file)
        }
        let elements: [String: VectorElement] = ["<f4": .float32, "<f8": .float64, "<f2": .float16, "|u1": .uint8]
        guard let element = elements[description] else {
            throw Self.refused("Elements of type “\(description)” are not supported (<f2, <f4, <f8, |u1 are).", file)
        }
        guard !isFortranOrder || shape.count < 2 else { throw Self.refused("The array is in Fortran order.", file) }
        guard shape.count == 2 else {
            throw Self.refused("The array has \(shape.count) dimensions instead of 2 (rows, components).", file)
        }
        guard VectorFileLayout.dimensions.contains(shape[1]), shape[0] <= Int.max / (shape[1] * 16) else {
            throw Self.refused("It claims \(shape[0]) rows of \(shape[1]) components.", file)
        }
        return VectorFileLayout(
            headerByteCount: headerByteCount, hasRowPrefix: false, dimension: shape[1], element: element,
            rowCount: shape[0])
    }

    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`
    private mutating func parse() -> Bool {
        guard take("{") else { return false }
        while !take("}") {
            guard let key = string(), take(":") else { return false }
            switch key {
            case "descr":
                guard let value = string() else { return false }
                description = value
            case "fortran_order":
                if take("True") {
                    isFortranOrder = true
                } else if take("False") {
                    isFortranOrder = false
                } else {
                    return false
                }
            case "shape":
                guard let value = tuple() else { return false }
                shape = value
            default: return false
            }
            guard take(",") || text.first == UInt8(ascii: "}") else { return false }
        }
        skipSpace()
        return text.isEmpty
    }

    private mutating func skipSpace() {
        text = text.drop { $0 == 0x20 || $0 == 0x0A }
    }

    private mutating func take(_ word: String) -> Bool {
        skipSpace()
        guard text.starts(with: word.utf8) else { return false }
        text = text.dropFirst(word.utf8.count)
        skipSpace()
        return true
    }

    private mutating func string() -> String? {
        skipSpace()
        guard let quote = text.first, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { return nil }
        let rest = text.dropFirst()
        guard let end = rest.firstIndex(of: quote) else { return nil }
        text = rest[rest.index(after: end)...]
        return String(validating: rest[..<end], as: UTF8.self)
    }

    private mutating func tuple() -> [Int]? {
        guard take("(") else { return nil }
        var numbers: [Int] = []
        while !take(")") {
            let digits = text.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard numbers.count < 8, let number = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
            numbers.append(number)
            text = text[digits.endIndex...]
            _ = take("L")
            guard take(",") || text.first == UInt8(ascii: ")") else { return nil }
        }
        return numbers
    }
}
