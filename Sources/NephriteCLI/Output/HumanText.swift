/// Text for people: commands hand it numbers, records and durations, and print the lines it answers.
import Nephrite

/// The forms that output for people has.
enum HumanText {
    /// A whole number with commas: 12,345.
    static func grouped(_ number: some BinaryInteger) -> String {
        let digits = Array(String(number.magnitude))
        var text = number < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3) { text.append(",") }
            text.append(digit)
        }
        return text
    }

    /// A number with a fixed number of decimals.
    static func fixed(_ number: Double, decimals: Int) -> String {
        guard number.isFinite, abs(number) < 1e15 else { return number.description }
        let scale = (0..<decimals).reduce(1.0) { scale, _ in scale * 10 }
        let scaled = UInt64((abs(number) * scale).rounded())
        let fraction = String(scaled % UInt64(scale))
        let sign = number < 0 && scaled > 0 ? "-" : ""
        let whole = "\(sign)\(scaled / UInt64(scale))"
        if decimals == 0 { return whole }
        return whole + "." + String(repeating: "0", count: decimals - fraction.count) + fraction
    }

    /// A duration in seconds.
    static func seconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }

    /// “5,000 rows in 0.41 s (12,195 rows/s)”.
    static func rate(rows: Int, in duration: Duration) -> String {
        let seconds = seconds(duration)
        let rate = seconds > 0 ? " (\(grouped(Int(min(1e15, Double(rows) / seconds)))) rows/s)" : ""
        return "\(grouped(rows)) row\(rows == 1 ? "" : "s") in \(fixed(seconds, decimals: 2)) s\(rate)"
    }

    /// What a record is about, on one line: its word and gloss, its title or text, or all its metadata.
    static func summary(_ metadata: Metadata, width: Int = 100) -> String {
        let text: String
        if case .string(let word)? = metadata["word"], case .string(let gloss)? = metadata["gloss"] {
            text = "\(word): \(gloss)"
        } else if let first = ["title", "name", "text", "gloss", "word"].lazy.compactMap({ metadata[$0] }).first,
            case .string(let string) = first
        {
            text = string
        } else if metadata.isEmpty {
            text = ""
        } else {
            var json = JSONText()
            json.value(metadata)
            text = json.text
        }
        let line = String(printable(text))
        return line.count <= width ? line : line.prefix(width - 1) + "…"
    }

    /// The text without control characters, which could change the terminal's state.
    static func printable(_ text: String) -> String {
        String(text.map { $0.unicodeScalars.contains { $0.properties.generalCategory == .control } ? " " : $0 })
    }

    /// The text with spaces behind it up to a width.
    static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// The lines of a table whose columns are as wide as their longest cell.
    static func table(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { $0 == row.count - 1 ? $1 : padded($1, widths[$0]) }
            return cells.joined(separator: "  ")
        }
    }
}
