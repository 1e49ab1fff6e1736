/// Reads filters from text: ``Filter/init(parsing:)`` hands it any text, it hands back a filter or an error with its
/// place. The grammar is in the article *Filtering*; nesting and size are limited, so no text can exhaust the stack.
import StorageFormat

extension Filter {
    /// Reads a filter from text, such as `lang == "en" && (year >= 2020 || tags contains "new")`.
    ///
    /// - Parameter text: a filter as the article *Filtering* describes it, 8 MiB at most.
    /// - Throws: `invalidFilter`, with the offset in UTF-8 bytes of what is wrong.
    public init(parsing text: String) throws(StoreError) {
        var parser = try FilterParser(Array(text.utf8))
        self = try parser.filter()
        if let problem { throw problem }
    }
}

extension FieldPath {
    /// Reads the name of a field as it stands in a filter: `lang`, `author.name`, `` `two words` ``.
    init(parsing text: String) throws(StoreError) {
        var parser = try FilterParser(Array(text.utf8))
        self = try parser.wholePath()
    }

    /// The name as it stands in a filter.
    var text: String {
        var text = FilterText()
        text.append(self)
        return String(decoding: text.bytes, as: UTF8.self)
    }
}

struct FilterParser {
    private var lexer: FilterLexer
    private var token: FilterLexer.Token
    private var start: Int

    init(_ bytes: [UInt8]) throws(StoreError) {
        guard bytes.count <= FilterLimits.textByteCount else {
            throw .filter("It has more than \(FilterLimits.textByteCount) bytes.", offset: FilterLimits.textByteCount)
        }
        lexer = FilterLexer(bytes)
        (token, start) = try lexer.next()
    }

    /// The whole text as a filter.
    mutating func filter() throws(StoreError) -> Filter {
        let filter = try disjunction(depth: 1)
        guard token == .end else { throw unexpected("Behind a condition comes && or ||, or the end.") }
        return filter
    }

    /// The whole text as the name of a field.
    mutating func wholePath() throws(StoreError) -> FieldPath {
        let path = try path()
        guard token == .end else { throw unexpected("Behind the name of a field comes nothing else.") }
        return path
    }

    private mutating func advance() throws(StoreError) { (token, start) = try lexer.next() }

    private func unexpected(_ message: String) -> StoreError {
        .filter(token == .end ? "It ends too early. \(message)" : message, offset: start)
    }

    private mutating func take(_ symbol: FilterLexer.Symbol) throws(StoreError) -> Bool {
        guard token == .symbol(symbol) else { return false }
        try advance()
        return true
    }

    private mutating func takeConnective(_ symbol: FilterLexer.Symbol, _ word: String) throws(StoreError) -> Bool {
        guard token == .symbol(symbol) || token == .word(word) else { return false }
        try advance()
        return true
    }

    private mutating func expect(_ symbol: FilterLexer.Symbol, _ message: String) throws(StoreError) {
        guard try take(symbol) else { throw unexpected(message) }
    }

    private func check(depth: Int) throws(StoreError) {
        guard depth <= FilterLimits.textDepth else {
            throw .filter("It is nested more than \(FilterLimits.textDepth) levels deep.", offset: start)
        }
    }

    // MARK: Conditions

    private mutating func disjunction(depth: Int) throws(StoreError) -> Filter {
        var parts = [try conjunction(depth: depth)]
        while try takeConnective(.or, "or") { parts.append(try conjunction(depth: depth)) }
        return .any(of: parts)
    }

    private mutating func conjunction(depth: Int) throws(StoreError) -> Filter {
        var parts = [try condition(depth: depth)]
        while try takeConnective(.and, "and") { parts.append(try condition(depth: depth)) }
        return .all(of: parts)
    }

    private mutating func condition(depth: Int) throws(StoreError) -> Filter {
        try check(depth: depth)
        switch token {
        case .symbol(.not), .word("not"):
            try advance()
            return !(try condition(depth: depth + 1))
        case .symbol(.open):
            try advance()
            let inner = try disjunction(depth: depth + 1)
            try expect(.close, "A parenthesis is not closed.")
            return inner
        case .word("true"):
            try advance()
            return .all
        case .word("false"):
            try advance()
            return .none
        default:
            return try test()
        }
    }

