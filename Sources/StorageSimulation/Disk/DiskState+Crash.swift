/// What a crash leaves of a disk: ``SimulatedFileSystem/crashImage(_:)`` wraps the state made here.
import StorageIO

extension DiskState {
    /// The state after a crash that let survive what `choice` says. Shares all unchanged bytes with this one.
    func crashImage(_ choice: CrashChoice) -> DiskState {
        var inodes = inodes
        var writtenEnd: [Int: Int] = [:]
        for (index, operation) in pending.enumerated() {
            guard let selection = choice.selection(for: index, in: operation) else { continue }
            switch operation.effect {
            case .sectors(let inode, let write):
                write.apply(selection, to: &inodes[inode].durable.contents)
                writtenEnd[inode] = max(writtenEnd[inode] ?? 0, write.targetEnd)
            case .size(let inode, let size):
                inodes[inode].durable.size = max(inodes[inode].durable.size, size)
            case .entry(let change):
                change.apply(to: &inodes)
            }
        }
        // Data beyond the size a crash left is not part of the file: it must not show when the file grows.
        for inode in inodes.indices {
            let size = inodes[inode].durable.size
            guard inodes[inode].hasDiverged || writtenEnd[inode].map({ $0 > size }) ?? false else { continue }
            inodes[inode].durable.contents.truncate(to: size)
        }

        var image = DiskState()
        image.rootExists = rootExists
        image.capacityByteCount = capacityByteCount
        image.inodes = DiskState.settle(inodes)
        return image
    }

    /// The state after the process was killed: the page cache stays, handles, locks and mappings go.
    func processKillImage() -> DiskState {
        var image = DiskState()
        image.rootExists = rootExists
        image.capacityByteCount = capacityByteCount
        image.inodes = inodes
        image.pending = pending
        for index in image.inodes.indices { image.inodes[index].openCount = 0 }
        return image
    }

    /// Makes the durable layer the only one, and frees what no durable name leads to.
    private static func settle(_ inodes: [Inode]) -> [Inode] {
        var inodes = inodes
        var reachable = Array(repeating: false, count: inodes.count)
        var stack = [rootInode]
        while let index = stack.popLast() {
            guard !reachable[index] else { continue }
            reachable[index] = true
            stack.append(contentsOf: inodes[index].durableEntries.values)
        }
        for index in inodes.indices {
            guard reachable[index] else {
                inodes[index] = Inode(isDirectory: inodes[index].isDirectory)
                continue
            }
            inodes[index].volatile = inodes[index].durable
            inodes[index].entries = inodes[index].durableEntries
            inodes[index].hasDiverged = false
            inodes[index].openCount = 0
        }
        return inodes
    }
}
