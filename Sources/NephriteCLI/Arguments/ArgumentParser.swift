/// Reads the arguments of one command by its specification; the runner hands it the words after the
/// command's name and hands the result to the command.

/// The arguments of a command, checked against its specification.
struct ParsedArguments: Sendable, Equatable {
    private var values: [String: String] = [:]
    private var flags: Set<String> = []
    /// The positional arguments in order.
    private(set) var positionals: [String] = []

    /// Reads `arguments`.
    ///
    /// - Throws: `CommandError` with exit code 64 that names the argument and what is accepted.
    init(_ arguments: [String], for command: CommandSpecification) throws(CommandError) {
        var rest = arguments[...]
        var onlyPositionals = false
        while let argument = rest.popFirst() {
            if onlyPositionals || argument == "-" || !argument.hasPrefix("-") {
                positionals.append(argument)
            } else if argument == "--" {
                onlyPositionals = true
            } else {
                try take(argument, &rest, command)
            }
        }
        if !flags.contains("help") { try validate(command) }
    }

    /// Takes the option `argument` and, if it has one, its value.
    private mutating func take(
        _ argument: String, _ rest: inout ArraySlice<String>, _ command: CommandSpecification
    ) throws(CommandError) {
        let (spelling, attached) = Self.split(argument)
        let name = String(spelling.drop { $0 == "-" })
        guard let option = command.option(named: name), option.spelling == spelling else {
            throw Self.unknown(spelling, command)
        }
        let help = "See “nephrite \(command.name) --help”."
        guard values[name] == nil, !flags.contains(name) else {
            throw .usage("\(spelling) is given twice.", remedy: help)
        }
        guard let valueName = option.value else {
            guard attached == nil else { throw .usage("\(spelling) takes no value.", remedy: help) }
            flags.insert(name)
            return
        }
        if let attached {
            values[name] = attached
        } else if let next = rest.first, !Self.isOption(next, of: command) {
            values[name] = next
            rest.removeFirst()
        } else {
            throw .usage(
                "\(spelling) needs a value, \(valueName).",
                remedy: "Write \(spelling)=VALUE if the value begins with a dash.")
        }
    }

    /// Whether `argument` is an option the command has: then it is not taken for a value.
    private static func isOption(_ argument: String, of command: CommandSpecification) -> Bool {
        let spelling = split(argument).spelling
        return argument == "--" || (command.options + [.help]).contains { $0.spelling == spelling }
    }

    /// `--name=value`, `-n=value` and `-n5` taken apart.
    private static func split(_ argument: String) -> (spelling: String, value: String?) {
        if let equals = argument.firstIndex(of: "=") {
            return (String(argument[..<equals]), String(argument[argument.index(after: equals)...]))
        }
        let isShortWithValue = !argument.hasPrefix("--") && argument.count > 2 && argument.hasPrefix("-")
        if isShortWithValue, argument.dropFirst(2).allSatisfy(\.isNumber) {
            return (String(argument.prefix(2)), String(argument.dropFirst(2)))
        }
        return (argument, nil)
    }

    private static func unknown(_ spelling: String, _ command: CommandSpecification) -> CommandError {
        let known = (command.options + [.help]).map(\.spelling)
        let suggestion = Suggestion.nearest(to: spelling, in: known).map { "Did you mean \($0)? " } ?? ""
        return .usage(
            "“nephrite \(command.name)” has no option \(spelling).",
            remedy: suggestion
                + "See “nephrite \(command.name) --help”; write -- before arguments that begin with a dash."
        )
    }

    /// Checks the number of positional arguments, required options and exclusive groups.
    private func validate(_ command: CommandSpecification) throws(CommandError) {
        let help = "See “nephrite \(command.name) --help”."
        let needed = command.positionals.filter { $0.arity != .optional }
        if positionals.count < needed.count {
            throw .usage("\(needed[positionals.count].name) is missing.", remedy: help)
        }
        if command.positionals.last?.arity != .oneOrMore, positionals.count > command.positionals.count {
            throw .usage("There is an argument too many: “\(positionals[command.positionals.count])”.", remedy: help)
        }
        for option in command.options where option.isRequired && values[option.name] == nil {
            throw .usage("\(option.usage) is missing.", remedy: help)
        }
        for group in command.exclusive {
            let given = group.names.filter { values[$0] != nil || flags.contains($0) }
            let names = group.names.compactMap { command.option(named: $0)?.usage }.joined(separator: ", ")
            if given.count > 1 { throw .usage("Only one of \(names) can be given.", remedy: help) }
            if group.isRequired, given.isEmpty { throw .usage("One of \(names) is missing.", remedy: help) }
        }
    }
}

extension ParsedArguments {
    /// Whether a flag was given.
    func has(_ flag: String) -> Bool { flags.contains(flag) }

    /// The value of an option, if it was given.
    subscript(option: String) -> String? { values[option] }

    /// The value of an option that is a whole number in a range.
    func integer(_ option: String, in range: ClosedRange<Int>) throws(CommandError) -> Int? {
        guard let text = values[option] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw .usage(
                "“\(text)” is no value for \(option.count == 1 ? "-" : "--")\(option).",
                remedy: range.upperBound == .max
                    ? "Give a whole number, \(range.lowerBound) or more."
                    : "Give a whole number from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// The value of an option that is a positive number.
    func number(_ option: String, in range: ClosedRange<Double>) throws(CommandError) -> Double? {
        guard let text = values[option] else { return nil }
        guard let number = Double(text), range.contains(number) else {
            throw .usage(
                "“\(text)” is no value for --\(option).",
                remedy: "Give a number from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// The value of an option that names one of a few things.
    func choice<Value: CaseIterable & RawRepresentable<String>>(
        _ option: String, _ type: Value.Type
    ) throws(CommandError) -> Value? {
        guard let text = values[option] else { return nil }
        guard let value = Value(rawValue: text) else {
            let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw .usage("“\(text)” is no value for --\(option).", remedy: "Give one of \(names).")
        }
        return value
    }
}
