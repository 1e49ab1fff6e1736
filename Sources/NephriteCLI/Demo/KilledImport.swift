/// Starts this program again to import the sample, and kills it with SIGKILL in the middle; `demo` gets
/// back how many rows the child had acknowledged by then.
import Foundation

/// An import in a child process that is killed.
struct KilledImport {
    /// What became of the child.
    struct Outcome {
        /// The total of the last acknowledgement that reached us.
        var acknowledged: Int
        /// Whether SIGKILL ended it; false when it was done before.
        var wasKilled: Bool
        /// The exit code, when it ended by itself.
        var exitCode: Int32
    }

    let executable: URL
    let store: String
    let database: String
    let sample: SampleData
    /// How many rows the child commits at once.
    let batchSize: Int

    /// Imports until at least `rows` rows are acknowledged, and kills the child then.
    func run(killAfter rows: Int) throws -> Outcome {
        // For a pipe and what Foundation opens for a process; with too few it traps.
        try Descriptors.requireFree(24)
        let child = Process()
        let pipe = Pipe()
        child.executableURL = executable
        child.arguments = [
            "import", "--store", store, database, sample.vectors, "--records", sample.records,
            "--batch-size", String(batchSize), "--json",
        ]
        child.standardOutput = pipe
        child.standardError = FileHandle.nullDevice
        do {
            try child.run()
        } catch {
            throw CommandError(
                exitCode: .inputOutput, code: "inputOutput", message: "A second process cannot be started (\(error)).",
                remedy: "Look at the limits of this one (ulimit -a).")
        }
        var acknowledgements = Acknowledgements()
        var isAlive = true
        // What is in the pipe when the child dies was acknowledged too: read to the end.
        while case let data = pipe.fileHandleForReading.availableData, !data.isEmpty {
            acknowledgements.take(data)
            if isAlive, acknowledgements.total >= rows {
                kill(child.processIdentifier, SIGKILL)
                isAlive = false
            }
        }
        child.waitUntilExit()
        return Outcome(
            acknowledged: acknowledgements.total,
            wasKilled: child.terminationReason == .uncaughtSignal && child.terminationStatus == SIGKILL,
            exitCode: child.terminationStatus)
    }
}

/// The lines `{"acknowledged":TOTAL}` as they arrive in pieces; a line counts once its end is there.
struct Acknowledgements {
    /// The last total.
    private(set) var total = 0
    private var pending: [UInt8] = []

    /// Takes the next piece.
    mutating func take(_ data: some Sequence<UInt8>) {
        pending.append(contentsOf: data)
        while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
            let digits = pending[..<end].filter { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            total = Int(String(decoding: digits, as: UTF8.self)) ?? total
            pending.removeSubrange(...end)
        }
    }
}
