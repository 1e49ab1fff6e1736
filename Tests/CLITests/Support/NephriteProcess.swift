/// Runs the built `nephrite` for the end-to-end tests and gathers what it prints.
import Foundation

@testable import NephriteCLI

/// The built program.
enum NephriteProcess {
    /// What a run printed and ended with.
    struct Result {
        let exitCode: Int32
        let output: String
        let errors: String

        /// The lines of standard output.
        var lines: [String] { output.split(separator: "\n").map(String.init) }
    }

    /// The program beside the test bundle, in the products directory.
    static var executable: URL {
        let bundle = CommandLine.arguments.lazy.compactMap { argument -> URL? in
            guard let range = argument.range(of: ".xctest") else { return nil }
            return URL(fileURLWithPath: String(argument[..<range.upperBound]))
        }.first
        return (bundle ?? Bundle.main.bundleURL.appendingPathComponent("x")).deletingLastPathComponent()
            .appendingPathComponent("nephrite")
    }

    /// A process that is ready to run; what it prints goes to the two files.
    static func make(_ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        return process
    }

    /// Runs it to its end. Output goes to files, so that no full pipe can stop it.
    static func run(_ arguments: [String], in directory: TemporaryDirectory) throws -> Result {
        let name = UUID().uuidString
        let process = make(arguments)
        let output = try directory.write([], to: name + ".out")
        let errors = try directory.write([], to: name + ".err")
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: errors)
        try process.run()
        process.waitUntilExit()
        return Result(
            exitCode: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
            output: try String(contentsOfFile: output, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
    }
}
