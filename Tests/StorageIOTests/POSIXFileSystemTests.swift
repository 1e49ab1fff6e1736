/// What only the real file system can show: links, owners, permissions, other processes and mounts.
import Foundation
import Testing

@testable import StorageIO

@Suite struct POSIXFileSystemTests {
    private func withStore(_ body: (POSIXFileSystem, String) throws -> Void) throws {
        try withTemporaryDirectory { path in
            let fileSystem = POSIXFileSystem(root: path + "/deep/er/store/")
            try fileSystem.openRoot(createIfMissing: true)
            try body(fileSystem, path + "/deep/er/store")
        }
    }

    private func mode(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    #if os(Linux)
        /// Bytes of a mapping that the process has in its page tables.
        private func residentByteCount(of address: UnsafeRawPointer) throws -> Int {
            let file = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
            var text = Data()
            while let piece = try file.read(upToCount: 1 << 16), !piece.isEmpty { text += piece }
            var isHere = false
            for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
                let words = line.split(separator: " ")
                let ends = words[0].split(separator: "-").compactMap { Int($0, radix: 16) }
                if ends.count == 2 { isHere = (ends[0]..<ends[1]).contains(Int(bitPattern: address)) }
                if isHere, words[0] == "Rss:" { return try #require(Int(words[1])) << 10 }
            }
            return try #require(nil, "no such mapping")
        }

        @Test("Released pages of a file are not the process's any more, and are what they were when touched again")
        func releasedPages() throws {
            try withStore { fileSystem, _ in
                let unit = StorageGranularity.byteCount
                let file = try fileSystem.open(StoragePath("file"), .createNew)
                let bytes = (0..<4 * unit).map { UInt8(truncatingIfNeeded: $0 / 4_096 + 1) }
                try unsafe bytes.withUnsafeBytes { try unsafe file.writeFully([$0], at: 0) }
                let space = try fileSystem.reserveAddressSpace(byteCount: 8 * unit)
                try file.map(offset: 0, length: 4 * unit, into: space, at: 0)
                let mapped = unsafe UnsafeRawBufferPointer(start: space.baseAddress, count: 4 * unit)
                #expect(unsafe mapped.elementsEqual(bytes))
                #expect(try unsafe residentByteCount(of: space.baseAddress) == 4 * unit)
                space.releasePages(at: 0, byteCount: 9 * unit)
                space.releasePages(at: -unit, byteCount: unit)
                #expect(try unsafe residentByteCount(of: space.baseAddress) == 4 * unit)
                space.releasePages(at: 0, byteCount: 4 * unit)
                #expect(try unsafe residentByteCount(of: space.baseAddress) == 0)
                #expect(unsafe mapped.elementsEqual(bytes))
                // Once there is memory that no file has, nothing is released.
                let memory = try unsafe space.provideMemory(at: 4 * unit, byteCount: unit)
                unsafe memory[0] = 7
                space.releasePages(at: 0, byteCount: 8 * unit)
                #expect(unsafe memory[0] == 7 && mapped.elementsEqual(bytes))
            }
        }
    #endif

    @Test("A missing root is created with its parents only when asked")
    func createsRoot() throws {
        try withTemporaryDirectory { path in
            let fileSystem = POSIXFileSystem(root: path + "/a//b/")
            expectFailure(EBADF, .list) { () throws(FileSystemError) in try fileSystem.list(.root) }
            expectFailure(ENOENT, .openRoot) { () throws(FileSystemError) in
                try fileSystem.openRoot(createIfMissing: false)
            }
            try fileSystem.openRoot(createIfMissing: true)
            try fileSystem.openRoot(createIfMissing: false)
            #expect(try fileSystem.list(.root) == [])
            #expect(fileSystem.rootDescription == path + "/a//b")
            #expect(try mode(path + "/a") == 0o700)
            #expect(try mode(path + "/a/b") == 0o700)
        }
    }

    @Test("Where standard input, output and error are closed, nothing that is opened takes their numbers")
    func standardDescriptors() async {
        await #expect(processExitsWith: .success) {
            try withTemporaryDirectory { path in
                for number in 0...2 as ClosedRange<Int32> { close(number) }
                let fileSystem = POSIXFileSystem(root: path + "/store")
                try fileSystem.openRoot(createIfMissing: true)
                let lock = try fileSystem.lockRoot(exclusive: true)
                let files = try (0..<3).map { try fileSystem.open(StoragePath("file\($0)"), .createNew) }
                for file in files { try file.put([1, 2, 3], at: 0) }
                // Other threads of the process may open something of their own there.
                let names = try FileManager.default.subpathsOfDirectory(atPath: path)
                precondition(names.count >= 5)
                let ours = Set(
                    try names.map { name in
                        var status = stat()
                        try #require(unsafe lstat(path + "/" + name, &status) == 0)
                        return status.st_ino
                    })
                for number in 0...2 as ClosedRange<Int32> {
                    var status = stat()
                    precondition(unsafe fstat(number, &status) != 0 || !ours.contains(status.st_ino))
                }
                withExtendedLifetime((lock, files)) {}
            }
        }
    }

