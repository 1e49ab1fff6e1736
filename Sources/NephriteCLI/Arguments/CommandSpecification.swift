/// What a command accepts, as a table: the parser reads arguments by it and `HelpText` prints it, so the
/// two cannot disagree.

/// An option: a flag, or a name with a value.
struct OptionSpecification: Sendable {
    /// The name after `--`, or after `-` when it is one letter.
    let name: String
    /// What the help calls the value; nil for a flag.
    let value: String?
    /// One sentence.
    let help: String
    /// Whether the command is wrong without it.
    let isRequired: Bool

    /// An option with a value.
    static func value(_ name: String, _ value: String, _ help: String, isRequired: Bool = false) -> Self {
        Self(name: name, value: value, help: help, isRequired: isRequired)
    }

    /// An option without a value.
    static func flag(_ name: String, _ help: String) -> Self {
        Self(name: name, value: nil, help: help, isRequired: false)
    }

    /// The option as it is typed.
    var spelling: String { (name.count == 1 ? "-" : "--") + name }

    /// The option with the name of its value.
    var usage: String { value.map { "\(spelling) \($0)" } ?? spelling }
}

/// A positional argument.
struct PositionalSpecification: Sendable {
    /// How often it may be given.
    enum Arity: Sendable { case one, optional, oneOrMore }

    /// What the help calls it, in capitals.
    let name: String
    /// One sentence.
    let help: String
    /// How often it may be given; only the last one of a command may be other than `.one`.
    let arity: Arity

    init(_ name: String, _ help: String, arity: Arity = .one) {
        self.name = name
        self.help = help
        self.arity = arity
    }

    /// The argument as the usage line shows it.
    var usage: String {
        switch arity {
        case .one: name
        case .optional: "[\(name)]"
        case .oneOrMore: "\(name)..."
        }
    }
}

/// A command: its name, what it accepts, and what its help says.
struct CommandSpecification: Sendable {
    /// The word after `nephrite`.
    let name: String
    /// What it does, in one line.
    let summary: String
    /// More about it, below the summary.
    var discussion = ""
    /// Its positional arguments, in order.
    var positionals: [PositionalSpecification] = []
    /// Its options, in the order of the help.
    var options: [OptionSpecification] = []
    /// Groups of options of which at most one may be given; exactly one when `isRequired`.
    var exclusive: [(names: [String], isRequired: Bool)] = []
    /// Command lines with what they do.
    var examples: [(line: String, does: String)] = []

    /// The option of that name; every command has `--help`.
    func option(named name: String) -> OptionSpecification? {
        (options + [.help]).first { $0.name == name }
    }
}

extension OptionSpecification {
    /// The store every command works on.
    static let store = value("store", "DIR", "The directory of the store.", isRequired: true)
    /// Reading without writing a byte.
    static let readOnly = flag(
        "read-only", "Change nothing, not even to recover; also opens a store whose log is damaged.")
    /// Which records.
    static let `where` = value(
        "where", "FILTER", "Only records whose metadata it holds for: 'lang == \"en\" && year >= 2020'.")
    /// Output for machines.
    static let json = flag("json", "Print JSON, one value a line; errors too, on standard error.")
    /// The help, which every command has.
    static let help = flag("help", "Print this help.")
}
