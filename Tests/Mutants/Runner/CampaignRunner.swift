// What Tests/Mutants/run.sh starts: the campaign by parts, stopping at the first thing that is wrong.
//
//     nephrite-mutants list                        the names of the seeded bugs
//     nephrite-mutants seeds FIRST COUNT [SCALE]   crash campaign; SCALE is whole, small or dense
//     nephrite-mutants matrix STEP [LANE]          every STEP-th failing call of every part of the fault matrix
//     nephrite-mutants damage STEP                 every STEP-th damage of both golden stores
//     nephrite-mutants orphans COUNT               that many writes that do not fit, for each of four seeds
//     nephrite-mutants hunt COUNT                  seeds, then a sample of the others
import Foundation
import StorageFormat
import StorageSimulation

@main
struct CampaignRunner {
    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        let numbers = arguments.dropFirst().compactMap { Int($0) }
        let first = numbers.first ?? 0
        let clock = ContinuousClock()
        let start = clock.now
        var failure: String?
        var summary = ""
        do {
            (failure, summary) = try await run(arguments, first, numbers)
        } catch {
            failure = "by the store that all parts start from: \(error)"
        }
        if let failure { print("CAUGHT \(failure)") }
        print("\(summary), \(clock.now - start)")
        if failure != nil { exit(1) }
    }

    static func run(_ arguments: [String], _ first: Int, _ numbers: [Int]) async throws -> (String?, String) {
        switch arguments.first {
        case "list":
            for mutant in Mutant.allCases { print(mutant.rawValue) }
            return (nil, "\(Mutant.allCases.count) seeded bugs")
        case "seeds":
            let scale = arguments.last.flatMap { CampaignPlan.Scale(rawValue: $0) } ?? .whole
            return try await seeds(first..<first + (numbers.dropFirst().first ?? 100), scale)
        case "matrix": return matrix(step: max(1, first))
        case "damage": return try damage(step: max(1, first))
        case "orphans": return orphans(writes: max(1, first))
        default:
            var result = try await seeds(0..<max(1, first))
            if result.0 == nil { result = try damage(step: 251) }
            if result.0 == nil { result = matrix(step: 29) }
            if result.0 == nil { result = orphans(writes: 40) }
            return result
        }
    }

    static func seeds(_ range: Range<Int>, _ scale: CampaignPlan.Scale = .whole) async throws -> (String?, String) {
        let sums = try await CrashCampaign.run(
            seeds: UInt64(range.lowerBound)..<UInt64(range.upperBound), scale: scale, lanes: laneCount,
            minimises: false)
        let failure = sums.failed.first.map { "by seed \($0.seed): \($0.failures[0])" }
        let what = "\(sums.crashStateCount) crash states, \(sums.operationCount) operations, \(sums.callCount) calls"
        return (failure, "\(sums.seedCount) seeds, \(what)")
    }

    static var laneCount: Int {
        ProcessInfo.processInfo.environment["NEPHRITE_LANES"].flatMap { Int($0) }
            ?? ProcessInfo.processInfo.activeProcessorCount
    }

    static func matrix(step: Int) -> (String?, String) {
        var states = 0
        var runs = 0
        for (index, part) in FaultMatrix.all.enumerated() {
            var call = 1 + index % step
            while true {
                let outcome = part.run(call: call)
                runs += 1
                states += outcome.stateCount
                if let failure = outcome.failures.first {
                    return ("by \(part), call \(call): \(failure)", "matrix")
                }
                guard outcome.struck else { break }
                call += step
            }
        }
        return (nil, "\(runs) failing calls, \(states) states recovered")
    }

    static func orphans(writes: Int) -> (String?, String) {
        var count = 0
        for seed in 1...4 as ClosedRange<UInt64> {
            for write in 1...writes {
                let outcome = OrphanCampaign(seed: seed, failingWrite: write).run()
                count += outcome.orphanCount
                if let failure = outcome.failures.first {
                    return ("by a full disk, seed \(seed), write \(write): \(failure)", "orphans")
                }
            }
        }
        return (nil, "\(4 * writes) writes that did not fit, \(count) orphans")
    }

    static func damage(step: Int) throws -> (String?, String) {
        var count = 0
        for golden in DamageCampaign.Golden.allCases {
            let campaign = try DamageCampaign(golden)
            let coarse = campaign.coarse
            var index = 0
            while index < coarse.count {
                if let verdict = campaign.verdict(coarse[index]) { return ("by damage: \(verdict)", "damage") }
                count += 1
                index += max(1, step / 16)
            }
            index = 0
            while index < campaign.bitCount {
                if let verdict = campaign.verdict(campaign.bit(index)) { return ("by damage: \(verdict)", "damage") }
                count += 1
                index += step * 8 + 1
            }
        }
        return (nil, "\(count) damages")
    }
}
