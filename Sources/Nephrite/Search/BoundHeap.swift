/// Thresholds of a search: the k-th best lower bound that a thread has seen, and the best of those of all threads. The
/// cascade offers lower bounds and drops what cannot reach the threshold.
import Synchronization

/// The `limit` largest of the lower bounds that were offered.
struct BoundHeap: Sendable {
    private let limit: Int
    /// A binary heap with the smallest at the root.
    private var heap: [Float] = []
    /// The `limit`-th largest bound: no row below it can be among the nearest. Minus infinity while there are fewer.
    private(set) var threshold = -Float.infinity

    init(limit: Int) {
        precondition(limit >= 1, "a search for nothing has no threshold")
        self.limit = limit
    }

    /// Takes a lower bound of a row's rank; each row once. NaN counts as no bound.
    mutating func offer(_ bound: Float) {
        guard bound > threshold || (heap.count < limit && bound == bound) else { return }
        if heap.count < limit {
            heap.append(bound)
            siftUp()
        } else {
            siftDown(bound)
        }
        if heap.count == limit { threshold = heap[0] }
    }

    private mutating func siftUp() {
        var position = heap.count - 1
        let bound = heap[position]
        while position > 0 {
            let parent = (position - 1) / 2
            guard heap[parent] > bound else { break }
            heap[position] = heap[parent]
            position = parent
        }
        heap[position] = bound
    }

    private mutating func siftDown(_ bound: Float) {
        var position = 0
        while true {
            var child = 2 * position + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < bound else { break }
            heap[position] = heap[child]
            position = child
        }
        heap[position] = bound
    }
}

/// The best threshold that any thread of a search has come to: `limit` rows are known to reach it.
final class SharedThreshold: Sendable {
    /// The float's bits in an order that signed integers share: `max` of an atomic unsigned integer compares as if it were
    /// signed (Swift 6.3).
    private let bits = Atomic<Int32>(SharedThreshold.key(-.infinity))

    var value: Float { Self.float(bits.load(ordering: .relaxed)) }

    /// Raises it; a number is all that is shared, so no ordering with other memory is needed.
    func raise(to threshold: Float) {
        guard threshold == threshold else { return }
        bits.max(Self.key(threshold), ordering: .relaxed)
    }

    private static func key(_ float: Float) -> Int32 { ordered(Int32(bitPattern: float.bitPattern)) }

    private static func float(_ key: Int32) -> Float { Float(bitPattern: UInt32(bitPattern: ordered(key))) }

    /// Turns the order of negative numbers around; done twice it changes nothing.
    private static func ordered(_ bits: Int32) -> Int32 { bits ^ (bits >> 31 & .max) }
}
