/// What the kernel says about this process: benchmarks and messages ask, `/proc` answers.
import CNephrite

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Numbers about the running process.
public enum ProcessStatistics {
    /// The bytes of memory in use that no file backs (`RssAnon`); nil where the system does not say.
    public static func residentAnonymousByteCount() -> Int? { statusByteCount("RssAnon:") }

    /// The bytes of all memory in use, with the mapped pages of files (`VmRSS`); nil where the system does not say.
    public static func residentByteCount() -> Int? { statusByteCount("VmRSS:") }

    /// The kernel's number of the calling thread. Not to be kept across an `await`.
    public static func currentThreadID() -> UInt64 { nephrite_thread_id() }

    private static func statusByteCount(_ key: String) -> Int? {
        SystemFile.contents(of: "/proc/self/status").flatMap { statusByteCount(key, in: $0) }
    }

    /// A line such as `RssAnon:      1234 kB` in the text of `/proc/self/status`.
    package static func statusByteCount(_ key: String, in text: String) -> Int? {
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            let digits = line.dropFirst(key.count).filter(\.isNumber)
            return Int(digits).flatMap { $0 <= Int.max >> 10 ? $0 << 10 : nil }
        }
        return nil
    }
}

/// Reads the small text files that the kernel makes up.
enum SystemFile {
    /// The most that is read: a table larger than this is not worth the memory.
    static let byteCountMax = 16 << 20

    /// The whole text; nil when it cannot be read. Such files have no size, so it is read to the end.
    static func contents(of path: String) -> String? {
        guard let descriptor = try? FileDescriptor(at: AT_FDCWD, path, flags: O_RDONLY) else { return nil }
        let buffer = AlignedBuffer(byteCount: 64 << 10)
        var bytes: [UInt8] = []
        while bytes.count < byteCountMax {
            let count = descriptor.use { number in
                let count = unsafe read(number, buffer.bytes.baseAddress, buffer.byteCount)
                return count < 0 ? -Int(errno) : count
            }
            if count < 0 {
                if count == -Int(EINTR) { continue }
                return nil
            }
            if count == 0 { break }
            unsafe bytes.append(contentsOf: buffer.bytes.prefix(count))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes a setting with one call; the kernel may refuse it, and then nothing changes.
    static func write(_ text: String, to path: String) {
        guard let descriptor = try? FileDescriptor(at: AT_FDCWD, path, flags: O_WRONLY) else { return }
        let bytes = Array(text.utf8)
        #if canImport(Glibc)
            _ = descriptor.use { unsafe Glibc.write($0, bytes, bytes.count) }
        #else
            _ = descriptor.use { unsafe Darwin.write($0, bytes, bytes.count) }
        #endif
    }
}

extension ProcessStatistics {
    /// The number of processors this process may run on; 1 if the system does not say.
    public static var activeProcessorCount: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}
