/// Gathers writes to one area and hands them to the file in as few calls as their positions allow. The log task uses it
/// to put vectors and payloads in place, a checkpoint to write index pages.
import StorageIO

@safe struct AreaWriter: ~Copyable {
    private static let maximumBufferCount = 1_000
    /// Zeros that pad a vector to its stride and a payload to its unit.
    private static let zeros: StaticZeros = StaticZeros()

    /// Bytes after which the disk is set to work, if it shall be.
    private static let writebackByteCount = 1 << 20

    private let file: any StorageFile
    private let area: AreaMap
    private let startsWriteback: Bool
    private var buffers: [UnsafeRawBufferPointer] = unsafe []
    private var start: UInt64 = 0
    private var byteCount: UInt64 = 0
    /// Bytes handed to the file so far.
    private(set) var writtenByteCount: UInt64 = 0

    /// - Parameter startsWriteback: whether the disk is to begin with what was written while more is being gathered.
    init(file: any StorageFile, area: AreaMap, startsWriteback: Bool = false) {
        self.file = file
        self.area = area
        self.startsWriteback = startsWriteback
    }

    /// Adds bytes at an offset of the area, with zeros behind them up to `paddedByteCount`.
    ///
    /// The bytes must stay valid until ``flush()``.
    mutating func add(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, paddedByteCount: Int) throws(FileSystemError)
    {
        if startsWriteback, bytes.count > Self.writebackByteCount, bytes.count == paddedByteCount {
            for start in stride(from: 0, to: bytes.count, by: Self.writebackByteCount) {
                let part = unsafe bytes[start..<min(bytes.count, start + Self.writebackByteCount)]
                try unsafe add(
                    UnsafeRawBufferPointer(rebasing: part), at: offset + UInt64(start), paddedByteCount: part.count)
                try flush()
            }
            return
        }
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
        if startsWriteback, byteCount >= Self.writebackByteCount { try flush() }
    }

    /// Writes what was gathered.
    mutating func flush() throws(FileSystemError) {
        guard byteCount > 0 else { return }
        var rest = unsafe ArraySlice(buffers)
        let offset = start
        let total = byteCount
        unsafe buffers.removeAll(keepingCapacity: true)
        byteCount = 0
        start = offset + total
        var isWhole = true
        try area.forEachPart(offset: offset, byteCount: total) { (fileOffset, length) throws(FileSystemError) in
            if isWhole, length == total {
                try unsafe write(Array(rest), at: fileOffset, byteCount: length)
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
            try unsafe write(part, at: fileOffset, byteCount: length)
        }
        writtenByteCount += total
    }

    private func write(
        _ buffers: [UnsafeRawBufferPointer], at offset: UInt64, byteCount: UInt64
    ) throws(FileSystemError) {
        try unsafe file.writeFully(buffers, at: offset)
        if startsWriteback { try file.startWriteback(offset: offset, length: byteCount) }
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
