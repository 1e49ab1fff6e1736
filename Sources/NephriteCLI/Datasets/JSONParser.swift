/// Reads JSON (RFC 8259): the NDJSON readers hand it one line, and get back fields in their order, with
/// the vector as floats; nesting is limited, so that no input can exhaust the stack.
import Nephrite

/// A parser over the bytes of one document.
struct JSONParser {
    /// What is wrong, and at which byte of the document.
    struct SyntaxError: Error, Equatable {
        let message: String
        let position: Int
    }

    /// An object of a record file: its id and vector, when it has them, and everything else.
    struct Record {
        var id: String?
        var vector: [Float]?
        var fields: [(String, MetadataValue)] = []
    }

    private static let depthLimit = 64
    let bytes: ArraySlice<UInt8>
    var position: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    /// The whole document as one value.
    mutating func document() throws(SyntaxError) -> MetadataValue {
        let value = try value(depth: 0)
        try expectEnd()
        return value
    }

    /// The whole document as an array of numbers.
    mutating func vectorDocument() throws(SyntaxError) -> [Float] {
        let vector = try vector()
        try expectEnd()
        return vector
    }

    /// The whole document as an object whose `idField` is a string or whole number, and whose `vectorField`
    /// is an array of numbers.
    mutating func record(idField: String, vectorField: String?) throws(SyntaxError) -> Record {
        var record = Record()
        record.fields = try object(depth: 0) { (parser, key) throws(SyntaxError) -> MetadataValue? in
            let start = parser.position
            if key == vectorField {
                guard record.vector == nil else { throw parser.error("The key “\(key)” is there twice.", at: start) }
                record.vector = try parser.vector()
            } else if key == idField {
                guard record.id == nil else { throw parser.error("The key “\(key)” is there twice.", at: start) }
                switch try parser.value(depth: 1) {
                case .string(let id): record.id = id
                case .integer(let id): record.id = String(id)
                default: throw parser.error("“\(key)” is neither a string nor a whole number.", at: start)
                }
            } else {
                return try parser.value(depth: 1)
            }
            return nil
        }
        try expectEnd()
        return record
    }

    /// An array of numbers.
    mutating func vector() throws(SyntaxError) -> [Float] {
        skipSpace()
        guard take(UInt8(ascii: "[")) else { throw error("A vector is an array of numbers.") }
        var components: [Float] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return components }
        while true {
            skipSpace()
            components.append(try number().float)
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw error("Here “,” or “]” must follow.") }
            return components
        }
    }

    /// Any value.
    mutating func value(depth: Int) throws(SyntaxError) -> MetadataValue {
        skipSpace()
        guard depth < Self.depthLimit else { throw error("It is nested deeper than \(Self.depthLimit) levels.") }
        switch peek {
        case UInt8(ascii: "{"):
            let fields = try object(depth: depth) { (parser, _) throws(SyntaxError) in
                try parser.value(depth: depth + 1)
            }
            return .object(Dictionary(fields) { _, last in last })
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default:
            let start = position
            let value = try number().metadataValue
            if case .double(let double) = value, !double.isFinite {
                throw error("The number is too large.", at: start)
            }
            return value
        }
    }

    /// An object in the order of its keys; `value` reads the value of a key, and nil leaves it out.
    private mutating func object(
        depth: Int, value: (inout JSONParser, String) throws(SyntaxError) -> MetadataValue?
    ) throws(SyntaxError) -> [(String, MetadataValue)] {
        skipSpace()
        guard take(UInt8(ascii: "{")) else { throw error("An object must begin here.") }
        var fields: [(String, MetadataValue)] = []
        var keys: Set<String> = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return fields }
        while true {
            skipSpace()
            let start = position
            let key = try string()
            guard keys.insert(key).inserted else { throw error("The key “\(key)” is there twice.", at: start) }
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw error("Here “:” must follow.") }
            if let value = try value(&self, key) { fields.append((key, value)) }
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { throw error("Here “,” or “}” must follow.") }
            return fields
        }
    }

    private mutating func array(depth: Int) throws(SyntaxError) -> [MetadataValue] {
        position += 1
        var values: [MetadataValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return values }
        while true {
            values.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw error("Here “,” or “]” must follow.") }
            return values
        }
    }

    private mutating func word(_ word: String, _ value: MetadataValue) throws(SyntaxError) -> MetadataValue {
        guard bytes[position...].starts(with: word.utf8) else { throw error("This is no JSON value.") }
        position += word.utf8.count
        return value
    }

    private mutating func expectEnd() throws(SyntaxError) {
        skipSpace()
        guard position == bytes.endIndex else { throw error("Something follows the end of the value.") }
    }
}

extension JSONParser {
    /// The next byte, or 0 at the end: JSON has no byte 0 outside of what is refused anyway.
    var peek: UInt8 { position < bytes.endIndex ? bytes[position] : 0 }

    /// Moves past `byte` if it is next.
    mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.endIndex, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    mutating func skipSpace() {
        while position < bytes.endIndex {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    /// An error at the current byte or at another one.
    func error(_ message: String, at place: Int? = nil) -> SyntaxError {
        let place = place ?? position
        let isEnd = place >= bytes.endIndex
        return SyntaxError(message: isEnd ? "The line ends too early." : message, position: place - bytes.startIndex)
    }
}
