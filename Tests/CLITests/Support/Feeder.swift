/// An import from standard input that a test feeds row by row, waiting for each acknowledgement.
import Foundation

@testable import NephriteCLI

/// A running `nephrite import … - --batch-size 1 --json`.
final class Feeder {
    private let process: Process
    private let input = Pipe()
    private let output = Pipe()
    private var row = 0
    private var received = Acknowledgements()

    /// The rows acknowledged so far.
    var acknowledged: Int { received.total }
    /// Whether the import has not ended.
    var isRunning: Bool { process.isRunning }

    /// Starts the import into the database “points” of two components.
    init(store: String) throws {
        // A row may be written just when the import has ended.
        signal(SIGPIPE, SIG_IGN)
        process = NephriteProcess.make(["import", "--store", store, "points", "-", "--batch-size", "1", "--json"])
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    /// Writes a row and waits until another row is acknowledged; nil when the import has ended.
    func feed() throws -> Int? {
        let line = "{\"id\":\"fed-\(row)\",\"vector\":[\(row),1]}\n"
        row += 1
        try? input.fileHandleForWriting.write(contentsOf: Data(line.utf8))
        let before = received.total
        while received.total == before {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { return nil }
            received.take(data)
        }
        return received.total
    }

    /// Sends a signal.
    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Ends the input, and answers the exit code.
    func finish() throws -> Int32 {
        try input.fileHandleForWriting.close()
        while case let data = output.fileHandleForReading.availableData, !data.isEmpty { received.take(data) }
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }
}
