// Tests of PagePool: the memory behind index pages is used again, and never for two pages at once.

import StorageSimulation
import Testing

@testable import Nephrite

@Suite struct PagePoolTests {
    @Test("No two pages in use share memory, however pages come and go")
    func pagesAreApart() {
        let pool = PagePool()
        var random = SeededGenerator(seed: 7)
        var pages: [(page: IndexPage, stamp: UInt64)] = []
        for stamp in 1...20_000 as ClosedRange<UInt64> {
            if pages.count > 3_000 || (!pages.isEmpty && random.next(below: 5) < 2) {
                let (page, expected) = pages.swapAt(at: random.next(below: pages.count))
                #expect(unsafe page.bytes.load(as: UInt64.self) == expected)
                #expect(unsafe page.bytes.load(fromByteOffset: 4_088, as: UInt64.self) == expected)
                #expect(page.epoch == expected && page.activeEntries == PageBits(low: expected, high: ~expected))
                continue
            }
            let page = IndexPage(epoch: stamp, pool: pool)
            #expect(unsafe page.bytes.load(as: UInt64.self) == 0, "a new page is zero, whatever its memory held")
            #expect(unsafe page.bytes.load(fromByteOffset: 4_088, as: UInt64.self) == 0)
            unsafe page.bytes.storeBytes(of: stamp, as: UInt64.self)
            unsafe page.bytes.storeBytes(of: stamp, toByteOffset: 4_088, as: UInt64.self)
            page.activeEntries = PageBits(low: stamp, high: ~stamp)
            pages.append((page, stamp))
        }
    }

    @Test("Pages that are let go of are used again")
    func memoryIsReused() {
        let pool = PagePool()
        var addresses: Set<UnsafeMutableRawPointer> = unsafe []
        for _ in 0..<10_000 { unsafe addresses.insert(IndexPage(epoch: 1, pool: pool).bytes) }
        #expect(unsafe addresses.count == 1)
    }

    @Test("A pool's memory lives as long as the last page of it")
    func pageOutlivesPool() {
        let page = IndexPage(epoch: 3, pool: PagePool())
        unsafe page.bytes.storeBytes(of: 42, as: UInt64.self)
        #expect(unsafe page.bytes.load(as: UInt64.self) == 42 && page.epoch == 3)
    }

    @Test("A run's pages lie one behind the other")
    func runIsContiguous() {
        let pool = PagePool()
        let run = unsafe pool.takeRun(300)
        defer { withExtendedLifetime(pool) {} }
        for index in 1..<300 {
            #expect(unsafe run[index].bytes == run[index - 1].bytes + 4_096)
            #expect(unsafe run[index].note == run[index - 1].note + PagePool.noteByteCount)
        }
        #expect(unsafe run[0].note == run[299].bytes + 4_096)
    }
}

extension Array {
    /// Removes an element by putting the last in its place.
    fileprivate mutating func swapAt(at index: Int) -> Element {
        swapAt(index, count - 1)
        return removeLast()
    }
}
