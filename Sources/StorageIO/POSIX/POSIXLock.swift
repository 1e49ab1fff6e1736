/// The store's lock: ``POSIXFileSystem`` takes it with `flock` on the file `LOCK`, and the engine holds it while open.
import CNephrite
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A lock on a root directory that excludes other processes and other stores in this one.
///
/// No registry of this process's own locks is needed: `flock` belongs to the open file description, every lock opens
/// the file anew, and the kernel compares inodes. So a second open in the same process conflicts like one in another
/// process does, by whatever path or bind mount it came. (`fcntl` locks would need a registry, and would be lost when
/// any descriptor of the file is closed.)
final class POSIXLock: StorageLock {
    /// The lock file's name. It is never renamed or unlinked: two processes would then lock different files.
    static let fileName = "LOCK"

    private let held: Mutex<SharedDescriptor?>
    private let processID: pid_t

    /// - Parameter beforeLocking: called between opening the file and locking it, where tests put another one in its place.
    init(in root: SharedDescriptor, exclusive: Bool, beforeLocking: () -> Void = {}) throws(Errno) {
        for _ in 0..<16 {
            let descriptor = try root.use { number throws(Errno) in
                try SharedDescriptor(Self.openFile(in: number, exclusive: exclusive))
            }
            let status = try descriptor.status()
            try status.requireOwnRegularFile()
            beforeLocking()
            var result: Int32
            repeat { result = descriptor.use { nephrite_lock($0, exclusive ? 1 : 0) } } while result == -EINTR
            guard result == 0 else { throw Errno(code: -result) }
            // Somebody may have replaced the file between opening and locking: then this locks nothing that counts.
            let current = root.use { POSIXFileSystem.status(of: Self.fileName, in: $0) }
            guard let current, current.isSameFile(as: status) else { continue }
            if exclusive, status.st_mode & 0o777 != POSIXFileSystem.fileMode {
                _ = descriptor.use { fchmod($0, POSIXFileSystem.fileMode) }
            }
            held = Mutex(descriptor)
            processID = getpid()
            return
        }
        throw Errno(code: EWOULDBLOCK)
    }

    deinit { release() }

    /// Lets go at once, even if a child that was forked meanwhile still has a copy of the descriptor.
    ///
    /// In such a child only its copy is closed: unlocking there would take the lock away from the parent.
    func release() {
        let descriptor = held.withLock { held in
            defer { held = nil }
            return held
        }
        guard let descriptor, getpid() == processID else { return }
        _ = descriptor.use { flock($0, LOCK_UN) }
    }

    private static func openFile(in root: Int32, exclusive: Bool) throws(Errno) -> FileDescriptor {
        do throws(Errno) {
            return try FileDescriptor(
                at: root, fileName, flags: O_RDWR | O_CREAT | O_NONBLOCK, mode: UInt32(POSIXFileSystem.fileMode))
        } catch  where !exclusive && (error.code == EROFS || error.code == EACCES) {
            // A reader may lock a store on a medium that it cannot write to.
            return try FileDescriptor(at: root, fileName, flags: O_RDONLY | O_NONBLOCK)
        }
    }
}
