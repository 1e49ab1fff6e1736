/// The error catalogue: the one place that says what each `errno` means for each call, and what to do about it.
/// Errors of every file system come in; messages of the engine and the command line go out.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension FileSystemError {
    /// A sentence: what the error means for this call.
    public var meaning: String { specificEntry?.meaning ?? generalEntry.meaning }

    /// A sentence: what to do about it.
    public var remedy: String { specificEntry?.remedy ?? generalEntry.remedy }

    /// The code's symbolic name such as `ENOSPC`, or its number.
    public var codeName: String { Self.names[code] ?? "errno \(code)" }

    /// No space is left for data, or the quota is used up. A sync that fails for want of space, as on thinly provisioned
    /// disks, is a failed sync (O8): what it was to make durable may be lost already.
    public var isOutOfSpace: Bool { (code == ENOSPC || code == EDQUOT) && !call.isSynchronization }
    /// Somebody else holds the lock.
    public var isLocked: Bool { call == .lock && (code == EWOULDBLOCK || code == EAGAIN) }
    /// There is no such file or directory.
    public var isNotFound: Bool { code == ENOENT }
    /// The name is taken.
    public var isAlreadyExists: Bool { code == EEXIST }
    /// The process or the system has no descriptor left.
    public var isTooManyOpenFiles: Bool { code == EMFILE || code == ENFILE }
    /// The file system is mounted read-only.
    public var isReadOnly: Bool { code == EROFS }
    /// The user may not do this.
    public var isPermission: Bool { code == EACCES || code == EPERM }

    private struct Entry {
        let meaning: String
        let remedy: String

        init(_ meaning: String, _ remedy: String) {
            self.meaning = meaning
            self.remedy = remedy
        }
    }

    /// What a code means for one call in particular.
    private var specificEntry: Entry? {
        switch (call, code) {
        case (.lock, EWOULDBLOCK), (.lock, EAGAIN):
            Entry(
                "Another process, or another store in this one, has the store open.",
                "Close it there, or wait until it is closed.")
        case (.synchronizeData, EIO), (.synchronize, EIO), (.synchronizeDirectory, EIO):
            Entry(
                "The device could not make data durable; what was written since the last sync may be lost.",
                "Do not retry the sync. Reopen the store so that it recovers, and check the device.")
        case (.synchronizeDirectory, EINVAL):
            Entry(
                "This file system cannot make directory entries durable.",
                "Move the store to a local file system that supports fsync on directories.")
        case (.openRoot, ENOENT):
            Entry("The store's directory does not exist.", "Check the path, or ask for the store to be created.")
        case (.openRoot, ENOTDIR):
            Entry("The store's path does not name a directory.", "Choose a path that is free or is a directory.")
        case (.openRoot, ELOOP):
            Entry("The store's path is a symbolic link.", "Use the path of the directory that the link names.")
        case (.open, EPERM):
            Entry("The file belongs to another user.", "Run as the user that owns the store, or change the owner.")
        case (.lock, EPERM):
            Entry("The lock file belongs to another user.", "Run as the user that owns the store.")
        case (.open, EISDIR), (.unlink, EISDIR):
            Entry("The path names a directory where a file is needed.", "Remove what does not belong to the store.")
        case (.open, EINVAL), (.map, EINVAL):
            Entry("The request is not aligned or leaves the file.", "Run nephrite check: the file may have been cut.")
        case (.map, ENOMEM), (.reserveAddressSpace, ENOMEM):
            Entry(
                "The process has no address space or no mappings left.",
                "Raise vm.max_map_count or the address-space limit (ulimit -v), or open fewer databases.")
        case (.map, ENODEV):
            Entry("This file system cannot map files.", "Move the store to a local file system.")
        case (.allocate, EFBIG), (.write, EFBIG):
            Entry(
                "The file would become larger than the file system or the process limit allows.",
                "Raise the limit (ulimit -f), or move the store to a file system for larger files.")
        default: nil
        }
    }

    /// What a code means for every call.
    private var generalEntry: Entry {
        spaceEntry ?? accessEntry ?? nameEntry
            ?? Entry("The system call failed with \(codeName).", "See errno(3) for this code, and the system's log.")
    }

    /// Codes about devices, memory and limits.
    private var spaceEntry: Entry? {
        switch code {
        case EIO:
            Entry("The device reported an input/output error.", "Check the device and the kernel's log, then verify.")
        case ENOSPC:
            Entry("The disk is full.", "Free space or enlarge the disk; reads and deletes still work.")
        case EDQUOT:
            Entry("The user's disk quota is used up.", "Raise the quota or free space.")
        case EINTR:
            Entry("A signal interrupted the call before it did anything.", "Make the call again.")
        case EAGAIN, EWOULDBLOCK:
            Entry("The resource is busy at the moment.", "Try again later.")
        case EMFILE:
            Entry("The process has no file descriptor left.", "Raise the limit (ulimit -n), or open fewer databases.")
        case ENFILE:
            Entry("The system has no file descriptor left.", "Raise fs.file-max, or close other programs.")
        case ENOMEM:
            Entry("The kernel has no memory for the call.", "Give the machine or the container more memory.")
        case EFBIG:
            Entry("The offset is beyond what a file can have.", "Run verify: the store may hold a damaged offset.")
        case ENODEV, ENXIO:
            Entry("The path names a device, pipe or socket, not a file.", "Remove it from the store's directory.")
        case EOPNOTSUPP, ENOTSUP, ENOSYS:
            Entry("This file system does not support the call.", "Move the store to a local file system.")
        case EBUSY:
            Entry("The file or directory is in use by the system.", "Unmount or release it, then try again.")
        case ESTALE:
            Entry("The file server no longer knows the file.", "Mount again, or move the store to a local disk.")
        default: nil
        }
    }

    /// Codes about who may do what.
    private var accessEntry: Entry? {
        switch code {
        case EACCES:
            Entry(
                "The user may not access the path, or a directory above it.",
                "Run as the user that owns the store, or give that user access.")
        case EPERM:
            Entry(
                "The operation is not permitted to this user.", "Run as the owner; look for immutable flags (lsattr).")
        case EROFS:
            Entry("The file system is mounted read-only.", "Mount it writable, or copy the store to a disk that is.")
        case ELOOP:
            Entry("A symbolic link is where a file or directory is needed.", "Replace the link by what it points to.")
        case EMLINK:
            Entry(
                "The file has a second hard link, through which others could change it.",
                "Remove the other link, or copy the file and rename the copy into its place.")
        case EBADF:
            Entry(
                "The file or root is closed, or is not open for writing.", "Open it first; this is a use-after-close.")
        default: nil
        }
    }

    /// Codes about names.
    private var nameEntry: Entry? {
        switch code {
        case ENOENT:
            Entry(
                "There is no such file or directory.", "Check the path; restore the file from a backup if it is lost.")
        case EEXIST:
            Entry("The name is taken already.", "Choose another name, or remove what has it.")
        case ENOTEMPTY:
            Entry("The directory is not empty.", "Remove what does not belong to the store, then try again.")
        case ENOTDIR:
            Entry("A part of the path is not a directory.", "Check the path.")
        case EISDIR:
            Entry("The path names a directory where a file is needed.", "Check the path.")
        case EINVAL:
            Entry("The system refuses the arguments of the call.", "Check the path and the type of the file system.")
        case ENAMETOOLONG:
            Entry("The path is too long.", "Choose a shorter path.")
        case EXDEV:
            Entry("Source and target are on different file systems.", "Keep the whole store on one file system.")
        default: nil
        }
    }

    private static let names: [Int32: String] = [
        EIO: "EIO", ENOSPC: "ENOSPC", EDQUOT: "EDQUOT", EINTR: "EINTR", EAGAIN: "EAGAIN", EMFILE: "EMFILE",
        ENFILE: "ENFILE", ENOMEM: "ENOMEM", EACCES: "EACCES", EPERM: "EPERM", EROFS: "EROFS", EFBIG: "EFBIG",
        EEXIST: "EEXIST", ENOENT: "ENOENT", ELOOP: "ELOOP", ENOTEMPTY: "ENOTEMPTY", ENOTDIR: "ENOTDIR",
        EISDIR: "EISDIR", EINVAL: "EINVAL", EBADF: "EBADF", EMLINK: "EMLINK", ENXIO: "ENXIO", ENODEV: "ENODEV",
        ENAMETOOLONG: "ENAMETOOLONG", EXDEV: "EXDEV", EBUSY: "EBUSY", EOPNOTSUPP: "EOPNOTSUPP", ENOSYS: "ENOSYS",
        ESTALE: "ESTALE",
    ]
}

extension FileSystemError: CustomStringConvertible {
    /// Call, path, offset, code, meaning and remedy in one line.
    public var description: String {
        let place = offset.map { " at offset \($0)" } ?? ""
        return "\(call.rawValue) of \(path)\(place): \(meaning) (\(codeName)) \(remedy)"
    }
}
