/// What deleted files leave on a disk, and what they lose: ``DiskState`` keeps some of their contents, and a crash image puts
/// them where space was allocated and never written, as ext4 does where it journals data or does not order it.
import StorageIO

/// The contents of a file that is gone.
struct DeletedFile: Sendable {
    let name: String
    let contents: FileContents
    let size: Int

    /// How many a disk remembers.
    static let limit = 12
}

extension DiskState {
    /// Remembers what a file that is gone had on disk; calls see no more of it.
    mutating func bury(_ inode: Inode) {
        guard !inode.isDirectory, inode.volatile.size >= FileContents.chunkByteCount else { return }
        if graves.count == DeletedFile.limit { graves.removeFirst() }
        graves.append(
            DeletedFile(name: Self.kind(inode.name), contents: inode.volatile.contents, size: inode.volatile.size))
    }

    /// Fills blocks that were allocated and never written with what deleted files had: for most files those of one of its
    /// own kind at the same offset, for some anything, for some zeros as before.
    ///
    /// Only what a crash is about to leave is filled: as long as the machine runs, such blocks read as zeros.
    mutating func surface(seed: UInt64) {
        giveAway(seed: seed)
        guard !graves.isEmpty else { return }
        for index in inodes.indices where !inodes[index].isDirectory {
            var generator = SeededGenerator(seed: seed ^ SplitMix64.mix(UInt64(index)))
            let size = max(inodes[index].durable.size, inodes[index].volatile.size)
            let mode = generator.next(below: 4)
            guard mode > 0, size >= FileContents.chunkByteCount else { continue }
            let own = Self.kind(inodes[index].name)
            let candidates = mode == 1 ? graves : graves.filter { $0.name == own }
            guard !candidates.isEmpty else { continue }
            let grave = candidates[generator.next(below: candidates.count)]
            let shift = mode == 1 ? generator.next(below: 64) : 0
            inodes[index].durable.contents.fillNeverWritten(
                upTo: size, from: grave, shift: shift, mask: generator.next() | generator.next())
        }
    }

    /// A file whose last name is gone and that nobody has open is no file any more, and its blocks are somebody else's, even
    /// if the crash brings the name back because its directory was not synced.
    private mutating func giveAway(seed: UInt64) {
        let named = Set(inodes.flatMap { $0.entries.values })
        let takers = named.filter { !inodes[$0].isDirectory && inodes[$0].volatile.size > 0 }.sorted()
        guard !takers.isEmpty, !hasFailedOnNames else { return }
        for index in inodes.indices where !inodes[index].isDirectory && !named.contains(index) {
            let size = inodes[index].durable.size
            guard size > 0, inodes[index].openCount == 0, !inodes[index].wasOpenAtKill else { continue }
            var generator = SeededGenerator(seed: seed ^ SplitMix64.mix(UInt64(index) ^ 0x61_7661))
            guard generator.next(below: 2) == 0 else { continue }
            let taker = inodes[takers[generator.next(below: takers.count)]].volatile.contents
            let (shift, mask) = (generator.next(below: 64), generator.next())
            for chunk in 0...size / FileContents.chunkByteCount where mask >> UInt64(chunk % 64) & 1 == 1 {
                inodes[index].durable.contents.setChunk(chunk, taker.chunk(chunk + shift))
            }
            inodes[index].durable.contents.truncate(to: size)
        }
    }

    /// What a file is for, from its name: those of one kind have their headers at the same places.
    private static func kind(_ name: String) -> String {
        let parts = name.split(separator: ".")
        guard parts.count > 1, let last = parts.last else { return name }
        return String(last == "tmp" ? parts[parts.count - 2] : last)
    }
}

extension FileContents {
    /// Gives chunks that nobody wrote the bytes of a deleted file, `shift` chunks further on; of 64 chunks those whose
    /// bits are set.
    fileprivate mutating func fillNeverWritten(upTo size: Int, from grave: DeletedFile, shift: Int, mask: UInt64) {
        let count = grave.size / FileContents.chunkByteCount
        guard count > 0 else { return }
        for index in 0..<size / FileContents.chunkByteCount where mask >> UInt64(index % 64) & 1 == 1 {
            let source = index + shift
            guard shift > 0 || source < count else { return }
            let stale = grave.contents.chunk(source % count)
            if !stale.isEmpty, chunk(index).isEmpty { setChunk(index, stale) }
        }
    }
}
