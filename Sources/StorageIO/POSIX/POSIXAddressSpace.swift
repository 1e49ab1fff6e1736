/// Address space from the kernel: file systems reserve it, files are mapped into it, snapshots read from it.
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A range of addresses with one owner; it is unmapped, with all that was mapped into it, when the owner goes away.
@safe struct Reservation: ~Copyable {
    /// The first address.
    let start: UnsafeMutableRawPointer
    /// The length in bytes, a multiple of the page size.
    let byteCount: Int

    /// Reserves addresses that cannot be read or written yet and cost no memory.
    init(byteCount: Int) throws(Errno) {
        guard byteCount > 0, byteCount <= Int.max - StorageGranularity.byteCount else { throw Errno(code: EINVAL) }
        let rounded = Reservation.roundedToPages(byteCount)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let address = unsafe mmap(nil, rounded, PROT_NONE, flags, -1, 0), unsafe address != MAP_FAILED else {
            throw Errno(code: errno)
        }
        unsafe start = address
        self.byteCount = rounded
    }

    deinit { unsafe munmap(start, byteCount) }

    /// The page size of this machine.
    static let pageByteCount = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// The next multiple of the page size. `byteCount` is at most `Int.max` less a page.
    static func roundedToPages(_ byteCount: Int) -> Int {
        (byteCount + pageByteCount - 1) & ~(pageByteCount - 1)
    }

    /// Puts fresh memory in the place of whatever is mapped in a range.
    func provideMemory(at position: Int, byteCount length: Int) throws(FileSystemError) -> UnsafeMutableRawBufferPointer
    {
        func failure(_ code: Int32) -> FileSystemError { FileSystemError(code: code, call: .map, path: "memory") }
        guard length > 0, position >= 0, position % StorageGranularity.byteCount == 0, length <= byteCount,
            position <= byteCount - length
        else { throw failure(EINVAL) }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
        let mapped = unsafe mmap(
            start + position, Reservation.roundedToPages(length), PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { throw failure(errno) }
        return unsafe UnsafeMutableRawBufferPointer(start: mapped, count: length)
    }

    /// Refuses a mapping request that is not aligned, or leaves the file or the reservation.
    ///
    /// The part of the last page behind the end of the file reads as zero, so a request may reach into it.
    func check(offset: UInt64, length: Int, fileSize: UInt64, position: Int) throws(Errno) {
        let unit = StorageGranularity.byteCount
        guard length > 0, position >= 0, offset % UInt64(unit) == 0, position % unit == 0 else {
            throw Errno(code: EINVAL)
        }
        guard length <= byteCount, position <= byteCount - length else { throw Errno(code: EINVAL) }
        guard fileSize <= UInt64(Int64.max) - UInt64(unit), offset <= fileSize else { throw Errno(code: EINVAL) }
        let mappable = Reservation.roundedToPages(Int(fileSize)) - Int(offset)
        guard length <= mappable else { throw Errno(code: EINVAL) }
    }
}

/// Reserved addresses that ``POSIXFile`` maps into.
// SAFETY: the reservation is immutable and unmapped only when nobody refers to it; the kernel changes mappings in it.
final class POSIXAddressSpace: AddressSpace, @unchecked Sendable {
    private let reservation: Reservation
    /// Whether there is, or was, memory in it that no file has: releasing that would lose it.
    private let hasOwnMemory = Atomic<Bool>(false)

    init(byteCount: Int) throws(Errno) {
        reservation = try Reservation(byteCount: byteCount)
    }

    var baseAddress: UnsafeRawPointer { unsafe UnsafeRawPointer(reservation.start) }
    var byteCount: Int { reservation.byteCount }

    /// Maps a range of a file over the reservation: shared and read-only, or private and writable.
    func map(
        descriptor: Int32, offset: UInt64, length: Int, fileSize: UInt64, at position: Int, isPrivate: Bool
    ) throws(Errno) {
        try reservation.check(offset: offset, length: length, fileSize: fileSize, position: position)
        let address = unsafe reservation.start + position
        if isPrivate { hasOwnMemory.store(true, ordering: .sequentiallyConsistent) }
        // MAP_FIXED swaps the pages in one step, and only inside the reservation, as was just checked.
        let protection = isPrivate ? PROT_READ | PROT_WRITE : PROT_READ
        // Without MAP_NORESERVE the kernel would set memory aside for a copy of the whole file.
        let flags = MAP_FIXED | (isPrivate ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED)
        let mapped = unsafe mmap(
            address, Reservation.roundedToPages(length), protection, flags, descriptor, off_t(offset))
        guard unsafe mapped != MAP_FAILED else { throw Errno(code: errno) }
    }

    func provideMemory(at position: Int, byteCount: Int) throws(FileSystemError) -> UnsafeMutableRawBufferPointer {
        hasOwnMemory.store(true, ordering: .sequentiallyConsistent)
        return try unsafe reservation.provideMemory(at: position, byteCount: byteCount)
    }

    func releasePages(at position: Int, byteCount: Int) {
        guard position >= 0, byteCount > 0, position <= self.byteCount - byteCount else { return }
        guard !hasOwnMemory.load(ordering: .sequentiallyConsistent) else { return }
        // Of a shared mapping this drops page table entries only. What it returns is of no use: it is a hint.
        _ = unsafe madvise(reservation.start + position, byteCount, MADV_DONTNEED)
    }
}
