/// What the kernel refuses: descriptors that are only names, file systems that lack a call, limits of the process, and
/// lock files that others replace.
import Foundation
import Testing

@testable import StorageIO

@Suite(.tags(.fault)) struct POSIXFaultTests {
    private func expectErrno<Result>(
        _ code: Int32, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws(Errno) -> Result
    ) {
        do throws(Errno) {
            _ = try body()
            Issue.record("the call succeeded", sourceLocation: sourceLocation)
        } catch {
            #expect(error.code == code, sourceLocation: sourceLocation)
        }
    }

    @Test("A path through a directory that has to be made first is made as well")
    func createsThroughDots() throws {
        try withTemporaryDirectory { path in
            let fileSystem = POSIXFileSystem(root: path + "/new/..")
            try fileSystem.openRoot(createIfMissing: true)
            #expect(try fileSystem.list(.root) == [DirectoryEntry(name: "new", kind: .directory)])
        }
    }

    @Test("A root whose path holds a zero byte is refused")
    func refusesZeroBytes() {
        expectFailure(EINVAL, .openRoot) { () throws(FileSystemError) in
            try POSIXFileSystem(root: "/tmp\0/store").openRoot(createIfMissing: true)
        }
    }

    @Test("A path is split into its directory and its last name")
    func splitsPaths() {
        for (path, parent, name) in [
            ("name", ".", "name"), ("/name", "/", "name"), ("a/b", "a", "b"), ("/a//b", "/a", "b"), ("//b", "/", "b"),
        ] {
            let parts = POSIXFileSystem.split(path)
            #expect(parts.parent == parent && parts.name == name)
        }
    }

    @Test("An open root says how many bytes are free")
    func knowsFreeSpace() throws {
        try withTemporaryDirectory { path in
            let fileSystem = POSIXFileSystem(root: path + "/store")
            #expect(fileSystem.availableByteCount == nil)
            try fileSystem.openRoot(createIfMissing: true)
            #expect((fileSystem.availableByteCount ?? 0) > 0)
        }
        let memory = MemoryFileSystem(name: "free", capacity: 10 * 4_096)
        try memory.openRoot(createIfMissing: true)
        try memory.open(StoragePath("file"), .createNew).allocate(offset: 0, length: 4_096)
        let lasting = try memory.open(StoragePath("file"), .read)
        #expect(memory.availableByteCount == 9 * 4_096)
        try lasting.close()
        #expect(MemoryFileSystem(name: "free").availableByteCount == nil)
        #expect(OverlayFileSystem(over: memory).availableByteCount == nil)
    }

    @Test("A removal that meets a directory with something in it has one code")
    func namesOneCode() {
        #expect(Errno(removing: EEXIST).code == ENOTEMPTY)
        #expect(Errno(removing: ENOTEMPTY).code == ENOTEMPTY)
        #expect(Errno(removing: EIO).code == EIO)
    }

    @Test("A file that lost its name while it was opened is refused")
    func refusesUnlinkedFiles() throws {
        try withTemporaryDirectory { path in
            let descriptor = try FileDescriptor(at: AT_FDCWD, path + "/file", flags: O_RDWR | O_CREAT, mode: 0o600)
            try descriptor.status().requireOwnRegularFile()
            try FileManager.default.removeItem(atPath: path + "/file")
            expectErrno(ENOENT) { () throws(Errno) in try descriptor.status().requireOwnRegularFile() }
        }
    }

    @Test("A lock file that is replaced before it is locked is locked anew, and not for ever")
    func locksWhatIsThere() throws {
        try withTemporaryDirectory { path in
            let root = try SharedDescriptor(FileDescriptor(at: AT_FDCWD, path, flags: O_RDONLY | O_DIRECTORY))
            var replacements = 0
            let lock = try POSIXLock(in: root, exclusive: true) {
                guard replacements < 3 else { return }
                replacements += 1
                try? FileManager.default.removeItem(atPath: path + "/LOCK")
            }
            #expect(replacements == 3)
            expectErrno(EWOULDBLOCK) { () throws(Errno) in try POSIXLock(in: root, exclusive: true) }
            lock.release()
            expectErrno(EWOULDBLOCK) { () throws(Errno) in
                try POSIXLock(in: root, exclusive: true) { try? FileManager.default.removeItem(atPath: path + "/LOCK") }
            }
            try POSIXLock(in: root, exclusive: true).release()
        }
    }

    @Test("Entries whose kind the file system does not keep are looked at")
    func findsKinds() throws {
        try withTemporaryDirectory { path in
            try FileManager.default.createDirectory(atPath: path + "/directory", withIntermediateDirectories: false)
            try FileManager.default.createSymbolicLink(atPath: path + "/link", withDestinationPath: "file")
            #expect(FileManager.default.createFile(atPath: path + "/file", contents: Data()))
            let root = try FileDescriptor(at: AT_FDCWD, path, flags: O_RDONLY | O_DIRECTORY)
            let kinds = root.use { number in
                ["directory", "link", "file", "gone"].map {
                    DirectoryReader.kind(of: $0, type: Int32(DT_UNKNOWN), in: number)
                }
            }
            #expect(kinds == [.directory, .other, .file, nil])
            let file = try FileDescriptor(at: AT_FDCWD, path + "/file", flags: O_RDONLY)
            expectErrno(ENOTDIR) { () throws(Errno) in
                try file.use { number throws(Errno) in try DirectoryReader.entries(of: number) }
            }
            expectErrno(ENOTDIR) { () throws(Errno) in
                try file.use { number throws(Errno) in try DirectoryReader.entries(reading: dup(number), of: number) }
            }
        }
    }

    @Test("A file is not mapped into addresses of another file system")
    func refusesForeignAddresses() throws {
        let memory = MemoryFileSystem(name: "other")
        try memory.openRoot(createIfMissing: true)
        let space = try memory.reserveAddressSpace(byteCount: StorageGranularity.byteCount)
        try withTemporaryDirectory { path in
            let fileSystem = POSIXFileSystem(root: path + "/store")
            try fileSystem.openRoot(createIfMissing: true)
            let file = try fileSystem.open(StoragePath("file"), .createNew)
            try file.put([1], at: 0)
            expectFailure(EINVAL, .map) { () throws(FileSystemError) in
                try file.map(offset: 0, length: 1, into: space, at: 0)
            }
        }
    }

    @Test("A file system in memory is not locked before its root is open")
    func needsRoot() {
        expectFailure(EBADF, .lock) { () throws(FileSystemError) in
            try MemoryFileSystem(name: "closed").lockRoot(exclusive: true)
        }
    }
}

