/// A copy-on-write array of pages under a two-level directory: ``RecordTable`` and ``IDDirectory`` keep their entries
/// in one. Copying the value is O(1) and makes a snapshot; the next write copies only the path to the page it touches.
struct PagedTable: Sendable {
    static let chunkShift = 7
    static let pagesPerChunk = 1 << chunkShift

    private var root: ChunkList
    private(set) var pageCount: Int
    let pool: PagePool

    /// A table of `pageCount` pages of zeros that share one page until they are written.
    init(pageCount: Int = 0, epoch: UInt64, pool: PagePool = PagePool()) {
        self.pool = pool
        root = ChunkList()
        self.pageCount = 0
        guard pageCount > 0 else { return }
        let zero = IndexPage(epoch: epoch, pool: pool)
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
        return unsafe root.address(chunk: index &>> Self.chunkShift, page: index & (Self.pagesPerChunk &- 1))
    }

    /// The page object, for checkpoints and scans.
    func page(_ index: Int) -> IndexPage {
        precondition(index >= 0 && index < pageCount, "page index outside the table")
        return root.page(chunk: index >> Self.chunkShift, page: index & (Self.pagesPerChunk - 1))
    }

    /// The pages that are not the very pages of `other`, in order. A page that two tables share is written by nobody, so
    /// what is not listed is the same in both.
    func pagesDiffering(from other: PagedTable) -> [Int] {
        var differing: [Int] = []
        if root === other.root { return differing }
        for chunk in 0..<root.chunkCount where !root.shares(chunk, with: other.root) {
            let first = chunk << Self.chunkShift
            for page in first..<min(pageCount, first + Self.pagesPerChunk)
            where unsafe page >= other.pageCount || address(ofPage: page) != other.address(ofPage: page) {
                differing.append(page)
            }
        }
        return differing
    }

    /// A page that may be written until the table is copied: it is copied itself first if a snapshot shares it, and marked as
    /// changed in `epoch`.
    @inline(__always)
    mutating func mutablePage(_ index: Int, epoch: UInt64) -> PagePool.Place {
        precondition(index >= 0 && index < pageCount, "page index outside the table")
        if !isKnownUniquelyReferenced(&root) { root = ChunkList(copying: root) }
        let place = unsafe root.mutablePlace(
            chunk: index >> Self.chunkShift, page: index & (Self.pagesPerChunk - 1))
        unsafe place.epoch = epoch
        return unsafe place
    }

    /// Whether no copy of the table is left; pages may still be shared with tables that it was copied from.
    mutating func isUnshared() -> Bool { isKnownUniquelyReferenced(&root) }

    /// Appends a page of zeros.
    mutating func appendZeros(epoch: UInt64) { append(IndexPage(epoch: epoch, pool: pool)) }

    /// Appends a page that was read from disk or is new.
    mutating func append(_ page: IndexPage) {
        if !isKnownUniquelyReferenced(&root) { root = ChunkList(copying: root) }
        root.append(page, at: pageCount)
        pageCount += 1
    }
}

// SAFETY: like IndexPage: changed only while uniquely referenced by the one table that the database actor owns.
@safe private final class ChunkList: @unchecked Sendable {
    /// Plain memory rather than arrays here and in ``PageChunk``: see ``IndexPage`` on what properties cost.
    fileprivate let state: UnsafeMutablePointer<State>

    @unsafe fileprivate struct State {
        var chunks: UnsafeMutablePointer<PageChunk>
        /// The chunks' address arrays, so that a read follows plain pointers without reference counting.
        var addresses: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutableRawPointer>>
        /// The chunks' page arrays, so that a write does so, too.
        var pages: UnsafeMutablePointer<UnsafeMutablePointer<IndexPage>>
        var count: Int
        var capacity: Int

        init(capacity: Int) {
            unsafe self.capacity = capacity
            unsafe count = 0
            unsafe chunks = .allocate(capacity: capacity)
            unsafe addresses = .allocate(capacity: capacity)
            unsafe pages = .allocate(capacity: capacity)
        }
    }

