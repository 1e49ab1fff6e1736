/// Damage done behind the engine's back: tests corrupt files in both layers and look at raw contents.
public import StorageIO
import Synchronization

extension SimulatedFileSystem {
    /// All bytes of a file as calls see them; `nil` when there is no such file.
    public func contents(of path: StoragePath) -> [UInt8]? {
        state.withLock { state in
            guard let inode = state.file(path) else { return nil }
            return state.inodes[inode].volatile.bytes
        }
    }

    /// All bytes of a file that a crash now would certainly leave; `nil` when there is no such durable file.
    public func durableContents(of path: StoragePath) -> [UInt8]? {
        crashImage(.loseAll).contents(of: path)
    }

    /// Overwrites bytes in both layers and in mappings, without a call; extends the file when it has to.
    public func damage(_ path: StoragePath, at offset: Int, with bytes: [UInt8]) {
        change(path) { state, inode in
            unsafe bytes.withUnsafeBytes { buffer in
                unsafe state.inodes[inode].volatile.contents.write(buffer, at: offset)
                unsafe state.inodes[inode].durable.contents.write(buffer, at: offset)
                unsafe state.mirror(buffer, inode: inode, at: offset)
            }
            let end = offset + bytes.count
            state.inodes[inode].volatile.size = max(state.inodes[inode].volatile.size, end)
            state.inodes[inode].durable.size = max(state.inodes[inode].durable.size, end)
        }
    }

    /// Flips one bit, counted from the file's first byte, lowest bit first.
    public func flipBit(_ path: StoragePath, bit: Int) {
        let byte = read(path, at: bit / 8, count: 1)[0]
        damage(path, at: bit / 8, with: [byte ^ (1 << UInt8(bit % 8))])
    }

    /// Zeroes a 512-byte sector, as far as the file reaches.
    public func zeroSector(_ path: StoragePath, sector: Int) {
        let old = readSector(path, sector)
        damage(path, at: sector * FileContents.sectorByteCount, with: Array(repeating: 0, count: old.count))
    }

    /// Swaps two whole sectors.
    public func swapSectors(_ path: StoragePath, _ first: Int, _ second: Int) {
        let one = readSector(path, first)
        let other = readSector(path, second)
        precondition(one.count == other.count, "only whole sectors can be swapped")
        damage(path, at: first * FileContents.sectorByteCount, with: other)
        damage(path, at: second * FileContents.sectorByteCount, with: one)
    }

    /// Cuts a file to a size.
    public func truncate(_ path: StoragePath, to size: Int) {
        change(path) { state, inode in
            for layer in [\Inode.volatile, \Inode.durable] {
                state.inodes[inode][keyPath: layer].contents.truncate(to: size)
                state.inodes[inode][keyPath: layer].size = min(size, state.inodes[inode][keyPath: layer].size)
            }
        }
    }

    /// Appends bytes that the seed decides.
    public func appendGarbage(_ path: StoragePath, count: Int, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let end = state.withLock { state in state.file(path).map { state.inodes[$0].volatile.size } } ?? 0
        damage(path, at: end, with: (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
    }

    private func readSector(_ path: StoragePath, _ sector: Int) -> [UInt8] {
        let size = state.withLock { state in state.file(path).map { state.inodes[$0].volatile.size } } ?? 0
        let start = sector * FileContents.sectorByteCount
        precondition(start < size, "no such sector")
        return read(path, at: start, count: min(FileContents.sectorByteCount, size - start))
    }

    private func read(_ path: StoragePath, at offset: Int, count: Int) -> [UInt8] {
        state.withLock { state in
            guard let inode = state.file(path), offset + count <= state.inodes[inode].volatile.size else {
                preconditionFailure("no such bytes in \(path)")
            }
            return state.inodes[inode].volatile.read(at: offset, count: count)
        }
    }

    private func change(_ path: StoragePath, _ body: (inout DiskState, Int) -> Void) {
        state.withLock { state in
            guard let inode = state.file(path) else { preconditionFailure("no file \(path)") }
            body(&state, inode)
        }
    }
}

extension FileImage {
    var bytes: [UInt8] { read(at: 0, count: size) }

    func read(at offset: Int, count: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            unsafe contents.read(
                into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: count), at: offset)
            initialized = count
        }
    }
}

extension DiskState {
    /// The inode of a file, or `nil`.
    func file(_ path: StoragePath) -> Int? {
        guard let inode = try? resolve(path, .open), !inodes[inode].isDirectory else { return nil }
        return inode
    }
}

extension SimulatedFileSystem {
    /// The bytes of a file as calls see them, or as many of them as there are; `nil` for no such file. Not a call.
    func volatileBytes(of path: StoragePath, from offset: Int, upTo end: Int = .max) -> [UInt8]? {
        state.withLock { state in
            guard let inode = state.file(path) else { return nil }
            let image = state.inodes[inode].volatile
            return image.read(at: offset, count: max(0, min(end, image.size) - offset))
        }
    }

    /// The length of a file as calls see it; `nil` for no such file. Not a call.
    func volatileByteCount(of path: StoragePath) -> Int? {
        state.withLock { state in state.file(path).map { state.inodes[$0].volatile.size } }
    }

    /// The files of the root and of the directories in it, with their lengths, sorted by path; not a call.
    package func files() -> [(path: StoragePath, byteCount: Int)] {
        state.withLock { state in
            var files: [(path: StoragePath, byteCount: Int)] = []
            for (name, inode) in state.inodes[DiskState.rootInode].entries.sorted(by: { $0.key < $1.key }) {
                guard state.inodes[inode].isDirectory else {
                    files.append((StoragePath(name), state.inodes[inode].volatile.size))
                    continue
                }
                for (inner, file) in state.inodes[inode].entries.sorted(by: { $0.key < $1.key })
                where !state.inodes[file].isDirectory {
                    files.append((StoragePath(name, inner), state.inodes[file].volatile.size))
                }
            }
            return files
        }
    }
}
