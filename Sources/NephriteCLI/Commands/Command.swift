/// What every command is: a specification and a function; the runner finds it by name and gives it a
/// context with everything it may touch.
import Foundation
import Nephrite

/// A command of `nephrite`.
protocol Command: SendableMetatype {
    /// Its name, arguments and help.
    static var specification: CommandSpecification { get }

    /// Whether it looks at the interrupt itself and finishes what is in flight; the others are cancelled.
    static var finishesWhenInterrupted: Bool { get }

    /// Does it.
    ///
    /// - Throws: whatever failed; the runner turns it into a message and an exit code.
    static func run(_ context: CommandContext) async throws
}

extension Command {
    static var finishesWhenInterrupted: Bool { false }
}

/// What a command works with.
struct CommandContext: Sendable {
    /// Its arguments, checked.
    let arguments: ParsedArguments
    /// Standard output and standard error.
    let console: Console
    /// Whether the user asked to stop.
    let interrupt: Interrupt

    /// Whether output is for machines.
    var isJSON: Bool { arguments.has("json") }

    /// The n-th positional argument, which the specification requires.
    func positional(_ index: Int) -> String { arguments.positionals[index] }

    /// The filter of `--where`, nil without it.
    func filter() throws(StoreError) -> Filter? {
        guard let text = arguments["where"] else { return nil }
        return try Filter(parsing: text)
    }

    /// Prints one line of JSON.
    func printJSON(_ body: (inout JSONText) -> Void) throws {
        var json = JSONText()
        body(&json)
        try console.print(json.text)
    }

    /// Opens the store of `--store`, and closes it after `body`.
    ///
    /// - Parameter isCreating: whether the store may be a new one; else a missing one is an error, exit code 66.
    func withStore<Result: Sendable>(
        isCreating: Bool = false, _ body: (VectorStore) async throws -> Result
    ) async throws -> Result {
        let path = isCreating ? arguments["store"] ?? "" : try existingStore()
        var configuration = StoreConfiguration()
        if arguments.has("read-only") { configuration.access = .readOnly }
        let console = console
        if console.showsProgress {
            configuration.recoveryProgress = { progress in
                let done = Double(progress.byteCount) / Double(max(1, progress.totalByteCount))
                let what = progress.phase == .reading ? "Recovering: reading" : "Recovering: replaying"
                console.progress(
                    "\(what) the log, \(HumanText.fixed(100 * done, decimals: 0)) % of "
                        + "\(HumanText.grouped(progress.totalByteCount >> 20)) MiB")
                if progress.phase == .replaying, progress.byteCount == progress.totalByteCount { console.endProgress() }
            }
        }
        return try await withVectorStore(at: path, configuration: configuration) { store in
            if configuration.access == .readOnly { warn(store.recoveryReport) }
            return try await body(store)
        }
    }

    /// The directory of `--store`, which is there and not empty.
    func existingStore() throws(CommandError) -> String {
        let path = arguments["store"] ?? ""
        try Self.requireStore(path)
        return path
    }

    /// What is missing from a store that was opened in spite of damage is said before what is there.
    private func warn(_ report: RecoveryReport?) {
        for damage in report?.damages ?? [] where damage.kind != "mended" {
            let message = "\(damage.message) What was written after it is not shown."
            if isJSON {
                var json = JSONText()
                json.object { json in
                    json.key("warning")
                    json.object { json in
                        json.field("code", damage.kind)
                        json.field("message", message)
                        json.field("path", ifPresent: damage.path)
                    }
                }
                console.note(json.text)
            } else {
                console.note("Warning: \(HumanText.printable(message))")
            }
        }
    }

    /// Opens the store and the database the first positional argument names.
    func withDatabase<Result: Sendable>(_ body: (VectorDatabase) async throws -> Result) async throws -> Result {
        let name = positional(0)
        return try await withStore { store in try await body(store.database(name)) }
    }

    /// Refuses a directory that is missing or empty: opening it would make a new store out of it.
    private static func requireStore(_ path: String) throws(CommandError) {
        guard !path.isEmpty else {
            throw .usage("--store names no directory.", remedy: "Give the directory of the store.")
        }
        var isDirectory: ObjCBool = false
        let exists = unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        if exists, isDirectory.boolValue {
            // A directory that cannot be read is the engine's to explain.
            guard let entries = try? FileManager.default.contentsOfDirectory(atPath: path), entries.isEmpty else {
                return
            }
        } else if exists {
            return
        }
        throw CommandError(
            exitCode: .noInput, code: "storeNotFound", message: "There is no store at \(path).",
            remedy: "Create one: nephrite create --store \(path) NAME --dimension D --metric cosine.", path: path)
    }
}
