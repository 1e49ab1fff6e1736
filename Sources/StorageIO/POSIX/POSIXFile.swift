/// An open file of the operating system: the engine hands it requests, it hands them to the kernel.
import CNephrite
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A regular file that ``POSIXFileSystem`` opened.
///
/// Calls that are in flight when ``close()`` is called finish on the descriptor they began with; later ones get
/// `EBADF`. So a descriptor number is never used after the kernel may have given it to another file.
final class POSIXFile: StorageFile {
    /// The most bytes that one call transfers: Linux stops at 2 GiB less a page, Darwin refuses more than 2 GiB.
    static let transferByteCountMax = 1 << 30
    /// The most buffers that one call takes (IOV_MAX on Linux and Darwin).
    static let bufferCountMax = 1_024
    /// How much is written at once where the file system cannot allocate.
    static let zeroFillByteCount = 1 << 20

    let path: StoragePath
    private let descriptor: Mutex<SharedDescriptor?>

    init(path: StoragePath, descriptor: SharedDescriptor) {
        self.path = path
        self.descriptor = Mutex(descriptor)
    }

    func size() throws(FileSystemError) -> UInt64 {
        do throws(Errno) {
            return try UInt64(opened().status().st_size)
        } catch {
            throw failure(error, .size)
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
        do throws(Errno) {
            let file = try opened()
            let position = try Self.position(offset)
            guard let start = buffer.baseAddress, buffer.count > 0 else { return 0 }
            return try file.use { number throws(Errno) in
                let count = unsafe pread(number, start, min(buffer.count, Self.transferByteCountMax), position)
                guard count >= 0 else { throw Errno(code: errno) }
                return count
            }
        } catch {
            throw failure(error, .read, at: offset)
        }
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
        do throws(Errno) {
            let file = try opened()
            let position = try Self.position(offset)
            let count = file.use { unsafe Self.transfer(buffers, to: $0, at: position) }
            guard count >= 0 else { throw Errno(code: Int32(-count)) }
            return count
        } catch {
            throw failure(error, .write, at: offset)
        }
    }

    func synchronizeData() throws(FileSystemError) {
        do throws(Errno) {
            try Self.check(opened().use { nephrite_sync_data($0) })
        } catch {
            throw failure(error, .synchronizeData)
        }
    }

    func startWriteback(offset: UInt64, length: UInt64) throws(FileSystemError) {
        do throws(Errno) {
            guard let start = Int64(exactly: offset), let length = Int64(exactly: length) else { return }
            try Self.check(opened().use { nephrite_start_writeback($0, start, length) })
        } catch {
            throw failure(error, .synchronizeData)
        }
    }

    func synchronize() throws(FileSystemError) {
        do throws(Errno) {
            try Self.check(opened().use { nephrite_sync($0) })
        } catch {
            throw failure(error, .synchronize)
        }
    }

    /// Where the file system cannot allocate, zeros are written behind the end; nobody else may write there meanwhile.
    func allocate(offset: UInt64, length: UInt64) throws(FileSystemError) {
        do throws(Errno) {
            let file = try opened()
            let start = try Self.position(offset)
            let (end, overflows) = offset.addingReportingOverflow(length)
            guard !overflows, end <= UInt64(Int64.max) else { throw Errno(code: EFBIG) }
            guard length > 0 else { return }
            var result: Int32
            repeat {
                result = file.use { nephrite_allocate($0, Int64(start), Int64(length)) }
            } while result == -EINTR
            if result == -EOPNOTSUPP || result == -ENOSYS {
                try Self.fillWithZeros(file, from: offset, to: end)
            } else {
                try Self.check(result)
            }
        } catch {
            throw failure(error, .allocate, at: offset)
        }
    }

    func map(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) throws(FileSystemError) {
        try map(offset: offset, length: length, into: space, at: position, isPrivate: false)
    }

    /// The kernel copies a page when it is written first.
    func mapPrivately(
        offset: UInt64, length: Int, into space: any AddressSpace, at position: Int
    ) throws(FileSystemError) {
        try map(offset: offset, length: length, into: space, at: position, isPrivate: true)
    }

    private func map(
        offset: UInt64, length: Int, into space: any AddressSpace, at position: Int, isPrivate: Bool
    ) throws(FileSystemError) {
        do throws(Errno) {
            let file = try opened()
            guard let space = space as? POSIXAddressSpace else { throw Errno(code: EINVAL) }
            let fileSize = try UInt64(file.status().st_size)
            try file.use { number throws(Errno) in
                try space.map(
                    descriptor: number, offset: offset, length: length, fileSize: fileSize, at: position,
                    isPrivate: isPrivate)
            }
        } catch {
            throw failure(error, .map, at: offset)
        }
    }

    func close() throws(FileSystemError) {
        // What close(2) could report, a sync has reported before; what was not synced was never promised.
        descriptor.withLock { $0 = nil }
    }
}

extension POSIXFile {
    private func opened() throws(Errno) -> SharedDescriptor {
        guard let opened = descriptor.withLock({ $0 }) else { throw Errno(code: EBADF) }
        return opened
    }

    private func failure(_ error: Errno, _ call: SystemCall, at offset: UInt64? = nil) -> FileSystemError {
        FileSystemError(code: error.code, call: call, path: path.description, offset: offset)
    }

    private static func check(_ result: Int32) throws(Errno) {
        guard result == 0 else { throw Errno(code: -result) }
    }

    private static func position(_ offset: UInt64) throws(Errno) -> off_t {
        guard let position = off_t(exactly: offset) else { throw Errno(code: EFBIG) }
        return position
    }

    /// One `pwritev` of as many buffers as it takes; the number of bytes or `-errno`.
    private static func transfer(_ buffers: [UnsafeRawBufferPointer], to descriptor: Int32, at position: off_t) -> Int {
        let capacity = unsafe min(buffers.count, bufferCountMax)
        return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: max(capacity, 1)) { vectors in
            var used = 0
            var room = transferByteCountMax
            for index in unsafe buffers.indices {
                let buffer = unsafe buffers[index]
                guard used < capacity, room > 0 else { break }
                guard let start = buffer.baseAddress, buffer.count > 0 else { continue }
                let count = min(buffer.count, room)
                // The kernel only reads through this pointer; iovec has no const form.
                unsafe vectors[used] = iovec(iov_base: UnsafeMutableRawPointer(mutating: start), iov_len: count)
                used += 1
                room -= count
            }
            if used == 0 { return 0 }
            let count = unsafe pwritev(descriptor, vectors.baseAddress, Int32(used), position)
            return count >= 0 ? count : -Int(errno)
        }
    }

    /// Writes zeros behind the end of the file, never over what is there.
    static func fillWithZeros(_ file: SharedDescriptor, from offset: UInt64, to end: UInt64) throws(Errno) {
        var position = try max(UInt64(file.status().st_size), offset)
        guard position < end else { return }
        let zeros = AlignedBuffer(byteCount: zeroFillByteCount)
        while position < end {
            let count = Int(min(UInt64(zeroFillByteCount), end - position))
            let written = file.use { number in
                let written = unsafe pwrite(number, zeros.bytes.baseAddress, count, off_t(position))
                return written < 0 ? -Int(errno) : written
            }
            if written == -Int(EINTR) { continue }
            if written < 0 { throw Errno(code: Int32(-written)) }
            guard written > 0 else { throw Errno(code: FileSystemError.noProgressCode) }
            position += UInt64(written)
        }
    }
}
