/// Strings and numbers of `JSONParser`; numbers become the nearest `Float` or `Double`, without a string
/// in between where the digits are few.
import Nephrite

extension JSONParser {
    /// A number as it was scanned: `±significand × 10^exponent`, or its text when that does not hold it all.
    struct Number {
        let isNegative: Bool
        let significand: UInt64
        let exponent: Int
        let isWhole: Bool
        /// The digits, when `significand` could not take them all.
        let text: ArraySlice<UInt8>
        let isExact: Bool
    }

    /// A number by the grammar of RFC 8259.
    mutating func number() throws(SyntaxError) -> Number {
        let start = position
        let isNegative = take(UInt8(ascii: "-"))
        var digits = Digits()
        let first = position
        digits.take(&self)
        guard position > first else { throw error("This is no JSON value.", at: start) }
        guard bytes[first] != UInt8(ascii: "0") || position == first + 1 else {
            throw error("A number does not begin with 0.", at: start)
        }
        var isWhole = true
        var exponent = 0
        if take(UInt8(ascii: ".")) {
            isWhole = false
            let fraction = position
            digits.take(&self)
            guard position > fraction else { throw error("Digits must follow the decimal point.") }
            exponent = fraction - position
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            isWhole = false
            exponent += try self.exponent()
        }
        return Number(
            isNegative: isNegative, significand: digits.value, exponent: exponent, isWhole: isWhole,
            text: bytes[start..<position], isExact: digits.isExact)
    }

    private mutating func exponent() throws(SyntaxError) -> Int {
        let isNegative = take(UInt8(ascii: "-"))
        if !isNegative { _ = take(UInt8(ascii: "+")) }
        var digits = Digits()
        let start = position
        digits.take(&self)
        guard position > start else { throw error("Digits must follow the exponent.") }
        let value = digits.isExact ? Int(min(digits.value, 1_000_000)) : 1_000_000
        return isNegative ? -value : value
    }

    /// Decimal digits gathered into an integer as long as they fit.
    private struct Digits {
        var value: UInt64 = 0
        var isExact = true

        mutating func take(_ parser: inout JSONParser) {
            while case let digit = parser.peek &- UInt8(ascii: "0"), digit < 10 {
                parser.position += 1
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
                if overflow || carry { isExact = false }
                value = sum
            }
        }
    }

    /// A string with its escapes resolved.
    mutating func string() throws(SyntaxError) -> String {
        guard take(UInt8(ascii: "\"")) else { throw error("A string must begin here.") }
        let start = position
        while position < bytes.endIndex, case let byte = bytes[position], byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw error("A control character must be escaped.") }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            position += 1
        }
        guard position < bytes.endIndex else { throw error("The string does not end.") }
        defer { position += 1 }
        return try text(bytes[start..<position], start)
    }

    /// The rest of a string in which the first escape was met at `position`.
    private mutating func escapedString(from start: Int) throws(SyntaxError) -> String {
        var unescaped = Array(bytes[start..<position])
        while position < bytes.endIndex {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try text(unescaped[...], start)
            case UInt8(ascii: "\\"): try escape(into: &unescaped)
            case 0..<0x20: throw error("A control character must be escaped.", at: position - 1)
            default: unescaped.append(byte)
            }
        }
        throw error("The string does not end.")
    }

    private mutating func escape(into unescaped: inout [UInt8]) throws(SyntaxError) {
        let place = position
        let byte = peek
        position = min(position + 1, bytes.endIndex)
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): unescaped.append(byte)
        case UInt8(ascii: "b"): unescaped.append(0x08)
        case UInt8(ascii: "f"): unescaped.append(0x0C)
        case UInt8(ascii: "n"): unescaped.append(0x0A)
        case UInt8(ascii: "r"): unescaped.append(0x0D)
        case UInt8(ascii: "t"): unescaped.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if code & 0xFC00 == 0xD800 {
                guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw loneSurrogate(place) }
                let low = try hexadecimal()
                guard low & 0xFC00 == 0xDC00 else { throw loneSurrogate(place) }
                code = 0x10000 + (code & 0x3FF) << 10 + low & 0x3FF
            }
            guard let scalar = Unicode.Scalar(code) else { throw loneSurrogate(place) }
            unescaped.append(contentsOf: UTF8.encode(scalar)!)
        default: throw error("There is no such escape.", at: place)
        }
    }

    private func loneSurrogate(_ place: Int) -> SyntaxError {
        error("Half of a surrogate pair is no character.", at: place)
    }

    private mutating func hexadecimal() throws(SyntaxError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(peek)).hexDigitValue else {
                throw error("Four hexadecimal digits must follow.")
            }
            code = code << 4 + UInt32(digit)
            position += 1
        }
        return code
    }

    private func text(_ bytes: ArraySlice<UInt8>, _ start: Int) throws(SyntaxError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error("The string is not valid UTF-8.", at: start)
        }
        return text
    }
}

extension JSONParser.Number {
    private static let powers: [Double] = (0...22).reduce(into: []) { powers, _ in
        powers.append((powers.last ?? 0.1) * 10)
    }

    /// The nearest double (Clinger's fast path: both factors are exact, so one operation rounds once).
    var double: Double {
        guard isExact, significand < 1 << 53, abs(exponent) <= 22 else {
            return Double(String(decoding: text, as: UTF8.self)) ?? .nan
        }
        let whole = Double(significand)
        let magnitude = exponent < 0 ? whole / Self.powers[-exponent] : whole * Self.powers[exponent]
        return isNegative ? -magnitude : magnitude
    }

    /// The nearest float. Rounding to double first gives the same result unless the double lies exactly
    /// between two floats, or the float is subnormal; then the text is read as a float.
    var float: Float {
        let double = double
        let isBetween = double.bitPattern & 0x1FFF_FFFF == 0x1000_0000
        let isSubnormal = abs(double) < Double(Float.leastNormalMagnitude) && significand != 0
        if isBetween || isSubnormal { return Float(String(decoding: text, as: UTF8.self)) ?? .nan }
        return Float(double)
    }

    /// An integer when it was written as one and fits, else a double.
    var metadataValue: MetadataValue {
        if isWhole, isExact {
            if !isNegative, let integer = Int64(exactly: significand) { return .integer(integer) }
            if isNegative, significand <= 1 << 63 { return .integer(Int64(truncatingIfNeeded: 0 &- significand)) }
        }
        return .double(double)
    }
}
