/// The bytes of one file in memory: ``MemoryFile`` hands writes in under the file's lock, reads and mappings get them.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A sparse file: 64 KiB chunks, of which 4 KiB blocks are paid for from the budget when written or allocated.
// SAFETY: the chunks have one owner, this noncopyable value, which lives inside its file's `Mutex`.
@safe struct MemoryContents: ~Copyable, @unchecked Sendable {
    /// Bytes in a chunk, the unit of memory.
    static let chunkByteCount = 65_536
    /// Bytes in a block, the unit of the budget.
    static let blockByteCount = 4_096
    /// The largest file, 1 TiB: the list of chunks is as long as the file, holes included.
    static let byteCountMax = 1 << 40

    @safe private struct Chunk {
        /// The memory; nil reads as zero.
        var bytes: UnsafeMutableRawPointer?
        /// Which of the sixteen blocks are paid for.
        var paid: UInt16 = 0
    }

    /// A part of the file that is mirrored into an address space.
    private struct Mapping {
        weak let space: MemoryAddressSpace?
        let offset: Int
        let length: Int
        let position: Int
    }

    private let budget: MemoryBudget
    private var chunks: [Chunk] = []
    private var mappings: [Mapping] = []
    /// The length of the file.
    private(set) var byteCount = 0

    init(budget: MemoryBudget) {
        self.budget = budget
    }

    deinit {
        var blocks = 0
        for chunk in chunks {
            unsafe chunk.bytes?.deallocate()
            blocks += chunk.paid.nonzeroBitCount
        }
        budget.giveBack(byteCount: blocks * Self.blockByteCount)
    }

    /// Copies what there is from `offset` on; how many bytes.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        guard offset < byteCount, let target = buffer.baseAddress else { return 0 }
        let count = min(buffer.count, byteCount - offset)
        unsafe copy(to: target, from: offset, count: count)
        return count
    }

    /// Writes as much as the budget has room for; how many bytes.
    mutating func write(_ buffers: [UnsafeRawBufferPointer], at offset: Int) -> Int {
        var position = offset
        for index in unsafe buffers.indices {
            let buffer = unsafe buffers[index]
            guard let source = buffer.baseAddress, buffer.count > 0 else { continue }
            let count = pay(from: position, to: position + buffer.count)
            if count > 0 {
                unsafe store(source, count: count, at: position)
                position += count
                byteCount = max(byteCount, position)
                unsafe mirror(source, count: count, at: position - count)
            }
            if count < buffer.count { break }
        }
        return position - offset
    }

    /// Pays for a range and makes the file cover it; false when the budget has no room, and then nothing changed
    /// but that some blocks may be paid for, as on a disk.
    mutating func allocate(from offset: Int, to end: Int) -> Bool {
        guard pay(from: offset, to: end) == end - offset else { return false }
        byteCount = max(byteCount, end)
        return true
    }

    /// Copies a range to an address space now, and every later write to it.
    mutating func map(from offset: Int, length: Int, into space: MemoryAddressSpace, at position: Int) throws(Errno) {
        let target = unsafe try space.open(offset: offset, length: length, fileSize: byteCount, at: position)
        let count = min(length, byteCount - offset)
        if count > 0 { unsafe copy(to: target, from: offset, count: count) }
        mappings.removeAll { $0.space == nil }
        // Whole pages are mapped, so writes into the rest of the last page show as well.
        let pages = Reservation.roundedToPages(length)
        mappings.append(Mapping(space: space, offset: offset, length: pages, position: position))
    }

    /// How many bytes of the range are paid for, from its start, after paying for as many as possible.
    private mutating func pay(from offset: Int, to end: Int) -> Int {
        let blocksPerChunk = Self.chunkByteCount / Self.blockByteCount
        let chunksNeeded = (end + Self.chunkByteCount - 1) / Self.chunkByteCount
        while chunks.count < chunksNeeded { chunks.append(Chunk()) }
        var block = offset / Self.blockByteCount
        while block * Self.blockByteCount < end {
            let bit: UInt16 = 1 << UInt16(block % blocksPerChunk)
            if chunks[block / blocksPerChunk].paid & bit == 0 {
                guard budget.take(byteCount: Self.blockByteCount) else {
                    return max(0, block * Self.blockByteCount - offset)
                }
                chunks[block / blocksPerChunk].paid |= bit
            }
            block += 1
        }
        return end - offset
    }

    private mutating func store(_ source: UnsafeRawPointer, count: Int, at offset: Int) {
        var done = 0
        while done < count {
            let (index, start) = (offset + done).quotientAndRemainder(dividingBy: Self.chunkByteCount)
            let part = min(count - done, Self.chunkByteCount - start)
            let bytes = unsafe chunks[index].bytes ?? Self.makeChunk()
            unsafe chunks[index].bytes = bytes
            unsafe (bytes + start).copyMemory(from: source + done, byteCount: part)
            done += part
        }
    }

    private func copy(to target: UnsafeMutableRawPointer, from offset: Int, count: Int) {
        var done = 0
        while done < count {
            let (index, start) = (offset + done).quotientAndRemainder(dividingBy: Self.chunkByteCount)
            let part = min(count - done, Self.chunkByteCount - start)
            if index < chunks.count, let bytes = unsafe chunks[index].bytes {
                unsafe (target + done).copyMemory(from: bytes + start, byteCount: part)
            } else {
                unsafe (target + done).initializeMemory(as: UInt8.self, repeating: 0, count: part)
            }
            done += part
        }
    }

    private static func makeChunk() -> UnsafeMutableRawPointer {
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: chunkByteCount, alignment: 64)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0, count: chunkByteCount)
        return unsafe bytes
    }

    /// Shows freshly written bytes in every mapping that covers them.
    private func mirror(_ source: UnsafeRawPointer, count: Int, at offset: Int) {
        for mapping in mappings {
            guard let space = mapping.space else { continue }
            let start = max(offset, mapping.offset)
            let end = min(offset + count, mapping.offset + mapping.length)
            guard start < end else { continue }
            let target = unsafe space.mutableBaseAddress + (mapping.position + start - mapping.offset)
            unsafe target.copyMemory(from: source + (start - offset), byteCount: end - start)
        }
    }
}
