/// When the pages that searches mapped here and there are let go of.
import Synchronization
import Testing

@testable import Nephrite

@Suite struct ScatteredReadsTests {
    @Test("Every so many reads the pages of a large database are let go of, those of others never")
    func limit() {
        let reads = ScatteredReads()
        let (small, large) = (ScatteredReads.largeByteCount, ScatteredReads.largeByteCount + 1)
        func note(_ count: Int, _ byteCount: UInt64) -> Bool { reads.note(count, vectorByteCount: byteCount) }
        for _ in 0..<3 * ScatteredReads.limit { #expect(!note(1, small)) }
        for round in 1...3 * ScatteredReads.limit {
            #expect(note(1, large) == (round % ScatteredReads.limit == 0))
        }
        #expect(note(10 * ScatteredReads.limit, large))
        #expect(!note(0, large) && !note(1, large))
    }

    @Test("Of several searches that reach the limit at once one lets go of the pages")
    func once() async {
        let reads = ReadsOfMany()
        let count = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    (0..<10_000).count { _ in reads.value.note(7, vectorByteCount: .max) }
                }
            }
            return await group.reduce(0, +)
        }
        #expect((1...280_000 / ScatteredReads.limit).contains(count))
    }
}

private final class ReadsOfMany: Sendable {
    let value = ScatteredReads()
}