    private mutating func path() throws(StoreError) -> FieldPath {
        var keys: [String] = []
        repeat {
            switch token {
            case .quotedName(let name):
                guard !name.isEmpty else { throw unexpected("A field has an empty name.") }
                keys.append(name)
            case .word(let word):
                guard keys.isEmpty == false || !FilterText.reserved.contains(word) else {
                    throw unexpected("\"\(word)\" is a word of the language; a field of that name stands in backticks.")
                }
                keys.append(word)
            default:
                throw unexpected("Here comes the name of a field.")
            }
            try advance()
        } while try take(.dot)
        return FieldPath(keys: keys)
    }

    private mutating func test() throws(StoreError) -> Filter {
        let field = FilterField(path: try path())
        switch token {
        case .symbol(.equal): return field == (try operand())
        case .symbol(.notEqual): return field != (try operand())
        case .symbol(.less): return field < (try operand())
        case .symbol(.atMost): return field <= (try operand())
        case .symbol(.greater): return field > (try operand())
        case .symbol(.atLeast): return field >= (try operand())
        case .word("exists"):
            try advance()
            return field.exists
        case .word("in"):
            guard case .array(let values) = try operand() else { throw unexpected("Behind \"in\" comes a list.") }
            return field.isIn(values)
        case .word("contains"): return field.contains(try operand())
        case .word("startsWith"):
            guard case .string(let prefix) = try operand() else {
                throw unexpected("Behind \"startsWith\" comes a string.")
            }
            return field.hasPrefix(prefix)
        case .word("between"):
            let lower = try operand()
            guard token == .word("and") else { throw unexpected("\"between\" is followed by a value, and, a value.") }
            return field.isBetween(lower, and: try operand())
        default:
            throw unexpected("Behind a field comes a comparison, in, between, contains, startsWith or exists.")
        }
    }

    // MARK: Values

    /// The value behind an operator.
    private mutating func operand() throws(StoreError) -> MetadataValue {
        try advance()
        return try value(depth: 1)
    }

    private mutating func value(depth: Int) throws(StoreError) -> MetadataValue {
        try check(depth: depth)
        let value: MetadataValue
        switch token {
        case .string(let text): value = .string(text)
        case .integer(let number): value = .integer(number)
        case .double(let number): value = .double(number)
        case .word("true"): value = true
        case .word("false"): value = false
        case .word("null"): value = .null
        case .word("nan"): value = .double(.nan)
        case .word("inf"): value = .double(.infinity)
        case .symbol(.openBracket): return try array(depth: depth)
        case .symbol(.openBrace): return try object(depth: depth)
        default: throw unexpected("Here comes a value: a number, a string in quotes, true, false, null or a list.")
        }
        try advance()
        return value
    }

    private mutating func array(depth: Int) throws(StoreError) -> MetadataValue {
        try advance()
        var values: [MetadataValue] = []
        if try take(.closeBracket) { return .array(values) }
        repeat { values.append(try value(depth: depth + 1)) } while try take(.comma)
        try expect(.closeBracket, "A list is not closed.")
        return .array(values)
    }

    private mutating func object(depth: Int) throws(StoreError) -> MetadataValue {
        try advance()
        var fields: [String: MetadataValue] = [:]
        if try take(.closeBrace) { return .object(fields) }
        repeat {
            guard case .string(let key) = token else { throw unexpected("An object's field is a string in quotes.") }
            let keyStart = start
            try advance()
            try expect(.colon, "Behind an object's field comes a colon.")
            guard fields.updateValue(try value(depth: depth + 1), forKey: key) == nil else {
                throw .filter("The object has this field twice.", offset: keyStart)
            }
        } while try take(.comma)
        try expect(.closeBrace, "An object is not closed.")
        return .object(fields)
    }
}
