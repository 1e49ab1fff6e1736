/// The real file system: the engine hands it paths below one root, and it hands them to the kernel one component
/// at a time, relative to a directory descriptor, so that no symbolic link is ever followed.
import CNephrite
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Files in a directory of the operating system.
///
/// Directories get mode 0700 and files 0600 whatever the umask. Opening refuses symbolic links (`ELOOP`), special
/// files (`ENXIO`), directories (`EISDIR`), files with a second hard link (`EMLINK`) and files that another user
/// owns (`EPERM`). Calls before ``openRoot(createIfMissing:)`` fail with `EBADF`.
public final class POSIXFileSystem: FileSystem {
    /// The mode of every directory.
    static let directoryMode: mode_t = 0o700
    /// The mode of every file.
    static let fileMode: mode_t = 0o600

    /// The root's path, without slashes at its end.
    public let rootDescription: String
    private let root = Mutex<SharedDescriptor?>(nil)

    /// Names the root directory; nothing is touched before ``openRoot(createIfMissing:)``.
    ///
    /// - Parameter root: An absolute path, or one relative to the working directory at the time of opening.
    public init(root: String) {
        var path = Substring(root)
        while path.count > 1 && (path.hasSuffix("/") || path.hasSuffix("/.")) { path.removeLast() }
        rootDescription = String(path)
    }

    /// Opens the root directory once; later calls find it open and do nothing.
    ///
    /// Links are followed in the directories above the root, which belong to the operator, but not in its last
    /// component. What is created is durable when this returns.
    public func openRoot(createIfMissing: Bool) throws(FileSystemError) {
        guard root.withLock({ $0 == nil }) else { return }
        guard !rootDescription.utf8.contains(0) else { throw failure(Errno(code: EINVAL), .openRoot) }
        let opened: SharedDescriptor
        do throws(Errno) {
            opened = try Self.openDirectory(at: rootDescription, createIfMissing: createIfMissing)
        } catch {
            throw failure(error, .openRoot)
        }
        root.withLock { root in
            if root == nil { root = opened }
        }
    }

    /// Takes the lock file; see ``POSIXLock``.
    public func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock {
        do throws(Errno) {
            return try POSIXLock(in: openedRoot(), exclusive: exclusive)
        } catch {
            throw failure(error, .lock, StoragePath(POSIXLock.fileName))
        }
    }

    /// Creates a directory with mode 0700.
    public func createDirectory(_ path: StoragePath) throws(FileSystemError) {
        do throws(Errno) {
            guard let name = path.components.last else { throw Errno(code: EEXIST) }
            let parent = try directory(path.parent)
            _ = try parent.use { parent throws(Errno) in try Self.makeDirectory(name, in: parent) }
        } catch {
            throw failure(error, .createDirectory, path)
        }
    }

    /// Removes an empty directory.
    public func removeDirectory(_ path: StoragePath) throws(FileSystemError) {
        do throws(Errno) {
            guard let name = path.components.last else { throw Errno(code: EBUSY) }
            let parent = try directory(path.parent)
            try parent.use { parent throws(Errno) in
                guard unsafe unlinkat(parent, name, AT_REMOVEDIR) == 0 else { throw Errno(removing: errno) }
            }
        } catch {
            throw failure(error, .removeDirectory, path)
        }
    }

