/// Scratch memory: kernels, readers and writers ask for it, fill it and hand it to system calls.

/// Zeroed memory that starts on a cache line and belongs to one owner.
@safe public struct AlignedBuffer: ~Copyable {
    /// The default alignment in bytes: a cache line, and the widest vector register.
    public static let cacheLineByteCount = 64

    /// The memory. Valid while the buffer lives.
    public let bytes: UnsafeMutableRawBufferPointer

    /// The size in bytes.
    public var byteCount: Int { unsafe bytes.count }

    /// Allocates `byteCount` zero bytes; traps when there is no memory, as every Swift allocation does.
    ///
    /// - Parameters:
    ///   - byteCount: The size, 0 or more.
    ///   - alignment: A power of two.
    public init(byteCount: Int, alignment: Int = AlignedBuffer.cacheLineByteCount) {
        precondition(byteCount >= 0, "a buffer cannot have a negative size")
        precondition(alignment > 0 && alignment & (alignment - 1) == 0, "an alignment must be a power of two")
        unsafe bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: alignment)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { unsafe bytes.deallocate() }
}

// SAFETY: the memory has one owner, which can be moved but not copied; the pointers it lends are not Sendable.
extension AlignedBuffer: @unchecked Sendable {}
