/// Reads a file from front to back in chunks: the dataset readers ask it for bytes and lines, and it never
/// holds more than a chunk, a row or a line, whatever the file claims about itself.
import Foundation

/// An input file being read.
final class InputFile {
    /// The path as it was given; `-` is standard input.
    let path: String
    /// The size of a regular file; nil for a pipe.
    let byteCount: UInt64?
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// The position of the next byte that is handed out.
    private(set) var offset: UInt64 = 0

    /// Opens a file.
    ///
    /// - Throws: `CommandError`, exit code 66 when it is missing or may not be read.
    init(path: String) throws {
        self.path = path
        descriptor = path == "-" ? dup(0) : unsafe open(path, O_RDONLY | O_CLOEXEC)
        let openError = errno
        guard descriptor >= 0 else { throw Self.failure("opened", path, openError) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            let errorNumber = errno
            close(descriptor)
            throw Self.failure("examined", path, errorNumber)
        }
        guard status.st_mode & S_IFMT != S_IFDIR else {
            close(descriptor)
            throw Self.failure("read", path, EISDIR)
        }
        byteCount = status.st_mode & S_IFMT == S_IFREG && path != "-" ? UInt64(max(0, status.st_size)) : nil
    }

    deinit { close(descriptor) }

    /// The next `count` bytes, fewer at the end of the file; valid until the next call.
    ///
    /// Memory grows with the bytes that are there, not with the number asked for.
    func next(_ count: Int) throws -> ArraySlice<UInt8> {
        let bytes = try peek(count)
        offset += UInt64(bytes.count)
        start += bytes.count
        return bytes
    }

    /// What `next` would answer, without moving on.
    func peek(_ count: Int) throws -> ArraySlice<UInt8> {
        while buffer.count - start < count, try fill() {}
        return buffer[start..<min(buffer.count, start + count)]
    }

    /// The next line without its end, or nil at the end of the file.
    ///
    /// - Throws: `CommandError` with exit code 65 when the line is longer than `limit` bytes.
    func nextLine(limit: Int) throws -> ArraySlice<UInt8>? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                return take(through: end, skipping: 1)
            }
            guard buffer.count - start <= limit else {
                throw CommandError.malformed(
                    "A line is longer than \(limit) bytes.", path: path, offset: offset,
                    remedy: "Write one JSON object or id a line.")
            }
            searched = buffer.count - start
            guard try fill() else { break }
            searched += start
        }
        return start < buffer.count ? take(through: buffer.count, skipping: 0) : nil
    }

    private func take(through end: Int, skipping: Int) -> ArraySlice<UInt8> {
        var line = buffer[start..<end]
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        offset += UInt64(end + skipping - start)
        start = end + skipping
        return line
    }

    /// Reads another chunk behind what is buffered; answers whether there was one. What was handed out
    /// before moves or goes.
    private func fill() throws -> Bool {
        guard !isAtEnd else { return false }
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        let chunk = 256 << 10
        let filled = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: chunk))
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { bytes in
                let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[filled...])
                return unsafe read(descriptor, rest.baseAddress, rest.count)
            }
            let errorNumber = errno
            if count < 0, errorNumber == EINTR { continue }
            buffer.removeLast(chunk - max(0, count))
            guard count >= 0 else { throw Self.failure("read", path, errorNumber) }
            isAtEnd = count == 0
            return count > 0
        }
    }

    private static func failure(_ what: String, _ path: String, _ errorNumber: Int32) -> CommandError {
        let reason = unsafe String(cString: strerror(errorNumber))
        return CommandError(
            exitCode: ExitCode(inputErrorNumber: errorNumber), code: "inputFile",
            message: "\(path) could not be \(what): \(reason).", remedy: "Check the path and its permissions.",
            path: path, errorNumber: errorNumber)
    }
}
