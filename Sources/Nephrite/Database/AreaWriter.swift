/// Gathers writes to one area and hands them to the file in as few calls as their positions allow. The log task uses it
/// to put vectors and payloads in place, a checkpoint to write index pages.
import StorageIO

@safe struct AreaWriter: ~Copyable {
    private static let maximumBufferCount = 1_000
    /// Zeros that pad a vector to its stride and a payload to its unit.
    private static let zeros: StaticZeros = StaticZeros()

    private let file: any StorageFile
    private let area: AreaMap
    private var buffers: [UnsafeRawBufferPointer] = unsafe []
    private var start: UInt64 = 0
    private var byteCount: UInt64 = 0
    /// Bytes handed to the file so far.
    private(set) var writtenByteCount: UInt64 = 0

    init(file: any StorageFile, area: AreaMap) {
        self.file = file
        self.area = area
    }

    /// Adds bytes at an offset of the area, with zeros behind them up to `paddedByteCount`.
    ///
    /// The bytes must stay valid until ``flush()``.
    mutating func add(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, paddedByteCount: Int) throws(FileSystemError)
    {
        if unsafe offset != start + byteCount || buffers.count >= Self.maximumBufferCount {
            try flush()
            start = offset
        }
        if let last = unsafe buffers.last, unsafe last.baseAddress! + last.count == bytes.baseAddress {
            unsafe buffers[buffers.count - 1] = UnsafeRawBufferPointer(
                start: last.baseAddress, count: last.count + bytes.count)
        } else {
            unsafe buffers.append(bytes)
        }
        let padding = paddedByteCount - bytes.count
        if padding > 0 { unsafe buffers.append(Self.zeros.bytes(padding)) }
        byteCount += UInt64(paddedByteCount)
    }

    /// Writes what was gathered.
    mutating func flush() throws(FileSystemError) {
        guard byteCount > 0 else { return }
        let file = file
        var rest = unsafe buffers[...]
        let offset = start
        let total = byteCount
        unsafe buffers.removeAll(keepingCapacity: true)
        byteCount = 0
        start = offset + total
        var isWhole = true
        try area.forEachPart(offset: offset, byteCount: total) { (fileOffset, length) throws(FileSystemError) in
            if isWhole, length == total {
                try unsafe file.writeFully(Array(rest), at: fileOffset)
                return
            }
            isWhole = false
            var part: [UnsafeRawBufferPointer] = unsafe []
            var missing = Int(length)
            while missing > 0 {
                let first = unsafe rest.removeFirst()
                if first.count <= missing {
                    unsafe part.append(first)
                    missing -= first.count
                } else {
                    unsafe part.append(UnsafeRawBufferPointer(rebasing: first[..<missing]))
                    unsafe rest.insert(UnsafeRawBufferPointer(rebasing: first[missing...]), at: rest.startIndex)
                    missing = 0
                }
            }
            try unsafe file.writeFully(part, at: fileOffset)
        }
        writtenByteCount += total
    }
}

// SAFETY: allocated once, never written again, never freed.
@safe private final class StaticZeros: @unchecked Sendable {
    private let memory: UnsafeRawBufferPointer

    init() {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 64)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
        unsafe memory = UnsafeRawBufferPointer(bytes)
    }

    func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: memory[..<count])
    }
}
