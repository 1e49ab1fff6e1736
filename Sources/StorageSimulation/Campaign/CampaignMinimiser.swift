/// Takes parts of a failing plan away for as long as it still fails, and says what is left: the campaign reports nothing
/// else.

struct CampaignMinimiser {
    private var plan: CampaignPlan
    private var outcome: CampaignOutcome
    private var budget = 120

    init(_ plan: CampaignPlan, _ outcome: CampaignOutcome) {
        self.plan = plan
        self.outcome = outcome
    }

    /// Minimises and describes the result.
    mutating func report() throws -> String {
        try dropFaults()
        try dropReaders()
        try dropSteps()
        let scale = plan.scale == .whole ? "" : " NEPHRITE_SCALE=\(plan.scale.rawValue)"
        return """
            seed \(plan.seed): \(outcome.failures.prefix(4).joined(separator: "\n  "))
            \(plan)
            replay: NEPHRITE_SEED=\(plan.seed)\(scale) swift test --filter CampaignTests
            """
    }

    /// Whether a smaller plan still fails; then it is the plan from now on.
    private mutating func accept(_ smaller: CampaignPlan) throws -> Bool {
        guard budget > 0 else { return false }
        budget -= 1
        let result = try CrashCampaign.run(smaller)
        guard !result.failures.isEmpty else { return false }
        plan = smaller
        outcome = result
        return true
    }

    private mutating func dropFaults() throws {
        var index = 0
        while index < plan.faults.count {
            var smaller = plan
            smaller.faults.remove(at: index)
            if try !accept(smaller) { index += 1 }
        }
        for change in [\CampaignPlan.withoutCapacity, \.withoutRecoveryFaults, \.withoutRot] {
            _ = try accept(plan[keyPath: change])
        }
    }

    private mutating func dropReaders() throws {
        guard plan.readers > 0 else { return }
        var smaller = plan
        smaller.readers = 0
        _ = try accept(smaller)
    }

    /// Zeller and Hildebrandt's ddmin ("Simplifying and isolating failure-inducing input", 2002), by halves.
    private mutating func dropSteps() throws {
        var size = plan.places.count
        while size >= 1 {
            var places = (plan.kept.map { kept in plan.places.filter { kept.contains($0) } } ?? plan.places)
            var start = 0
            while start < places.count, budget > 0 {
                var rest = places
                rest.removeSubrange(start..<min(start + size, rest.count))
                var smaller = plan
                smaller.kept = Set(rest)
                if try accept(smaller) { places = rest } else { start += size }
            }
            size /= 2
        }
    }
}

extension CampaignPlan {
    fileprivate var withoutCapacity: CampaignPlan {
        var plan = self
        plan.capacityByteCount = nil
        return plan
    }

    fileprivate var withoutRecoveryFaults: CampaignPlan {
        var plan = self
        plan.faultsInRecovery = false
        return plan
    }

    fileprivate var withoutRot: CampaignPlan {
        var plan = self
        plan.rottenBitCount = min(1, rottenBitCount)
        return plan
    }
}
