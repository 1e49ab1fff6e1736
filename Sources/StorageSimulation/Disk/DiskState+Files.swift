/// The system calls on open files: ``SimulatedFile`` hands them in, ``DiskState`` keeps both layers.
import StorageIO

extension DiskState {
    /// Reads at most `buffer.count` bytes; 0 at the end of the file.
    func read(_ inode: Int, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        let image = inodes[inode].volatile
        guard offset < UInt64(image.size) else { return 0 }
        let count = min(buffer.count, image.size - Int(offset))
        unsafe image.contents.read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: Int(offset))
        return count
    }

    /// What of a write the device takes, and how.
    struct WriteRequest {
        let inode: Int
        let path: StoragePath
        let offset: UInt64
        let effect: FaultEffect?
    }

    /// Writes at most all bytes of `buffers`; how many. Notes the sectors and the new size as pending.
    mutating func write(
        _ buffers: [UnsafeRawBufferPointer], _ request: WriteRequest
    ) throws(FileSystemError) -> Int {
        let total = unsafe buffers.reduce(0) { $0 + $1.count }
        guard request.offset <= UInt64(Int32.max) * 1_024, total <= Int(Int32.max) else {
            throw fault(ErrorNumber.fileTooLarge, .write, request.path, offset: request.offset)
        }
        var limit = total
        switch request.effect {
        case .short(let count), .failAfter(let count, _): limit = min(limit, max(0, count))
        default: break
        }
        let offset = Int(request.offset)
        if let room = roomForGrowth() {
            let fitting = max(0, inodes[request.inode].volatile.size + room - offset)
            guard fitting > 0 || limit == 0 else {
                throw fault(ErrorNumber.noSpace, .write, request.path, offset: request.offset)
            }
            limit = min(limit, fitting)
        }
        unsafe store(buffers, limit: limit, request)
        if case .failAfter(_, let code) = request.effect {
            throw fault(code, .write, request.path, offset: request.offset)
        }
        return limit
    }

    private mutating func store(_ buffers: [UnsafeRawBufferPointer], limit: Int, _ request: WriteRequest) {
        guard limit > 0 else { return }
        let inode = request.inode
        let start = Int(request.offset)
        var position = start
        for index in unsafe buffers.indices {
            let buffer = unsafe buffers[index]
            let count = min(buffer.count, start + limit - position)
            guard count > 0 else { continue }
            let part = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
            unsafe inodes[inode].volatile.contents.write(part, at: position)
            unsafe mirror(part, inode: inode, at: position)
            position += count
        }
        var shift = 0
        if case .misdirectWrite(let sectors) = request.effect { shift = sectors }
        if shift != 0 || request.effect == .loseWrite { inodes[inode].hasDiverged = true }
        if request.effect != .loseWrite {
            let write = SectorWrite(of: inodes[inode].volatile.contents, from: start, to: position, shift: shift)
            note(.sectors(inode: inode, write), request.path)
        }
        grow(inode, to: position, request.path)
    }

    /// Extends the size to cover a range, with zeros.
    mutating func allocate(
        _ inode: Int, _ path: StoragePath, offset: UInt64, length: UInt64
    ) throws(FileSystemError) {
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard length > 0 else { throw fault(ErrorNumber.invalid, .allocate, path, offset: offset) }
        guard !overflow, end <= UInt64(Int32.max) * 1_024 else {
            throw fault(ErrorNumber.fileTooLarge, .allocate, path, offset: offset)
        }
        if let room = roomForGrowth(), Int(end) - inodes[inode].volatile.size > room {
            throw fault(ErrorNumber.noSpace, .allocate, path, offset: offset)
        }
        grow(inode, to: Int(end), path)
    }

    /// Makes a file's contents and size durable, or on a failing device only what survives.
    mutating func synchronize(_ inode: Int, losing loss: SyncLoss?) {
        durableVersion += 1
        if loss == nil && !inodes[inode].hasDiverged {
            inodes[inode].durable = inodes[inode].volatile
            pending.removeAll { $0.fileInode == inode }
            return
        }
        if loss == .nothing { return }
        if loss != nil { inodes[inode].hasDiverged = true }
        var kept: [PendingOperation] = []
        for (index, operation) in pending.enumerated() {
            switch operation.effect {
            case .sectors(inode, let write):
                guard loss?.survives(index) ?? true else { continue }
                write.apply(.all, to: &inodes[inode].durable.contents)
            case .size(inode, let size):
                guard loss?.survives(index) ?? true else { continue }
                inodes[inode].durable.size = max(inodes[inode].durable.size, size)
            default: kept.append(operation)
            }
        }
        pending = kept
    }

    /// Closes a handle.
    mutating func close(_ inode: Int) { inodes[inode].openCount -= 1 }

    private mutating func grow(_ inode: Int, to size: Int, _ path: StoragePath) {
        guard size > inodes[inode].volatile.size else { return }
        inodes[inode].volatile.size = size
        note(.size(inode: inode, size), path)
    }

    private mutating func note(_ effect: PendingOperation.Effect, _ path: StoragePath) {
        pending.append(PendingOperation(callNumber: callCount, path: path, effect: effect))
    }

    /// How many bytes files may still grow by; `nil` without a limit.
    private func roomForGrowth() -> Int? {
        guard let capacityByteCount else { return nil }
        var used = 0
        var seen: Set<Int> = []
        for inode in inodes where inode.isDirectory {
            for target in inode.entries.values where seen.insert(target).inserted {
                used += inodes[target].volatile.size
            }
        }
        return max(0, Int(clamping: capacityByteCount) - used)
    }
}

