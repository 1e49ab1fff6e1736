// Limits of open files, from none that is free to enough: the tool ends with a message, and never by a trap. libdispatch and
// Foundation trap when they get no descriptor, so the tool looks first whether there are enough.
import Foundation
import Testing

@testable import NephriteCLI

@Suite(.timeLimit(.minutes(10))) struct DescriptorTests {
    private let directory: TemporaryDirectory
    private let store: String

    init() throws {
        directory = try TemporaryDirectory()
        store = directory.path("store")
    }

    /// Runs the tool with at most `limit` descriptors; the loader needs the fourth.
    private func run(_ limit: Int, _ arguments: [String]) throws -> (status: Int32, errors: String) {
        let errors = try directory.write([], to: "errors")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments =
            ["-c", "ulimit -n \(limit); exec \"$0\" \"$@\"", NephriteProcess.executable.path] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle(forWritingAtPath: errors)
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit, "\(limit): \(arguments)")
        return (process.terminationStatus, try String(contentsOfFile: errors, encoding: .utf8))
    }

    @Test(
        "Too few file descriptors are a reason to try again later, whichever call meets the limit",
        arguments: [
            ["check"], ["count", "points"], ["search", "points", "--like", "a"], ["import", "points", "ROWS"], ["demo"],
        ])
    func fewDescriptors(_ words: [String]) throws {
        let rows = try directory.write(#"{"id":"a","vector":[1,2]}"#.utf8, to: "rows.ndjson")
        #expect(
            try NephriteProcess.run(
                ["create", "--store", store, "points", "--dimension", "2"], in: directory
            ).exitCode == 0)
        #expect(try NephriteProcess.run(["import", "--store", store, "points", rows], in: directory).exitCode == 0)
        let sample = try SampleData(directory: nil).directory
        var codes: [Int32] = []
        let limits = words[0] == "demo" ? Array(stride(from: 4, through: 40, by: 4)) : Array(4...24)
        for limit in limits + [64] {
            let target =
                words[0] == "demo"
                ? ["--store", directory.path("demo\(limit)"), "--data", sample] : ["--store", store]
            let (status, errors) = try run(limit, words.map { $0 == "ROWS" ? rows : $0 } + target)
            codes.append(status)
            #expect(status == 0 || errors.hasPrefix("nephrite: "), "\(limit): \(errors)")
        }
        #expect(codes.allSatisfy { [0, 74, 75].contains($0) }, "\(codes)")
        // From some limit on there are enough; what was refused has damaged nothing.
        #expect(codes.first == 75 && codes.last == 0, "\(codes)")
        // For the demo that depends on what it inherits: Foundation starts no process beside descriptors above the limit.
        if words[0] != "demo" { #expect(codes.drop { $0 != 0 }.allSatisfy { $0 == 0 }, "\(codes)") }
        #expect(try NephriteProcess.run(["check", "--store", store], in: directory).exitCode == 0)
    }
}
