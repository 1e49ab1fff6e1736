/// What a store's directory is mounted from: ``POSIXFileSystem`` asks the kernel, the engine decides what it accepts.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What kind of file system a directory is on.
public enum MountKind: Sendable, Hashable {
    /// A disk of this machine.
    case local
    /// Memory: nothing survives a restart (tmpfs, ramfs).
    case memory
    /// A file system that another machine or a user process serves; locks and syncs may not mean what they say.
    /// The value is its type as the kernel names it, such as `nfs4`.
    case network(String)
    /// The system does not say.
    case unknown

    /// The kind that a file system type of the kernel is.
    ///
    /// - Parameter type: As in the ninth column of `/proc/self/mountinfo`, such as `ext4` or `fuse.sshfs`.
    public init(fileSystemType type: String) {
        let family = type.lowercased().prefix { $0 != "." }
        switch family {
        case "": self = .unknown
        case "tmpfs", "ramfs", "devtmpfs": self = .memory
        case "nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "9p", "virtiofs",
            "vboxsf", "vmhgfs", "ceph", "glusterfs", "lustre", "afs", "coda", "ncpfs", "gpfs", "beegfs", "orangefs",
            "pvfs2", "acfs", "ocfs2", "gfs2", "davfs", "macfuse", "osxfuse":
            self = .network(type)
        default: self = family.hasPrefix("fuse") ? .network(type) : .local
        }
    }

    /// Finds a mount in the text of `/proc/self/mountinfo`; lines that cannot be read are passed over.
    ///
    /// - Parameters:
    ///   - text: The table, as in proc_pid_mountinfo(5).
    ///   - mountID: The mount's number, when it is known; it decides.
    ///   - device: `major:minor`, to look for when no line has that number. The last such line is the newest mount.
    package init(mountTable text: String, mountID: String?, device: String) {
        var byDevice: MountKind?
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            // Six fixed fields, any number of optional ones, a dash, then the type.
            guard fields.count >= 8, let dash = fields[6...].firstIndex(of: "-"), dash + 1 < fields.count else {
                continue
            }
            let kind = MountKind(fileSystemType: String(fields[dash + 1]))
            if let mountID, fields[0] == mountID {
                self = kind
                return
            }
            if fields[2] == device { byDevice = kind }
        }
        self = byDevice ?? .unknown
    }

    /// The mount number in the text of `/proc/self/fdinfo/<descriptor>`.
    package static func mountID(inDescriptorInformation text: String) -> String? {
        for line in text.split(separator: "\n") where line.hasPrefix("mnt_id:") {
            let value = line.dropFirst("mnt_id:".count).filter { $0 != " " && $0 != "\t" }
            return value.isEmpty || !value.allSatisfy(\.isNumber) ? nil : String(value)
        }
        return nil
    }

    /// Asks the kernel about the mount that an open directory is on.
    init(of directory: SharedDescriptor) {
        #if canImport(Darwin)
            var status = statfs()
            guard directory.use({ unsafe fstatfs($0, &status) }) == 0 else {
                self = .unknown
                return
            }
            let type = unsafe withUnsafeBytes(of: &status.f_fstypename) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            self = status.f_flags & UInt32(MNT_LOCAL) == 0 ? .network(type) : MountKind(fileSystemType: type)
        #else
            guard let status = try? directory.status(),
                let table = SystemFile.contents(of: "/proc/self/mountinfo")
            else {
                self = .unknown
                return
            }
            let information = directory.use { SystemFile.contents(of: "/proc/self/fdinfo/\($0)") }
            let device = UInt64(status.st_dev)
            // The encoding of makedev(3).
            let major = (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
            let minor = device & 0xFF | (device >> 12) & ~0xFF
            self.init(
                mountTable: table, mountID: information.flatMap(MountKind.mountID(inDescriptorInformation:)),
                device: "\(major):\(minor)")
        #endif
    }
}
