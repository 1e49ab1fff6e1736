// The system call shim of the C target: results and -errno.

import CNephrite
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct SystemCallShimTests {
    /// Runs `body` in a fresh directory, by its descriptor, and removes the directory.
    private func withDirectory(_ body: (Int32) throws -> Void) throws {
        var template = Array("/tmp/nephrite-shim-XXXXXX".utf8CString)
        let path = try #require(unsafe mkdtemp(&template).map { unsafe String(cString: $0) })
        let directory = unsafe nephrite_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0)
        try #require(directory >= 0)
        defer {
            for name in ["file", "link"] { unsafe unlinkat(directory, name, 0) }
            close(directory)
            unsafe rmdir(path)
        }
        try body(directory)
    }

    @Test("Allocation extends a file, both syncs succeed, and the descriptor closes on exec")
    func allocateAndSync() throws {
        try withDirectory { directory in
            let file = unsafe nephrite_openat(directory, "file", O_RDWR | O_CREAT | O_EXCL, 0o600)
            try #require(file >= 0)
            defer { close(file) }
            #expect(fcntl(file, F_GETFD) & FD_CLOEXEC != 0)
            let allocated = nephrite_allocate(file, 0, 100_000)
            if allocated != -EOPNOTSUPP && allocated != -ENOSYS {
                #expect(allocated == 0)
                #expect(lseek(file, 0, SEEK_END) == 100_000)
            }
            #expect(nephrite_sync_data(file) == 0)
            #expect(nephrite_sync(file) == 0)
            #expect(nephrite_allocate(file, 0, -1) == -EINVAL)
        }
    }

    @Test("A symbolic link is not followed, and a missing or existing file is reported")
    func openErrors() throws {
        try withDirectory { directory in
            #expect(unsafe nephrite_openat(directory, "file", O_RDONLY, 0) == -ENOENT)
            #expect(unsafe symlinkat("/etc/hostname", directory, "link") == 0)
            #expect(unsafe nephrite_openat(directory, "link", O_RDONLY, 0) == -ELOOP)
            #expect(unsafe nephrite_openat(directory, "link", O_RDWR | O_CREAT | O_EXCL, 0o600) == -EEXIST)
        }
    }

    @Test("An exclusive lock keeps others out; shared locks go together")
    func locks() throws {
        try withDirectory { directory in
            let first = unsafe nephrite_openat(directory, "file", O_RDWR | O_CREAT, 0o600)
            let second = unsafe nephrite_openat(directory, "file", O_RDWR, 0)
            try #require(first >= 0 && second >= 0)
            defer { close(second) }
            #expect(nephrite_lock(first, 1) == 0)
            #expect(nephrite_lock(second, 1) == -EWOULDBLOCK)
            #expect(nephrite_lock(second, 0) == -EWOULDBLOCK)
            #expect(nephrite_lock(first, 0) == 0)
            #expect(nephrite_lock(second, 0) == 0)
            close(first)
            #expect(nephrite_lock(second, 1) == 0)
        }
    }

    @Test("A bad descriptor is an error, not a crash")
    func badDescriptor() {
        #expect(nephrite_sync(-1) == -EBADF)
        #expect(nephrite_sync_data(-1) == -EBADF)
        #expect(nephrite_lock(-1, 1) == -EBADF)
        #expect(nephrite_allocate(-1, 0, 10) == -EBADF)
        #expect(nephrite_thread_id() != 0)
    }
}