    @Test("A root that is a link or a file is refused, a link above it is followed")
    func refusesLinkedRoot() throws {
        try withTemporaryDirectory { path in
            try FileManager.default.createDirectory(atPath: path + "/real", withIntermediateDirectories: false)
            try FileManager.default.createSymbolicLink(atPath: path + "/link", withDestinationPath: "real")
            #expect(FileManager.default.createFile(atPath: path + "/file", contents: Data()))
            for (name, code) in [("link", ELOOP), ("link/", ELOOP), ("link/.", ELOOP), ("file", ENOTDIR)] {
                expectFailure(code, .openRoot) { () throws(FileSystemError) in
                    try POSIXFileSystem(root: path + "/" + name).openRoot(createIfMissing: true)
                }
            }
            try POSIXFileSystem(root: path + "/link/store").openRoot(createIfMissing: true)
            #expect(try mode(path + "/real/store") == 0o700)
        }
    }

    @Test("Symbolic links are refused as files and as directories")
    func refusesSymbolicLinks() throws {
        try withStore { fileSystem, root in
            try fileSystem.open(StoragePath("real"), .createNew).put([1], at: 0)
            try fileSystem.createDirectory(StoragePath("directory"))
            try FileManager.default.createSymbolicLink(atPath: root + "/link", withDestinationPath: "real")
            try FileManager.default.createSymbolicLink(atPath: root + "/way", withDestinationPath: "directory")
            for mode in [OpenMode.read, .readWrite] {
                expectFailure(ELOOP, .open) { () throws(FileSystemError) in
                    try fileSystem.open(StoragePath("link"), mode)
                }
            }
            expectFailure(ELOOP, .open) { () throws(FileSystemError) in
                try fileSystem.open(StoragePath("way", "file"), .createNew)
            }
            expectFailure(ELOOP, .list) { () throws(FileSystemError) in try fileSystem.list(StoragePath("way")) }
            #expect(try fileSystem.list(.root).map(\.kind) == [.directory, .other, .file, .other])
            try FileManager.default.createSymbolicLink(atPath: root + "/LOCK", withDestinationPath: "real")
            expectFailure(ELOOP, .lock) { () throws(FileSystemError) in try fileSystem.lockRoot(exclusive: true) }
        }
    }

    @Test("A file with two hard links is refused")
    func refusesHardLinks() throws {
        try withStore { fileSystem, root in
            _ = try fileSystem.open(StoragePath("real"), .createNew)
            try FileManager.default.linkItem(atPath: root + "/real", toPath: root + "/second")
            expectFailure(EMLINK, .open) { () throws(FileSystemError) in try fileSystem.open(StoragePath("real"), .read)
            }
            try fileSystem.unlink(StoragePath("second"))
            _ = try fileSystem.open(StoragePath("real"), .read)
        }
    }

    @Test("A named pipe is refused without waiting for its other end")
    func refusesPipes() throws {
        try withStore { fileSystem, root in
            try #require(unsafe mkfifo(root + "/pipe", 0o600) == 0)
            expectFailure(ENXIO, .open) { () throws(FileSystemError) in try fileSystem.open(StoragePath("pipe"), .read)
            }
        }
    }

    @Test("A file of another user is refused", .enabled(if: geteuid() == 0, "needs root to give a file away"))
    func refusesForeignFiles() throws {
        try withStore { fileSystem, root in
            _ = try fileSystem.open(StoragePath("file"), .createNew)
            try #require(unsafe chown(root + "/file", 12_345, 12_345) == 0)
            expectFailure(EPERM, .open) { () throws(FileSystemError) in try fileSystem.open(StoragePath("file"), .read)
            }
        }
    }

