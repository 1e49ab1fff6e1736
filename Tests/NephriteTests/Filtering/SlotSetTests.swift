// Bitmaps of slots against sets of numbers.
import StorageSimulation
import Testing

@testable import Nephrite

@Suite struct SlotSetTests {
    @Test("Operations agree with those of a set", arguments: 0..<6)
    func model(_ seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        let slotCount = [1, 63, 64, 65, 1_000, 4_096][seed]
        func draw() -> (SlotSet, Set<UInt32>) {
            let slots = Set((0..<random.next(below: slotCount + 1)).map { _ in UInt32(random.next(below: slotCount)) })
            return (SlotSet(slots, slotCount: slotCount), slots)
        }
        for _ in 0..<50 {
            let (first, a) = draw()
            let (second, b) = draw()
            var (union, intersection, difference) = (first, first, first)
            union.formUnion(second)
            intersection.formIntersection(second)
            difference.subtract(second)
            for (set, model) in [
                (first, a), (union, a.union(b)), (intersection, a.intersection(b)), (difference, a.subtracting(b)),
            ] {
                #expect(set.count == model.count)
                #expect(set.isEmpty == model.isEmpty)
                #expect(set.firstSlots(.max) == model.sorted())
                #expect(set.firstSlots(3) == Array(model.sorted().prefix(3)))
                #expect((0..<UInt32(slotCount + 70)).allSatisfy { set.contains($0) == model.contains($0) })
                var walked: [UInt32] = []
                var position = 0
                while let slot = set.next(from: position) {
                    walked.append(UInt32(slot))
                    position = slot + 1
                }
                #expect(walked == model.sorted())
            }
            var emptied = first
            for slot in a { emptied.remove(slot) }
            #expect(emptied.isEmpty)
        }
    }
}
