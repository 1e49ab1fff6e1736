/// Reads directories: ``POSIXFileSystem`` hands in a descriptor and gets the entries back in order.
import CNephrite

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Lists what a directory holds.
enum DirectoryReader {
    /// The entries of the directory behind a descriptor, sorted by name, without `.` and `..`.
    ///
    /// The directory is opened anew, because a descriptor's reading position is shared by all who use it.
    static func entries(of directory: Int32) throws(Errno) -> [DirectoryEntry] {
        let descriptor = reopen(directory)
        guard descriptor >= 0 else { throw Errno(code: -descriptor) }
        return try entries(reading: descriptor, of: directory)
    }

    /// Reads a directory to its end by a descriptor of its own, which is closed in any case.
    static func entries(reading descriptor: Int32, of directory: Int32) throws(Errno) -> [DirectoryEntry] {
        guard let stream = unsafe fdopendir(descriptor) else {
            let code = errno
            close(descriptor)
            throw Errno(code: code)
        }
        defer { unsafe closedir(stream) }
        var entries: [DirectoryEntry] = []
        while true {
            errno = 0
            guard let pointer = unsafe readdir(stream) else {
                guard errno == 0 else { throw Errno(code: errno) }
                break
            }
            let name = unsafe name(of: pointer)
            if name == "." || name == ".." { continue }
            guard let kind = unsafe kind(of: name, type: Int32(pointer.pointee.d_type), in: directory) else { continue }
            entries.append(DirectoryEntry(name: name, kind: kind))
        }
        return entries.sorted { $0.name < $1.name }
    }

    private static func reopen(_ directory: Int32) -> Int32 {
        unsafe nephrite_openat(directory, ".", O_RDONLY | O_DIRECTORY, 0)
    }

    private static func name(of entry: UnsafeMutablePointer<dirent>) -> String {
        let offset = MemoryLayout<dirent>.offset(of: \.d_name)!
        let start = unsafe UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
        return unsafe String(cString: start)
    }

    /// What an entry is; nil when it went away while the directory was read.
    static func kind(of name: String, type: Int32, in directory: Int32) -> DirectoryEntry.Kind? {
        switch type {
        case Int32(DT_REG): return .file
        case Int32(DT_DIR): return .directory
        case Int32(DT_UNKNOWN):
            // Some file systems do not keep the type beside the name.
            guard let status = POSIXFileSystem.status(of: name, in: directory) else { return nil }
            return status.isRegularFile ? .file : status.isDirectory ? .directory : .other
        default: return .other
        }
    }
}
