/// `kill -9`: a child writes and acknowledges, is killed at a random point, often while it recovers from the kill before,
/// and the next one must find exactly what was acknowledged, plus at most the step each writer had under way.
import Foundation
import NephriteExercise

/// Kills without end.
struct KillPart: TorturePart {
    static let name = "kill"
    static let summary = "kill -9 of a process that writes, or recovers from the kill before"

    /// After so many rounds everything is checked, and the next round begins with an empty store.
    private static let roundsPerStore = 200
    private static let roundsPerCheck = 25

    func obstacle(_ mounts: Mounts) -> String? {
        FileManager.default.fileExists(atPath: "/proc/self/exe") ? nil : "needs /proc"
    }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        // Waiting for the disk is most of a round.
        try await Lanes.run(min(4, 1 + session.options.roundLimit / Self.roundsPerCheck), session, &report) {
            try await run(session, lane: $0, rounds: $1)
        }
    }

    /// Rounds one after the other, in stores of their own. The first lane has the seeds from the first on.
    private func run(_ session: Session, lane: Int, rounds: Int) async throws -> PartReport {
        var report = PartReport(part: Self.name)
        while session.goesOn(report), report.rounds < rounds {
            var assault = Assault(store: try session.workspace.directory("kill-\(lane)"))
            let end = min(rounds, report.rounds + Self.roundsPerStore)
            while session.goesOn(report), report.rounds < end {
                let seed = session.seed(report) &+ UInt64(lane) << 32
                do {
                    try assault.round(
                        seed: seed, isRoomy: true, errorPath: session.workspace.path + "/kill-\(lane).err", &report
                    ) { child in
                        child.kill()
                        return nil
                    }
                    report.rounds += 1
                    if report.rounds.isMultiple(of: Self.roundsPerCheck) || report.rounds == end
                        || !session.goesOn(report)
                    {
                        try await assault.verify(seed: seed, &report)
                    }
                } catch let failure as ExerciseFailure {
                    let kept = session.workspace.keep(assault.store, seed: seed)
                    report.fail("\(failure) The store is kept in \(kept).", seed: seed)
                    break
                }
            }
        }
        return report
    }
}
