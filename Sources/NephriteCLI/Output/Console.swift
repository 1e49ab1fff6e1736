/// Standard output and standard error: commands hand it whole lines, it hands them to the system without
/// holding any back longer than a command asks for.
import Foundation
import Synchronization

/// The two streams of a command. Lines for standard output are gathered and written in one call when there
/// are enough, at `flush()`, and at the end; everything for standard error is written at once.
final class Console: Sendable {
    private let pending = Mutex<[UInt8]>([])
    private let capacity = 64 << 10
    private let outputDescriptor: Int32
    private let errorDescriptor: Int32
    /// Whether standard error is a terminal, so that progress may be drawn on it.
    let showsProgress: Bool

    init(outputDescriptor: Int32 = 1, errorDescriptor: Int32 = 2) {
        self.outputDescriptor = outputDescriptor
        self.errorDescriptor = errorDescriptor
        showsProgress = isatty(errorDescriptor) == 1
    }

    /// Adds a line to standard output.
    func print(_ line: String) throws {
        let full = pending.withLock { bytes -> [UInt8]? in
            bytes.append(contentsOf: line.utf8)
            bytes.append(UInt8(ascii: "\n"))
            guard bytes.count >= capacity else { return nil }
            defer { bytes = [] }
            return bytes
        }
        if let full { try write(full, to: outputDescriptor) }
    }

    /// Hands everything printed so far to the system.
    func flush() throws {
        let bytes = pending.withLock { bytes -> [UInt8] in
            defer { bytes = [] }
            return bytes
        }
        if !bytes.isEmpty { try write(bytes, to: outputDescriptor) }
    }

    /// Writes a line to standard error; that it cannot be written is nothing a command could report.
    func note(_ line: String) {
        try? write(Array((line + "\n").utf8), to: errorDescriptor)
    }

    /// Says on standard error what failed.
    func report(_ error: CommandError, asJSON: Bool) { note(asJSON ? error.jsonLine : error.line) }

    /// Draws a progress line over the one before when standard error is a terminal.
    func progress(_ line: String) {
        guard showsProgress else { return }
        try? write(Array(("\r\u{1B}[2K" + line).utf8), to: errorDescriptor)
    }

    /// Removes the progress line.
    func endProgress() { progress("") }

    /// Writes all bytes with as many calls as it takes.
    private func write(_ bytes: [UInt8], to descriptor: Int32) throws {
        var written = 0
        while written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
                return unsafe Foundation.write(descriptor, rest.baseAddress, rest.count)
            }
            let errorNumber = errno
            if count >= 0 {
                written += count
            } else if errorNumber == EAGAIN {
                // Whoever shares the pipe has made it so that writing does not wait.
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = unsafe poll(&entry, 1, -1)
            } else if errorNumber != EINTR {
                throw CommandError(
                    exitCode: .inputOutput, code: errorNumber == EPIPE ? "closedPipe" : "inputOutput",
                    message: "Writing the output failed (error \(errorNumber)).",
                    remedy: "Look at what the output is directed to.", errorNumber: errorNumber)
            }
        }
    }
}
