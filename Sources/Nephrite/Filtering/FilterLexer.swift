/// Cuts a filter's text into tokens for ``FilterParser``. Any bytes may come in; what is no token is an error with its place.

struct FilterLexer {
    enum Token: Equatable {
        /// A name as it is, which may be a word of the language.
        case word(String)
        /// A name in backticks.
        case quotedName(String)
        case string(String)
        case integer(Int64)
        case double(Double)
        case symbol(Symbol)
        case end
    }

    enum Symbol: String {
        case and = "&&"
        case or = "||"
        case not = "!"
        case equal = "=="
        case notEqual = "!="
        case atMost = "<="
        case atLeast = ">="
        case less = "<"
        case greater = ">"
        case open = "("
        case close = ")"
        case openBracket = "["
        case closeBracket = "]"
        case openBrace = "{"
        case closeBrace = "}"
        case comma = ","
        case colon = ":"
        case dot = "."
    }

    let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private func byte(_ offset: Int = 0) -> UInt8? {
        position + offset < bytes.count ? bytes[position + offset] : nil
    }

    /// The next token and where it begins.
    mutating func next() throws(StoreError) -> (token: Token, start: Int) {
        while let space = byte(), space == 0x20 || (0x09...0x0d).contains(space) { position += 1 }
        let start = position
        guard let first = byte() else { return (.end, start) }
        switch first {
        case 0x22, 0x27: return (.string(try quoted(by: first)), start)
        case 0x60: return (.quotedName(try quoted(by: first)), start)
        case 0x30...0x39, 0x2d: return (try number(), start)
        case _ where FilterText.isNameStart(first):
            while let part = byte(), FilterText.isNamePart(part) { position += 1 }
            return (.word(text(start..<position)), start)
        default:
            return (.symbol(try symbol(first)), start)
        }
    }

    private mutating func symbol(_ first: UInt8) throws(StoreError) -> Symbol {
        if let second = byte(1), let symbol = Symbol(rawValue: text([first, second])) {
            position += 2
            return symbol
        }
        if let symbol = Symbol(rawValue: text([first])) {
            position += 1
            return symbol
        }
        switch first {
        case 0x3d: throw .filter("\"=\" is no comparison; equality is \"==\".", offset: position)
        case 0x26, 0x7c: throw .filter("The connectives are \"&&\" and \"||\".", offset: position)
        default: throw .filter("Nothing begins with this character.", offset: position)
        }
    }

    // MARK: Numbers

    private mutating func number() throws(StoreError) -> Token {
        let start = position
        if byte() == 0x2d { position += 1 }
        if byte() == 0x69 {
            while let part = byte(), FilterText.isNamePart(part) { position += 1 }
            guard text(start..<position) == "-inf" else { throw .filter("This is no number.", offset: start) }
            return .double(-.infinity)
        }
        try digits(start)
        var isInteger = true
        if byte() == 0x2e {
            isInteger = false
            position += 1
            try digits(start)
        }
        if byte() == 0x65 || byte() == 0x45 {
            isInteger = false
            position += 1
            if byte() == 0x2b || byte() == 0x2d { position += 1 }
            try digits(start)
        }
        if let part = byte(), FilterText.isNamePart(part) { throw .filter("This is no number.", offset: start) }
        let digits = text(start..<position)
        if isInteger {
            guard let value = Int64(digits) else {
                throw .filter(
                    "The integer does not fit 64 bits; with \".0\" it is a floating-point number.", offset: start)
            }
            return .integer(value)
        }
        guard let value = Double(digits), value.isFinite else {
            throw .filter("The number is too large; infinity is inf.", offset: start)
        }
        return .double(value)
    }

    private mutating func digits(_ start: Int) throws(StoreError) {
        guard let first = byte(), (0x30...0x39).contains(first) else {
            throw .filter("This is no number.", offset: start)
        }
        while let digit = byte(), (0x30...0x39).contains(digit) { position += 1 }
    }

    // MARK: Strings

    /// What stands between two quotes, escapes resolved.
    private mutating func quoted(by quote: UInt8) throws(StoreError) -> String {
        let start = position
        position += 1
        var content: [UInt8] = []
        while let next = byte() {
            position += 1
            switch next {
            case quote: return text(content)
            case 0x5c: content += try escape()
            default: content.append(next)
            }
        }
        throw .filter("The closing quote is missing.", offset: start)
    }

    private mutating func escape() throws(StoreError) -> [UInt8] {
        let start = position - 1
        guard let kind = byte() else { throw .filter("The text ends in an escape.", offset: start) }
        position += 1
        switch kind {
        case 0x22, 0x27, 0x60, 0x5c, 0x2f: return [kind]
        case 0x6e: return [0x0a]
        case 0x72: return [0x0d]
        case 0x74: return [0x09]
        case 0x75: return try scalar(start)
        default: throw .filter("There is no such escape; a backslash is \\\\.", offset: start)
        }
    }

    /// `\u{hex}`.
    private mutating func scalar(_ start: Int) throws(StoreError) -> [UInt8] {
        guard byte() == 0x7b else { throw .filter("A character's code is written \\u{1F600}.", offset: start) }
        position += 1
        let first = position
        while let digit = byte(), digit != 0x7d, position - first < 8 { position += 1 }
        guard byte() == 0x7d, let code = UInt32(text(first..<position), radix: 16), let scalar = Unicode.Scalar(code)
        else { throw .filter("This is no character's code.", offset: start) }
        position += 1
        return Array(String(Character(scalar)).utf8)
    }

    private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