#if os(Linux)
    extension POSIXFaultTests {
        /// A file by a descriptor that only names it (`O_PATH`): the kernel refuses everything else with `EBADF`.
        private func withNamed(_ body: (POSIXFile, SharedDescriptor) throws -> Void) throws {
            try withTemporaryDirectory { path in
                #expect(FileManager.default.createFile(atPath: path + "/file", contents: Data([1, 2, 3])))
                let descriptor = try SharedDescriptor(
                    FileDescriptor(at: AT_FDCWD, path + "/file", flags: 0o10_000_000))
                try body(POSIXFile(path: StoragePath("file"), descriptor: descriptor), descriptor)
            }
        }

        @Test("What the kernel says to a call on an open file is reported, with the call")
        func reportsErrors() throws {
            try withNamed { file, descriptor in
                #expect(try file.size() == 3)
                expectFailure(EBADF, .read) { () throws(FileSystemError) in try file.bytes(1, at: 0) }
                expectFailure(EBADF, .write) { () throws(FileSystemError) in try file.put([1], at: 0) }
                expectFailure(EBADF, .synchronizeData) { () throws(FileSystemError) in try file.synchronizeData() }
                expectFailure(EBADF, .synchronize) { () throws(FileSystemError) in try file.synchronize() }
                expectFailure(EBADF, .synchronizeData) { () throws(FileSystemError) in
                    try file.startWriteback(offset: 0, length: 1)
                }
                expectFailure(EBADF, .allocate) { () throws(FileSystemError) in
                    try file.allocate(offset: 0, length: 10)
                }
                let space = try POSIXAddressSpace(byteCount: 1 << 16)
                expectFailure(EBADF, .map) { () throws(FileSystemError) in
                    try file.map(offset: 0, length: 3, into: space, at: 0)
                }
                expectErrno(EBADF) { () throws(Errno) in
                    try descriptor.use { number throws(Errno) in try POSIXFileSystem.changeMode(number, 0o600) }
                }
                expectErrno(EBADF) { () throws(Errno) in try POSIXFile.fillWithZeros(descriptor, from: 0, to: 10) }
            }
        }

        @Test("A file system that has no syncs of directories, and takes no new names, says so")
        func reportsForeignFileSystems() throws {
            let processes = POSIXFileSystem(root: "/proc")
            try processes.openRoot(createIfMissing: false)
            expectFailure(EINVAL, .synchronizeDirectory) { () throws(FileSystemError) in
                try processes.synchronizeDirectory(.root)
            }
            #expect(throws: FileSystemError.self) { try processes.unlink(StoragePath("version")) }
            #expect(throws: FileSystemError.self) { try processes.createDirectory(StoragePath("nephrite")) }
            #expect(throws: FileSystemError.self) { try processes.removeDirectory(StoragePath("sys")) }
            #expect(throws: FileSystemError.self) {
                try POSIXFileSystem(root: "/proc/nephrite").openRoot(createIfMissing: true)
            }
        }

        @Test("Where the file system cannot allocate, zeros are written, and what it says to them is reported")
        func writesZerosInstead() throws {
            // A setting of this process is a file of a file system without fallocate, and zeros are none of its values.
            let path = "/proc/self/oom_score_adj"
            let before = try String(contentsOfFile: path, encoding: .utf8)
            let descriptor = try SharedDescriptor(FileDescriptor(at: AT_FDCWD, path, flags: O_RDWR))
            expectFailure(EINVAL, .allocate) { () throws(FileSystemError) in
                try POSIXFile(path: StoragePath("score"), descriptor: descriptor).allocate(offset: 0, length: 10)
            }
            #expect(try String(contentsOfFile: path, encoding: .utf8) == before)
        }

        @Test("A reader that may not write takes the lock that is there")
        func locksForReading() async {
            // The user belongs to the process, so a process of its own gives up being root.
            await #expect(processExitsWith: .success) {
                try withTemporaryDirectory { path in
                    let fileSystem = POSIXFileSystem(root: path + "/store")
                    try fileSystem.openRoot(createIfMissing: true)
                    try fileSystem.lockRoot(exclusive: true).release()
                    try #require(unsafe chmod(path + "/store/LOCK", 0o400) == 0)
                    if geteuid() == 0 {
                        for name in ["", "/LOCK"] {
                            try #require(unsafe chown(path + "/store" + name, 12_345, 12_345) == 0)
                        }
                        try #require(seteuid(12_345) == 0)
                    }
                    defer { _ = seteuid(getuid()) }
                    expectFailure(EACCES, .lock) { () throws(FileSystemError) in
                        try fileSystem.lockRoot(exclusive: true)
                    }
                    let lock = try fileSystem.lockRoot(exclusive: false)
                    try fileSystem.lockRoot(exclusive: false).release()
                    lock.release()
                }
            }
        }

        @Test("A process without memory to give has no mappings and no more threads, and keeps those it has")
        func survivesLimits() async {
            await #expect(processExitsWith: .success) {
                try withTemporaryDirectory { path in
                    let fileSystem = POSIXFileSystem(root: path + "/store")
                    try fileSystem.openRoot(createIfMissing: true)
                    let file = try fileSystem.open(StoragePath("file"), .createNew)
                    try file.allocate(offset: 0, length: 1 << 26)
                    let space = try fileSystem.reserveAddressSpace(byteCount: 1 << 26)
                    let memory = try MemoryAddressSpace(byteCount: 1 << 26)
                    let queue = WorkerQueue(name: "few", spinNanoseconds: 0) { (name, queue) throws(Errno) in
                        try WorkerThread(name: name, queue: queue)
                    }
                    try queue.start(threadCount: 1)
                    // A mapping that takes another's place is refused only where the process has too much already. What is
                    // allocated meanwhile finds holes.
                    var spare: [[UInt8]] = (0..<4_096).map { _ in [UInt8](repeating: 0, count: 1_000) }
                    for index in stride(from: 0, to: spare.count, by: 2) { spare[index] = [] }
                    let mapped = limited(RLIMIT_DATA, to: 1 << 20) {
                        error { () throws(FileSystemError) in
                            try file.mapPrivately(offset: 0, length: 1 << 26, into: space, at: 0)
                        }
                    }
                    let provided = limited(RLIMIT_DATA, to: 1 << 20) {
                        error { () throws(FileSystemError) in
                            _ = try unsafe space.provideMemory(at: 0, byteCount: 1 << 26)
                        }
                    }
                    let opened = limited(RLIMIT_DATA, to: try held("VmData") + (1 << 22)) {
                        error { () throws(FileSystemError) in
                            do throws(Errno) {
                                _ = try unsafe memory.open(offset: 0, length: 1 << 26, fileSize: 1 << 26, at: 0)
                            } catch {
                                throw FileSystemError(code: error.code, call: .map, path: "memory")
                            }
                        }
                    }
                    try #require([mapped, provided, opened] == [ENOMEM, ENOMEM, ENOMEM])
                    try #require(spare.count == 4_096)
                    // A stack takes 2 MiB.
                    let isRefused = limited(RLIMIT_AS, to: 1 << 20) {
                        // One thread is there and does all the work.
                        (try? queue.start(threadCount: 1)) != nil
                            && (try? WorkerThread(name: "none", queue: queue)) == nil
                    }
                    try #require(isRefused)
                    try file.mapPrivately(offset: 0, length: 1 << 26, into: space, at: 0)
                    queue.stop()
                }
            }
        }
    }

    /// How many bytes of a kind of memory the process has, by a line of its status.
    private func held(_ name: String) throws -> rlim_t {
        let lines = try String(contentsOfFile: "/proc/self/status", encoding: .utf8).split(separator: "\n")
        let line = try #require(lines.first { $0.hasPrefix(name + ":") })
        return try #require(rlim_t(line.filter(\.isNumber))) << 10
    }

    /// Runs `body` where the process may not get more of something than `most`.
    private func limited<Result>(_ resource: __rlimit_resource, to most: rlim_t, _ body: () -> Result) -> Result {
        let kind = __rlimit_resource_t(resource.rawValue)
        var before = rlimit()
        unsafe getrlimit(kind, &before)
        var limit = before
        limit.rlim_cur = most
        unsafe setrlimit(kind, &limit)
        defer { unsafe setrlimit(kind, &before) }
        return body()
    }

    private func error(_ body: () throws(FileSystemError) -> Void) -> Int32? {
        do throws(FileSystemError) {
            try body()
            return nil
        } catch {
            return error.code
        }
    }
#endif
