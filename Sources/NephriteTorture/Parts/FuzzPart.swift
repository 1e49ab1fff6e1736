/// Fuzzing: runs `Tests/Fuzz/run.sh` of the source tree that this program was built in, each target for its share of the
/// time. What a target finds that is new stays in the build directory, from where it is reproduced.
import Foundation
import NephriteExercise

/// Runs the libFuzzer targets.
struct FuzzPart: TorturePart {
    static let name = "fuzz"
    static let summary = "libFuzzer on every parser, and on whole stores with changed files"

    func obstacle(_ mounts: Mounts) -> String? {
        guard let script = Self.script() else {
            return "needs the source tree that it was built in (Tests/Fuzz/run.sh)"
        }
        let directory = Self.buildDirectory(script)
        guard Self.mayWrite(directory) else { return "needs to write to \(directory); FUZZ_BUILD names another" }
        return ["swiftc", "clang"].first { Machine.program($0) == nil }.map { "needs \($0)" }
    }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        guard let script = Self.script() else { return }
        let targets = try Self.output(script, ["list"]).split(separator: "\n").map(String.init)
        for (index, target) in targets.enumerated() where session.goesOn(report) || report.rounds == 0 {
            let share = session.remaining / (targets.count - index)
            let seconds = max(1, Int(share / .seconds(1)))
            do {
                let said = try Self.output(script, [target, String(seconds)])
                let executions = said.split(separator: "\n").last { $0.contains("stat::number_of_executed_units") }
                let count = executions?.split(separator: " ").last.flatMap { Int($0) } ?? 0
                report.count("of \(target)", count)
                report.states += count
            } catch {
                let again = Self.replay("\(error)", target, seconds, script)
                report.fail("\(target): \(error)", seed: session.options.seed, again: again)
            }
            report.rounds += 1
        }
    }

    /// The command that shows the failure again: the input that libFuzzer has written, if it got that far.
    private static func replay(_ said: String, _ target: String, _ seconds: Int, _ script: String) -> String {
        let mark = "Test unit written to ./"
        guard let line = said.split(separator: "\n").last(where: { $0.contains(mark) }),
            let name = line.split(separator: "/").last
        else { return "\(script) \(target) \(seconds)" }
        let directory = buildDirectory(script)
        return "\(directory)/\(target) \(directory)/\(name)"
    }

    /// Where the script builds and keeps what it finds.
    private static func buildDirectory(_ script: String) -> String {
        if let directory = ProcessInfo.processInfo.environment["FUZZ_BUILD"], !directory.isEmpty { return directory }
        return URL(fileURLWithPath: script).appendingPathComponent("../../../.build/fuzz").standardized.path
    }

    /// Whether files can be made in a directory, or it in the nearest one above that is there.
    private static func mayWrite(_ directory: String) -> Bool {
        var place = URL(fileURLWithPath: directory)
        while place.path != "/", !FileManager.default.fileExists(atPath: place.path) { place.deleteLastPathComponent() }
        return FileManager.default.isWritableFile(atPath: place.path)
    }

    /// The script, found upwards from this program.
    private static func script() -> String? {
        let executable = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        var directory = URL(fileURLWithPath: executable ?? "/")
        while directory.path != "/" {
            directory.deleteLastPathComponent()
            let path = directory.appendingPathComponent("Tests/Fuzz/run.sh").path
            if FileManager.default.isExecutableFile(atPath: path) { return path }
        }
        return nil
    }

    /// Runs the script; what it said.
    private static func output(_ script: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: script)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let said = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw TortureFailure(description: said.split(separator: "\n").suffix(12).joined(separator: "\n"))
        }
        return said
    }
}
