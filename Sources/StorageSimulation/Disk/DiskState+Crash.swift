/// What a crash leaves of a disk: ``SimulatedFileSystem/crashImage(_:)`` wraps the state made here.
import StorageIO

extension DiskState {
    /// The state after a crash that let survive what `choice` says. Shares all unchanged bytes with this one.
    ///
    /// - Parameter staleSeed: if given, space that was allocated and never written shows deleted files.
    func crashImage(_ choice: CrashChoice, staleSeed: UInt64? = nil) -> DiskState {
        var image = self
        if let staleSeed { image.surface(seed: staleSeed) }
        image.keep(choice, isStale: staleSeed != nil)
        return image.rebooted()
    }

    /// Puts what survives of the pending operations into the durable layer.
    private mutating func keep(_ choice: CrashChoice, isStale: Bool) {
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
            let isLonger = isStale || (writtenEnd[inode].map { $0 > size } ?? false)
            guard inodes[inode].hasDiverged || isLonger else { continue }
            inodes[inode].durable.contents.truncate(to: size)
        }
    }

    /// The state after the process was killed: the page cache stays, handles, locks and mappings go.
    func processKillImage() -> DiskState {
        var image = DiskState()
        image.rootExists = rootExists
        image.capacityByteCount = capacityByteCount
        image.inodes = inodes
        image.pending = pending
        image.graves = graves
        image.hasFailedOnNames = hasFailedOnNames
        image.hasLostNames = hasLostNames
        for index in image.inodes.indices {
            if image.inodes[index].openCount > 0 { image.inodes[index].wasOpenAtKill = true }
            image.inodes[index].openCount = 0
        }
        return image
    }

    /// The disk of a machine that was started again: the durable layer is the only one, and what no durable name leads to
    /// is gone.
    private func rebooted() -> DiskState {
        var image = DiskState()
        image.rootExists = rootExists
        image.capacityByteCount = capacityByteCount
        image.graves = graves
        image.hasLostNames = hasLostNames
        image.inodes = inodes
        var reachable = Array(repeating: false, count: inodes.count)
        var stack = [Self.rootInode]
        while let index = stack.popLast() {
            guard !reachable[index] else { continue }
            reachable[index] = true
            stack.append(contentsOf: inodes[index].durableEntries.values)
        }
        for index in inodes.indices {
            guard reachable[index] else {
                image.bury(inodes[index])
                image.inodes[index] = Inode(isDirectory: inodes[index].isDirectory)
                continue
            }
            image.inodes[index].volatile = inodes[index].durable
            image.inodes[index].entries = inodes[index].durableEntries
            image.inodes[index].hasDiverged = false
            image.inodes[index].openCount = 0
            image.inodes[index].wasOpenAtKill = false
        }
        return image
    }
}
