/// The seam between the engine and the operating system: every system call the engine makes is a method here.
///
/// The engine hands requests to a ``FileSystem``; ``POSIXFileSystem`` hands them to the kernel, ``MemoryFileSystem``
/// keeps everything in memory, and `SimulatedFileSystem` (StorageSimulation) injects crashes and faults.
public protocol FileSystem: Sendable {
    /// Where the root is, for messages.
    var rootDescription: String { get }

    /// Opens the root directory, which every path is relative to; mode 0700 when it is created.
    func openRoot(createIfMissing: Bool) throws(FileSystemError)

    /// Takes the store's lock file `LOCK` without waiting; it is held until ``StorageLock/release()``.
    ///
    /// - Throws: `EWOULDBLOCK` when another process or another store in this one holds it.
    func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock

    /// Creates a directory with mode 0700.
    func createDirectory(_ path: StoragePath) throws(FileSystemError)

    /// Removes an empty directory.
    func removeDirectory(_ path: StoragePath) throws(FileSystemError)

    /// The entries of a directory, sorted by name, without `.` and `..`.
    func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry]

    /// Opens a regular file; symbolic links are refused.
    func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile

    /// Renames a file or directory, replacing a file at the target.
    func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError)

    /// Removes a file's name.
    func unlink(_ path: StoragePath) throws(FileSystemError)

    /// Makes the names in a directory durable (fsync of the directory).
    func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError)

    /// Reserves address space that files are mapped into; nothing is readable before it is mapped.
    func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace

    /// How many bytes are free for files now, nil if that is not known; a hint, for others write, too.
    var availableByteCount: UInt64? { get }
}

extension FileSystem {
    /// Not known.
    public var availableByteCount: UInt64? { nil }
}

/// How a file is opened.
public enum OpenMode: Sendable, Hashable {
    /// For reading; the file must exist.
    case read
    /// For reading and writing; the file must exist.
    case readWrite
    /// For reading and writing; the file must not exist (`O_EXCL`), and gets mode 0600.
    case createNew
}

/// One name in a directory.
public struct DirectoryEntry: Sendable, Hashable {
    /// What an entry is.
    public enum Kind: Sendable, Hashable { case file, directory, other }

    /// The name, without a slash.
    public let name: String
    /// What it names.
    public let kind: Kind

    /// Creates an entry.
    public init(name: String, kind: Kind) {
        self.name = name
        self.kind = kind
    }
}

/// An open regular file. A file keeps one descriptor from its writes to its sync, so that a failed
/// write-back is reported to whoever wrote (RELIABILITY H25).
///
/// The primitives may transfer less than asked and may fail with `EINTR`; callers use
/// ``StorageFile/readFully(into:at:)`` and ``StorageFile/writeFully(_:at:)``, which go on.
public protocol StorageFile: AnyObject, Sendable {
    /// The path it was opened with, for messages.
    var path: StoragePath { get }

    /// The length in bytes.
    func size() throws(FileSystemError) -> UInt64

    /// Reads at most `buffer.count` bytes at `offset`; 0 at the end of the file (pread).
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int

    /// Writes at most all bytes of `buffers`, one after the other, at `offset`; how many (pwritev).
    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int

    /// Makes the contents and the size durable (fdatasync; F_FULLFSYNC on Darwin).
    func synchronizeData() throws(FileSystemError)

    /// Has the disk begin to write a range, and waits for nothing (sync_file_range). A hint: what makes it durable is
    /// ``synchronizeData()``. An error means what a failed sync means, for it may be reported only once.
    func startWriteback(offset: UInt64, length: UInt64) throws(FileSystemError)

    /// Makes contents and all attributes durable (fsync; F_FULLFSYNC on Darwin).
    func synchronize() throws(FileSystemError)

    /// Allocates real space for a range and extends the size to cover it; new bytes read as zero.
    func allocate(offset: UInt64, length: UInt64) throws(FileSystemError)

    /// Maps a range of the file, shared and read-only, at `position` of an address space.
    ///
    /// `offset`, `length` and `position` are multiples of ``StorageGranularity/byteCount``, except that the
    /// mapped range may not go beyond the file's size. What is written to the file is seen in the mapping.
    func map(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) throws(FileSystemError)

    /// Maps like ``map(offset:length:into:at:)``, but to memory that may be written: what is written there stays there. What
    /// is written to the file afterwards may or may not be seen.
    func mapPrivately(
        offset: UInt64, length: Int, into space: any AddressSpace, at position: Int
    ) throws(FileSystemError)

    /// Closes the descriptor; mappings stay. Idempotent.
    func close() throws(FileSystemError)
}

