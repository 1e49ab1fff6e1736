/// Prints what the parts report: a row each, for people or as JSON, and what failed with the command that replays it.
import Foundation

/// The output of `nephrite-torture`.
enum TortureTable {
    /// The parts and what this machine lacks for them.
    static func list() {
        let mounts = Machine.enterPrivateMounts()
        for part in allParts {
            let name = type(of: part).name
            print(column(name, 10) + type(of: part).summary)
            if let obstacle = part.obstacle(mounts) { print(column("", 10) + "skipped here: \(obstacle)") }
        }
    }

    static func header(_ options: TortureOptions) throws {
        guard !options.isJSON else { return }
        try show("part          rounds    states  failures   seconds   what")
    }

    static func row(_ report: PartReport, _ options: TortureOptions) throws {
        if options.isJSON { return try show(json(report)) }
        if let skipped = report.skipped {
            return try show(column(report.part, 10) + "  skipped: " + skipped)
        }
        let numbers = [report.rounds, report.states, report.failures.count].map { column(right: "\($0)", 10) }
        let what = report.counts.map { "\($0.count) \($0.name)" }.joined(separator: ", ")
        try show(column(report.part, 10) + numbers.joined() + column(right: seconds(report), 10) + "   " + what)
        for (index, failure) in report.failures.enumerated() {
            try show("  FAILED (seed \(report.seeds[index])): \(failure)")
            try show("  again: \(report.replays[index])")
        }
    }

    static func end(_ reports: [PartReport], _ options: TortureOptions) throws {
        guard !options.isJSON else { return }
        let failures = reports.reduce(0) { $0 + $1.failures.count }
        let skipped = reports.count { $0.skipped != nil }
        try show(
            failures == 0
                ? "nothing lost, nothing invented" + (skipped > 0 ? " (\(skipped) skipped)" : "")
                : "\(failures) FAILURES")
    }

    private static func seconds(_ report: PartReport) -> String {
        let tenths = report.elapsed / .milliseconds(100)
        return "\((tenths).rounded() / 10)"
    }

    private static func json(_ report: PartReport) -> String {
        var object: [String: Any] = [
            "part": report.part, "rounds": report.rounds, "states": report.states, "failures": report.failures,
            "seeds": report.seeds, "again": report.replays, "seconds": report.elapsed / .seconds(1),
            "counts": Dictionary(uniqueKeysWithValues: report.counts.map { ($0.name, $0.count) }),
        ]
        if let skipped = report.skipped { object["skipped"] = skipped }
        let data = try? JSONSerialization.data(withJSONObject: object, options: [.sortedKeys])
        return data.map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    /// A line at once, even into a pipe: long runs are watched. (What does not throw traps if nobody reads on.)
    private static func show(_ line: String) throws {
        do {
            try FileHandle.standardOutput.write(contentsOf: Data((line + "\n").utf8))
        } catch {
            throw TortureFailure(description: "The table cannot be written: the output is closed, or its disk is full.")
        }
    }

    private static func column(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func column(right text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
