/// The benchmark program's entry: reads the command line and hands it to a harness job, a suite or a child's part.

import Foundation

@main
struct NephriteBench {
    static func main() async {
        do {
            try await run(Array(CommandLine.arguments.dropFirst()))
        } catch let error as UsageError {
            printError(error.description + "\n\n" + usage)
            exit(64)
        } catch {
            printError("nephrite-bench: \(error)")
            exit(1)
        }
    }

    private static func run(_ arguments: [String]) async throws {
        guard let command = arguments.first else { throw UsageError("a workload or `suite` is expected") }
        switch command {
        case "suite":
            try await runSuites(SuiteOptions(parsing: Array(arguments.dropFirst())))
        case "probe":
            try await runProbe(ProbeRequest(json: try onlyArgument(arguments)))
        case "help", "--help", "-h":
            print(usage)
        default:
            guard let workload = Workload(rawValue: command) else { throw UsageError("unknown workload \(command)") }
            try await workload.run(Job(json: try onlyArgument(arguments)))
        }
    }

    private static func onlyArgument(_ arguments: [String]) throws -> String {
        guard arguments.count == 2 else { throw UsageError("\(arguments[0]) takes one argument, a job as JSON") }
        return arguments[1]
    }

    private static var usage: String {
        """
        nephrite-bench WORKLOAD JOB-JSON
            answers a job of the peers' harness; WORKLOAD is one of
            \(Workload.allCases.map(\.rawValue).joined(separator: " "))
        nephrite-bench suite [NAME…] [--n N] [--set DATASET]… [--repeat R] [--spin MICROSECONDS] [--json] [--dir DIR]
            runs our own suites, all of them when none is named:
        \(Suite.all.map { "    \($0.name.padding(toLength: 15, withPad: " ", startingAt: 0)) \($0.summary)" }
            .joined(separator: "\n"))
        Build it with `swift build -c release --product nephrite-bench`; figures of a debug build mean nothing.
        """
    }
}

/// A command line that cannot be followed.
struct UsageError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A benchmark that could not be carried out or that found a wrong answer.
struct BenchError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Writes a line to standard error.
func printError(_ message: String) {
    FileHandle.standardError.write(Data((message + "\n").utf8))
}
