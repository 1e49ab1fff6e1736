/// A copy-on-write array of pages under a two-level directory: ``RecordTable`` and ``IDDirectory`` keep their entries
/// in one. Copying the value is O(1) and makes a snapshot; the next write copies only the path to the page it touches.
struct PagedTable: Sendable {
    static let chunkShift = 7
    static let pagesPerChunk = 1 << chunkShift

    private var root: ChunkList
    private(set) var pageCount: Int

    /// A table of `pageCount` pages of zeros that share one page until they are written.
    init(pageCount: Int = 0, epoch: UInt64) {
        root = ChunkList()
        self.pageCount = 0
        guard pageCount > 0 else { return }
        let zero = IndexPage(epoch: epoch)
        let fullChunk = PageChunk(repeating: zero, count: Self.pagesPerChunk)
        for _ in 0..<(pageCount / Self.pagesPerChunk) { root.append(fullChunk) }
        let rest = pageCount % Self.pagesPerChunk
        if rest > 0 { root.append(PageChunk(repeating: zero, count: rest)) }
        self.pageCount = pageCount
    }

    /// The first byte of a page.
    @inline(__always)
    func address(ofPage index: Int) -> UnsafeRawPointer {
        assert(index >= 0 && index < pageCount)
        return unsafe UnsafeRawPointer(
            root.addresses[index &>> Self.chunkShift][index & (Self.pagesPerChunk &- 1)])
    }

    /// The page object, for checkpoints and scans.
    func page(_ index: Int) -> IndexPage {
        precondition(index >= 0 && index < pageCount, "page index outside the table")
        return root.chunks[index >> Self.chunkShift].pages[index & (Self.pagesPerChunk - 1)]
    }

    /// The pages that are not the very pages of `other`, in order. A page that two tables share is written by nobody, so
    /// what is not listed is the same in both.
    func pagesDiffering(from other: PagedTable) -> [Int] {
        var differing: [Int] = []
        if root === other.root { return differing }
        for chunk in root.chunks.indices {
            if chunk < other.root.chunks.count, root.chunks[chunk] === other.root.chunks[chunk] { continue }
            let first = chunk << Self.chunkShift
            for page in first..<min(pageCount, first + Self.pagesPerChunk)
            where unsafe page >= other.pageCount || address(ofPage: page) != other.address(ofPage: page) {
                differing.append(page)
            }
        }
        return differing
    }

    /// A page that may be written: copied first if a snapshot shares it, and marked as changed in `epoch`.
    @inline(__always)
    mutating func mutablePage(_ index: Int, epoch: UInt64) -> IndexPage {
        precondition(index >= 0 && index < pageCount, "page index outside the table")
        if !isKnownUniquelyReferenced(&root) { root = ChunkList(copying: root) }
        let page = root.mutablePage(chunk: index >> Self.chunkShift, page: index & (Self.pagesPerChunk - 1))
        page.epoch = epoch
        return page
    }

    /// Appends a page that was read from disk or is new.
    mutating func append(_ page: IndexPage) {
        if !isKnownUniquelyReferenced(&root) { root = ChunkList(copying: root) }
        root.append(page, at: pageCount)
        pageCount += 1
    }
}

// SAFETY: like IndexPage: changed only while uniquely referenced by the one table that the database actor owns.
@safe private final class ChunkList: @unchecked Sendable {
    fileprivate var chunks: ContiguousArray<PageChunk>
    /// The chunks' address arrays, so that a read follows plain pointers without reference counting.
    fileprivate var addresses: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutableRawPointer>>
    private var capacity: Int

    init() {
        chunks = []
        capacity = 4
        unsafe addresses = .allocate(capacity: 4)
    }

    init(copying other: ChunkList) {
        chunks = other.chunks
        capacity = other.capacity
        unsafe addresses = .allocate(capacity: other.capacity)
        unsafe addresses.update(from: other.addresses, count: other.chunks.count)
    }

    deinit { unsafe addresses.deallocate() }

    func append(_ chunk: PageChunk) {
        if chunks.count == capacity { grow() }
        unsafe addresses[chunks.count] = chunk.addresses
        chunks.append(chunk)
    }

    func append(_ page: IndexPage, at index: Int) {
        let chunkIndex = index >> PagedTable.chunkShift
        if chunkIndex == chunks.count { append(PageChunk()) }
        makeUnique(chunk: chunkIndex)
        chunks[chunkIndex].append(page)
    }

    @inline(__always)
    func mutablePage(chunk: Int, page: Int) -> IndexPage {
        makeUnique(chunk: chunk)
        return chunks[chunk].mutablePage(page)
    }

    @inline(__always)
    private func makeUnique(chunk index: Int) {
        if !isKnownUniquelyReferenced(&chunks[index]) {
            let copy = PageChunk(copying: chunks[index])
            unsafe addresses[index] = copy.addresses
            chunks[index] = copy
        }
    }

    private func grow() {
        let larger = UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutableRawPointer>>.allocate(
            capacity: capacity * 2)
        unsafe larger.update(from: addresses, count: chunks.count)
        unsafe addresses.deallocate()
        unsafe addresses = larger
        capacity *= 2
    }
}

// SAFETY: like IndexPage.
@safe private final class PageChunk: @unchecked Sendable {
    fileprivate var pages: ContiguousArray<IndexPage>
    fileprivate let addresses: UnsafeMutablePointer<UnsafeMutableRawPointer>

    init() {
        pages = []
        pages.reserveCapacity(PagedTable.pagesPerChunk)
        unsafe addresses = .allocate(capacity: PagedTable.pagesPerChunk)
    }

    init(repeating page: IndexPage, count: Int) {
        pages = ContiguousArray(repeating: page, count: count)
        unsafe addresses = .allocate(capacity: PagedTable.pagesPerChunk)
        for index in 0..<count { unsafe addresses[index] = page.bytes }
    }

    init(copying other: PageChunk) {
        pages = other.pages
        unsafe addresses = .allocate(capacity: PagedTable.pagesPerChunk)
        unsafe addresses.update(from: other.addresses, count: other.pages.count)
    }

    deinit { unsafe addresses.deallocate() }

    func append(_ page: IndexPage) {
        unsafe addresses[pages.count] = page.bytes
        pages.append(page)
    }

    @inline(__always)
    func mutablePage(_ index: Int) -> IndexPage {
        if !isKnownUniquelyReferenced(&pages[index]) {
            let copy = IndexPage(copying: pages[index])
            unsafe addresses[index] = copy.bytes
            pages[index] = copy
        }
        return pages[index]
    }
}
