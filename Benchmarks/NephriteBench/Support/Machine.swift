/// What the operating system knows about us: memory, disk space, the page cache, and files to compare with.

import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// This process's memory, from `/proc/self/status`; 0 where there is none.
enum ProcessMemory {
    /// A field in kilobytes: `RssAnon`, `VmRSS`, `VmHWM`.
    static func kilobytes(_ field: String) -> Int {
        guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return 0 }
        for line in text.split(separator: "\n") where line.hasPrefix(field + ":") {
            return line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0
        }
        return 0
    }
}

/// Bytes that all files below a folder take on the disk.
func diskByteCount(_ folder: String) -> Int {
    filePaths(below: folder).reduce(0) { total, path in
        var status = stat()
        return unsafe lstat(path, &status) == 0 ? total + Int(status.st_blocks) * 512 : total
    }
}

/// The length of a file.
func fileByteCount(_ path: String) -> Int {
    var status = stat()
    return unsafe lstat(path, &status) == 0 ? Int(status.st_size) : 0
}

/// All regular files below a folder.
func filePaths(below folder: String) -> [String] {
    (FileManager.default.subpaths(atPath: folder) ?? []).sorted().compactMap { name in
        let path = folder + "/" + name
        var isFolder = ObjCBool(false)
        let exists = unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        return exists && !isFolder.boolValue ? path : nil
    }
}

/// Removes a folder with everything in it, or nothing when it is not there.
func removeTree(_ path: String) {
    try? FileManager.default.removeItem(atPath: path)
}

/// Writes everyone's dirty pages to the disk, so that the next measurement does not pay for them.
func synchronizeDisks() {
    sync()
}

/// Empties the page cache after a sync; false when we may not.
func dropPageCache() -> Bool {
    sync()
    guard let handle = FileHandle(forWritingAtPath: "/proc/sys/vm/drop_caches") else { return false }
    return (try? handle.write(contentsOf: Data("1\n".utf8))) != nil
}

/// The floor for durable writes: a file that bytes are appended to and synced, with nothing else around it.
struct ReferenceLog: ~Copyable {
    private let descriptor: Int32
    private let path: String
    private var position = 0

    /// Creates the file. With `preallocated` bytes its blocks and size are there before, as a log segment's are.
    init(path: String, preallocated: Int = 0) throws {
        descriptor = try Self.create(path, preallocated: preallocated)
        self.path = path
    }

    deinit {
        close(descriptor)
        unsafe unlink(path)
    }

    /// Appends the bytes and makes them durable.
    mutating func append(_ bytes: [UInt8]) throws {
        let written = unsafe bytes.withUnsafeBytes { buffer in
            unsafe pwrite(descriptor, buffer.baseAddress, buffer.count, off_t(position))
        }
        guard written == bytes.count else { throw BenchError("short write to \(path): \(describeErrorNumber())") }
        position += written
        try synchronize()
    }

    private func synchronize() throws {
        try Self.synchronize(descriptor, path)
    }

    private static func create(_ path: String, preallocated: Int) throws -> Int32 {
        unsafe unlink(path)
        let descriptor = unsafe open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw BenchError("cannot create \(path): \(describeErrorNumber())") }
        #if canImport(Glibc)
            if preallocated > 0 {
                guard posix_fallocate(descriptor, 0, off_t(preallocated)) == 0 else {
                    close(descriptor)
                    throw BenchError("cannot allocate \(preallocated) bytes for \(path)")
                }
            }
        #endif
        try synchronize(descriptor, path)
        return descriptor
    }

    private static func synchronize(_ descriptor: Int32, _ path: String) throws {
        #if canImport(Glibc)
            let result = fdatasync(descriptor)
        #else
            let result = fcntl(descriptor, F_FULLFSYNC)
        #endif
        guard result == 0 else { throw BenchError("cannot sync \(path): \(describeErrorNumber())") }
    }
}
