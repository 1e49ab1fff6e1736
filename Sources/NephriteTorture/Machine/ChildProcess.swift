/// A child of this program that says lines on standard output: parts start it, read what it says as it says it, and
/// kill it at a moment of their choice.
import CTorture
import Foundation
import NephriteExercise

/// A running child; waited for before it is let go.
struct ChildProcess: ~Copyable {
    /// How a child ended.
    enum End: Equatable {
        case exit(Int32)
        case signal(Int32)
    }

    /// What reading found.
    enum Reading: Equatable {
        /// Something was read.
        case some
        /// Nothing came in time.
        case nothing
        /// The child has closed its output, because it ended.
        case end
    }

    /// A child that says nothing for this long and does not end hangs.
    private static let patience: Duration = .seconds(60)

    private let process: Int32
    private let output: Int32
    private let errorPath: String
    private var rest: [UInt8] = []
    /// The lines said so far.
    private(set) var lines: [ExerciseLine] = []
    /// Lines that no child should say.
    private(set) var strangeLines: [String] = []

    /// Starts this program with other words; what it says on standard error goes to `errorPath`.
    init(_ words: [String], errorPath: String) throws {
        var descriptor: Int32 = -1
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let text = ([executable] + words).joined(separator: "\n")
        process = try unsafe Machine.check(torture_spawn(text, errorPath, &descriptor), "starting a child")
        output = descriptor
        self.errorPath = errorPath
    }

    deinit { close(output) }

    /// Reads what the child has said.
    ///
    /// - Parameter wait: how long to wait for something; as long as is reasonable unless given.
    /// - Throws: `TortureFailure` when it hangs.
    mutating func read(wait: Duration? = nil) throws -> Reading {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        let limit = Int64((wait ?? Self.patience) / .microseconds(1))
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe torture_read(output, bytes.baseAddress, bytes.count, limit)
        }
        switch Int32(truncatingIfNeeded: count) {
        case 1...:
            take(buffer[..<count])
            return .some
        case 0: return .end
        case -EINTR: return .nothing
        case -ETIMEDOUT:
            if wait != nil { return .nothing }
            throw TortureFailure(description: "The child hangs: it has said nothing for \(Self.patience).")
        case let code: throw TortureFailure(description: "reading from a child: \(Machine.message(code))")
        }
    }

    /// Reads what lies ready.
    ///
    /// - Returns: how many lines the child has said by now.
    mutating func readSaid() throws -> Int {
        while try read(wait: .zero) == .some {}
        return lines.count
    }

    /// Reads to the end of the output, and waits for the child's end. What is in the pipe when it dies was said.
    mutating func finish() throws -> End {
        do {
            while try read() != .end {}
        } catch {
            kill()
            _ = torture_wait(process)
            throw error
        }
        let status = try Machine.check(torture_wait(process), "waiting for a child")
        return status >= 1000 ? .signal(status - 1000) : .exit(status)
    }

    /// SIGKILL.
    func kill() { _ = torture_kill(process) }

    /// What the child said on standard error.
    var errors: String { (try? String(contentsOfFile: errorPath, encoding: .utf8)) ?? "" }

    /// Steps acknowledged so far.
    var acknowledgedCount: Int { lines.count { if case .acknowledged = $0 { true } else { false } } }
    /// Whether the child has begun to open the store.
    var isOpening: Bool { !lines.isEmpty }
    /// Whether the child has opened the store and read what is in it.
    func hasRecovered(writerCount: Int) -> Bool {
        lines.count { if case .recovered = $0 { true } else { false } } == writerCount
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) {
        rest += bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let text = String(decoding: rest[..<end], as: UTF8.self)
            rest.removeSubrange(...end)
            if let line = ExerciseLine(text) { lines.append(line) } else { strangeLines.append(text) }
        }
    }
}
