// Runs seeds of the campaign until some fail: what Tests/Mutants/run.sh starts once for every seeded bug.
import StorageSimulation

@main
struct CampaignRunner {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
        let first = arguments.first ?? 0
        let count = arguments.dropFirst().first ?? 100
        let failureLimit = arguments.dropFirst(2).first ?? 1
        let clock = ContinuousClock()
        let start = clock.now
        var states = 0
        var operations = 0
        var calls = 0
        var failures = 0
        for seed in first..<(first + count) {
            let outcome = try await CrashCampaign.run(seed: seed)
            states += outcome.crashStateCount
            operations += outcome.operationCount
            calls += outcome.callCount
            guard let report = outcome.report else { continue }
            print(report)
            failures += 1
            if failures >= failureLimit { break }
        }
        print(
            "\(count) seeds, \(states) crash states, \(operations) operations, \(calls) calls, \(failures) failures, "
                + "\(clock.now - start)")
    }
}
