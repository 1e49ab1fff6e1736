/// The parts of `nephrite-torture` that need the real kernel, for a few rounds each: kill -9, cut powers, failing syncs,
/// full disks, little memory. What the machine lacks the means for says so and is passed over.
import Foundation
import Testing

/// Runs the built program.
private enum Torture {
    /// The program beside the test bundle, in the products directory.
    static var executable: URL {
        let bundle = CommandLine.arguments.lazy.compactMap { argument -> URL? in
            guard let range = argument.range(of: ".xctest") else { return nil }
            return URL(fileURLWithPath: String(argument[..<range.upperBound]))
        }.first
        return (bundle ?? Bundle.main.bundleURL.appendingPathComponent("x")).deletingLastPathComponent()
            .appendingPathComponent("nephrite-torture")
    }

    /// What a row of the table says.
    struct Row: Decodable {
        let part: String
        let rounds: Int
        let states: Int
        let failures: [String]
        let counts: [String: Int]
        let skipped: String?
    }

    static func run(_ words: [String]) throws -> (exitCode: Int32, output: String) {
        let process = Process()
        process.executableURL = executable
        process.arguments = words
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, said)
    }

    /// The parts that the machine can run.
    static let parts: Set<String> = {
        guard let (code, text) = try? run(["list"]), code == 0 else { return [] }
        var parts: [String] = []
        for line in text.split(separator: "\n") {
            if line.contains("skipped here:") {
                _ = parts.popLast()
            } else {
                parts.append(String(line.prefix { $0 != " " }))
            }
        }
        return Set(parts)
    }()
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct RealKernelTests {
    private func torture(_ part: String, rounds: Int) throws -> Torture.Row {
        let (code, output) = try Torture.run([part, "--rounds", "\(rounds)", "--seconds", "300", "--json"])
        let row = try JSONDecoder().decode(Torture.Row.self, from: Data(output.utf8))
        #expect(code == 0, "\(output)")
        #expect(row.failures.isEmpty)
        #expect(row.skipped == nil)
        #expect(row.rounds >= rounds)
        return row
    }

    @Test(
        "A killed process loses nothing it acknowledged and leaves nothing in part",
        .enabled(if: Torture.parts.contains("kill")))
    func kill() throws {
        let row = try torture("kill", rounds: 24)
        #expect(row.counts["steps acknowledged", default: 0] > 0)
        #expect(row.counts["complete checks", default: 0] > 0)
    }

    @Test(
        "What was acknowledged survives a cut power",
        .enabled(if: Torture.parts.contains("power"), "needs root and loop devices"))
    func power() throws {
        let row = try torture("power", rounds: 12)
        #expect(row.counts["steps acknowledged", default: 0] > 0)
        #expect(row.counts["while writing", default: 0] > 0)
    }

    @Test(
        "After a sync that failed writing stops, reading goes on, and reopening recovers",
        .enabled(if: Torture.parts.contains("fsync"), "needs root and loop devices"))
    func failingSyncs() throws {
        let row = try torture("fsync", rounds: 4)
        #expect(row.counts["failed syncs", default: 0] > 0)
        #expect(row.counts["fenced", default: 0] > 0)
    }

    @Test(
        "A disk that is full at any point loses nothing, and deletes and checkpoints work on it",
        .enabled(if: Torture.parts.contains("full"), "needs root"))
    func fullDisks() throws {
        let row = try torture("full", rounds: 40)
        #expect(row.counts["disks filled", default: 0] > 0)
        #expect(row.counts["refused for want of space", default: 0] > 0)
    }

    @Test(
        "A store larger than the memory it may use is imported, checked and searched",
        .enabled(if: Torture.parts.contains("memory"), "needs root and the memory control group"))
    func littleMemory() throws {
        let row = try torture("memory", rounds: 1)
        #expect(row.counts["processes killed by the kernel"] == 0)
    }

    @Test("A command line that cannot be read ends with 64 and says what there is")
    func usage() throws {
        let (code, output) = try Torture.run(["no-such-part"])
        #expect(code == 64)
        #expect(output.contains("kill, power"))
        // No round proves nothing.
        for words in [
            ["--rounds", "0"], ["--seconds", "0"], ["--seconds", "-1"], ["--seconds", "\(Int.max)"], ["--seed", "x"],
            ["--seed"],
        ] {
            #expect(try Torture.run(["seeds"] + words).exitCode == 64, "\(words)")
        }
        #expect(try Torture.run(["seeds", "--rounds", "1", "--seed", "\(UInt64.max)"]).exitCode == 0)
    }

    @Test(
        "An output that is closed, or that nobody reads, ends it with 74", arguments: [">&-", "| true", "> /dev/full"])
    func closedOutput(_ output: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        let command = "set -o pipefail; \"$0\" seeds --rounds 3 \(output)"
        process.arguments = ["-c", command, Torture.executable.path]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        // The reader may be late to leave; then all was written.
        let codes: [Int32] = output == "| true" ? [0, 74] : [74]
        #expect(process.terminationReason == .exit && codes.contains(process.terminationStatus), "\(output)")
    }
}