// MARK: Mappings

/// A range of a file in an address space.
struct FileMapping: Sendable {
    weak var space: SimulatedAddressSpace?
    var position: Int
    var offset: Int
    var length: Int
}

extension DiskState {
    /// Copies a range of a file into an address space and keeps it up to date from now on.
    mutating func map(_ inode: Int, _ path: StoragePath, _ mapping: FileMapping) throws(FileSystemError) {
        let unit = StorageGranularity.byteCount
        let size = inodes[inode].volatile.size
        guard let space = mapping.space, mapping.length > 0, mapping.position >= 0, mapping.offset >= 0,
            mapping.offset.isMultiple(of: unit), mapping.position.isMultiple(of: unit),
            mapping.offset <= size, mapping.length <= size - mapping.offset,
            mapping.length.isMultiple(of: unit) || mapping.offset + mapping.length == size,
            mapping.position <= space.byteCount, mapping.length <= space.byteCount - mapping.position
        else { throw fault(ErrorNumber.invalid, .map, path, offset: UInt64(clamping: mapping.offset)) }
        unmap(space, mapping.position, mapping.length)
        unsafe inodes[inode].volatile.contents.read(
            into: space.bytes(mapping.position, mapping.length), at: mapping.offset)
        mappings[inode, default: []].append(mapping)
    }

    /// Writes bytes of a file into every mapping that shows them.
    func mirror(_ bytes: UnsafeRawBufferPointer, inode: Int, at offset: Int) {
        guard let all = mappings[inode] else { return }
        for mapping in all {
            let start = max(offset, mapping.offset)
            let end = min(offset + bytes.count, mapping.offset + mapping.length)
            guard start < end, let space = mapping.space else { continue }
            let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[(start - offset)..<(end - offset)])
            unsafe space.bytes(mapping.position + start - mapping.offset, end - start).copyMemory(from: part)
        }
    }

    /// Forgets mappings of a range that is mapped anew, and those whose space is gone.
    private mutating func unmap(_ space: SimulatedAddressSpace, _ position: Int, _ length: Int) {
        let end = position + length
        mappings = mappings.mapValues { all in
            all.flatMap { mapping -> [FileMapping] in
                guard let other = mapping.space else { return [] }
                let mappingEnd = mapping.position + mapping.length
                guard other === space, mapping.position < end, position < mappingEnd else { return [mapping] }
                var parts: [FileMapping] = []
                if mapping.position < position {
                    var head = mapping
                    head.length = position - mapping.position
                    parts.append(head)
                }
                if mappingEnd > end {
                    var tail = mapping
                    tail.position = end
                    tail.offset += end - mapping.position
                    tail.length = mappingEnd - end
                    parts.append(tail)
                }
                return parts
            }
        }
    }
}
