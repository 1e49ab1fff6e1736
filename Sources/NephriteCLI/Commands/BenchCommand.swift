/// The command that measures searches of a database: it takes queries from a file or from the database, and prints for
/// each mode what was found of the exact answers and how long it took.
import Nephrite

/// `nephrite bench`.
enum BenchCommand: Command {
    static let specification = CommandSpecification(
        name: "bench",
        summary: "Measure searches: recall against exact ones, latencies, queries per second.",
        discussion: """
            For each mode all queries are searched for one after the other, and then all at once, sharing passes over the
            data. Recall is the share of the exact answers that a mode finds. The vectors are encoded first, unless the
            database wants no codes; with --read-only those codes are used that there are. With --json each mode is a line
            {"mode":…,"recall":r,"queries":n,"k":k,"milliseconds":{"p50":…,"p95":…,"p99":…,"mean":…},
            "queriesPerSecond":q,"batchQueriesPerSecond":b}.
            """,
        positionals: [
            PositionalSpecification("WHAT", "search."), PositionalSpecification("NAME", "The database."),
        ],
        options: [
            .store,
            .value("queries", "FILE", "Vectors to search for; records of the database, spread over it, unless given."),
            .value("format", "FORMAT", "The format of the file, when its name does not tell."),
            .value("count", "N", "At most so many queries; 200 unless given."),
            .value("modes", "MODES", "As --mode of search, separated by commas; exact,approximate:0.99 unless given."),
            .where,
            .value("k", "K", "How many records to find; 10 unless given."),
            .value("threads", "N", "At most so many threads search."),
            .readOnly,
            .json,
        ],
        examples: [
            ("nephrite bench search --store ./store glosses", "Searches for 200 of the database's own vectors"),
            (
                "nephrite bench search --store ./store glosses --queries query.fvecs --modes exact,candidates:200",
                "Two modes, with queries from a file"
            ),
        ])

    static func run(_ context: CommandContext) async throws {
        guard context.positional(0) == "search" else {
            throw CommandError.usage(
                "“\(context.positional(0))” cannot be measured.", remedy: "Write: nephrite bench search NAME.")
        }
        let k = try context.arguments.integer("k", in: 1...Int.max) ?? 10
        let count = try context.arguments.integer("count", in: 1...1_000_000) ?? 200
        let threads = try context.arguments.integer("threads", in: 1...1_024)
        let filter = try context.filter()
        let names = (context.arguments["modes"] ?? "exact,approximate:0.99").split(separator: ",").map(String.init)
        let modes = try names.map { name throws(CommandError) in (name, try SearchCommand.mode(name)) }
        guard !modes.isEmpty else {
            throw CommandError.usage("--modes names none.", remedy: "Write exact,approximate:0.99 or the like.")
        }
        try await context.withStore { store in
            let database = try await store.database(context.positional(1))
            if database.options.quantization != .none {
                try await prepareCodes(context, database)
            }
            let snapshot = try await database.snapshot()
            let queries = try queries(context, snapshot, count: count)
            guard !queries.isEmpty else {
                throw CommandError.usage("There is no query.", remedy: "Give a file with vectors in it.")
            }
            var run = SearchBenchmark(snapshot: snapshot, queries: queries, k: k)
            var rows = [["mode", "recall", "p50 ms", "p95 ms", "p99 ms", "queries/s", "in batches/s"]]
            for (name, mode) in modes {
                let options = SearchOptions(mode: mode, filter: filter, maximumThreads: threads)
                let result = try await run.measure(options)
                if context.isJSON {
                    try context.printJSON { $0.result(result, mode: name, queries: queries.count, k: k) }
                    try context.console.flush()
                }
                rows.append([name] + result.cells)
            }
            guard !context.isJSON else { return }
            for line in HumanText.table(rows) { try context.console.print(line) }
            context.console.note(
                "\(HumanText.grouped(queries.count)) queries, \(HumanText.grouped(snapshot.count)) records, k = \(k).")
        }
    }

    /// Has the codes made, or in a store that is only read verified; there searches have to do without what fails.
    private static func prepareCodes(_ context: CommandContext, _ database: VectorDatabase) async throws {
        do {
            _ = try await context.encode(database)
        } catch let error as CommandError where context.arguments.has("read-only") {
            if !context.isJSON { context.console.note(error.line) }
        }
    }

