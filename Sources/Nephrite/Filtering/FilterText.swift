/// Writes filters as text, the inverse of ``FilterParser``: descriptions and the keys of the filter cache are made of it.

struct FilterText {
    private(set) var bytes: [UInt8] = []

    /// Words that stand for something else where a field's name may stand.
    static let reserved: Set<String> = [
        "and", "or", "not", "true", "false", "null", "nan", "inf", "in", "between", "contains", "startsWith", "exists",
    ]

    /// Binding strength, weakest first.
    private enum Strength: Int { case or, and, unary }

    mutating func append(_ node: FilterNode) { append(node, inside: .or) }

    private mutating func append(_ node: FilterNode, inside outer: Strength) {
        switch node {
        case .constant(let value): append(value ? "true" : "false")
        case .test(let path, let test):
            append(path)
            append(test)
        case .not(.test(let path, let test)):
            // The parser would do without the parentheses, people would not.
            append("!(")
            append(path)
            append(test)
            append(")")
        case .not(let inner):
            append("!")
            append(inner, inside: .unary)
        case .and(let parts): join(parts, " && ", .and, inside: outer)
        case .or(let parts): join(parts, " || ", .or, inside: outer)
        }
    }

    private mutating func join(_ parts: [FilterNode], _ connective: String, _ own: Strength, inside outer: Strength) {
        let needsParentheses = own.rawValue < outer.rawValue
        if needsParentheses { append("(") }
        for (index, part) in parts.enumerated() {
            if index > 0 { append(connective) }
            // One step stronger: a list inside of a list of the same kind stays apart.
            append(part, inside: own == .or ? .and : .unary)
        }
        if needsParentheses { append(")") }
    }

    mutating func append(_ path: FieldPath) {
        for (index, key) in path.keys.enumerated() {
            if index > 0 { append(".") }
            if FilterText.isPlain(key) { append(key) } else { append(quoted: key, by: 0x60) }
        }
    }

    private mutating func append(_ test: FieldTest) {
        switch test {
        case .exists: append(" exists")
        case .equals(let value): append(" == ", value)
        case .notEquals(let value): append(" != ", value)
        case .less(let value): append(" < ", value)
        case .atMost(let value): append(" <= ", value)
        case .greater(let value): append(" > ", value)
        case .atLeast(let value): append(" >= ", value)
        case .between(let lower, let upper):
            append(" between ", lower)
            append(" and ", upper)
        case .isIn(let values): append(" in ", .array(values))
        case .contains(let value): append(" contains ", value)
        case .prefix(let text): append(" startsWith ", .string(text))
        }
    }

    private mutating func append(_ lead: String, _ value: MetadataValue) {
        append(lead)
        append(value)
    }

    private mutating func append(_ value: MetadataValue) {
        switch value {
        case .null: append("null")
        case .bool(let flag): append(flag ? "true" : "false")
        case .integer(let number): append("\(number)")
        case .double(let number): append(number.isNaN ? "nan" : "\(number)")
        case .string(let text): append(quoted: text, by: 0x22)
        case .array(let values):
            append("[")
            for (index, element) in values.enumerated() {
                if index > 0 { append(", ") }
                append(element)
            }
            append("]")
        case .object(let fields):
            append("{")
            let sorted = fields.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            for (index, field) in sorted.enumerated() {
                if index > 0 { append(", ") }
                append(quoted: field.key, by: 0x22)
                append(": ", field.value)
            }
            append("}")
        }
    }

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    private mutating func append(quoted text: String, by quote: UInt8) {
        bytes.append(quote)
        for byte in text.utf8 {
            switch byte {
            case quote, 0x5c: bytes += [0x5c, byte]
            case 0x00..<0x20, 0x7f: append("\\u{\(String(byte, radix: 16))}")
            default: bytes.append(byte)
            }
        }
        bytes.append(quote)
    }

    /// Whether a key may stand as it is.
    static func isPlain(_ key: String) -> Bool {
        guard let first = key.utf8.first, isNameStart(first), !reserved.contains(key) else { return false }
        return key.utf8.allSatisfy(isNamePart)
    }

    /// A letter, `_`, or a byte of a character beyond ASCII.
    static func isNameStart(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x41...0x5a, 0x61...0x7a, 0x5f, 0x80...0xff: true
        default: false
        }
    }

    /// What may follow it: also digits and `-`.
    static func isNamePart(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x2d: true
        default: isNameStart(byte)
        }
    }
}
