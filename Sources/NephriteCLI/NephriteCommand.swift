/// The entry point of `nephrite`: takes the words of the command line and ends the process with the exit
/// code that `CommandRunner` answers.
import Foundation

/// The command-line tool.
@main
struct NephriteCommand {
    static func main() async {
        Descriptors.occupyStandard()
        let console = Console()
        let interrupt = Interrupt()
        let arguments = Array(CommandLine.arguments.dropFirst())
        do throws(CommandError) {
            try Descriptors.requireFree(Interrupt.descriptorCount)
        } catch {
            console.report(error, asJSON: arguments.contains("--json"))
            exit(error.exitCode.rawValue)
        }
        let sources = await interrupt.listen(console)
        let runner = CommandRunner(console: console, interrupt: interrupt)
        let code = await runner.run(arguments)
        for source in sources { source.cancel() }
        exit(code.rawValue)
    }
}
