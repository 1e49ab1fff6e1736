/// The `limit` best (score, slot) pairs of all that were offered: scanners hand it scores, searches take the order from it.
///
/// A higher score is better; equal scores rank by id. Ids are not kept here: `precedes(a, b)` says whether the id of
/// slot `a` sorts before the id of slot `b`, and is asked only about equal scores. It must order all slots strictly, so
/// that the result depends on the set of offers alone and not on their sequence. NaN never enters.
struct TopK: Sendable {
    struct Entry: Sendable, Hashable {
        var score: Float
        var slot: UInt32
    }

    /// How many entries are kept at most.
    let limit: Int

    /// A score below this cannot enter; one that is equal may. Infinite while there is room.
    private(set) var threshold: Float

    /// A binary heap with the worst entry at the root.
    private var heap: [Entry] = []

    /// The least score that may enter at all.
    private let floor: Float

    /// - Parameters:
    ///   - limit: how many entries to keep; more than will ever be offered is fine.
    ///   - floor: scores below it never enter.
    init(limit: Int, floor: Float = -.infinity) {
        precondition(limit >= 0, "a search cannot keep a negative number of results")
        self.limit = limit
        self.floor = floor
        threshold = limit == 0 ? .infinity : floor
        heap.reserveCapacity(min(limit, 1024))
    }

    var count: Int { heap.count }
    var isFull: Bool { heap.count >= limit }

    /// Keeps the pair if it is among the best so far. O(1) below the threshold, O(log limit) otherwise.
    @inline(__always)
    mutating func offer(_ score: Float, slot: UInt32, precedes: (UInt32, UInt32) -> Bool) {
        if score >= threshold {
            insert(Entry(score: score, slot: slot), precedes: precedes)
        }
    }

    /// Takes over what is among the best of both.
    mutating func merge(_ other: TopK, precedes: (UInt32, UInt32) -> Bool) {
        for entry in other.heap {
            offer(entry.score, slot: entry.slot, precedes: precedes)
        }
    }

    /// The entries, best first.
    func sorted(precedes: (UInt32, UInt32) -> Bool) -> [Entry] {
        heap.sorted { Self.ranks($0, before: $1, precedes: precedes) }
    }

    @inline(__always)
    private static func ranks(_ a: Entry, before b: Entry, precedes: (UInt32, UInt32) -> Bool) -> Bool {
        a.score > b.score || (a.score == b.score && precedes(a.slot, b.slot))
    }

    @inline(never)
    private mutating func insert(_ entry: Entry, precedes: (UInt32, UInt32) -> Bool) {
        if heap.count < limit {
            heap.append(entry)
            siftUp(precedes: precedes)
        } else if limit > 0, Self.ranks(entry, before: heap[0], precedes: precedes) {
            siftDown(entry, precedes: precedes)
        }
        if limit > 0, heap.count == limit {
            threshold = max(floor, heap[0].score)
        }
    }

    /// Moves the last entry towards the root until its parent ranks no better.
    private mutating func siftUp(precedes: (UInt32, UInt32) -> Bool) {
        let entry = heap[heap.count - 1]
        var position = heap.count - 1
        while position > 0 {
            let parent = (position - 1) / 2
            guard Self.ranks(heap[parent], before: entry, precedes: precedes) else { break }
            heap[position] = heap[parent]
            position = parent
        }
        heap[position] = entry
    }

    /// Puts `entry` in the place of the root, then moves it down until both children rank no worse.
    private mutating func siftDown(_ entry: Entry, precedes: (UInt32, UInt32) -> Bool) {
        let count = heap.count
        var position = 0
        while true {
            var child = 2 * position + 1
            guard child < count else { break }
            if child + 1 < count, Self.ranks(heap[child], before: heap[child + 1], precedes: precedes) {
                child += 1
            }
            guard Self.ranks(entry, before: heap[child], precedes: precedes) else { break }
            heap[position] = heap[child]
            position = child
        }
        heap[position] = entry
    }
}
