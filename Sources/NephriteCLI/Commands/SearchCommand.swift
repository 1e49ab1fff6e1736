/// The command that searches: takes queries from a record, the command line or a file, and prints the
/// nearest records of each.
import Nephrite

/// `nephrite search`.
enum SearchCommand: Command {
    static let specification = CommandSpecification(
        name: "search",
        summary: "Find the records nearest to a vector.",
        discussion: """
            With --json each query is {"query":i,"ids":[…],"scores":[…],"nanoseconds":n} on a line, nearest first;
            nanoseconds is the time inside the engine. The queries of a file share passes over the data, 64 at a time; the
            time of each is then a 64th of their pass. Scores are similarities (cosine, dot: larger is nearer) or
            distances (euclidean: smaller is nearer). All queries see the same commit. An exact answer is that of comparing
            every vector in 32-bit floating point; --explain adds "explanation":{"plan":…,"threads":n,"stages":[…]}.
            """,
        positionals: [PositionalSpecification("NAME", "The database.")],
        options: [
            .store,
            .value("like", "ID", "Search for the neighbours of a record, which is its own first."),
            .value("vector", "JSON", "Search for a vector given as a JSON array."),
            .value("queries", "FILE", "Search for each vector of a file (.fvecs, .bvecs, .fbin, .npy, NDJSON)."),
            .value("format", "FORMAT", "The format of the file, when its name does not tell."),
            .where,
            .value("k", "K", "How many records to find; 10 unless given."),
            .value("mode", "MODE", "exact (unless given), approximate[:RECALL], 0.99 unless given, or candidates:N."),
            .value("threads", "N", "At most so many threads search."),
            .flag("explain", "Say how each answer was come by: stages, records, bytes, times."),
            .readOnly,
            .json,
        ],
        exclusive: [(names: ["like", "vector", "queries"], isRequired: true)],
        examples: [
            ("nephrite search --store ./store glosses --like core.n.1 -k 5", "What is like a record"),
            ("nephrite search --store ./store points --vector '[0.1, 0.2]' -k 3 --json", "What is near a vector"),
            ("nephrite search --store ./store glosses --queries query.fvecs -k 10 --json", "Many queries"),
            (
                "nephrite search --store ./store notes --like tea --where 'lang == \"en\" && year >= 2020'",
                "Only among records with such metadata"
            ),
        ])

    private static let batchSize = 64

    static func run(_ context: CommandContext) async throws {
        let k = try context.arguments.integer("k", in: 1...Int.max) ?? 10
        let options = SearchOptions(
            mode: try mode(context.arguments["mode"]), filter: try context.filter(),
            maximumThreads: try context.arguments.integer("threads", in: 1...1_024))
        let name = context.positional(0)
        if let id = context.arguments["like"] {
            try await context.withDatabase { database in
                let snapshot = try await database.snapshot()
                guard let vector = try snapshot.vector(for: id) else { throw CommandError.notFound([id], in: name) }
                try await answer(0, vector, k, options, snapshot, context)
            }
        } else if let text = context.arguments["vector"] {
            let vector = try parse(text)
            try await context.withDatabase { database in
                try await answer(0, vector, k, options, database.snapshot(), context)
            }
        } else if let path = context.arguments["queries"] {
            let format = try context.arguments.choice("format", DatasetFormat.self) ?? DatasetFormat(path: path)
            let queries = try format.open(path, interrupt: context.interrupt)
            try await context.withDatabase { database in
                try await answerAll(queries, k, options, database.snapshot(), context)
            }
        }
    }

    /// The mode that `--mode` names.
    static func mode(_ text: String?) throws(CommandError) -> SearchMode {
        guard let text, text != "exact" else { return .exact }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        if parts[0] == "approximate" {
            if parts.count == 1 { return .approximate(recall: 0.99) }
            if let recall = Double(parts[1]), (0.5...0.9999).contains(recall) { return .approximate(recall: recall) }
        } else if parts[0] == "candidates", parts.count == 2, let count = Int(parts[1]), count > 0 {
            return .approximateCandidates(count)
        }
        throw .usage(
            "“\(text)” is no value for --mode.", remedy: "Write exact, approximate, approximate:0.95 or candidates:200."
        )
    }

    /// The vector on the command line.
    static func parse(_ text: String) throws(CommandError) -> [Float] {
        var parser = JSONParser(Array(text.utf8)[...])
        do throws(JSONParser.SyntaxError) {
            return try parser.vectorDocument()
        } catch {
            throw .usage(
                "--vector is no JSON array of numbers, at byte \(error.position): \(error.message)",
                remedy: "Write it like '[0.25, -1, 3e-2]'.")
        }
    }

