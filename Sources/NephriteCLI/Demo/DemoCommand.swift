/// The command that shows what the store is for: imports the sample, searches it, and proves that killing
/// an import loses nothing that was acknowledged.
import Foundation
import Nephrite

/// `nephrite demo`.
enum DemoCommand: Command {
    static let specification = CommandSpecification(
        name: "demo",
        summary: "Import 5,000 real embeddings, search them, and prove that kill -9 loses nothing acknowledged.",
        discussion: """
            Works in a temporary store that it removes, or in --store DIR, which it keeps; the databases “glosses” and
            “killed” must not be there yet. Exit code 0 only if everything acknowledged was found again.
            """,
        options: [
            .value("store", "DIR", "Where to keep the store."),
            .value("data", "DIR", "Where the sample is; Tests/Data/wordnet-minilm of the project unless given."),
        ],
        examples: [
            ("nephrite demo", "Everything in a temporary store"),
            ("nephrite demo --store ./store", "Keep the store, to search it afterwards"),
        ])

    private static let attempts = 5
    private static let childBatchSize = 10
    private static let rowsBeforeKill = 2_000

    static func run(_ context: CommandContext) async throws {
        let sample = try SampleData(directory: context.arguments["data"])
        let rows = try sample.rows()
        guard rows.rowCount > rowsBeforeKill else {
            throw CommandError.malformed(
                "The sample has only \(rows.rowCount) rows.", path: sample.vectors, remedy: "Copy it again, whole.")
        }
        let temporary = FileManager.default.temporaryDirectory.appendingPathComponent("nephrite-demo-\(UUID())")
        let store = context.arguments["store"] ?? temporary.path
        var isEvidence = false
        defer { if !isEvidence { try? FileManager.default.removeItem(at: temporary) } }
        try say("Store: \(store)", context)
        try await withVectorStore(at: store) { try await importAndSearch(sample, $0, context) }
        isEvidence = true
        try await killAndProve(sample, rows, store, context)
        isEvidence = false
        if context.arguments["store"] != nil {
            try say("\nGo on: nephrite search --store \(store) glosses --like \(rows.ids[0]) -k 5", context)
        }
    }

    private static func importAndSearch(
        _ sample: SampleData, _ store: VectorStore, _ context: CommandContext
    ) async throws {
        let reader = try sample.reader()
        let options = DatabaseOptions(dimension: reader.dimension ?? 0, metric: .cosine)
        let database = try await store.createDatabase("glosses", options: options)
        var meter = ProgressMeter(context.console)
        let job = ImportJob(reader: reader, path: sample.vectors, batchSize: 500, interrupt: context.interrupt)
        let summary = try await job.run(into: database) { meter.update(rows: $0) }
        meter.end()
        try context.interrupt.check()
        let rate = HumanText.rate(rows: summary.rowCount, in: summary.duration)
        try say("Imported the WordNet glosses, each batch of 500 durable: \(rate).", context)
        let queries = try sample.queries()
        let snapshot = try await database.snapshot()
        for query in stride(from: 0, to: queries.rowCount, by: max(1, queries.rowCount / 3)).prefix(3) {
            let vector = Array(queries.vectors[query * options.dimension..<(query + 1) * options.dimension])
            try say("\nNearest to “\(HumanText.summary(queries.metadata[query]))”", context)
            let hits = try await snapshot.search(vector, k: 4)
            for line in try SearchCommand.lines(hits, snapshot) { try say(line, context) }
        }
        _ = try await store.createDatabase("killed", options: options)
    }

    /// Kills an import half-way and compares what is there with what was acknowledged. A child that was
    /// done before the signal reached it proves nothing, so it is started again.
    private static func killAndProve(
        _ sample: SampleData, _ rows: RowBatch, _ store: String, _ context: CommandContext
    ) async throws {
        guard let executable = Bundle.main.executableURL else {
            throw CommandError(
                exitCode: .failure, code: "failure", message: "The path of this program is unknown.",
                remedy: "Start it by its full path.")
        }
        for attempt in 1...attempts {
            try Task.checkCancellation()
            let child = KilledImport(
                executable: executable, store: store, database: "killed", sample: sample, batchSize: childBatchSize)
            let outcome = try child.run(killAfter: rowsBeforeKill)
            if outcome.wasKilled, outcome.acknowledged < rows.rowCount {
                try say(
                    "\nKilled a second process with SIGKILL while it was importing in batches of \(childBatchSize).",
                    context)
                return try await prove(rows, outcome, store, context)
            }
            guard outcome.wasKilled || outcome.exitCode == 0 else {
                throw CommandError(
                    exitCode: .failure, code: "failure",
                    message: "The second process ended with \(outcome.exitCode) before it was killed.",
                    remedy: "Run nephrite import by hand to see why.", path: store)
            }
            try say("\nThe import was faster than the kill (attempt \(attempt)); again.", context)
            try await withVectorStore(at: store) { store in
                let options = try await store.database("killed").options
                try await store.dropDatabase("killed")
                _ = try await store.createDatabase("killed", options: options)
            }
        }
        throw CommandError(
            exitCode: .failure, code: "notProven", message: "The import could not be killed in its middle.",
            remedy: "Run the demo again.")
    }

    private static func prove(
        _ rows: RowBatch, _ outcome: KilledImport.Outcome, _ store: String, _ context: CommandContext
    ) async throws {
        let proof = try await withVectorStore(at: store) { store in
            let database = try await store.database("killed")
            return RecoveryProof(
                rows, dimension: database.options.dimension, acknowledged: outcome.acknowledged,
                batchSize: childBatchSize, records: try await database.records(for: rows.ids),
                count: try await database.count())
        }
        try say("Opened the store again. Rows: \(proof.verdict)", context)
        guard proof.holds else {
            throw CommandError(
                exitCode: .failure, code: "notProven", message: "The store lost what it had acknowledged.",
                remedy: "Keep \(store) and report it.", path: store)
        }
    }

    private static func say(_ line: String, _ context: CommandContext) throws {
        try context.console.print(line)
        try context.console.flush()
    }
}
