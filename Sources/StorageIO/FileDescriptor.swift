/// An owned file descriptor: `nephrite_openat` hands one in, ``POSIXFile`` and the lock hand it to the kernel's calls.
import CNephrite

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A descriptor with one owner; it is closed when the owner goes away.
struct FileDescriptor: ~Copyable {
    private let number: Int32

    /// Opens `name` in a directory, going on after interruptions. `O_CLOEXEC` and `O_NOFOLLOW` are always set.
    ///
    /// - Throws: `errno`.
    init(at directory: Int32, _ name: String, flags: Int32, mode: UInt32 = 0) throws(Errno) {
        var result: Int32
        repeat {
            result = unsafe nephrite_openat(directory, name, flags, mode)
        } while result == -EINTR
        guard result >= 0 else { throw Errno(code: -result) }
        number = result
    }

    /// Lends the number the kernel knows it by. The descriptor stays open until `body` returns: a bare number would
    /// not keep it so, and could then name another file.
    borrowing func use<Result, Failure: Error>(_ body: (Int32) throws(Failure) -> Result) throws(Failure) -> Result {
        try withExtendedLifetime(self) { () throws(Failure) -> Result in try body(number) }
    }

    deinit {
        #if canImport(Glibc)
            _ = Glibc.close(number)
        #else
            _ = Darwin.close(number)
        #endif
    }

    /// What `fstat` says.
    func status() throws(Errno) -> stat {
        var result = stat()
        guard unsafe fstat(number, &result) == 0 else { throw Errno(code: errno) }
        return result
    }
}

/// A descriptor that several calls in flight share; closed when the last of them is done.
final class SharedDescriptor: Sendable {
    /// The descriptor.
    private let descriptor: FileDescriptor

    /// Takes over a descriptor.
    init(_ descriptor: consuming FileDescriptor) {
        self.descriptor = descriptor
    }

    /// Lends the number the kernel knows it by. The descriptor stays open until `body` returns, even if its file is
    /// closed meanwhile.
    func use<Result, Failure: Error>(_ body: (Int32) throws(Failure) -> Result) throws(Failure) -> Result {
        try withExtendedLifetime(self) { () throws(Failure) -> Result in try descriptor.use(body) }
    }

    /// What `fstat` says.
    func status() throws(Errno) -> stat { try descriptor.status() }
}

/// A bare `errno`, before the caller adds what it was doing and to which path.
struct Errno: Error {
    /// The value.
    let code: Int32
}

extension Errno {
    /// The error of a removal or a rename: POSIX allows either of two codes for a directory that is not empty, and the
    /// engine knows one.
    init(removing code: Int32) { self.init(code: code == EEXIST ? ENOTEMPTY : code) }
}

/// What the engine wants to know about an entry before it trusts it.
extension stat {
    /// Whether it is a regular file.
    var isRegularFile: Bool { st_mode & S_IFMT == S_IFREG }
    /// Whether it is a directory.
    var isDirectory: Bool { st_mode & S_IFMT == S_IFDIR }
    /// Whether it is a symbolic link.
    var isSymbolicLink: Bool { st_mode & S_IFMT == S_IFLNK }

    /// Whether both describe the same file.
    func isSameFile(as other: stat) -> Bool { st_dev == other.st_dev && st_ino == other.st_ino }

    /// Refuses what a store must not read or write: special files, files with a second name (somebody could
    /// change them behind the store's back) and files of another user.
    func requireOwnRegularFile() throws(Errno) {
        if isDirectory { throw Errno(code: EISDIR) }
        guard isRegularFile else { throw Errno(code: ENXIO) }
        if st_nlink == 0 { throw Errno(code: ENOENT) }
        guard st_nlink == 1 else { throw Errno(code: EMLINK) }
        guard st_uid == geteuid() else { throw Errno(code: EPERM) }
    }
}