    /// The entries of a directory, sorted by name.
    public func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] {
        do throws(Errno) {
            return try directory(path).use { number throws(Errno) in try DirectoryReader.entries(of: number) }
        } catch {
            throw failure(error, .list, path)
        }
    }

    /// Opens a regular file of this user that has one name.
    public func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile {
        do throws(Errno) {
            guard let name = path.components.last else { throw Errno(code: EISDIR) }
            let parent = try directory(path.parent)
            let descriptor = try parent.use { parent throws(Errno) in try Self.openFile(name, in: parent, mode) }
            return POSIXFile(path: path, descriptor: descriptor)
        } catch {
            throw failure(error, .open, path)
        }
    }

    /// Renames within the root, replacing a file at the target at once.
    public func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
        do throws(Errno) {
            guard let sourceName = source.components.last, let targetName = target.components.last else {
                throw Errno(code: EBUSY)
            }
            let sourceParent = try directory(source.parent)
            let targetParent = source.parent == target.parent ? sourceParent : try directory(target.parent)
            try sourceParent.use { source throws(Errno) in
                try targetParent.use { target throws(Errno) in
                    guard unsafe renameat(source, sourceName, target, targetName) == 0 else {
                        throw Errno(removing: errno)
                    }
                }
            }
        } catch {
            throw failure(error, .rename, source)
        }
    }

    /// Removes a file's name; the file lives on while it is open or mapped.
    public func unlink(_ path: StoragePath) throws(FileSystemError) {
        do throws(Errno) {
            guard let name = path.components.last else { throw Errno(code: EISDIR) }
            let parent = try directory(path.parent)
            try parent.use { parent throws(Errno) in
                guard unsafe unlinkat(parent, name, 0) == 0 else {
                    let code = errno
                    #if canImport(Darwin)
                        // Darwin answers EPERM for a directory where Linux answers EISDIR.
                        let isDirectory = code == EPERM && Self.status(of: name, in: parent)?.isDirectory == true
                        throw Errno(code: isDirectory ? EISDIR : code)
                    #else
                        throw Errno(code: code)
                    #endif
                }
            }
        } catch {
            throw failure(error, .unlink, path)
        }
    }

    /// Makes the names in a directory durable.
    public func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError) {
        do throws(Errno) {
            let result = try directory(path).use { nephrite_sync($0) }
            guard result == 0 else { throw Errno(code: -result) }
        } catch {
            throw failure(error, .synchronizeDirectory, path)
        }
    }

    /// Reserves addresses with `mmap(PROT_NONE)`.
    public func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace {
        do throws(Errno) {
            return try POSIXAddressSpace(byteCount: byteCount)
        } catch {
            throw failure(error, .reserveAddressSpace)
        }
    }

    /// What kind of file system the root is on; the engine decides what it accepts.
    ///
    /// - Returns: ``MountKind/unknown`` when the root is not open or the system does not say.
    public func mountKind() -> MountKind {
        guard let root = root.withLock({ $0 }) else { return .unknown }
        return MountKind(of: root)
    }

    /// What the root's file system has left for processes without privileges.
    public var availableByteCount: UInt64? {
        guard let root = root.withLock({ $0 }) else { return nil }
        let count = root.use { nephrite_available_bytes($0) }
        return count < 0 ? nil : UInt64(count)
    }

    private func failure(_ error: Errno, _ call: SystemCall, _ path: StoragePath = .root) -> FileSystemError {
        FileSystemError(
            code: error.code, call: call, path: path == .root ? rootDescription : path.description)
    }
}

extension POSIXFileSystem {
    private func openedRoot() throws(Errno) -> SharedDescriptor {
        guard let opened = root.withLock({ $0 }) else { throw Errno(code: EBADF) }
        return opened
    }

    /// Walks down from the root, one component at a time.
    private func directory(_ path: StoragePath) throws(Errno) -> SharedDescriptor {
        var current = try openedRoot()
        for name in path.components {
            current = try current.use { parent throws(Errno) in try Self.openDirectory(name, in: parent) }
        }
        return current
    }

