/// The command line of `nephrite-torture`, as values: which parts, for how long, from which seed, where.
import Foundation

/// A command line that cannot be read.
struct TortureUsage: Error, CustomStringConvertible {
    let description: String
}

/// What the user asked for.
struct TortureOptions: Sendable {
    /// The parts to run, in order.
    var parts: [any TorturePart] = []
    /// How long they may take all together.
    var duration: Duration = .seconds(60)
    /// The rounds after which each part stops, if it has not for another reason.
    var roundLimit = Int.max
    /// What the rounds follow from: round n has the seed `seed` + n.
    var seed: UInt64 = 1
    /// Whether the table is lines of JSON.
    var isJSON = false
    /// Where the files of the run go.
    var directory = FileManager.default.temporaryDirectory.path

    static let help = """
        usage: nephrite-torture PART… [--seconds N] [--rounds N] [--seed N] [--directory DIR] [--json]
               nephrite-torture list

        Runs parts of the crash and fault campaign for N seconds all together (60 unless given), or for N rounds each,
        and prints what they went through. Ends with 1 if anything failed. “list” shows the parts and what this machine
        lacks for them; “all” stands for every part. Files go to DIR, the temporary directory unless given; what is
        mounted is mounted in a mount namespace of the process and gone with it.
        """

    /// Reads the words after the program's name.
    init(_ words: [String]) throws {
        var rest = words[...]
        while let word = rest.popFirst() {
            switch word {
            case "--json": isJSON = true
            case "--seconds": duration = .seconds(try Self.number(word, rest.popFirst(), in: 1...1_000_000_000))
            case "--rounds": roundLimit = try Self.number(word, rest.popFirst(), in: 1...Int.max)
            case "--seed": seed = try Self.number(word, rest.popFirst(), in: 0...UInt64.max)
            case "--directory":
                guard let value = rest.popFirst(), !value.isEmpty else {
                    throw TortureUsage(description: "\(word) DIR")
                }
                directory = value
            case "all": parts = allParts
            default:
                guard let part = allParts.first(where: { type(of: $0).name == word }) else {
                    let names = allParts.map { type(of: $0).name }.joined(separator: ", ")
                    throw TortureUsage(description: "There is no part “\(word)”; there are \(names), all.")
                }
                parts.append(part)
            }
        }
        if parts.isEmpty { throw TortureUsage(description: "Which part? See “nephrite-torture list”.") }
    }

    private static func number<Number: FixedWidthInteger>(
        _ option: String, _ text: String?, in range: ClosedRange<Number>
    ) throws -> Number {
        guard let number = text.flatMap({ Number($0) }), range.contains(number) else {
            throw TortureUsage(
                description: "\(option) needs a whole number from \(range.lowerBound) to \(range.upperBound), "
                    + "not \(text ?? "nothing").")
        }
        return number
    }
}
