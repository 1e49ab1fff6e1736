/// A file of an overlay: reads what is underneath with the blocks that were written laid over it, which every handle and
/// every mapping of the file shares. ``OverlayFileSystem`` opens them.
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What handles of one file share: its size and the blocks that were written.
final class OverlayNode: Sendable {
    static let blockByteCount = 4_096

    private struct Mapping {
        weak var space: (any AddressSpace)?
        let offset: UInt64
        let length: Int
        let position: Int
    }

    private struct State {
        var size: UInt64 = 0
        /// The size of the file underneath, 0 until it was opened.
        var baseSize: UInt64 = 0
        var isBaseSizeKnown = false
        var blocks: [UInt64: [UInt8]] = [:]
        var mappings: [Mapping] = []
    }

    /// The file underneath, whatever the file is called by now; nil for a new file.
    let basePath: StoragePath?
    private let state = Mutex(State())

    init(basePath: StoragePath?) { self.basePath = basePath }

    /// Notes the size of the file underneath, once: nobody changes it while it is shown.
    func learnSize(of base: any StorageFile) throws(FileSystemError) {
        guard state.withLock({ !$0.isBaseSizeKnown }) else { return }
        let size = try base.size()
        state.withLock { state in
            state.isBaseSizeKnown = true
            state.baseSize = size
            state.size = max(state.size, size)
        }
    }

    var size: UInt64 { state.withLock { $0.size } }

    /// How far the file underneath reaches.
    var baseSize: UInt64 { state.withLock { $0.baseSize } }

    func extend(to end: UInt64) { state.withLock { $0.size = max($0.size, end) } }

    /// Lays the written blocks over bytes that were read underneath.
    func overlay(onto buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) {
        state.withLock { state in unsafe Self.overlay(state.blocks, onto: buffer, at: offset) }
    }

    private static func overlay(
        _ blocks: [UInt64: [UInt8]], onto buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) {
        guard buffer.count > 0, !blocks.isEmpty else { return }
        let unit = UInt64(blockByteCount)
        let range = offset / unit...(offset + UInt64(buffer.count) - 1) / unit
        // Whichever are fewer: the blocks of the range, or those that were written.
        let indices = range.count <= blocks.count ? Array(range) : blocks.keys.filter(range.contains)
        for index in indices {
            guard let block = blocks[index] else { continue }
            let start = max(offset, index * unit)
            let end = min(offset + UInt64(buffer.count), (index + 1) * unit)
            unsafe block.withUnsafeBytes { bytes in
                let part = unsafe bytes[Int(start - index * unit)..<Int(end - index * unit)]
                unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[Int(start - offset)..<Int(end - offset)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
            }
        }
    }

    /// Writes within one block; `original` is called for the block as it is underneath if it was never written.
    func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64,
        original: (UInt64) throws(FileSystemError) -> [UInt8]
    ) throws(FileSystemError) {
        let unit = UInt64(Self.blockByteCount)
        let index = offset / unit
        let isPartial = bytes.count < Self.blockByteCount
        // A block that was written stays, so this is used where it is needed.
        let whole = try isPartial && state.withLock({ $0.blocks[index] == nil }) ? original(index) : []
        state.withLock { state in
            if !isPartial {
                unsafe state.blocks[index] = Array(bytes)
            } else {
                var block = state.blocks.removeValue(forKey: index) ?? whole
                let start = Int(offset - index * unit)
                unsafe block.withUnsafeMutableBytes { target in
                    unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<start + bytes.count])
                        .copyMemory(from: bytes)
                }
                state.blocks[index] = block
            }
            state.size = max(state.size, offset + UInt64(bytes.count))
            unsafe Self.mirror(bytes, at: offset, in: state.mappings)
        }
    }

    /// Shows bytes that were just written in every mapping that covers them.
    private static func mirror(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, in mappings: [Mapping]) {
        for mapping in mappings {
            guard let space = mapping.space else { continue }
            let start = max(offset, mapping.offset)
            let end = min(offset + UInt64(bytes.count), mapping.offset + UInt64(mapping.length))
            guard start < end else { continue }
            let target = unsafe UnsafeMutableRawPointer(mutating: space.baseAddress)
            let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[Int(start - offset)..<Int(end - offset)])
            unsafe (target + mapping.position + Int(start - mapping.offset)).copyMemory(
                from: part.baseAddress!, byteCount: part.count)
        }
    }

    /// Whether a block was written.
    func isWritten(_ block: UInt64) -> Bool { state.withLock { $0.blocks[block] != nil } }

    /// Has a block be zeros from now on, in mappings as well, unless it was written.
    func clear(_ block: UInt64) {
        let zeros = [UInt8](repeating: 0, count: Self.blockByteCount)
        state.withLock { state in
            guard state.blocks[block] == nil else { return }
            state.blocks[block] = zeros
            unsafe zeros.withUnsafeBytes { bytes in
                unsafe Self.mirror(bytes, at: block * UInt64(Self.blockByteCount), in: state.mappings)
            }
        }
    }

    /// Lays the written blocks over a range that was just mapped, and later ones as they are written.
    func noteMapping(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) {
        state.withLock { state in
            let start = unsafe UnsafeMutableRawPointer(mutating: space.baseAddress) + position
            unsafe Self.overlay(
                state.blocks, onto: UnsafeMutableRawBufferPointer(start: start, count: length), at: offset)
            state.mappings.removeAll { $0.space == nil }
            state.mappings.append(Mapping(space: space, offset: offset, length: length, position: position))
        }
    }
}

