/// The command that switches the codes of a database on or off: it hands the mode to the engine, and shows on standard
/// error how far encoding is.
import Nephrite

/// `nephrite quantize`.
enum QuantizeCommand: Command {
    static let specification = CommandSpecification(
        name: "quantize",
        summary: "Have the vectors of a database encoded for faster searches, or remove their codes.",
        discussion: """
            The mode is kept with the database. With automatic the command stays until every vector has a code, whatever
            the size of the database; Ctrl-C ends it, and the rest is encoded when the database is searched. What
            searches find does not change. Fewer than 1,000 records are not encoded.
            """,
        positionals: [PositionalSpecification("NAME", "The database.")],
        options: [
            .store,
            .value("mode", "MODE", "automatic (unless given): keep codes of the vectors; none: remove them."),
            .flag("no-wait", "Set the mode only; the vectors are encoded when the database is searched."),
            .json,
        ],
        examples: [
            ("nephrite quantize --store ./store glosses", "Encode all vectors now"),
            ("nephrite quantize --store ./store glosses --mode none", "Remove the codes, and make none"),
        ])

    static func run(_ context: CommandContext) async throws {
        let mode = try context.arguments.choice("mode", Quantization.self) ?? .automatic
        let waits = mode == .automatic && !context.arguments.has("no-wait")
        let status = try await context.withDatabase { database in
            try await database.setQuantization(mode)
            return waits ? try await context.encode(database) : nil
        }
        let name = context.positional(0)
        if context.isJSON {
            try context.printJSON { json in
                json.object { json in
                    json.field("name", name)
                    json.field("quantization", mode.rawValue)
                    guard let status else { return }
                    json.field("state", status.state.rawValue)
                    json.field("codedCount", status.codedCount)
                    json.field("recordCount", status.recordCount)
                }
            }
        } else if let status, status.state == .complete {
            context.console.note("Encoded all \(HumanText.grouped(status.recordCount)) vectors of “\(name)”.")
        } else {
            context.console.note(
                mode == .none ? "“\(name)” has no codes any more." : "“\(name)” has codes once it is searched.")
        }
    }
}

extension CommandContext {
    /// Has the vectors of a database encoded, showing how far that is.
    ///
    /// - Returns: how it ended: complete, or idle where there is nothing to encode; partial in a store that is only read.
    /// - Throws: what keeps it from being finished.
    func encode(_ database: VectorDatabase) async throws -> CodingStatus? {
        var meter = ProgressMeter(console)
        defer { meter.end() }
        var last: CodingStatus?
        for try await status in database.encodeVectors() {
            meter.update("Encoded", done: status.codedCount, of: status.recordCount)
            last = status
        }
        switch last?.state {
        case .waitingForSpace:
            throw CommandError(
                exitCode: .inputOutput, code: "diskFull", message: "The disk has too little room for codes.",
                remedy: "Make room and try again; searches work without codes, only slower.", database: database.name)
        case .failed:
            throw CommandError(
                exitCode: .inputOutput, code: "inputOutput", message: "A call on the file of codes failed.",
                remedy: "See the system's log; searches work without codes, only slower.", database: database.name)
        default: return last
        }
    }
}
