/// Runs a command line from its words to its exit code: finds the command, parses its arguments, runs it
/// beside the signals, and reports what failed.
import Nephrite

/// The whole of `nephrite` but for the process around it.
struct CommandRunner: Sendable {
    /// The version `--version` prints.
    static let version = "0.1.0"

    /// The commands in the order of the help.
    static var commands: [any Command.Type] {
        [
            CreateCommand.self, ImportCommand.self, GetCommand.self, SearchCommand.self, ListCommand.self,
            CountCommand.self, DeleteCommand.self, DropCommand.self, QuantizeCommand.self, StatsCommand.self,
            CheckCommand.self, SalvageCommand.self, BenchCommand.self, DemoCommand.self,
        ]
    }

    let console: Console
    let interrupt: Interrupt

    /// Runs the command line without the program's name.
    func run(_ arguments: [String]) async -> ExitCode {
        do {
            try await dispatch(arguments)
            try console.flush()
            return .success
        } catch {
            try? console.flush()
            let error = CommandError(error)
            // Nobody reads on: what `head` cut off is no failure worth a message.
            if error.code != "closedPipe" { console.report(error, asJSON: arguments.contains("--json")) }
            return error.exitCode
        }
    }

    private func dispatch(_ arguments: [String]) async throws {
        let specifications = Self.commands.map { $0.specification }
        guard let name = arguments.first else {
            throw CommandError.usage("Which command?", remedy: "See “nephrite --help”.")
        }
        switch name {
        case "--version":
            try console.print("nephrite \(Self.version)")
        case "--help", "-h", "help":
            guard name == "help", arguments.count > 1 else {
                return try console.print(HelpText.overview(specifications, version: Self.version))
            }
            try console.print(HelpText.page(command(arguments[1]).specification))
        default:
            let command = try command(name)
            let parsed = try ParsedArguments(Array(arguments.dropFirst()), for: command.specification)
            if parsed.has("help") { return try console.print(HelpText.page(command.specification)) }
            try await run(command, CommandContext(arguments: parsed, console: console, interrupt: interrupt))
        }
    }

    private func command(_ name: String) throws(CommandError) -> any Command.Type {
        if let command = Self.commands.first(where: { $0.specification.name == name }) { return command }
        let suggestion = Suggestion.nearest(to: name, in: Self.commands.map { $0.specification.name })
        throw .usage(
            "There is no command “\(name)”.",
            remedy: (suggestion.map { "Did you mean \($0)? " } ?? "") + "See “nephrite --help”.")
    }

    /// Runs the command; a signal cancels it, unless it finishes by itself.
    private func run(_ command: any Command.Type, _ context: CommandContext) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await command.run(context)
                return true
            }
            group.addTask {
                for await _ in interrupt.requests where !command.finishesWhenInterrupted { return false }
                return try await Self.never()
            }
            defer { group.cancelAll() }
            while let isDone = try await group.next() {
                if isDone { break }
                group.cancelAll()
            }
        }
        if Task.isCancelled { throw CancellationError() }
    }

    /// Waits until the task is cancelled.
    private static func never() async throws -> Bool {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        for await _ in stream {}
        continuation.finish()
        return false
    }
}
