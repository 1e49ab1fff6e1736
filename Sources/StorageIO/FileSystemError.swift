// A failed system call as a value: every file system throws it, the engine turns it into a `StoreError`;
// FileSystemErrorCatalogue.swift puts it into words.
import CNephrite

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The system calls the engine makes, as they are named in errors.
public enum SystemCall: String, Sendable, Hashable, CaseIterable {
    case openRoot, lock, createDirectory, removeDirectory, list, open, rename, unlink, synchronizeDirectory
    case reserveAddressSpace, size, read, write, synchronizeData, synchronize, allocate, map, close

    /// Whether it makes something durable.
    public var isSynchronization: Bool {
        self == .synchronizeData || self == .synchronize || self == .synchronizeDirectory
    }
}

/// A system call that failed: which, on what, why in words, and what to do about it.
public struct FileSystemError: Error, Sendable, Hashable {
    /// The value of `errno`.
    public let code: Int32
    /// The call.
    public let call: SystemCall
    /// The path below the root, or the root's own path.
    public let path: String
    /// The file offset, where the call has one.
    public let offset: UInt64?

    /// Creates an error.
    public init(code: Int32, call: SystemCall, path: String, offset: UInt64? = nil) {
        self.code = code
        self.call = call
        self.path = path
        self.offset = offset
    }

    /// A write that made no progress sixteen times in a row counts as an I/O error.
    public static let noProgressCode: Int32 = EIO

    /// A directory that had to be empty was not.
    public static let notEmptyCode: Int32 = ENOTEMPTY

    /// Whether the call was interrupted by a signal and is to be made again.
    public var isInterruption: Bool { code == EINTR }
}
