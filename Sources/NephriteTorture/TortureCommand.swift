/// The entry point of `nephrite-torture`: reads the command line, runs the parts one after the other, prints the table,
/// and ends with 1 when anything failed.
import CTorture
import Foundation

/// The crash and fault campaign.
@main
struct TortureCommand {
    static func main() async {
        let words = Array(CommandLine.arguments.dropFirst())
        do {
            switch words.first {
            case "child": exit(await ExerciseChild.run(words))
            case "memory-child": exit(await MemoryChild.run(words))
            case nil, "help", "--help", "-h": print(TortureOptions.help)
            case "list": TortureTable.list()
            default: exit(try await run(TortureOptions(words)))
            }
        } catch {
            try? FileHandle.standardError.write(contentsOf: Data("nephrite-torture: \(error)\n".utf8))
            exit(error is TortureUsage ? 64 : 74)
        }
    }

    /// Runs what the options name; the exit code.
    private static func run(_ options: TortureOptions) async throws -> Int32 {
        torture_catch_interrupts()
        // Before there is any other thread: threads and children are to see what is mounted below.
        let mounts = Machine.enterPrivateMounts()
        let workspace = try Workspace(in: options.directory)
        defer { workspace.remove() }
        let parts = options.parts
        let runnable = parts.filter { $0.obstacle(mounts) == nil }
        let share = options.duration / max(1, runnable.count)
        var reports: [PartReport] = []
        try TortureTable.header(options)
        for part in parts {
            var report = PartReport(part: type(of: part).name)
            if let obstacle = part.obstacle(mounts) {
                report.skipped = obstacle
            } else {
                let session = Session(options: options, workspace: workspace, duration: share)
                do {
                    try await part.run(session, &report)
                } catch {
                    if torture_is_interrupted() == 0 { report.fail("\(error)", seed: options.seed) }
                }
                report.elapsed = session.elapsed
            }
            try TortureTable.row(report, options)
            reports.append(report)
            if torture_is_interrupted() != 0 { break }
        }
        try TortureTable.end(reports, options)
        return reports.contains { !$0.failures.isEmpty } ? 1 : torture_is_interrupted() != 0 ? 130 : 0
    }
}