    init() {
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: State(capacity: 4))
    }

    init(copying other: ChunkList) {
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: State(capacity: other.state.pointee.capacity))
        let count = unsafe other.state.pointee.count
        unsafe state.pointee.count = count
        unsafe state.pointee.chunks.initialize(from: other.state.pointee.chunks, count: count)
        unsafe state.pointee.addresses.update(from: other.state.pointee.addresses, count: count)
        unsafe state.pointee.pages.update(from: other.state.pointee.pages, count: count)
    }

    deinit {
        unsafe state.pointee.chunks.deinitialize(count: state.pointee.count)
        unsafe state.pointee.chunks.deallocate()
        unsafe state.pointee.addresses.deallocate()
        unsafe state.pointee.pages.deallocate()
        unsafe state.deallocate()
    }

    @inline(__always)
    func address(chunk: Int, page: Int) -> UnsafeRawPointer {
        unsafe UnsafeRawPointer(state.pointee.addresses[chunk][page])
    }

    func page(chunk: Int, page: Int) -> IndexPage { unsafe state.pointee.chunks[chunk].pages[page] }

    var chunkCount: Int { unsafe state.pointee.count }

    /// Whether a chunk of this list is the very chunk of another.
    func shares(_ chunk: Int, with other: ChunkList) -> Bool {
        unsafe chunk < other.chunkCount && state.pointee.chunks[chunk] === other.state.pointee.chunks[chunk]
    }

    func append(_ chunk: PageChunk) {
        if unsafe state.pointee.count == state.pointee.capacity { grow() }
        let count = unsafe state.pointee.count
        unsafe state.pointee.addresses[count] = chunk.addresses
        unsafe state.pointee.pages[count] = chunk.pages
        unsafe (state.pointee.chunks + count).initialize(to: chunk)
        unsafe state.pointee.count = count + 1
    }

    func append(_ page: IndexPage, at index: Int) {
        let chunkIndex = index >> PagedTable.chunkShift
        if unsafe chunkIndex == state.pointee.count { append(PageChunk()) }
        makeUnique(chunk: chunkIndex)
        unsafe state.pointee.chunks[chunkIndex].append(page)
    }

    /// The bytes of a page that this list alone refers to, and where that page notes about itself: neither the page nor its
    /// chunk is retained.
    @inline(__always)
    func mutablePlace(chunk: Int, page: Int) -> PagePool.Place {
        makeUnique(chunk: chunk)
        let pages = unsafe state.pointee.pages[chunk]
        if unsafe !isKnownUniquelyReferenced(&pages[page]) { makeUnique(page: page, chunk: chunk) }
        return unsafe pages[page].place
    }

    @inline(never)
    private func makeUnique(page index: Int, chunk: Int) {
        let pages = unsafe state.pointee.pages[chunk]
        let copy = unsafe IndexPage(copying: pages[index])
        unsafe state.pointee.addresses[chunk][index] = copy.bytes
        unsafe pages[index] = copy
    }

    @inline(__always)
    private func makeUnique(chunk index: Int) {
        if unsafe !isKnownUniquelyReferenced(&state.pointee.chunks[index]) {
            let copy = unsafe PageChunk(copying: state.pointee.chunks[index])
            unsafe state.pointee.addresses[index] = copy.addresses
            unsafe state.pointee.pages[index] = copy.pages
            unsafe state.pointee.chunks[index] = copy
        }
    }

    private func grow() {
        var larger = unsafe State(capacity: state.pointee.capacity * 2)
        let count = unsafe state.pointee.count
        unsafe larger.chunks.moveInitialize(from: state.pointee.chunks, count: count)
        unsafe larger.addresses.update(from: state.pointee.addresses, count: count)
        unsafe larger.pages.update(from: state.pointee.pages, count: count)
        unsafe larger.count = count
        unsafe state.pointee.chunks.deallocate()
        unsafe state.pointee.addresses.deallocate()
        unsafe state.pointee.pages.deallocate()
        unsafe state.pointee = larger
    }
}

// SAFETY: like IndexPage.
@safe private final class PageChunk: @unchecked Sendable {
    fileprivate let pages: UnsafeMutablePointer<IndexPage>
    fileprivate let addresses: UnsafeMutablePointer<UnsafeMutableRawPointer>
    /// One number in memory of its own, like the pages.
    private let count: UnsafeMutablePointer<Int>

    init() {
        unsafe pages = .allocate(capacity: PagedTable.pagesPerChunk)
        unsafe addresses = .allocate(capacity: PagedTable.pagesPerChunk)
        unsafe count = .allocate(capacity: 1)
        unsafe count.initialize(to: 0)
    }

    convenience init(repeating page: IndexPage, count: Int) {
        self.init()
        for _ in 0..<count { append(page) }
    }

    convenience init(copying other: PageChunk) {
        self.init()
        let count = unsafe other.count.pointee
        unsafe pages.initialize(from: other.pages, count: count)
        unsafe addresses.update(from: other.addresses, count: count)
        unsafe self.count.pointee = count
    }

    deinit {
        unsafe pages.deinitialize(count: count.pointee)
        unsafe pages.deallocate()
        unsafe addresses.deallocate()
        unsafe count.deallocate()
    }

    func append(_ page: IndexPage) {
        let index = unsafe count.pointee
        precondition(index < PagedTable.pagesPerChunk, "a chunk is full")
        unsafe addresses[index] = page.bytes
        unsafe (pages + index).initialize(to: page)
        unsafe count.pointee = index + 1
    }
}
