/// The command that copies what is whole of a damaged store into a new one: it asks the engine and prints its report.
import Nephrite

/// `nephrite salvage`.
enum SalvageCommand: Command {
    static let specification = CommandSpecification(
        name: "salvage",
        summary:
            "Copy everything that is whole in a damaged store into a new one; exit code 65 when something is lost.",
        discussion: """
            The damaged store is only read. Records are copied one by one if their checksums are right, whatever is
            damaged around them, from the data files and from the log; the catalogue is rebuilt if it must be. Records
            have new versions in the new store.
            """,
        options: [
            .store,
            .value("to", "DIR", "The directory of the new store, which must not exist or be empty.", isRequired: true),
            .json,
        ],
        examples: [
            ("nephrite salvage --store ./store --to ./rescued", "Say what was copied and what is lost"),
            ("nephrite salvage --store ./store --to ./rescued --json", "The same as one JSON object"),
        ])

    static func run(_ context: CommandContext) async throws {
        let path = try context.existingStore()
        let report = try await VectorStore(at: path).salvage(to: context.arguments["to"] ?? "")
        if context.isJSON {
            try context.printJSON { $0.value(report) }
        } else {
            for line in lines(report) { try context.console.print(line) }
        }
        guard report.isComplete else {
            throw CommandError(
                exitCode: .dataError, code: "corruption", message: "Not everything could be copied.",
                remedy: "Keep the damaged store, and restore what is lost from its source.", path: path)
        }
    }

    private static func lines(_ report: SalvageReport) -> [String] {
        var lines: [String] = []
        for database in report.databases {
            var words = ["\(HumanText.grouped(database.recoveredCount)) records copied"]
            let lost = database.lostCount + database.unidentifiedLossCount
            if lost > 0 { words.append("\(HumanText.grouped(lost)) LOST") }
            if !database.outdated.isEmpty { words.append("\(HumanText.grouped(database.outdated.count)) outdated") }
            if database.mayIncludeDeleted { words.append("deleted ones may be among them") }
            lines.append("\(database.name): " + words.joined(separator: ", "))
            lines += database.damages.map { "  \($0.kind): \(HumanText.printable($0.message))" }
            for record in database.lost.prefix(20) {
                let name = record.id.map { "“\(HumanText.printable($0))”" } ?? record.slot.map { "slot \($0)" } ?? "?"
                lines.append("  lost: \(name): \(record.reason)")
            }
            if database.lost.count > 20 { lines.append("  … --json lists \(database.lost.count)") }
        }
        lines += report.damages.map { "store: \($0.kind): \(HumanText.printable($0.message))" }
        return lines
    }
}

extension JSONText {
    /// The report of a salvage.
    mutating func value(_ report: SalvageReport) {
        object { json in
            json.field("complete", report.isComplete)
            json.field("databases", report.databases) { $0.value($1) }
            json.field("damages", report.damages) { $0.value($1) }
        }
    }

    /// What became of one database.
    mutating func value(_ database: SalvagedDatabase) {
        object { json in
            json.field("name", database.name)
            json.field("recovered", database.recoveredCount)
            json.field("lostCount", database.lostCount)
            json.field("unidentifiedLossCount", database.unidentifiedLossCount)
            json.field("mayIncludeDeleted", database.mayIncludeDeleted)
            json.field("lost", database.lost) { json, record in
                json.object { json in
                    json.field("id", ifPresent: record.id)
                    json.field("slot", ifPresent: record.slot.map(UInt64.init))
                    json.field("reason", record.reason)
                }
            }
            json.field("outdated", database.outdated)
            json.field("damages", database.damages) { $0.value($1) }
        }
    }
}
