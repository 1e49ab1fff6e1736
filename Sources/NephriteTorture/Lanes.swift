/// Several threads that do the rounds of one part at once: parts that wait, or that need one core only, run in lanes.
import StorageIO

/// A part's rounds, spread over threads.
enum Lanes {
    /// Runs `body` once for each lane on a thread of its own and adds up what they report.
    ///
    /// - Parameters:
    ///   - count: how many lanes; fewer if there are fewer rounds.
    ///   - body: a lane: its number and how many rounds it is to do at most.
    static func run(
        _ count: Int, _ session: Session, _ report: inout PartReport,
        _ body: @escaping @Sendable (_ lane: Int, _ rounds: Int) async throws -> PartReport
    ) async throws {
        let rounds = session.options.roundLimit
        let count = max(1, min(count, rounds))
        // They inherit the mount namespace of the thread that starts them.
        let executor = try IOExecutor(name: "torture", threadCount: count)
        defer { executor.shutdown() }
        try await withThrowingTaskGroup(of: PartReport.self) { group in
            for lane in 0..<count {
                let share = rounds == .max ? rounds : rounds / count + (lane < rounds % count ? 1 : 0)
                group.addTask(executorPreference: executor) { try await body(lane, share) }
            }
            for try await part in group { report.add(part) }
        }
    }
}
