/// The argument parser, and the help that is made from the same tables.
import Testing

@testable import NephriteCLI

@Suite struct ArgumentParserTests {
    private static let command = CommandSpecification(
        name: "work", summary: "Work.",
        positionals: [
            PositionalSpecification("NAME", "A name."), PositionalSpecification("MORE", "More.", arity: .optional),
        ],
        options: [
            .store, .value("k", "K", "A number."), .value("size", "N", "A size."), .flag("fast", "Be fast."), .json,
        ],
        exclusive: [(names: ["size", "fast"], isRequired: false)])

    private func parse(_ line: String) throws -> ParsedArguments {
        try ParsedArguments(line.split(separator: " ").map(String.init), for: Self.command)
    }

    @Test("reads options in every form", arguments: ["--store d n -k 5", "n --store=d -k5", "-k=5 --store d -- n"])
    func forms(_ line: String) throws {
        let parsed = try parse(line)
        #expect(parsed["store"] == "d")
        #expect(try parsed.integer("k", in: 1...10) == 5)
        #expect(parsed.positionals == ["n"])
    }

    @Test("behind -- everything is positional, and a value may begin with a dash")
    func dashes() throws {
        #expect(try parse("--store d -- -n --json").positionals == ["-n", "--json"])
        #expect(try parse("--store -d n")["store"] == "-d")
        #expect(try parse("--store=--json n")["store"] == "--json")
        #expect(try parse("--store d -").positionals == ["-"])
    }

    @Test(
        "says what is wrong",
        arguments: [
            ("n", "--store DIR is missing"), ("--store d", "NAME is missing"), ("--store d a b c", "too many: “c”"),
            ("--store", "needs a value"), ("--store --json n", "needs a value"), ("--store d --store e n", "twice"),
            ("--store d n --fast=1", "takes no value"), ("--store d n --size 1 --fast", "Only one of"),
            ("--store d n --stor x", "no option --stor"), ("--store d n -x", "no option -x"),
            ("--store d n --k 1", "no option --k"),
            ("--store d n -json", "no option -json"),
        ])
    func errors(_ line: String, _ message: String) {
        let error = #expect(throws: CommandError.self) { try parse(line) }
        #expect(error?.exitCode == .usage)
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    @Test("suggests the option that was meant")
    func suggestion() {
        let error = #expect(throws: CommandError.self) { try parse("--stroe d n") }
        #expect(error?.remedy.contains("Did you mean --store?") == true)
        #expect(Suggestion.nearest(to: "serach", in: ["search", "stats"]) == "search")
        #expect(Suggestion.nearest(to: "xyzzy", in: ["search", "stats"]) == nil)
    }

    @Test("numbers out of range are usage errors", arguments: ["0", "11", "x", "", "1.5", "99999999999999999999"])
    func numbers(_ text: String) throws {
        let parsed = try parse("--store d n --size=\(text)")
        let error = #expect(throws: CommandError.self) { try parsed.integer("size", in: 1...10) }
        #expect(error?.exitCode == .usage)
    }

    @Test("--help wins over what is missing")
    func help() throws {
        #expect(try parse("--help").has("help"))
    }

    @Test("the help of every command names its options, arguments and examples")
    func pages() {
        for command in CommandRunner.commands.map({ $0.specification }) {
            let page = HelpText.page(command)
            #expect(page.contains("USAGE: nephrite \(command.name)"))
            #expect(!command.examples.isEmpty)
            for option in command.options + [.help] { #expect(page.contains(option.usage)) }
            for positional in command.positionals { #expect(page.contains(positional.name)) }
            for example in command.examples { #expect(page.contains(example.line)) }
        }
    }

    @Test("every example of the help is accepted by the parser")
    func examples() throws {
        for command in CommandRunner.commands.map({ $0.specification }) {
            for example in command.examples {
                let words = Self.words(example.line)
                #expect(words.prefix(2) == ["nephrite", command.name])
                #expect(throws: Never.self, "\(example.line)") {
                    try ParsedArguments(Array(words.dropFirst(2)), for: command)
                }
            }
        }
    }

    /// The words of a command line, as a shell takes single quotes.
    private static func words(_ line: String) -> [String] {
        line.split(separator: "'", omittingEmptySubsequences: false).enumerated().flatMap { index, part in
            index.isMultiple(of: 2) ? part.split(separator: " ").map(String.init) : [String(part)]
        }
    }
}
