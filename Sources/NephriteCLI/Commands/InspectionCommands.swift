/// The commands that look at a store: stats and check.
import Foundation
import Nephrite

/// `nephrite stats`.
enum StatsCommand: Command {
    static let specification = CommandSpecification(
        name: "stats",
        summary: "Print the figures of a store, or of one database.",
        positionals: [PositionalSpecification("NAME", "A database; the whole store without it.", arity: .optional)],
        options: [.store, .readOnly, .json],
        examples: [
            ("nephrite stats --store ./store", "Log, commits, and every database"),
            ("nephrite stats --store ./store glosses --json", "One database, for scripts"),
        ])

    static func run(_ context: CommandContext) async throws {
        let name = context.arguments.positionals.first
        let report = try await context.withStore { store -> MetadataValue in
            if let name { return try await figures(store.database(name)) }
            var databases: [MetadataValue] = []
            for database in try await store.databases() {
                try Task.checkCancellation()
                databases.append(try await figures(store.database(database.name)))
            }
            return try await .object(["store": figures(store.statistics()), "databases": .array(databases)])
        }
        if context.isJSON {
            try context.printJSON { $0.value(report) }
        } else {
            for line in lines(report, indent: "") { try context.console.print(line) }
        }
    }

    private static func figures(_ database: VectorDatabase) async throws -> MetadataValue {
        let bytes = try await JSONEncoder().encode(database.statistics())
        var parser = JSONParser(Array(bytes)[...])
        return try parser.document()
    }

    private static func figures(_ statistics: StoreStatistics) -> MetadataValue {
        .object([
            "logByteCount": .integer(Int64(clamping: statistics.logByteCount)),
            "commits": .integer(Int64(clamping: statistics.commits)),
            "syncs": .integer(Int64(clamping: statistics.syncs)),
            "checkpoints": .integer(Int64(clamping: statistics.checkpoints)),
            "openFiles": .integer(Int64(clamping: statistics.openFiles)),
        ])
    }

    /// The figures as an indented list, names before the figures below them.
    private static func lines(_ value: MetadataValue, indent: String) -> [String] {
        switch value {
        case .object(let fields):
            var lines: [String] = []
            for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
                switch value {
                case .object, .array:
                    lines.append("\(indent)\(key):")
                    lines += Self.lines(value, indent: indent + "  ")
                case .string(let text): lines.append("\(indent)\(key): \(text)")
                case .integer(let number): lines.append("\(indent)\(key): \(HumanText.grouped(number))")
                case .double(let seconds) where key.hasSuffix("At"):
                    let date = Date(timeIntervalSince1970: seconds).formatted(.iso8601)
                    lines.append("\(indent)\(key): \(date)")
                case .double(let number): lines.append("\(indent)\(key): \(number)")
                case .bool(let flag): lines.append("\(indent)\(key): \(flag)")
                case .null: break
                }
            }
            return lines
        case .array(let values):
            return Array(values.map { lines($0, indent: indent) }.joined(separator: [""]))
        default:
            return []
        }
    }
}

/// `nephrite check`.
enum CheckCommand: Command {
    static let specification = CommandSpecification(
        name: "check",
        summary: "Verify every checksum and reference of a store; exit code 65 when something is damaged.",
        discussion: """
            Reads every record, every index page and the log. Opening the store recovers what a crash left, as every
            command does, and mends what is stored twice; check reports that, too, and changes nothing else. With
            --read-only it recovers in memory.
            """,
        options: [.store, .readOnly, .json],
        examples: [
            ("nephrite check --store ./store", "Say what is damaged, if anything is"),
            ("nephrite check --store ./store --json", "The same as one JSON object"),
        ])

    static func run(_ context: CommandContext) async throws {
        let report = try await report(context)
        if context.isJSON {
            try context.printJSON { $0.value(report) }
        } else {
            for line in lines(report) { try context.console.print(line) }
        }
        guard report.isSound else {
            let count = report.databases.reduce(report.damages.count) { $0 + $1.damages.count }
            throw CommandError(
                exitCode: .dataError, code: "corruption",
                message: "The store is damaged in \(count) place\(count == 1 ? "" : "s").",
                remedy:
                    "Keep a copy of the directory; “nephrite salvage” copies everything that is whole into a new store.",
                path: context.arguments["store"])
        }
    }

    /// What the engine found. Damage that keeps the store from opening is what the user asked for, too.
    private static func report(_ context: CommandContext) async throws -> IntegrityReport {
        do {
            return try await context.withStore { try await $0.check() }
        } catch let error as StoreError where error.code == .corruption {
            return IntegrityReport(refusing: error)
        }
    }

    private static func lines(_ report: IntegrityReport) -> [String] {
        var lines: [String] = []
        for database in report.databases {
            let state = database.damages.isEmpty ? "sound" : "DAMAGED"
            lines.append(
                "\(database.name): \(state), \(HumanText.grouped(database.recordCount)) records, "
                    + "\(HumanText.grouped(database.checkedByteCount)) bytes checked")
            lines += database.damages.map(line)
        }
        if !report.damages.isEmpty { lines.append("store: DAMAGED") }
        lines += report.damages.map(line)
        lines += report.orphans.map { "orphan: \(HumanText.printable($0)) belongs to no database" }
        return lines
    }
}

extension CheckCommand {
    /// One damage for people: what, and where.
    private static func line(_ damage: Damage) -> String {
        var places: [String] = []
        if let path = damage.path { places.append(path) }
        if let offset = damage.offset { places.append("offset \(offset)") }
        if !damage.ids.isEmpty {
            let ids = damage.ids.prefix(3).map { "“\(HumanText.printable($0))”" }.joined(separator: ", ")
            places.append("id \(ids)\(damage.ids.count > 3 ? ", …" : "")")
        }
        return "  \(damage.kind): \(damage.message)" + (places.isEmpty ? "" : " [\(places.joined(separator: ", "))]")
    }
}

extension JSONText {
    /// The report of a check.
    mutating func value(_ report: IntegrityReport) {
        object { json in
            json.field("sound", report.isSound)
            json.field("databases", report.databases) { $0.value($1) }
            json.field("damages", report.damages) { $0.value($1) }
            json.field("orphans", report.orphans)
        }
    }

    /// What was found in one database.
    mutating func value(_ database: DatabaseIntegrity) {
        object { json in
            json.field("name", database.name)
            json.field("recordCount", database.recordCount)
            json.field("checkedByteCount", database.checkedByteCount)
            json.field("damages", database.damages) { $0.value($1) }
        }
    }

    /// One damage with its place.
    mutating func value(_ damage: Damage) {
        object { json in
            json.field("kind", damage.kind)
            json.field("message", damage.message)
            json.field("path", ifPresent: damage.path)
            json.field("offset", ifPresent: damage.offset)
            json.field("ids", damage.ids)
        }
    }
}
