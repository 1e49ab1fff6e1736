// Commits that were staged on one that a full disk keeps out of the log. They were once undone by luck: a seeded bug that
// keeps them (`keepOrphans`) got away from the whole crash campaign, because nothing made writers meet at the right moment.
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct OrphanTests {
    @Test("Whatever write to the log does not fit, what builds on it is refused, and nothing else", arguments: 1...4)
    func everyWrite(seed: Int) {
        var orphanCount = 0
        for write in 1...40 {
            let outcome = OrphanCampaign(seed: UInt64(seed), failingWrite: write).run()
            #expect(outcome.failures.isEmpty, "write \(write): \(outcome.failures.joined(separator: "\n"))")
            #expect(outcome.acknowledgedCount > 0)
            orphanCount += outcome.orphanCount
        }
        #expect(orphanCount > 0, "no writer met the full disk at the right moment")
        print("orphans of seed \(seed): \(orphanCount)")
    }
}
