/// Damage: bits flipped, sectors zeroed, stale or swapped, files cut and lengthened, one place after the other, in a store
/// that was closed and in one that was killed; `DamageCampaign` of StorageSimulation judges each.
import Foundation
import StorageSimulation

/// Damages stores.
struct DamagePart: TorturePart {
    static let name = "damage"
    static let summary = "each bit flipped, each sector zeroed, stale or swapped, files cut or lengthened"

    func obstacle(_ mounts: Mounts) -> String? { nil }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        let campaigns = try DamageCampaign.Golden.allCases.map { DamageOrder(try DamageCampaign($0)) }
        let laneCount = max(1, ProcessInfo.processInfo.activeProcessorCount)
        try await Lanes.run(laneCount, session, &report) { lane, rounds in
            var report = PartReport(part: Self.name)
            while session.goesOn(report), report.rounds < rounds {
                // The first seed is 1.
                let seed = session.options.seed &+ UInt64(report.rounds * laneCount + lane)
                let number = Int(truncatingIfNeeded: seed &- 1) & Int.max
                let order = campaigns[number % campaigns.count]
                guard let damage = order.damage(number / campaigns.count) else { break }
                report.rounds += 1
                report.states += 1
                report.count(order.campaign.golden.rawValue)
                if let verdict = order.campaign.verdict(damage) { report.fail(verdict, seed: seed) }
            }
            return report
        }
        let all = campaigns.reduce(0) { $0 + $1.count }
        report.count("of \(all) in all", report.rounds)
    }
}

/// All damages of a golden store, in an order that goes everywhere early: coarse ones and bits in turn, then the bits left.
private struct DamageOrder: Sendable {
    let campaign: DamageCampaign
    private let coarse: [DamageCampaign.Damage]

    init(_ campaign: DamageCampaign) {
        self.campaign = campaign
        coarse = campaign.coarse
    }

    var count: Int { coarse.count + campaign.bitCount }

    /// The damage of a number, nil behind the last.
    func damage(_ number: Int) -> DamageCampaign.Damage? {
        guard number < count else { return nil }
        guard number < 2 * coarse.count else { return bit(number - coarse.count) }
        return number.isMultiple(of: 2) ? coarse[Self.spread(number / 2, coarse.count)] : bit(number / 2)
    }

    private func bit(_ number: Int) -> DamageCampaign.Damage {
        campaign.bit(Self.spread(number, campaign.bitCount))
    }

    /// A permutation of the numbers below `count`: a step that shares no factor with it.
    private static func spread(_ number: Int, _ count: Int) -> Int {
        let step = [7_368_787, 7_368_841, 7_368_869].first { count % $0 != 0 } ?? 1
        return number % count * step % count
    }
}