    /// The vectors to search for.
    private static func queries(
        _ context: CommandContext, _ snapshot: DatabaseSnapshot, count: Int
    ) throws -> [[Float]] {
        if let path = context.arguments["queries"] {
            let format = try context.arguments.choice("format", DatasetFormat.self) ?? DatasetFormat(path: path)
            let reader = try format.open(path, interrupt: context.interrupt)
            let batch = try reader.next(limit: count)
            guard let dimension = reader.dimension else { return [] }
            return (0..<batch.rowCount).map { Array(batch.vectors[$0 * dimension..<($0 + 1) * dimension]) }
        }
        let step = max(1, snapshot.count / count)
        let ids = snapshot.ids().enumerated().lazy.filter { $0.offset % step == 0 }.prefix(count)
        return try ids.compactMap { try snapshot.vector(for: $0.element) }
    }
}

/// What one mode came to.
struct SearchFigures: Sendable {
    /// The share of the exact answers that were found.
    var recall: Double
    /// Milliseconds of single queries, sorted.
    var milliseconds: [Double]
    /// Queries per second where all are asked at once.
    var batchRate: Double

    /// The value that so many percent of the queries did not exceed: the nearest rank.
    func percentile(_ percent: Double) -> Double {
        milliseconds[min(milliseconds.count - 1, Int(Double(milliseconds.count) * percent / 100))]
    }

    /// The mean.
    var mean: Double { milliseconds.reduce(0, +) / Double(milliseconds.count) }

    /// Single queries per second.
    var rate: Double { mean > 0 ? 1_000 / mean : 0 }

    fileprivate var cells: [String] {
        [HumanText.fixed(recall, decimals: 4)]
            + [50, 95, 99].map { HumanText.fixed(percentile($0), decimals: 3) }
            + [HumanText.fixed(rate, decimals: 0), HumanText.fixed(batchRate, decimals: 0)]
    }
}

/// Searches a snapshot for the same queries in several modes.
struct SearchBenchmark {
    let snapshot: DatabaseSnapshot
    let queries: [[Float]]
    let k: Int
    private var truth: [[SearchHit]]?

    init(snapshot: DatabaseSnapshot, queries: [[Float]], k: Int) {
        self.snapshot = snapshot
        self.queries = queries
        self.k = k
    }

    /// Measures one mode. The exact answers are found first, once, which also warms what is measured.
    mutating func measure(_ options: SearchOptions) async throws -> SearchFigures {
        let clock = ContinuousClock()
        var exact = options
        exact.mode = .exact
        if truth == nil { truth = try await snapshot.search(queries, k: k, options: exact) }
        let wanted = truth ?? []
        var milliseconds: [Double] = []
        var found = 0
        for (index, query) in queries.enumerated() {
            try Task.checkCancellation()
            let start = clock.now
            let hits = try await snapshot.search(query, k: k, options: options)
            milliseconds.append(HumanText.seconds(clock.now - start) * 1_000)
            found += Set(hits.map(\.id)).intersection(wanted[index].map(\.id)).count
        }
        let start = clock.now
        _ = try await snapshot.search(queries, k: k, options: options)
        let seconds = HumanText.seconds(clock.now - start)
        let wantedCount = wanted.reduce(0) { $0 + $1.count }
        return SearchFigures(
            recall: wantedCount == 0 ? 1 : Double(found) / Double(wantedCount), milliseconds: milliseconds.sorted(),
            batchRate: seconds > 0 ? Double(queries.count) / seconds : 0)
    }
}

extension JSONText {
    /// The figures of a mode.
    fileprivate mutating func result(_ figures: SearchFigures, mode: String, queries: Int, k: Int) {
        object { json in
            json.field("mode", mode)
            json.field("recall", figures.recall)
            json.field("queries", queries)
            json.field("k", k)
            json.key("milliseconds")
            json.object { json in
                json.field("p50", figures.percentile(50))
                json.field("p95", figures.percentile(95))
                json.field("p99", figures.percentile(99))
                json.field("mean", figures.mean)
            }
            json.field("queriesPerSecond", figures.rate)
            json.field("batchQueriesPerSecond", figures.batchRate)
        }
    }
}
