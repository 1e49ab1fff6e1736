/// Many seeds on several threads at once: each seed is a simulation of its own on one thread. Commands hand in a range and
/// get the sums and the failures back.
import StorageIO

/// What a range of seeds gave.
package struct CampaignSums: Sendable {
    /// How many seeds ran to their end, twice.
    package private(set) var seedCount = 0
    /// How many crash states were recovered.
    package private(set) var crashStateCount = 0
    /// How many operations and reads the workloads made.
    package private(set) var operationCount = 0
    /// How many system calls were made.
    package private(set) var callCount = 0
    /// The seeds at which something was wrong, by their numbers.
    package private(set) var failed: [CampaignOutcome] = []

    /// Nothing yet.
    package init() {}

    mutating func add(_ outcome: CampaignOutcome) {
        seedCount += 1
        crashStateCount += outcome.crashStateCount
        operationCount += outcome.operationCount
        callCount += outcome.callCount
        guard !outcome.failures.isEmpty else { return }
        failed.append(outcome)
        failed.sort { $0.seed < $1.seed }
    }
}

extension CrashCampaign {
    /// Runs seeds on as many threads as there are lanes, until one fails.
    ///
    /// - Throws: only if the disk that every seed starts from cannot be made.
    package static func run(
        seeds: Range<UInt64>, scale: CampaignPlan.Scale, lanes: Int, minimises: Bool
    ) async throws -> CampaignSums {
        _ = try baseDisk.get()
        let sums = Box(CampaignSums())
        let next = Box(seeds.lowerBound)
        let executor = try IOExecutor(name: "campaign", threadCount: max(1, lanes))
        defer { executor.shutdown() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<max(1, lanes) {
                group.addTask(executorPreference: executor) {
                    while sums.value.failed.isEmpty {
                        let seed = next.update { (next) -> UInt64 in
                            defer { next += 1 }
                            return next
                        }
                        guard seed < seeds.upperBound else { return }
                        let outcome = try await run(seed: seed, scale: scale, minimises: minimises)
                        sums.update { $0.add(outcome) }
                    }
                }
            }
            try await group.waitForAll()
        }
        return sums.value
    }
}
