/// Address space on the heap: ``SimulatedFileSystem`` reserves it, files are copied into it when they are mapped.
import StorageIO
import Synchronization

/// A reserved range of addresses. Bytes that no file is mapped at are undefined, as the protocol says.
//
// SAFETY: the pointer never changes; bytes are written under the file system's mutex, and a reader that races
// with a write to the same bytes of the file has the race a real shared mapping has.
@safe final class SimulatedAddressSpace: AddressSpace, @unchecked Sendable {
    private let memory: UnsafeMutableRawPointer
    let byteCount: Int

    var baseAddress: UnsafeRawPointer { unsafe UnsafeRawPointer(memory) }

    init(byteCount: Int) {
        self.byteCount = byteCount
        unsafe memory = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: 4_096)
    }

    deinit { unsafe memory.deallocate() }

    func provideMemory(at position: Int, byteCount length: Int) throws(FileSystemError) -> UnsafeMutableRawBufferPointer
    {
        guard position >= 0, length > 0, length <= byteCount, position <= byteCount - length else {
            throw FileSystemError(code: ErrorNumber.invalid, call: .map, path: "memory")
        }
        let range = unsafe bytes(position, length)
        unsafe range.initializeMemory(as: UInt8.self, repeating: 0)
        return unsafe range
    }

    func bytes(_ position: Int, _ length: Int) -> UnsafeMutableRawBufferPointer {
        precondition(position >= 0 && length >= 0 && position + length <= byteCount, "outside the address space")
        return unsafe UnsafeMutableRawBufferPointer(start: memory + position, count: length)
    }
}

/// The lock of a simulated root. It dies with the "process": a crash image holds none.
final class SimulatedLock: StorageLock {
    private let fileSystem: SimulatedFileSystem
    private let exclusive: Bool
    private let isHeld = Mutex(true)

    init(fileSystem: SimulatedFileSystem, exclusive: Bool) {
        self.fileSystem = fileSystem
        self.exclusive = exclusive
    }

    func release() {
        let wasHeld = isHeld.withLock { held in
            defer { held = false }
            return held
        }
        if wasHeld { fileSystem.unlock(exclusive: exclusive) }
    }
}
