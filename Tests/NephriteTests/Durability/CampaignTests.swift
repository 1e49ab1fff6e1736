// The crash campaign in short: whole simulations by seed. NEPHRITE_LONG=1 runs 10,000 of them; a failure prints its seed
// and what is left of it, and `NEPHRITE_SEED=<seed> swift test --filter CampaignTests` replays it alone.
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct CampaignTests {
    @Test("Seeds that crash lose nothing acknowledged, invent nothing, and replay call by call", arguments: 0..<4)
    func seeds(lane: Int) async throws {
        if let seed = Campaign.seed {
            guard lane == 0 else { return }
            let outcome = try await CrashCampaign.run(seed: seed, scale: Campaign.scale)
            #expect(outcome.failures.isEmpty, "\(outcome.report ?? "")")
            return
        }
        var stateCount = 0
        var operationCount = 0
        var failed = 0
        for index in 0..<(Campaign.isLong ? 2_500 : 6) {
            let outcome = try await CrashCampaign.run(seed: UInt64(index * 4 + lane))
            stateCount += outcome.crashStateCount
            operationCount += outcome.operationCount
            guard !outcome.failures.isEmpty else { continue }
            failed += 1
            Issue.record("\(outcome.report ?? "")")
            if failed == 3 { break }
        }
        #expect(stateCount > 12 && operationCount > 50)
        print("campaign states of lane \(lane): \(stateCount)")
    }

    @Test("Seeds of the other scales do so too: many that are small, and one that is stopped at every other call")
    func scales() async throws {
        let small = try await CrashCampaign.run(
            seeds: 0..<(Campaign.isLong ? 10_000 : 40), scale: .small, lanes: 2, minimises: true)
        let dense = try await CrashCampaign.run(
            seeds: 0..<(Campaign.isLong ? 200 : 2), scale: .dense, lanes: 2, minimises: true)
        for outcome in small.failed + dense.failed { Issue.record("\(outcome.report ?? "")") }
        #expect(small.seedCount >= 40 && small.crashStateCount > small.seedCount)
        #expect(dense.crashStateCount > 50 * dense.seedCount)
    }

    @Test(
        "Small seeds that found something once find nothing now",
        arguments: [
            39, 1_263, 1_970, 12_986, 25_648, 27_718, 90_579, 129_715, 151_227, 198_698, 210_873, 266_601, 277_131,
            310_684, 413_616, 531_056, 642_981, 2_212_145,
        ] as [UInt64])
    func foundOnce(seed: UInt64) async throws {
        let outcome = try await CrashCampaign.run(seed: seed, scale: .small)
        #expect(outcome.failures.isEmpty, "\(outcome.report ?? "")")
    }

    @Test("The plans of many seeds have every kind of disk, and readers, and crashes inside recoveries")
    func plansVary() {
        let plans = (0..<200).map { CampaignPlan(seed: $0) }
        #expect(Set(plans.map(\.disk)) == Set(CampaignPlan.Disk.allCases))
        #expect(Set(plans.map(\.readers)).count > 1)
        #expect(plans.contains { $0.faultsInRecovery })
        #expect(plans.contains { $0.rottenBitCount > 0 })
    }
}
