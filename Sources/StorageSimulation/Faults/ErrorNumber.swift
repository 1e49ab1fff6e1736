/// The `errno` values a simulation injects or answers with, by platform; fault plans and tests name them.
public enum ErrorNumber {
    /// Not permitted.
    public static let notPermitted: Int32 = 1
    /// No such file or directory.
    public static let noEntry: Int32 = 2
    /// Interrupted by a signal.
    public static let interrupted: Int32 = 4
    /// Input/output error.
    public static let inputOutput: Int32 = 5
    /// Bad file descriptor.
    public static let badDescriptor: Int32 = 9
    /// Out of memory.
    public static let noMemory: Int32 = 12
    /// Permission denied.
    public static let accessDenied: Int32 = 13
    /// File exists.
    public static let exists: Int32 = 17
    /// Not a directory.
    public static let notDirectory: Int32 = 20
    /// Is a directory.
    public static let isDirectory: Int32 = 21
    /// Invalid argument.
    public static let invalid: Int32 = 22
    /// Too many open files.
    public static let tooManyOpenFiles: Int32 = 24
    /// File too large.
    public static let fileTooLarge: Int32 = 27
    /// No space left on the device.
    public static let noSpace: Int32 = 28
    /// Read-only file system.
    public static let readOnlyFileSystem: Int32 = 30
    #if canImport(Darwin)
        /// Would block; try again.
        public static let wouldBlock: Int32 = 35
        /// Directory not empty.
        public static let notEmpty: Int32 = 66
        /// Disk quota exceeded.
        public static let quotaExceeded: Int32 = 69
    #else
        /// Would block; try again.
        public static let wouldBlock: Int32 = 11
        /// Directory not empty.
        public static let notEmpty: Int32 = 39
        /// Disk quota exceeded.
        public static let quotaExceeded: Int32 = 122
    #endif

    /// What a fault matrix goes through (RELIABILITY T4).
    public static let faultMatrix: [Int32] = [
        inputOutput, noSpace, quotaExceeded, interrupted, wouldBlock, tooManyOpenFiles, noMemory, accessDenied,
        readOnlyFileSystem, fileTooLarge,
    ]
}
