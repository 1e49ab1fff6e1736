/// The commands about single records: get and delete.
import Nephrite

/// `nephrite get`.
enum GetCommand: Command {
    static let specification = CommandSpecification(
        name: "get",
        summary: "Print records by id; exit code 1 when one is not there.",
        discussion: "With --json each record is {\"id\":…,\"vector\":[…],\"metadata\":{…}} on a line.",
        positionals: [
            PositionalSpecification("NAME", "The database."),
            PositionalSpecification("ID", "The ids.", arity: .oneOrMore),
        ],
        options: [.store, .readOnly, .json],
        examples: [
            ("nephrite get --store ./store glosses core.n.1", "The metadata, and the first components"),
            ("nephrite get --store ./store glosses core.n.1 --json", "Everything, for scripts"),
        ])

    static func run(_ context: CommandContext) async throws {
        let ids = Array(context.arguments.positionals.dropFirst())
        let records = try await context.withDatabase { try await $0.records(for: ids) }
        for case let record? in records {
            if context.isJSON {
                try context.printJSON { $0.value(record) }
            } else {
                for line in lines(record) { try context.console.print(line) }
            }
        }
        let missing = zip(ids, records).filter { $1 == nil }.map(\.0)
        if !missing.isEmpty { throw CommandError.notFound(missing, in: context.positional(0)) }
    }

    /// A record for people.
    private static func lines(_ record: VectorRecord) -> [String] {
        let shown = record.vector.prefix(6).map(\.description).joined(separator: ", ")
        let more = record.vector.count > 6 ? ", …" : ""
        var rows = [["id", HumanText.printable(record.id)]]
        rows += record.metadata.fields.map { key, value in
            if case .string(let text) = value { return [HumanText.printable(key), HumanText.printable(text)] }
            var json = JSONText()
            json.value(value)
            return [HumanText.printable(key), json.text]
        }
        rows.append(["vector", "\(record.vector.count) components: \(shown)\(more)"])
        return HumanText.table(rows)
    }
}

/// `nephrite delete`.
enum DeleteCommand: Command {
    static let specification = CommandSpecification(
        name: "delete",
        summary: "Delete records by id, all in one commit; exit code 1 when one was not there.",
        positionals: [
            PositionalSpecification("NAME", "The database."),
            PositionalSpecification("ID", "The ids.", arity: .oneOrMore),
        ],
        options: [.store, .json],
        examples: [("nephrite delete --store ./store glosses core.n.1 shine.v.1", "Delete two records")])

    static func run(_ context: CommandContext) async throws {
        // By bytes: texts that Unicode calls equivalent are two ids, and one element of a set of strings.
        var seen: Set<[UInt8]> = []
        let ids = context.arguments.positionals.dropFirst().filter { seen.insert(Array($0.utf8)).inserted }
        // This process holds the store's lock, so what is there before the delete is what it deletes.
        let (missing, deleted) = try await context.withDatabase { database in
            var missing: [String] = []
            for id in ids where try await !database.contains(id) { missing.append(id) }
            return (missing, try await database.delete(ids))
        }
        if context.isJSON {
            try context.printJSON { json in
                json.object { json in
                    json.field("deleted", deleted)
                    json.field("missing", missing)
                }
            }
        } else if deleted > 0 {
            context.console.note("Deleted \(HumanText.grouped(deleted)) record\(deleted == 1 ? "" : "s").")
        }
        if !missing.isEmpty { throw CommandError.notFound(missing, in: context.positional(0)) }
    }
}

extension JSONText {
    /// A record: `{"id":…,"vector":[…],"metadata":{…}}`.
    mutating func value(_ record: VectorRecord) {
        object { json in
            json.field("id", record.id)
            json.field("vector", record.vector)
            json.field("metadata", record.metadata)
        }
    }
}