    @Test("Directories get 0700 and files 0600 whatever the umask")
    func ignoresUmask() async {
        // The umask belongs to the process, so a process of its own is changed.
        await #expect(processExitsWith: .success) {
            for mask: mode_t in [0, 0o777] {
                try withTemporaryDirectory { path in
                    let before = umask(mask)
                    defer { umask(before) }
                    let fileSystem = POSIXFileSystem(root: path + "/a/b")
                    try fileSystem.openRoot(createIfMissing: true)
                    try fileSystem.createDirectory(StoragePath("directory"))
                    _ = try fileSystem.open(StoragePath("file"), .createNew)
                    try fileSystem.lockRoot(exclusive: true).release()
                    for (name, expected) in [("", 0o700), ("/directory", 0o700), ("/file", 0o600), ("/LOCK", 0o600)] {
                        var status = stat()
                        try #require(unsafe lstat(path + "/a/b" + name, &status) == 0)
                        try #require(status.st_mode & 0o777 == mode_t(expected), "\(name) under \(mask)")
                    }
                }
            }
        }
    }

    @Test("The lock holds against another process and against another path to the same root")
    func locksAcrossProcesses() throws {
        let tool = "/usr/bin/flock"
        try withStore { fileSystem, root in
            let lock = try fileSystem.lockRoot(exclusive: true)
            let other = POSIXFileSystem(root: root + "/../store")
            try other.openRoot(createIfMissing: false)
            expectFailure(EWOULDBLOCK, .lock) { () throws(FileSystemError) in try other.lockRoot(exclusive: true) }
            guard FileManager.default.isExecutableFile(atPath: tool) else {
                return print("\(tool) is missing: the lock was only tried in this process")
            }
            let run = { () throws -> Int32 in
                let process = Process()
                process.executableURL = URL(fileURLWithPath: tool)
                process.arguments = ["--nonblock", "--conflict-exit-code", "9", root + "/LOCK", "true"]
                try process.run()
                process.waitUntilExit()
                return process.terminationStatus
            }
            #expect(try run() == 9)
            lock.release()
            #expect(try run() == 0)
        }
    }

    @Test("Where blocks cannot be allocated, zeros go only behind the end")
    func fillsWithZeros() throws {
        try withStore { fileSystem, root in
            let opened = try fileSystem.open(StoragePath("file"), .createNew)
            try opened.put([1, 2, 3], at: 0)
            let descriptor = try SharedDescriptor(FileDescriptor(at: AT_FDCWD, root + "/file", flags: O_RDWR))
            try POSIXFile.fillWithZeros(descriptor, from: 0, to: 3 << 20)
            #expect(try opened.size() == 3 << 20)
            #expect(try opened.bytes(5, at: 0) == [1, 2, 3, 0, 0])
            try POSIXFile.fillWithZeros(descriptor, from: 0, to: 100)
            #expect(try opened.size() == 3 << 20)
        }
    }

    @Test("A root says what it is mounted from")
    func knowsItsMount() throws {
        let closed = POSIXFileSystem(root: "/")
        #expect(closed.mountKind() == .unknown)
        #if os(Linux)
            let memory = POSIXFileSystem(root: "/dev/shm")
            guard (try? memory.openRoot(createIfMissing: false)) != nil else { return }
            #expect(memory.mountKind() == .memory)
        #endif
    }
}

@Suite struct MountKindTests {
    private static let table = """
        garbage
        22 27 0:21 / /proc rw,relatime - proc proc rw
        27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
        31 27 0:40 / /mnt/a\\040b rw - nfs4 host:/x rw
        32 27 0:41 / /mnt/c rw propagate_from:2 - fuse.sshfs host: rw
        33 27 0:41 / /mnt/d rw
        34 27 0:42 / /mnt/e rw -
        """

    @Test(
        "A mount is found by its number, else by its device",
        arguments: [
            ("27", "9:9", MountKind.local), ("31", "254:0", .network("nfs4")), (nil, "0:41", .network("fuse.sshfs")),
            ("99", "254:0", .local), ("34", "0:42", .unknown), (nil, "7:7", .unknown),
        ] as [(String?, String, MountKind)])
    func findsMount(mountID: String?, device: String, expected: MountKind) {
        #expect(MountKind(mountTable: Self.table, mountID: mountID, device: device) == expected)
    }

    @Test(
        "File system types are sorted",
        arguments: [
            ("xfs", MountKind.local), ("overlay", .local), ("tmpfs", .memory), ("cifs", .network("cifs")),
            ("9p", .network("9p")), ("fuse", .network("fuse")), ("fuseblk", .network("fuseblk")), ("", .unknown),
        ])
    func sortsTypes(type: String, expected: MountKind) {
        #expect(MountKind(fileSystemType: type) == expected)
    }

    @Test("The mount number is read from the descriptor's information")
    func readsMountID() {
        #expect(MountKind.mountID(inDescriptorInformation: "pos:\t0\nflags:\t02\nmnt_id:\t27\nino:\t2\n") == "27")
        #expect(MountKind.mountID(inDescriptorInformation: "pos:\t0\nmnt_id:\t\n") == nil)
        #expect(MountKind.mountID(inDescriptorInformation: "") == nil)
    }
}
