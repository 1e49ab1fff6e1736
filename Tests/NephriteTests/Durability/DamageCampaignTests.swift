// Damage to every place of two golden stores: a sample of the bits and sectors here, every sector and one bit of each
// byte with NEPHRITE_LONG=1. Each damage is reported, or the store holds exactly what it held.
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct DamageCampaignTests {
    static let campaigns = Result { try DamageCampaign.Golden.allCases.map { try DamageCampaign($0) } }

    private static func judge(
        _ damages: some Sequence<DamageCampaign.Damage>, of campaign: DamageCampaign
    ) -> (failures: [String], count: Int) {
        var failures: [String] = []
        var count = 0
        for damage in damages where failures.count < 4 {
            count += 1
            if let verdict = campaign.verdict(damage) { failures.append(verdict) }
        }
        return (failures, count)
    }

    @Test("A flipped bit is reported or harmless", arguments: 0..<DamageCampaign.Golden.allCases.count)
    func bits(golden: Int) throws {
        let campaign = try Self.campaigns.get()[golden]
        #expect(campaign.bitCount > 8 << 20)
        let bits = stride(from: 0, to: campaign.bitCount, by: Campaign.isLong ? 7 : 39_983)
        let (failures, count) = Self.judge(bits.lazy.map { campaign.bit($0) }, of: campaign)
        #expect(failures.isEmpty, "\(failures.joined(separator: "\n"))")
        print("bits of the \(campaign.golden) store: \(count)")
    }

    @Test("A damaged sector, a cut or a longer file is reported or harmless", arguments: 0..<2)
    func coarse(golden: Int) throws {
        let campaign = try Self.campaigns.get()[golden]
        let all = campaign.coarse
        let chosen = stride(from: 0, to: all.count, by: Campaign.isLong ? 1 : 61)
        let (failures, count) = Self.judge(chosen.lazy.map { all[$0] }, of: campaign)
        #expect(failures.isEmpty, "\(failures.joined(separator: "\n"))")
        print("sectors and sizes of the \(campaign.golden) store: \(count)")
    }
}
