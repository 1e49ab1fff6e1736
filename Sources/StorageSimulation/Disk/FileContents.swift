/// The bytes of one file as shared chunks: inodes hold one per layer, pending writes and crash images share them.
struct FileContents: Sendable {
    static let sectorByteCount = 512
    static let chunkByteCount = 4_096
    static let sectorsPerChunk = 8
    private static let chunksPerBlock = 64
    private static let zeroChunk = [UInt8](repeating: 0, count: chunkByteCount)

    /// Blocks of chunks; an empty block or chunk is all zeros. Two levels, so that a change to a large file
    /// that is shared with a crash image copies little.
    private var blocks: [[[UInt8]]] = []

    /// A chunk's bytes; empty when they are all zero.
    func chunk(_ index: Int) -> [UInt8] {
        let block = index / FileContents.chunksPerBlock
        guard block < blocks.count, !blocks[block].isEmpty else { return [] }
        return blocks[block][index % FileContents.chunksPerBlock]
    }

    mutating func setChunk(_ index: Int, _ chunk: [UInt8]) {
        let block = makeBlock(of: index)
        blocks[block][index % FileContents.chunksPerBlock] = chunk
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) {
        var done = 0
        while done < buffer.count {
            let position = offset + done
            let within = position % FileContents.chunkByteCount
            let count = min(FileContents.chunkByteCount - within, buffer.count - done)
            let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + count)])
            let source = chunk(position / FileContents.chunkByteCount)
            if source.isEmpty {
                _ = unsafe target.initializeMemory(as: UInt8.self, repeating: 0)
            } else {
                unsafe source.withUnsafeBytes {
                    unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[within..<(within + count)]))
                }
            }
            done += count
        }
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        var done = 0
        while done < bytes.count {
            let position = offset + done
            let index = position / FileContents.chunkByteCount
            let within = position % FileContents.chunkByteCount
            let count = min(FileContents.chunkByteCount - within, bytes.count - done)
            let source = unsafe UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)])
            if count == FileContents.chunkByteCount {
                unsafe setChunk(index, [UInt8](source))
            } else {
                unsafe patch(index, from: within, source)
            }
            done += count
        }
    }

    /// Copies sectors that lie in one chunk out of a chunk's bytes, which may be empty for zeros.
    mutating func setSectors(_ sector: Int, count: Int, from chunk: [UInt8], firstInChunk: Int) {
        let unit = FileContents.sectorByteCount
        let source = chunk.isEmpty ? FileContents.zeroChunk : chunk
        let start = firstInChunk * unit
        unsafe source.withUnsafeBytes {
            let part = unsafe UnsafeRawBufferPointer(rebasing: $0[start..<(start + count * unit)])
            unsafe patch(
                sector / FileContents.sectorsPerChunk, from: sector % FileContents.sectorsPerChunk * unit, part)
        }
    }

    /// Makes everything from `size` on read as zero.
    mutating func truncate(to size: Int) {
        let firstChunk = size / FileContents.chunkByteCount
        let within = size % FileContents.chunkByteCount
        if within > 0, !chunk(firstChunk).isEmpty {
            unsafe FileContents.zeroChunk.withUnsafeBytes {
                unsafe patch(firstChunk, from: within, UnsafeRawBufferPointer(rebasing: $0[within...]))
            }
        }
        var index = within > 0 ? firstChunk + 1 : firstChunk
        while index < blocks.count * FileContents.chunksPerBlock {
            if index % FileContents.chunksPerBlock == 0 {
                blocks.removeSubrange((index / FileContents.chunksPerBlock)...)
                break
            }
            if !chunk(index).isEmpty { setChunk(index, []) }
            index += 1
        }
    }

    private mutating func patch(_ index: Int, from within: Int, _ bytes: UnsafeRawBufferPointer) {
        let block = makeBlock(of: index)
        let slot = index % FileContents.chunksPerBlock
        if blocks[block][slot].isEmpty { blocks[block][slot] = FileContents.zeroChunk }
        unsafe blocks[block][slot].withUnsafeMutableBytes {
            unsafe UnsafeMutableRawBufferPointer(rebasing: $0[within...]).copyMemory(from: bytes)
        }
    }

    private mutating func makeBlock(of index: Int) -> Int {
        let block = index / FileContents.chunksPerBlock
        while blocks.count <= block { blocks.append([]) }
        if blocks[block].isEmpty { blocks[block] = Array(repeating: [], count: FileContents.chunksPerBlock) }
        return block
    }
}

/// Contents and size together: what one layer knows of a file.
struct FileImage: Sendable {
    var contents = FileContents()
    var size = 0
}
