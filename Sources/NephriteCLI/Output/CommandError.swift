/// The one error type of the command: everything that fails becomes one before it is reported, and the
/// entry point prints it as a line or as JSON.
import Nephrite

/// A failure with its exit code, its sentence and its remedy.
struct CommandError: Error, Sendable, Equatable {
    /// What the process ends with.
    var exitCode: ExitCode
    /// A name scripts can match, such as `usage` or a `StoreError.Code`.
    var code: String
    /// What failed, in a sentence.
    var message: String
    /// What to do about it, in a sentence.
    var remedy: String
    /// The database it is about.
    var database: String?
    /// The file it is about.
    var path: String?
    /// The position in the file, in bytes.
    var offset: UInt64?
    /// The row of the input, counted from 0.
    var row: Int?
    /// The record ids it is about.
    var ids: [String] = []
    /// `errno` of the failed call.
    var errorNumber: Int32?

    /// A wrong command line.
    static func usage(_ message: String, remedy: String) -> CommandError {
        CommandError(exitCode: .usage, code: "usage", message: message, remedy: remedy)
    }

    /// Input that is not what it should be, with its place.
    static func malformed(
        _ message: String, path: String, offset: UInt64? = nil, row: Int? = nil, remedy: String
    ) -> CommandError {
        var place = path
        if let row { place += ", row \(row)" }
        if let offset { place += ", offset \(offset)" }
        return CommandError(
            exitCode: .dataError, code: "malformedInput", message: "\(place): \(message)", remedy: remedy, path: path,
            offset: offset, row: row)
    }

    /// What was asked for is not there.
    static func notFound(_ ids: [String], in database: String) -> CommandError {
        let named = ids.prefix(3).map { "“\($0)”" }.joined(separator: ", ") + (ids.count > 3 ? ", …" : "")
        return CommandError(
            exitCode: .failure, code: "recordNotFound",
            message: "Database “\(database)” has no record \(named).",
            remedy: "Check the id; ids are compared byte by byte.", database: database, ids: Array(ids.prefix(100)))
    }

    /// Ended by a signal, after what was in flight was finished.
    static let interrupted = CommandError(
        exitCode: .interrupted, code: "interrupted", message: "Interrupted; everything acknowledged is kept.",
        remedy: "Run the command again to continue.")
}

extension CommandError {
    /// Any error as a command error: store errors keep their code, place and remedy.
    init(_ error: any Error) {
        switch error {
        case let error as CommandError:
            self = error
        case let error as StoreError:
            self.init(
                exitCode: ExitCode(error), code: error.code.description, message: Self.located(error),
                remedy: error.remedy, database: error.database, path: error.path, offset: error.offset, ids: error.ids,
                errorNumber: error.errorNumber)
        case is CancellationError:
            self = .interrupted
        default:
            self.init(
                exitCode: .failure, code: "failure", message: String(describing: error),
                remedy: "Run the command again; report it if it happens twice.")
        }
    }

    /// The message of a store error with those of its places that the message does not name itself.
    private static func located(_ error: StoreError) -> String {
        var places: [String] = []
        if let database = error.database, !error.message.contains(database) { places.append("database \(database)") }
        if let path = error.path, !error.message.contains(path) { places.append(path) }
        if let offset = error.offset { places.append("offset \(offset)") }
        // A query has no id; the engine calls it “(query)”.
        let ids = error.ids.filter { $0 != "(query)" && !error.message.contains($0) }
        if !ids.isEmpty { places.append("id " + ids.prefix(3).joined(separator: ", ") + (ids.count > 3 ? ", …" : "")) }
        return places.isEmpty ? error.message : error.message + " [" + places.joined(separator: ", ") + "]"
    }

    /// The line for people: one line, whatever the ids and paths in it have in them.
    var line: String { "nephrite: " + HumanText.printable("\(message) \(remedy)") }

    /// The line for machines: `{"error":{…}}`.
    var jsonLine: String {
        var json = JSONText()
        json.object { json in
            json.key("error")
            json.object { json in
                json.field("code", code)
                json.field("exitCode", Int(exitCode.rawValue))
                json.field("message", message)
                json.field("remedy", remedy)
                json.field("database", ifPresent: database)
                json.field("path", ifPresent: path)
                json.field("offset", ifPresent: offset)
                if let row { json.field("row", row) }
                if !ids.isEmpty { json.field("ids", ids) }
                if let errorNumber { json.field("errno", Int(errorNumber)) }
            }
        }
        return json.text
    }
}