    static func status(of name: String, in directory: Int32) -> stat? {
        var result = stat()
        guard unsafe fstatat(directory, name, &result, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        return result
    }

    private static func openFile(
        _ name: String, in parent: Int32, _ mode: OpenMode
    ) throws(Errno) -> SharedDescriptor {
        // Opening a named pipe waits for its other end unless O_NONBLOCK; regular files ignore the flag.
        let flags: Int32 =
            switch mode {
            case .read: O_RDONLY | O_NONBLOCK
            case .readWrite: O_RDWR | O_NONBLOCK
            case .createNew: O_RDWR | O_CREAT | O_EXCL
            }
        let opened = try SharedDescriptor(FileDescriptor(at: parent, name, flags: flags, mode: UInt32(fileMode)))
        do throws(Errno) {
            if mode == .createNew { try opened.use { number throws(Errno) in try changeMode(number, fileMode) } }
            try opened.status().requireOwnRegularFile()
            return opened
        } catch {
            if mode == .createNew { _ = unsafe unlinkat(parent, name, 0) }
            throw error
        }
    }

    static func changeMode(_ descriptor: Int32, _ mode: mode_t) throws(Errno) {
        guard fchmod(descriptor, mode) == 0 else { throw Errno(code: errno) }
    }

    private static func openDirectory(_ name: String, in directory: Int32) throws(Errno) -> SharedDescriptor {
        do throws(Errno) {
            return try SharedDescriptor(FileDescriptor(at: directory, name, flags: O_RDONLY | O_DIRECTORY))
        } catch  where error.code == ENOTDIR && status(of: name, in: directory)?.isSymbolicLink == true {
            // Linux answers ENOTDIR for a link that O_DIRECTORY and O_NOFOLLOW meet.
            throw Errno(code: ELOOP)
        }
    }

    /// Makes a directory with mode 0700 and opens it.
    private static func makeDirectory(_ name: String, in directory: Int32) throws(Errno) -> SharedDescriptor {
        guard unsafe mkdirat(directory, name, directoryMode) == 0 else { throw Errno(code: errno) }
        do throws(Errno) {
            // A umask that takes the owner's own rights away would make the new directory impossible to open.
            if let status = status(of: name, in: directory), status.st_mode & directoryMode != directoryMode,
                unsafe fchmodat(directory, name, directoryMode, AT_SYMLINK_NOFOLLOW) != 0
            {
                throw Errno(code: errno)
            }
            let made = try openDirectory(name, in: directory)
            try made.use { number throws(Errno) in try changeMode(number, directoryMode) }
            return made
        } catch {
            _ = unsafe unlinkat(directory, name, AT_REMOVEDIR)
            throw error
        }
    }

    /// Opens the root by its path and, when asked, makes what is missing of it, each name durable in its parent.
    private static func openDirectory(at path: String, createIfMissing: Bool) throws(Errno) -> SharedDescriptor {
        do throws(Errno) {
            return try openDirectory(path, in: AT_FDCWD)
        } catch  where error.code == ENOENT && createIfMissing && !path.isEmpty {
            let (parentPath, name) = split(path)
            let parent = try openParent(parentPath)
            return try parent.use { parent throws(Errno) in
                let made: SharedDescriptor
                do throws(Errno) {
                    made = try makeDirectory(name, in: parent)
                } catch  where error.code == EEXIST {
                    // Somebody else made it in between, or it is a link to nowhere: opening tells which.
                    return try openDirectory(name, in: parent)
                }
                let result = nephrite_sync(parent)
                guard result == 0 else { throw Errno(code: -result) }
                return made
            }
        }
    }

    /// Opens a directory above the root, where links are the operator's business, or makes it.
    private static func openParent(_ path: String) throws(Errno) -> SharedDescriptor {
        // A slash at the end makes the kernel follow a link in the last component in spite of O_NOFOLLOW. A second one
        // behind that of `/` changes nothing.
        do throws(Errno) {
            return try openDirectory(path + "/", in: AT_FDCWD)
        } catch  where error.code == ENOENT {
            return try openDirectory(at: path, createIfMissing: true)
        }
    }

    /// The directory part (`.` when there is none) and the last component.
    static func split(_ path: String) -> (parent: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        var parent = path[..<slash]
        while parent.count > 1 && parent.last == "/" { parent.removeLast() }
        return (parent.isEmpty ? "/" : String(parent), String(path[path.index(after: slash)...]))
    }
}
