/// Prints a command's specification as help; the runner hands it the tables and prints what it returns.

/// The help pages.
enum HelpText {
    private static let width = 100

    /// The page of the whole command.
    static func overview(_ commands: [CommandSpecification], version: String) -> String {
        let column = (commands.map(\.name.count).max() ?? 0) + 2
        let lines = commands.map { "  " + padded($0.name, column) + $0.summary }
        return """
            nephrite \(version): an embedded, crash-safe vector store

            USAGE: nephrite COMMAND [OPTIONS] [ARGUMENTS]

            COMMANDS:
            \(lines.joined(separator: "\n"))

            “nephrite COMMAND --help” tells more, with examples; “nephrite --version” prints the version.

            EXIT CODES: 0 done, 1 failed or not found, 64 usage, 65 damaged or malformed data, 66 missing input
            or store, 73 cannot create, 74 I/O error, 75 try again later, 130 interrupted.
            """
    }

    /// The page of one command.
    static func page(_ command: CommandSpecification) -> String {
        var sections = [command.summary, "USAGE: " + usage(command)]
        if !command.discussion.isEmpty { sections.append(command.discussion) }
        sections += [
            table("ARGUMENTS", command.positionals.map { ($0.name, $0.help) }),
            table(
                "OPTIONS", (command.options + [.help]).map { ($0.usage, $0.help + ($0.isRequired ? " Required." : "")) }
            ),
        ].compactMap { $0 }
        if !command.examples.isEmpty {
            let examples = command.examples.map { "  # \($0.does)\n  \($0.line)" }
            sections.append("EXAMPLES:\n" + examples.joined(separator: "\n\n"))
        }
        return sections.joined(separator: "\n\n")
    }

    /// The usage line: required options, positional arguments, then what may be left out.
    static func usage(_ command: CommandSpecification) -> String {
        let grouped = Set(command.exclusive.flatMap(\.names))
        let required = command.options.filter(\.isRequired).map(\.usage)
        let groups = command.exclusive.map { group in
            let names = group.names.compactMap { command.option(named: $0)?.usage }.joined(separator: " | ")
            return group.isRequired ? "(\(names))" : "[\(names)]"
        }
        let optional = command.options.filter { !$0.isRequired && !grouped.contains($0.name) }.map { "[\($0.usage)]" }
        let words = ["nephrite \(command.name)"] + required + command.positionals.map(\.usage) + groups + optional
        return wrapped(words, indent: 7)
    }

    private static func table(_ title: String, _ rows: [(String, String)]) -> String? {
        guard !rows.isEmpty else { return nil }
        let column = (rows.map(\.0.count).max() ?? 0) + 2
        let lines = rows.map { name, help in
            "  " + padded(name, column) + wrapped(help.split(separator: " ").map(String.init), indent: column + 2)
        }
        return "\(title):\n" + lines.joined(separator: "\n")
    }

    /// The words on lines no longer than the page is wide; later lines are indented.
    private static func wrapped(_ words: [String], indent: Int) -> String {
        var lines = [""]
        for word in words {
            let current = lines[lines.count - 1]
            if current.isEmpty {
                lines[lines.count - 1] = word
            } else if indent + current.count + 1 + word.count <= width {
                lines[lines.count - 1] += " " + word
            } else {
                lines.append(word)
            }
        }
        return lines.joined(separator: "\n" + String(repeating: " ", count: indent))
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
