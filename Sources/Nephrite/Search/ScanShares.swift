/// Divides the pages of a search among the threads that scan for it: the searcher makes one, each thread takes the next
/// stretch of pages when it is done with its last.
import Synchronization

/// A thread that the system keeps waiting takes less, and the others do the rest: nobody waits for a part of fixed size.
///
/// Stretches get shorter towards the end, so that threads end at about the same time ("guided self-scheduling",
/// Polychronopoulos and Kuck 1987).
final class ScanShares: Sendable {
    private let pageCount: Int
    private let threadCount: Int
    /// Pages in the shortest stretch, two of the longest runs of blocks at most.
    private let shortest: Int
    private let firstLeft = Atomic<Int>(0)

    init(pageCount: Int, threadCount: Int) {
        self.pageCount = pageCount
        self.threadCount = threadCount
        shortest = max(1, min(CascadeScan.runWordCount, pageCount / (4 * threadCount)))
    }

    /// The next stretch: of what is left, half of what would be an even share, or all for a single thread; nil at the end.
    func next() -> Range<Int>? {
        var first = firstLeft.load(ordering: .relaxed)
        while first < pageCount {
            var length = pageCount - first
            if threadCount > 1 { length = max(1, length / (2 * threadCount * shortest)) * shortest }
            let end = min(pageCount, first + length)
            let (exchanged, found) = firstLeft.compareExchange(expected: first, desired: end, ordering: .relaxed)
            if exchanged { return first..<end }
            first = found
        }
        return nil
    }
}

extension [UInt32] {
    /// Where the first number that is not below `bound` is in a sorted array.
    func firstIndex(notBelow bound: Int) -> Int {
        var range = indices
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            range = Int(self[middle]) < bound ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return range.lowerBound
    }
}
