/// What a part of the campaign is, what it works with, and what it reports: the command gives each part a `Session` and
/// a `PartReport`, which the table prints.
import CTorture
import NephriteExercise

/// One kind of torture.
protocol TorturePart: Sendable {
    /// What the command line calls it.
    static var name: String { get }
    /// What it does, in a line.
    static var summary: String { get }

    /// What the machine lacks for it, nil if nothing.
    func obstacle(_ mounts: Mounts) -> String?

    /// Runs rounds until the session is over, noting in the report what was done. An error ends the part as a failure.
    func run(_ session: Session, _ report: inout PartReport) async throws
}

/// Every part, in the order of `all`.
let allParts: [any TorturePart] = [
    SimulatePart(), SeedsPart(), StatesPart(), FaultsPart(), DamagePart(), KillPart(), PowerPart(), SyncPart(),
    FullPart(), MemoryPart(),
    FuzzPart(),
]

/// What a part works with.
final class Session: Sendable {
    let options: TortureOptions
    let workspace: Workspace
    private let begin = ContinuousClock.now
    private let duration: Duration

    init(options: TortureOptions, workspace: Workspace, duration: Duration) {
        self.options = options
        self.workspace = workspace
        self.duration = duration
    }

    /// How long the part has run.
    var elapsed: Duration { ContinuousClock.now - begin }
    /// How much time is left.
    var remaining: Duration { max(.zero, duration - elapsed) }

    /// Whether the part is to go on after what it did.
    func goesOn(_ report: PartReport) -> Bool {
        report.rounds < options.roundLimit && report.failures.count < 3 && elapsed < duration
            && torture_is_interrupted() == 0
    }

    /// The seed of the round that is about to begin.
    func seed(_ report: PartReport) -> UInt64 { options.seed &+ UInt64(report.rounds) }
}

/// What a part did.
struct PartReport: Sendable {
    /// Its name.
    let part: String
    /// Kills, cut powers, failing syncs, budgets, … that it went through.
    var rounds = 0
    /// Contents of stores that were compared with what must be there.
    var states = 0
    /// What was wrong, in sentences.
    var failures: [String] = []
    /// The seeds of the rounds that failed.
    var seeds: [UInt64] = []
    /// The commands that do the rounds that failed again.
    var replays: [String] = []
    /// What else it counted, in the order it was first counted.
    private(set) var counts: [(name: String, count: Int)] = []
    /// Why it did not run.
    var skipped: String?
    var elapsed: Duration = .zero

    init(part: String) { self.part = part }

    /// Notes a failure.
    ///
    /// - Parameter again: the command that does the round again, unless the seed does.
    mutating func fail(_ message: String, seed: UInt64, again: String? = nil) {
        failures.append(message)
        seeds.append(seed)
        replays.append(again ?? "nephrite-torture \(part) --seed \(seed) --rounds 1")
    }

    /// Adds what another report of the same part says.
    mutating func add(_ other: PartReport) {
        rounds += other.rounds
        states += other.states
        failures += other.failures
        seeds += other.seeds
        replays += other.replays
        for (name, number) in other.counts { count(name, number) }
    }

    /// Adds to a count.
    mutating func count(_ name: String, _ number: Int = 1) {
        if let index = counts.firstIndex(where: { $0.name == name }) {
            counts[index].count += number
        } else {
            counts.append((name, number))
        }
    }
}

/// A part met something that is neither a store's error nor a wrong answer: a child that hangs, a mount that fails.
struct TortureFailure: Error, CustomStringConvertible {
    let description: String
}
