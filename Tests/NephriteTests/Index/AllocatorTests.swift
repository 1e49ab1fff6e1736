// Where records go: slots, payload space and the queue of what is not yet free, each against a plain model.
import StorageSimulation
import Testing

@testable import Nephrite

/// Slots against a set of the free ones.
@Suite struct SlotAllocatorTests {
    @Test("Random allocations, releases and claims agree with a set", arguments: 0..<6 as Range<UInt64>)
    func model(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var slots = SlotAllocator()
        var used: Set<UInt32> = []
        var free: Set<UInt32> = []
        for _ in 0..<4_000 {
            switch random.next(below: 10) {
            case 0...4:
                let expected = free.min() ?? UInt32(slots.highWater)
                let slot = slots.allocate()
                #expect(slot == expected)
                free.remove(slot)
                #expect(used.insert(slot).inserted)
            case 5...8:
                guard let slot = used.randomElement(using: &random) else { continue }
                used.remove(slot)
                free.insert(slot)
                slots.release(slot)
            default:
                // As recovery does: any slot, used, free or beyond.
                let slot = UInt32(random.next(below: 2_000))
                let end = slots.highWater
                if Int(slot) >= end { free.formUnion((UInt32(end)..<slot)) }
                free.remove(slot)
                used.insert(slot)
                slots.claim(slot)
            }
            #expect(slots.freeCount == free.count)
            #expect(slots.highWater == used.count + free.count)
        }
    }

    @Test("What can be allocated is what is free and what capacity leaves beyond the high-water mark")
    func capacity() {
        var slots = SlotAllocator()
        for _ in 0..<10 { _ = slots.allocate() }
        slots.release(3)
        slots.release(7)
        #expect(slots.canAllocate(2, capacity: 10) && !slots.canAllocate(3, capacity: 10))
        #expect(slots.canAllocate(7, capacity: 15) && !slots.canAllocate(8, capacity: 15))
    }

    @Test("Copies are independent: a refused batch may work on one")
    func values() {
        var slots = SlotAllocator()
        for _ in 0..<70 { _ = slots.allocate() }
        slots.release(65)
        var copy = slots
        let fromCopy = copy.allocate()
        #expect(fromCopy == 65 && slots.freeCount == 1)
        let own = slots.allocate()
        #expect(own == 65)
    }
}

/// The payload heap against a set of free units: first fit, coalescing, and never the same unit twice.
@Suite struct PayloadAllocatorTests {
    /// The model: each unit below the high-water mark is free or not.
    private struct Units {
        var isFree: [Bool] = []

        /// The first run of free units that is long enough, else the end.
        func firstFit(_ count: Int) -> Int {
            var run = 0
            for (unit, free) in isFree.enumerated() {
                run = free ? run + 1 : 0
                if run == count { return unit - count + 1 }
            }
            return isFree.count
        }

        mutating func set(_ range: Range<Int>, free: Bool) {
            while isFree.count < range.upperBound { isFree.append(true) }
            for unit in range { isFree[unit] = free }
        }
    }