    private static func answerAll(
        _ queries: any RowReader, _ k: Int, _ options: SearchOptions, _ snapshot: DatabaseSnapshot,
        _ context: CommandContext
    ) async throws {
        while true {
            let batch = try queries.next(limit: batchSize)
            guard batch.rowCount > 0, let dimension = queries.dimension else { return }
            try Task.checkCancellation()
            let vectors = (0..<batch.rowCount).map { Array(batch.vectors[$0 * dimension..<($0 + 1) * dimension]) }
            do {
                if context.arguments.has("explain") {
                    for (row, vector) in vectors.enumerated() {
                        try await answer(batch.firstRow + row, vector, k, options, snapshot, context)
                    }
                } else {
                    try await answer(batch.firstRow, vectors, k, options, snapshot, context)
                }
            } catch let error as StoreError {
                let row = error.code == .notFinite ? vectors.firstIndex { !$0.allSatisfy(\.isFinite) } : nil
                throw CommandError(error).inRow(batch.firstRow + (row ?? 0), of: context.arguments["queries"] ?? "")
            }
        }
    }

    /// Searches for several vectors in one pass and prints what is found.
    private static func answer(
        _ first: Int, _ vectors: [[Float]], _ k: Int, _ options: SearchOptions, _ snapshot: DatabaseSnapshot,
        _ context: CommandContext
    ) async throws {
        let clock = ContinuousClock()
        let start = clock.now
        let found = try await snapshot.search(vectors, k: k, options: options)
        let duration = (clock.now - start) / vectors.count
        for (row, hits) in found.enumerated() {
            if context.isJSON {
                try context.printJSON { $0.answer(first + row, hits, duration) }
            } else {
                try context.console.print("query \(first + row)")
                for line in try lines(hits, snapshot) { try context.console.print(line) }
            }
        }
    }

    /// Searches for one vector and prints what is found.
    private static func answer(
        _ query: Int, _ vector: [Float], _ k: Int, _ options: SearchOptions, _ snapshot: DatabaseSnapshot,
        _ context: CommandContext
    ) async throws {
        let clock = ContinuousClock()
        let start = clock.now
        let explanation =
            context.arguments.has("explain") ? try await snapshot.explain(vector, k: k, options: options) : nil
        let hits: [SearchHit]
        if let explanation {
            hits = explanation.hits
        } else {
            hits = try await snapshot.search(vector, k: k, options: options)
        }
        let duration = clock.now - start
        if context.isJSON {
            try context.printJSON { $0.answer(query, hits, duration, explanation) }
        } else {
            if let explanation { try context.console.print(explanation.description) }
            if context.arguments["queries"] != nil { try context.console.print("query \(query)") }
            for line in try lines(hits, snapshot) { try context.console.print(line) }
        }
    }

    /// The hits for people: rank, score, id and what the record is about.
    static func lines(_ hits: [SearchHit], _ snapshot: DatabaseSnapshot) throws -> [String] {
        let records = try snapshot.records(for: hits.map(\.id))
        return HumanText.table(
            zip(hits, records).enumerated().map { rank, found in
                let (hit, record) = found
                let score = HumanText.fixed(Double(hit.score), decimals: 4)
                let place = String(repeating: " ", count: rank < 9 ? 3 : 2) + String(rank + 1)
                return [place, score, HumanText.printable(hit.id), record.map { HumanText.summary($0.metadata) } ?? ""]
            })
    }
}

extension JSONText {
    /// The answer to one query.
    mutating func answer(
        _ query: Int, _ hits: [SearchHit], _ duration: Duration, _ explanation: SearchExplanation? = nil
    ) {
        object { json in
            json.field("query", query)
            json.field("ids", hits.map(\.id))
            json.field("scores", hits.map(\.score))
            let (seconds, attoseconds) = duration.components
            json.field("nanoseconds", seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
            guard let explanation else { return }
            json.key("explanation")
            json.explanation(explanation)
        }
    }

    private mutating func explanation(_ explanation: SearchExplanation) {
        object { json in
            json.field("plan", explanation.plan)
            json.field("threads", explanation.threads)
            if let filter = explanation.filter {
                json.key("filter")
                json.object { json in
                    json.field("plan", filter.plan)
                    json.field("records", filter.records)
                    json.field("nanoseconds", filter.nanoseconds)
                }
            }
            json.key("stages")
            json.array { json in
                for stage in explanation.stages {
                    json.object { json in
                        json.field("name", stage.name)
                        json.field("records", stage.records)
                        json.field("bytes", stage.bytes)
                        json.field("nanoseconds", stage.nanoseconds)
                    }
                }
            }
        }
    }
}

extension CommandError {
    /// The same error with the row of the input it is about.
    func inRow(_ row: Int, of path: String) -> CommandError {
        var error = self
        error.row = row
        error.message = "\(path), row \(row): \(message)"
        return error
    }
}
