/// Addresses that files in memory are mirrored into, and the budget that limits how much they hold:
/// ``MemoryFileSystem`` makes both, ``MemoryContents`` uses them.
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Reserved addresses that files in memory are mapped into. As with real mappings, nothing is readable before.
// SAFETY: the reservation is immutable; its bytes are written under the lock of the file that is mapped there.
final class MemoryAddressSpace: AddressSpace, @unchecked Sendable {
    private let reservation: Reservation

    init(byteCount: Int) throws(Errno) {
        reservation = try Reservation(byteCount: byteCount)
    }

    var baseAddress: UnsafeRawPointer { unsafe UnsafeRawPointer(reservation.start) }
    var mutableBaseAddress: UnsafeMutableRawPointer { unsafe reservation.start }
    var byteCount: Int { reservation.byteCount }

    func provideMemory(at position: Int, byteCount: Int) throws(FileSystemError) -> UnsafeMutableRawBufferPointer {
        try unsafe reservation.provideMemory(at: position, byteCount: byteCount)
    }

    /// Makes a range readable and writable, and returns its first address.
    func open(offset: Int, length: Int, fileSize: Int, at position: Int) throws(Errno) -> UnsafeMutableRawPointer {
        try reservation.check(
            offset: UInt64(offset), length: length, fileSize: UInt64(fileSize), position: position)
        let address = unsafe reservation.start + position
        guard unsafe mprotect(address, Reservation.roundedToPages(length), PROT_READ | PROT_WRITE) == 0 else {
            throw Errno(code: errno)
        }
        return unsafe address
    }
}

/// How many bytes the files of one file system may hold together.
final class MemoryBudget: Sendable {
    private let capacity: Int
    private let used = Mutex(0)

    /// A budget of `capacity` bytes; nil for no limit.
    init(capacity: Int?) {
        self.capacity = capacity ?? .max
    }

    /// The bytes that are paid for.
    var usedByteCount: Int { used.withLock { $0 } }

    var availableByteCount: UInt64? { capacity == .max ? nil : UInt64(max(0, capacity - usedByteCount)) }

    func take(byteCount: Int) -> Bool {
        used.withLock { used in
            guard byteCount <= capacity - used else { return false }
            used += byteCount
            return true
        }
    }

    func giveBack(byteCount: Int) {
        used.withLock { $0 -= byteCount }
    }
}
