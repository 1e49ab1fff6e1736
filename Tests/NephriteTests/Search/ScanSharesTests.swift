// How the pages of a search are divided among its threads.
import StorageIO
import Synchronization
import Testing

@testable import Nephrite

@Suite struct ScanSharesTests {
    private func stretches(_ shares: ScanShares) -> [Range<Int>] {
        var all: [Range<Int>] = []
        while let next = shares.next() { all.append(next) }
        return all
    }

    @Test("Every page is in one stretch", arguments: [0, 1, 2, 7, 16, 100, 782, 7_813], [1, 2, 3, 8, 64])
    func complete(_ pageCount: Int, _ threadCount: Int) {
        let all = stretches(ScanShares(pageCount: pageCount, threadCount: threadCount))
        #expect(all.flatMap { Array($0) } == Array(0..<pageCount))
        #expect(all.allSatisfy { !$0.isEmpty })
    }

    @Test("A single thread gets all pages at once")
    func single() {
        #expect(stretches(ScanShares(pageCount: 5_000, threadCount: 1)) == [0..<5_000])
    }

    @Test("The thread that keeps its first stretch for ever leaves more than half to the other", arguments: [2, 3, 8])
    func slowThread(_ threadCount: Int) throws {
        let shares = ScanShares(pageCount: 1_000, threadCount: threadCount)
        let slow = try #require(shares.next())
        #expect(slow.count <= 500 / threadCount)
        #expect(stretches(shares).reduce(0) { $0 + $1.count } == 1_000 - slow.count)
    }

    @Test("Stretches get shorter, and the last one is short: threads end together")
    func shrinking() throws {
        let all = stretches(ScanShares(pageCount: 7_813, threadCount: 2)).map(\.count)
        #expect(zip(all, all.dropFirst()).allSatisfy { $0 >= $1 })
        #expect(try #require(all.last) <= CascadeScan.runWordCount)
        #expect(all.count < 40)
    }

    @Test("Threads that take at once take different pages")
    func parallel() async {
        let shares = ScanShares(pageCount: 100_000, threadCount: 16)
        let taken = await withTaskGroup(of: [Range<Int>].self) { group in
            for _ in 0..<16 {
                group.addTask {
                    var all: [Range<Int>] = []
                    while let next = shares.next() { all.append(next) }
                    return all
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(taken.sorted { $0.lowerBound < $1.lowerBound }.flatMap { Array($0) } == Array(0..<100_000))
    }

    @Test("Where a bound is in a sorted array", arguments: [[], [5], [0, 3, 3, 4, 9], Array(10..<300)] as [[UInt32]])
    func sortedIndex(_ numbers: [UInt32]) {
        for bound in 0..<310 {
            #expect(numbers.firstIndex(notBelow: bound) == numbers.firstIndex { $0 >= bound } ?? numbers.count)
        }
    }
}