    @Test(
        "Random allocations and releases are first fit, coalesce, and never overlap", arguments: 0..<6 as Range<UInt64>,
        [4, 40, 200])
    func model(_ seed: UInt64, _ longest: Int) {
        var random = SeededGenerator(seed: seed)
        var heap = PayloadAllocator()
        var units = Units()
        var runs: [Range<Int>] = []
        for step in 0..<600 {
            if runs.isEmpty || random.chance(step / 100 % 2 == 0 ? 0.7 : 0.3) {
                let count = 1 + random.next(below: longest)
                let expected = units.firstFit(count)
                let start = Int(heap.allocate(count))
                #expect(start == expected, "\(count) units at step \(step)")
                units.set(start..<start + count, free: false)
                runs.append(start..<start + count)
            } else {
                let run = runs.remove(at: random.next(below: runs.count))
                heap.release(UInt32(run.lowerBound), count: run.count)
                units.set(run, free: true)
            }
            guard step % 20 == 0 else { continue }
            #expect(heap.freeCount == units.isFree.count { $0 } && heap.highWater == units.isFree.count)
        }
        let sorted = runs.sorted { $0.lowerBound < $1.lowerBound }
        for (left, right) in zip(sorted, sorted.dropFirst()) { #expect(left.upperBound <= right.lowerBound) }
    }

    @Test("Neighbours that are released in any order become one run", arguments: 0..<6)
    func coalescing(_ order: Int) {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
        var heap = PayloadAllocator()
        let starts = [heap.allocate(50), heap.allocate(33), heap.allocate(70)]
        let end = heap.allocate(1)
        for index in orders[order] { heap.release(starts[index], count: [50, 33, 70][index]) }
        let start = heap.allocate(153)
        #expect(start == 0)
        #expect(heap.freeCount == 0 && heap.highWater == Int(end) + 1)
    }

    @Test("Claims of recovery, in any order, leave the gaps free", arguments: 0..<4 as Range<UInt64>)
    func claims(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var heap = PayloadAllocator()
        var units = Units()
        var position = 0
        var runs: [Range<Int>] = []
        for _ in 0..<100 {
            position += random.next(below: 100)
            let count = 1 + random.next(below: 90)
            runs.append(position..<position + count)
            position += count
        }
        for run in runs.shuffled(using: &random) {
            heap.claim(UInt32(run.lowerBound), count: run.count)
            units.set(run, free: false)
            #expect(heap.freeCount == units.isFree.count { $0 } && heap.highWater == units.isFree.count)
        }
        for run in runs.prefix(20) {
            let isClaimed = heap.claimIfFree(UInt32(run.upperBound - 1), count: 1)
            #expect(!isClaimed)
        }
        for _ in 0..<100 {
            let count = 1 + random.next(below: 60)
            let expected = units.firstFit(count)
            let start = Int(heap.allocate(count))
            #expect(start == expected)
            units.set(expected..<expected + count, free: false)
        }
    }

    @Test("A run is claimed only if all of it is free")
    func claimIfFree() {
        var heap = PayloadAllocator(highWater: 200)
        heap.release(0, count: 200)
        func claims(_ start: UInt32, _ count: Int) -> Bool { heap.claimIfFree(start, count: count) }
        let outcomes = [claims(60, 10), claims(69, 2), claims(50, 11), claims(199, 2)]
        #expect(outcomes == [true, false, false, false] && heap.freeCount == 190)
        let rest = [claims(70, 130), claims(0, 60)]
        #expect(rest == [true, true] && heap.freeCount == 0)
    }

    @Test("Only space at the end is sure to be had in one piece")
    func capacity() {
        let heap = PayloadAllocator(highWater: 100)
        #expect(heap.canExtend(by: 28, capacity: 128) && !heap.canExtend(by: 29, capacity: 128))
    }
}

/// Space on its way back: in order, and never before both the checkpoint and the oldest snapshot are past it.
@Suite struct ReclaimQueueTests {
    @Test("Random frees, checkpoints and snapshots agree with a filter", arguments: 0..<4 as Range<UInt64>)
    func model(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var queue = ReclaimQueue()
        var waiting: [(lsn: UInt64, slot: UInt32)] = []
        var lsn: UInt64 = 0
        var slot: UInt32 = 0
        for _ in 0..<2_000 {
            if random.chance(0.8) {
                lsn += UInt64(random.next(below: 2))
                for _ in 0..<random.next(below: 5) {
                    queue.append(.init(lsn: lsn, slot: slot, payloadUnit: slot, payloadUnitCount: 1))
                    waiting.append((lsn, slot))
                    slot += 1
                }
            } else {
                let checkpoint = UInt64(random.next(below: Int(lsn) + 2))
                let snapshot = random.chance(0.3) ? .max : UInt64(random.next(below: Int(lsn) + 2))
                let taken = queue.take(checkpointLSN: checkpoint, oldestSnapshotLSN: snapshot)
                let expected = waiting.prefix { $0.lsn <= min(checkpoint, snapshot) }
                #expect(taken.map(\.slot) == expected.map(\.slot))
                waiting.removeFirst(expected.count)
            }
            #expect(queue.count == waiting.count)
        }
    }
}
