/// Writes JSON: commands hand it values one after the other, and take one line of text for `Console`.
import Nephrite

/// A JSON document in the making. Floats are written in the shortest form that reads back as the same `Float`.
struct JSONText {
    private var bytes: [UInt8] = []
    private var needsComma = false

    /// What was written.
    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Writes an object; `body` writes its keys and values.
    mutating func object(_ body: (inout JSONText) -> Void) {
        enclosed("{", "}", body)
    }

    /// Writes an array; `body` writes its elements.
    mutating func array(_ body: (inout JSONText) -> Void) {
        enclosed("[", "]", body)
    }

    /// Writes a key; its value must follow.
    mutating func key(_ name: String) {
        separate()
        quote(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    mutating func value(_ string: String) {
        separate()
        quote(string)
    }

    mutating func value(_ number: some BinaryInteger) { raw(String(number)) }
    mutating func value(_ flag: Bool) { raw(flag ? "true" : "false") }
    mutating func null() { raw("null") }

    /// Writes a number, or `null` when it is not finite: JSON has no word for that.
    mutating func value(_ number: Float) { raw(number.isFinite ? number.description : "null") }
    /// Writes a number, or `null` when it is not finite.
    mutating func value(_ number: Double) { raw(number.isFinite ? number.description : "null") }

    mutating func value(_ numbers: [Float]) {
        array { json in for number in numbers { json.value(number) } }
    }

    mutating func value(_ strings: [String]) {
        array { json in for string in strings { json.value(string) } }
    }

    /// Writes a metadata value; the keys of inner objects are sorted.
    mutating func value(_ metadata: MetadataValue) {
        switch metadata {
        case .null: null()
        case .bool(let flag): value(flag)
        case .integer(let number): value(number)
        case .double(let number): value(number)
        case .string(let string): value(string)
        case .array(let values): array { json in for value in values { json.value(value) } }
        case .object(let fields):
            object { json in
                for (key, value) in fields.sorted(by: { $0.key < $1.key }) { json.field(key, value) }
            }
        }
    }

    /// Writes metadata as an object, in its own order.
    mutating func value(_ metadata: Metadata) {
        object { json in for (key, value) in metadata.fields { json.field(key, value) } }
    }

    mutating func field(_ name: String, _ string: String) {
        key(name)
        value(string)
    }

    mutating func field(_ name: String, _ number: some BinaryInteger) {
        key(name)
        value(number)
    }

    /// Writes a field, unless there is no value for it.
    mutating func field(_ name: String, ifPresent string: String?) {
        if let string { field(name, string) }
    }

    /// Writes a field, unless there is no value for it.
    mutating func field(_ name: String, ifPresent number: UInt64?) {
        if let number { field(name, number) }
    }

    mutating func field(_ name: String, _ flag: Bool) {
        key(name)
        value(flag)
    }

    mutating func field(_ name: String, _ number: Double) {
        key(name)
        value(number)
    }

    mutating func field(_ name: String, _ numbers: [Float]) {
        key(name)
        value(numbers)
    }

    /// Writes an array, each element as `write` has it.
    mutating func field<Element>(
        _ name: String, _ elements: [Element], _ write: (inout JSONText, Element) -> Void
    ) {
        key(name)
        array { json in for element in elements { write(&json, element) } }
    }

    mutating func field(_ name: String, _ strings: [String]) {
        key(name)
        value(strings)
    }

    mutating func field(_ name: String, _ metadata: MetadataValue) {
        key(name)
        value(metadata)
    }

    mutating func field(_ name: String, _ metadata: Metadata) {
        key(name)
        value(metadata)
    }

    private mutating func enclosed(_ open: Unicode.Scalar, _ close: Unicode.Scalar, _ body: (inout JSONText) -> Void) {
        separate()
        bytes.append(UInt8(ascii: open))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: close))
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func raw(_ text: String) {
        separate()
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func quote(_ string: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes.append(contentsOf: "\\\"".utf8)
            case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
            case UInt8(ascii: "\r"): bytes.append(contentsOf: "\\r".utf8)
            case UInt8(ascii: "\t"): bytes.append(contentsOf: "\\t".utf8)
            case 0..<0x20:
                bytes.append(contentsOf: (byte < 0x10 ? "\\u000" : "\\u00").utf8)
                bytes.append(contentsOf: String(byte, radix: 16).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