/// A reserved range of addresses. Mappings live until the last reference is gone.
public protocol AddressSpace: AnyObject, Sendable {
    /// The first address.
    var baseAddress: UnsafeRawPointer { get }
    /// The number of bytes reserved.
    var byteCount: Int { get }

    /// Makes a range readable and writable memory that belongs to no file and is all zeros, whatever was mapped there.
    ///
    /// `position` is a multiple of ``StorageGranularity/byteCount``.
    func provideMemory(at position: Int, byteCount: Int) throws(FileSystemError) -> UnsafeMutableRawBufferPointer

    /// Lets go of what the process has of the pages of files in a range, which stay what they are and are mapped again when
    /// they are touched. A hint: it changes what is counted as the process's memory, and nothing else.
    func releasePages(at position: Int, byteCount: Int)
}

extension AddressSpace {
    /// Keeps them: what is not the kernel's has no other place.
    public func releasePages(at position: Int, byteCount: Int) {}
}

/// A held lock.
public protocol StorageLock: AnyObject, Sendable {
    /// Lets go. Idempotent; the kernel lets go for a process that dies.
    func release()
}

/// The unit that mappings are aligned to: a multiple of every page size in use (4, 16 and 64 KiB).
public enum StorageGranularity {
    /// 64 KiB.
    public static let byteCount = 65_536
}

/// A path of one or two components below the root; empty for the root itself.
public struct StoragePath: Sendable, Hashable, CustomStringConvertible {
    /// The components, none of which is empty, `.`, `..` or holds a slash or NUL.
    public let components: [String]

    /// The root directory.
    public static let root = StoragePath(components: [])

    /// A path from components the engine made; traps on a component that is not a plain name.
    public init(_ components: String...) {
        self.init(components: components)
    }

    private init(components: [String]) {
        for component in components {
            precondition(
                !component.isEmpty && component != "." && component != ".."
                    && !component.utf8.contains { $0 == 0x2F || $0 == 0 },
                "a storage path component must be a plain name")
        }
        self.components = components
    }

    /// The directory that holds this path.
    public var parent: StoragePath { StoragePath(components: Array(components.dropLast())) }

    /// This path with more components, which come from another path, at its end.
    func appending(_ rest: ArraySlice<String>) -> StoragePath { StoragePath(components: components + rest) }

    /// The components with slashes between them, `.` for the root.
    public var description: String { components.isEmpty ? "." : components.joined(separator: "/") }
}

/// How often in a row a call is made again after an interruption; then it is given up with the interruption's error.
private let interruptionLimit = 10_000

extension StorageFile {
    /// Does nothing, for files without a disk.
    public func startWriteback(offset: UInt64, length: UInt64) throws(FileSystemError) {}

    /// Copies the range: for files that no kernel maps.
    public func mapPrivately(
        offset: UInt64, length: Int, into space: any AddressSpace, at position: Int
    ) throws(FileSystemError) {
        let memory = try unsafe space.provideMemory(at: position, byteCount: length)
        _ = try unsafe readFully(into: memory, at: offset)
    }

    /// Reads exactly `buffer.count` bytes, going on after short reads and interruptions (10,000 in a row at most).
    ///
    /// - Returns: how many bytes there were before the end of the file.
    public func readFully(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int
    {
        var done = 0
        var interruptions = 0
        while done < buffer.count {
            do {
                let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
                let count = try unsafe read(into: part, at: offset + UInt64(done))
                if count == 0 { break }
                done += count
                interruptions = 0
            } catch  where error.isInterruption && interruptions < interruptionLimit {
                interruptions += 1
            }
        }
        return done
    }

    /// Writes all bytes, going on after short writes and interruptions (10,000 in a row at most).
    public func writeFully(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) {
        var remaining = unsafe buffers.filter { unsafe !$0.isEmpty }
        var position = offset
        var emptyWrites = 0
        var interruptions = 0
        while unsafe !remaining.isEmpty {
            var count: Int
            do {
                // The kernel takes at most 1,024 buffers a call (IOV_MAX).
                count = try unsafe write(Array(remaining.prefix(1_024)), at: position)
                interruptions = 0
            } catch  where error.isInterruption && interruptions < interruptionLimit {
                interruptions += 1
                continue
            }
            emptyWrites = count == 0 ? emptyWrites + 1 : 0
            guard emptyWrites < 16 else {
                throw FileSystemError(
                    code: FileSystemError.noProgressCode, call: .write, path: path.description, offset: position)
            }
            position += UInt64(count)
            var consumed = 0
            while unsafe consumed < remaining.count && count >= remaining[consumed].count {
                count -= unsafe remaining[consumed].count
                consumed += 1
            }
            unsafe remaining.removeFirst(consumed)
            if count > 0 { unsafe remaining[0] = UnsafeRawBufferPointer(rebasing: remaining[0][count...]) }
        }
    }
}
