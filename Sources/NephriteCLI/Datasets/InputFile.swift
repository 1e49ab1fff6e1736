/// Reads a file from front to back in chunks: the dataset readers ask it for bytes and lines, and it never
/// holds more than a chunk, a row or a line, whatever the file claims about itself.
import Foundation

/// An input file being read.
final class InputFile {
    private static let chunkByteCount = 256 << 10
    /// The path as it was given; `-` is standard input.
    let path: String
    /// The size of a regular file; nil for a pipe.
    let byteCount: UInt64?
    private let descriptor: Int32
    private let interrupt: Interrupt?
    /// What was read; the bytes from `start` to `end` have not been handed out.
    private var buffer: [UInt8] = []
    private var start = 0
    private var end = 0
    private var isAtEnd = false
    /// The position of the next byte that is handed out.
    private(set) var offset: UInt64 = 0

    /// Opens a file.
    ///
    /// - Parameter interrupt: asked while a pipe has nothing to read.
    /// - Throws: `CommandError`, exit code 66 when it is missing or may not be read.
    init(path: String, interrupt: Interrupt? = nil) throws {
        self.path = path
        self.interrupt = interrupt
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
        while end - start < count, try fill() {}
        return buffer[start..<min(end, start + count)]
    }

    /// Moves past the mark that some programs put before UTF-8 text, if it is next and nothing came before it.
    func skipByteOrderMark() throws {
        guard offset == 0, try peek(3).elementsEqual([0xEF, 0xBB, 0xBF]) else { return }
        _ = try next(3)
    }

    /// The next line without its end, or nil at the end of the file.
    ///
    /// - Throws: `CommandError` with exit code 65 when the line is longer than `limit` bytes.
    func nextLine(limit: Int) throws -> ArraySlice<UInt8>? {
        var searched = 0
        while true {
            if let lineEnd = indexOfLineEnd(from: start + searched) { return take(through: lineEnd, skipping: 1) }
            searched = end - start
            guard searched <= limit else {
                throw CommandError.malformed(
                    "A line is longer than \(limit) bytes.", path: path, offset: offset,
                    remedy: "Write one JSON object or id a line.")
            }
            guard try fill() else { break }
        }
        return start < end ? take(through: end, skipping: 0) : nil
    }

    private func indexOfLineEnd(from index: Int) -> Int? {
        unsafe buffer.withUnsafeBytes { bytes in
            guard index < end, let base = bytes.baseAddress else { return nil }
            guard let found = unsafe memchr(base + index, Int32(UInt8(ascii: "\n")), end - index) else { return nil }
            return unsafe UnsafeRawPointer(found) - base
        }
    }

    private func take(through lineEnd: Int, skipping: Int) -> ArraySlice<UInt8> {
        var line = buffer[start..<lineEnd]
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        offset += UInt64(lineEnd + skipping - start)
        start = lineEnd + skipping
        return line
    }

    /// Reads more behind what is buffered; answers whether there was more. What was handed out before is
    /// no longer valid.
    private func fill() throws -> Bool {
        guard !isAtEnd else { return false }
        makeRoom()
        try waitForInput()
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { bytes in
                let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[end...])
                return unsafe read(descriptor, rest.baseAddress, rest.count)
            }
            let errorNumber = errno
            if count < 0, errorNumber == EINTR { continue }
            guard count >= 0 else { throw Self.failure("read", path, errorNumber) }
            end += count
            isAtEnd = count == 0
            return count > 0
        }
    }

    /// Waits until a pipe has something to read, so that a signal ends the command though nothing comes.
    private func waitForInput() throws {
        guard byteCount == nil, let interrupt else { return }
        while true {
            try interrupt.check()
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let count = unsafe poll(&entry, 1, 100)
            let errorNumber = errno
            if count > 0 || count < 0 && errorNumber != EINTR { return }
        }
    }

    /// Moves what is left to the front; when it fills half of the buffer, into one of twice the size.
    private func makeRoom() {
        let left = end - start
        if buffer.isEmpty || left > buffer.count / 2 {
            let capacity = max(Self.chunkByteCount, buffer.count * 2)
            buffer = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { [buffer, start] bytes, count in
                unsafe memset(bytes.baseAddress!, 0, capacity)
                unsafe UnsafeMutableRawBufferPointer(bytes).copyBytes(from: buffer[start..<start + left])
                count = capacity
            }
        } else if start > 0 {
            unsafe buffer.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                unsafe memmove(base, base + start, left)
            }
        }
        start = 0
        end = left
    }

    private static func failure(_ what: String, _ path: String, _ errorNumber: Int32) -> CommandError {
        let reason = unsafe String(cString: strerror(errorNumber))
        return CommandError(
            exitCode: ExitCode(inputErrorNumber: errorNumber), code: "inputFile",
            message: "\(path) could not be \(what): \(reason).", remedy: "Check the path and its permissions.",
            path: path, errorNumber: errorNumber)
    }
}
