/// What a call changed and no sync has made durable yet: recorded by ``DiskState``, chosen from by crash images.
public import StorageIO

/// One effect that a crash may keep or lose, in the order the calls were made.
public struct PendingOperation: Sendable {
    /// What kind of effect it is.
    public enum Kind: Sendable, Hashable {
        /// Sectors of a file; how many.
        case sectors(Int)
        /// A file's size.
        case size(UInt64)
        /// A name in a directory.
        case entry
    }

    /// The number of the call that caused it.
    public let callNumber: Int
    /// The path of that call.
    public let path: StoragePath
    let effect: Effect

    enum Effect: Sendable {
        case sectors(inode: Int, SectorWrite)
        case size(inode: Int, Int)
        case entry(EntryChange)
    }

    /// What kind of effect it is.
    public var kind: Kind {
        switch effect {
        case .sectors(_, let write): .sectors(write.sectorCount)
        case .size(_, let size): .size(UInt64(size))
        case .entry: .entry
        }
    }

    /// The file it belongs to; `nil` for a directory entry.
    var fileInode: Int? {
        switch effect {
        case .sectors(let inode, _), .size(let inode, _): inode
        case .entry: nil
        }
    }
}

/// The sectors that a write left behind in the page cache. The disk gets whole sectors, so a sector that a
/// write touched in part carries what earlier writes put there.
struct SectorWrite: Sendable {
    /// The chunks as they were after the write; the first sector lies in the first one.
    let chunks: [[UInt8]]
    /// Where the first sector lies in `chunks`, counted in sectors.
    let sourceSector: Int
    /// Where the first sector goes in the file.
    let targetSector: Int
    let sectorCount: Int

    /// The file offset after the last sector.
    var targetEnd: Int { (targetSector + sectorCount) * FileContents.sectorByteCount }

    /// The write as the sectors of `contents` in a byte range, going `shift` sectors astray.
    init(of contents: FileContents, from start: Int, to end: Int, shift: Int) {
        let first = start / FileContents.sectorByteCount
        let last = (end - 1) / FileContents.sectorByteCount
        let firstChunk = first / FileContents.sectorsPerChunk
        chunks = (firstChunk...(last / FileContents.sectorsPerChunk)).map { contents.chunk($0) }
        sourceSector = first % FileContents.sectorsPerChunk
        targetSector = max(0, first + shift)
        sectorCount = last - first + 1
    }

    /// Puts the sectors that survive into `contents`.
    func apply(_ selection: SectorSelection, to contents: inout FileContents) {
        let perChunk = FileContents.sectorsPerChunk
        var index = 0
        while index < sectorCount {
            let source = sourceSector + index
            let target = targetSector + index
            let isWholeChunk = source % perChunk == 0 && target % perChunk == 0 && sectorCount - index >= perChunk
            if isWholeChunk && (index..<(index + perChunk)).allSatisfy(selection.includes) {
                contents.setChunk(target / perChunk, chunks[source / perChunk])
                index += perChunk
                continue
            }
            guard selection.includes(index) else {
                index += 1
                continue
            }
            let room = min(sectorCount - index, perChunk - source % perChunk, perChunk - target % perChunk)
            var run = 1
            while run < room && selection.includes(index + run) { run += 1 }
            contents.setSectors(
                target, count: run, from: chunks[source / perChunk], firstInChunk: source % perChunk)
            index += run
        }
    }
}

/// Which sectors of a write survive.
enum SectorSelection {
    case all
    case mask(UInt64)
    case first(Int)
    case random(UInt64)

    func includes(_ index: Int) -> Bool {
        switch self {
        case .all: true
        case .mask(let mask): mask >> UInt64(index % 64) & 1 == 1
        case .first(let count): index < count
        case .random(let seed): SplitMix64.mix(seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15) & 1 == 1
        }
    }
}

/// A change to directory entries: a name that goes, a name that comes, or both at once (rename).
struct EntryChange: Sendable {
    struct Entry: Sendable {
        let directory: Int
        let name: String
        let inode: Int
    }

    var removed: Entry?
    var added: Entry?

    /// Applies the change to durable entries. A name is only removed when it still names the same file.
    func apply(to inodes: inout [Inode]) {
        if let removed, inodes[removed.directory].durableEntries[removed.name] == removed.inode {
            inodes[removed.directory].durableEntries[removed.name] = nil
        }
        if let added { inodes[added.directory].durableEntries[added.name] = added.inode }
    }
}

/// A file or directory in both layers.
struct Inode: Sendable {
    let isDirectory: Bool
    /// The last component of the path it had last.
    var name = ""
    var durable = FileImage()
    var volatile = FileImage()
    var durableEntries: [String: Int] = [:]
    var entries: [String: Int] = [:]
    /// Whether the layers differ by more than what is pending: a write was lost, or a failed sync dropped some.
    var hasDiverged = false
    var openCount = 0
    /// Whether it was open when its process was killed: whether its blocks are given away then, is not simulated.
    var wasOpenAtKill = false

    init(isDirectory: Bool) { self.isDirectory = isDirectory }
}
