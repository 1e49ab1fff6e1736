/// What killing and cutting the power have in common: a child that writes, a random moment, and the comparison of what
/// is left with what was acknowledged. `KillPart` and `PowerPart` say what happens at the moment.
import Foundation
import Nephrite
import NephriteExercise

/// The moment when something happens to a child.
enum Moment {
    /// While it opens the store, so many microseconds after it began to.
    case opening(Int)
    /// After so many acknowledgements and then microseconds.
    case writing(acknowledgements: Int, microseconds: Int)

    /// Every third while opening, within the time that opening takes; a quarter of the others among the first steps.
    static func choose(_ random: inout SplitMix, openingMicroseconds: Int) -> Moment {
        if random.below(3) == 0 { return .opening(random.below(max(1, openingMicroseconds * 5 / 4))) }
        return .writing(
            acknowledgements: random.below(4) == 0 ? random.below(4) : random.below(120),
            microseconds: random.below(500))
    }
}

/// A series of children in one store, each of which meets its end.
struct Assault {
    static let writerCount = 4

    var store: String
    var oracle = ExerciseOracle(writerCount: writerCount)
    /// How long opening and reading took lately.
    private var openingMicroseconds = 20_000

    init(store: String) { self.store = store }

    /// Starts a child and waits for the moment; then calls `strike` and reads to the child's end.
    ///
    /// - Parameter strike: ends the child; returns how many of its lines count as acknowledgements if not all do.
    /// - Returns: how it ended, nil if it did before the moment came.
    mutating func round(
        seed: UInt64, isRoomy: Bool, errorPath: String, _ report: inout PartReport,
        strike: (inout ChildProcess) throws -> Int?
    ) throws {
        var random = SplitMix(state: seed ^ 0x5EED)
        let moment = Moment.choose(&random, openingMicroseconds: openingMicroseconds)
        var child = try ChildProcess(
            ExerciseChild.words(store: store, seed: seed, writerCount: Self.writerCount, isRoomy: isRoomy),
            errorPath: errorPath)
        let hasCome = try wait(for: moment, &child)
        let certainCount = hasCome ? try strike(&child) : nil
        let end = try child.finish()
        let isOpen = child.hasRecovered(writerCount: Self.writerCount)
        if hasCome { report.count(isOpen ? "while writing" : "while opening") }
        let before = oracle
        do {
            if !hasCome, end != .signal(SIGKILL) {
                throw ExerciseFailure("The child ended by itself: \(end), \(child.lines.suffix(4)), \(child.errors)")
            }
            if end == .exit(ExerciseChild.Code.wrong) || !child.strangeLines.isEmpty {
                throw ExerciseFailure("\(child.errors) \(child.strangeLines)")
            }
            try oracle.take(child.lines, seed: seed, certainCount: certainCount)
        } catch let failure as ExerciseFailure {
            oracle = before
            throw failure
        }
        report.count("steps acknowledged", oracle.acknowledgedCount - before.acknowledgedCount)
        report.count("steps under way kept", oracle.keptCount - before.keptCount)
        report.states += isOpen ? 1 : 0
    }

    /// Waits until the moment has come; false if the child ended before.
    private mutating func wait(for moment: Moment, _ child: inout ChildProcess) throws -> Bool {
        while !child.isOpening { if try child.read() == .end { return false } }
        let begin = ContinuousClock.now
        switch moment {
        case .opening(let microseconds):
            let end = begin + .microseconds(microseconds)
            while case let left = end - ContinuousClock.now, left > .zero {
                if try child.read(wait: left) == .end { return false }
            }
        case .writing(let acknowledgements, let microseconds):
            while !child.hasRecovered(writerCount: Self.writerCount) {
                if try child.read() == .end { return false }
            }
            let taken = Int((ContinuousClock.now - begin) / .microseconds(1))
            openingMicroseconds += (taken - openingMicroseconds) / 8
            while child.acknowledgedCount < acknowledgements { if try child.read() == .end { return false } }
            if try child.read(wait: .microseconds(microseconds)) == .end { return false }
        }
        return true
    }

    /// Opens what is left in this process, compares and checks everything, and closes it cleanly.
    mutating func verify(seed: UInt64, _ report: inout PartReport) async throws {
        let (found, integrity) = try await withVectorStore(
            at: store, configuration: ExerciseRun.configuration(seed)
        ) { store in
            (try await ExerciseRun(store).states(writerCount: Self.writerCount), try await store.check())
        }
        try oracle.take(found: found)
        guard integrity.isSound, integrity.orphans.isEmpty else { throw ExerciseFailure("\(integrity)") }
        report.states += 1
        report.count("complete checks")
    }
}