/// A handle on a file of an overlay.
final class OverlayFile: StorageFile {
    let path: StoragePath
    private let node: OverlayNode
    private let base: (any StorageFile)?
    private let isWritable: Bool
    private let readsBadSectorsAsZeros: Bool
    private let isOpen = Atomic(true)

    init(
        path: StoragePath, node: OverlayNode, base: (any StorageFile)?, isWritable: Bool, readsBadSectorsAsZeros: Bool
    ) {
        self.path = path
        self.node = node
        self.base = base
        self.isWritable = isWritable
        self.readsBadSectorsAsZeros = readsBadSectorsAsZeros
    }

    private func checkOpen(_ call: SystemCall) throws(FileSystemError) {
        guard isOpen.load(ordering: .relaxed) else { throw failure(EBADF, call, nil) }
    }

    func size() throws(FileSystemError) -> UInt64 {
        try checkOpen(.size)
        return node.size
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
        try checkOpen(.read)
        let size = node.size
        guard offset < size else { return 0 }
        let count = Int(min(UInt64(buffer.count), size - offset))
        let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        try unsafe readUnderneath(into: part, at: offset)
        unsafe node.overlay(onto: part, at: offset)
        return count
    }

    /// Fills the buffer from the file underneath, with zeros where that has ended.
    private func readUnderneath(
        into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(FileSystemError) {
        var done = 0
        if let base, offset < node.baseSize {
            let count = Int(min(UInt64(buffer.count), node.baseSize - offset))
            do {
                done = try unsafe base.readFully(
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
            } catch  where error.code == EIO {
                try unsafe readAroundBadSectors(
                    base, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
                done = count
            }
        }
        if done < buffer.count {
            unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...]).initializeMemory(
                as: UInt8.self, repeating: 0)
        }
    }

    /// Reads block by block. What was written counts, whatever is underneath; what else cannot be read is an error, or zeros
    /// from now on, in mappings as well, where it would be a signal.
    private func readAroundBadSectors(
        _ base: any StorageFile, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(FileSystemError) {
        let unit = OverlayNode.blockByteCount
        var done = 0
        while done < buffer.count {
            let position = offset + UInt64(done)
            let count = min(unit - Int(position % UInt64(unit)), buffer.count - done)
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            do {
                let read = try unsafe base.readFully(into: part, at: position)
                unsafe UnsafeMutableRawBufferPointer(rebasing: part[read...]).initializeMemory(
                    as: UInt8.self, repeating: 0)
            } catch  where error.code == EIO {
                let block = position / UInt64(unit)
                if readsBadSectorsAsZeros {
                    node.clear(block)
                } else if !node.isWritten(block) {
                    throw error
                }
                unsafe part.initializeMemory(as: UInt8.self, repeating: 0)
            }
            done += count
        }
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
        try checkOpen(.write)
        guard isWritable else { throw failure(EBADF, .write, offset) }
        let unit = UInt64(OverlayNode.blockByteCount)
        var position = offset
        for index in unsafe buffers.indices {
            var rest = unsafe buffers[index]
            while rest.count > 0 {
                let room = Int(unit - position % unit)
                let part = unsafe UnsafeRawBufferPointer(rebasing: rest[..<min(room, rest.count)])
                try unsafe node.write(part, at: position) { (block) throws(FileSystemError) in
                    try original(block * unit)
                }
                position += UInt64(part.count)
                unsafe rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
            }
        }
        return Int(position - offset)
    }

    /// The block at `offset` as it is underneath.
    private func original(_ offset: UInt64) throws(FileSystemError) -> [UInt8] {
        var failure: FileSystemError?
        let block = unsafe [UInt8](unsafeUninitializedCapacity: OverlayNode.blockByteCount) { buffer, count in
            do throws(FileSystemError) {
                let all = unsafe UnsafeMutableRawBufferPointer(
                    start: buffer.baseAddress, count: OverlayNode.blockByteCount)
                try unsafe readUnderneath(into: all, at: offset)
                count = OverlayNode.blockByteCount
            } catch {
                failure = error
                count = 0
            }
        }
        if let failure { throw failure }
        return block
    }

    func synchronizeData() throws(FileSystemError) { try checkOpen(.synchronizeData) }

    func synchronize() throws(FileSystemError) { try checkOpen(.synchronize) }

    /// Extends the file; memory is taken when something is written.
    func allocate(offset: UInt64, length: UInt64) throws(FileSystemError) {
        try checkOpen(.allocate)
        guard isWritable else { throw failure(EBADF, .allocate, offset) }
        let (end, overflows) = offset.addingReportingOverflow(length)
        guard !overflows, end <= UInt64(Int64.max) else { throw failure(EFBIG, .allocate, offset) }
        node.extend(to: end)
    }

    func map(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) throws(FileSystemError) {
        try checkOpen(.map)
        guard length > 0, offset <= node.size, UInt64(length) <= node.size - offset,
            offset % UInt64(StorageGranularity.byteCount) == 0
        else {
            throw failure(EINVAL, .map, offset)
        }
        _ = try unsafe space.provideMemory(at: position, byteCount: length)
        if let base, offset < node.baseSize {
            let count = Int(min(UInt64(length), node.baseSize - offset))
            try base.mapPrivately(offset: offset, length: count, into: space, at: position)
        }
        node.noteMapping(offset: offset, length: length, into: space, at: position)
    }

    func close() throws(FileSystemError) {
        isOpen.store(false, ordering: .relaxed)
        try base?.close()
    }

    private func failure(_ code: Int32, _ call: SystemCall, _ offset: UInt64?) -> FileSystemError {
        FileSystemError(code: code, call: call, path: path.description, offset: offset)
    }
}
