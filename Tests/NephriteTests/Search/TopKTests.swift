// TopK against sorting everything.

import Testing

@testable import Nephrite

@Suite struct TopKTests {
    /// Slots are numbered in no relation to their ids: the id of slot s is `ranks[s]`.
    private struct Offers {
        let scores: [Float]
        let ranks: [Int]

        init(count: Int, distinctScores: Int, seed: UInt64) {
            var values = SeededValues(seed: seed)
            scores = (0..<count).map { _ in Float(values.below(distinctScores)) - 3 }
            var ranks = Array(0..<count)
            for index in ranks.indices.reversed() { ranks.swapAt(index, values.below(index + 1)) }
            self.ranks = ranks
        }

        func precedes(_ a: UInt32, _ b: UInt32) -> Bool { ranks[Int(a)] < ranks[Int(b)] }

        func best(_ limit: Int) -> [TopK.Entry] {
            let slots = scores.indices.sorted { a, b in
                scores[a] != scores[b] ? scores[a] > scores[b] : ranks[a] < ranks[b]
            }
            return slots.prefix(limit).map { TopK.Entry(score: scores[$0], slot: UInt32($0)) }
        }
    }

    private static let limits = [0, 1, 2, 3, 10, 99, 100, 499, 500, 501, 5000]

    @Test(
        "It keeps what sorting would put first, however many scores are equal", arguments: limits, [1, 2, 7, 100_000])
    func againstSort(limit: Int, distinctScores: Int) {
        for seed in 0..<5 as Range<UInt64> {
            let offers = Offers(count: 500, distinctScores: distinctScores, seed: seed)
            var best = TopK(limit: limit)
            for (slot, score) in offers.scores.enumerated() {
                best.offer(score, slot: UInt32(slot), precedes: offers.precedes)
            }
            #expect(best.sorted(precedes: offers.precedes) == offers.best(limit))
            #expect(best.count == min(limit, 500))
            #expect(best.isFull == (limit <= 500))
        }
    }

    @Test("Merging parts in any order gives the same entries", arguments: limits, [1, 4, 100_000])
    func mergeOrder(limit: Int, distinctScores: Int) {
        let offers = Offers(count: 500, distinctScores: distinctScores, seed: 9)
        var parts = [TopK](repeating: TopK(limit: limit), count: 4)
        for (slot, score) in offers.scores.enumerated().reversed() {
            parts[slot * 7 % 4].offer(score, slot: UInt32(slot), precedes: offers.precedes)
        }
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            var merged = TopK(limit: limit)
            for part in order { merged.merge(parts[part], precedes: offers.precedes) }
            #expect(merged.sorted(precedes: offers.precedes) == offers.best(limit))
        }
    }

    @Test("NaN never enters; infinities do")
    func specialValues() {
        var best = TopK(limit: 3)
        for (slot, score) in [Float.nan, -.infinity, .signalingNaN, .infinity, -.nan, 0].enumerated() {
            best.offer(score, slot: UInt32(slot), precedes: <)
        }
        let slots = best.sorted(precedes: <).map(\.slot)
        #expect(slots == [3, 5, 1])
        best.offer(.nan, slot: 9, precedes: <)
        #expect(best.sorted(precedes: <).map(\.slot) == slots)
        var none = TopK(limit: 0)
        none.offer(.infinity, slot: 1, precedes: <)
        #expect(none.count == 0)
    }

    @Test("Both zeros are one score")
    func zeros() {
        var best = TopK(limit: 2)
        best.offer(-0.0, slot: 1, precedes: <)
        best.offer(0.0, slot: 2, precedes: <)
        best.offer(-0.0, slot: 0, precedes: <)
        #expect(best.sorted(precedes: <).map(\.slot) == [0, 1])
    }

    @Test("Ids are compared only where scores are equal")
    func comparesOnTiesOnly() {
        var values = SeededValues(seed: 11)
        let scores = Set((0..<1000).map { _ in values.float() })
        var best = TopK(limit: 10)
        var comparisons = 0
        for (slot, score) in scores.sorted().enumerated() {
            best.offer(score, slot: UInt32(slot)) { _, _ in
                comparisons += 1
                return false
            }
        }
        #expect(comparisons == 0)
        #expect(best.threshold == scores.sorted(by: >)[9])
    }
}
