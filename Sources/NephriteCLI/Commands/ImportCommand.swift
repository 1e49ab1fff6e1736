/// The command that imports a dataset: opens the files, hands the rows to `ImportJob`, and acknowledges
/// each batch on standard output.
import Nephrite

/// `nephrite import`.
enum ImportCommand: Command {
    static let specification = CommandSpecification(
        name: "import",
        summary: "Import the vectors of a file, durably, batch by batch.",
        discussion: """
            Formats: .fvecs, .bvecs, .fbin, .npy (float16, float32, float64, uint8; two dimensions, C order) and NDJSON,
            {"id":…,"vector":[…],"metadata":{…}} a line. Ids are the row numbers, from 0, unless told otherwise; a row
            whose id is there already replaces it. With --json a line {"acknowledged":TOTAL} is written after each batch
            that is durable. Ctrl-C finishes the batch in flight and exits with 130; a second one aborts at once.
            """,
        positionals: [
            PositionalSpecification("NAME", "The database."),
            PositionalSpecification("FILE", "The vectors; - is standard input."),
        ],
        options: [
            .store,
            .value("ids", "FILE", "The ids of the rows, one a line."),
            .value("records", "FILE", "NDJSON, an object for each row: “id” is its id, the other fields its metadata."),
            .value("batch-size", "N", "How many rows are committed at once; 1000 unless given."),
            .value("format", "FORMAT", "fvecs, bvecs, fbin, npy or ndjson, when the name of the file does not tell."),
            .value("id-field", "FIELD", "The field of NDJSON objects that holds the id; “id” unless given."),
            .value(
                "vector-field", "FIELD", "The field of NDJSON objects that holds the vector; “vector” unless given."),
            .flag("create", "Create the store and the database if they are missing."),
            .value("metric", "METRIC", "The metric of a database that --create makes; cosine unless given."),
            .json,
        ],
        exclusive: [(names: ["ids", "records"], isRequired: false)],
        examples: [
            (
                "nephrite import --store ./store glosses base.fvecs --records base.ndjson",
                "Embeddings with their ids and metadata"
            ),
            ("nephrite import --store ./store points rows.ndjson --create --metric euclidean", "Into a new database"),
            ("nephrite import --store ./store points big.npy --batch-size 10000 --json", "For scripts"),
        ])

    static let finishesWhenInterrupted = true

    static func run(_ context: CommandContext) async throws {
        let path = context.positional(1)
        let batchSize = try context.arguments.integer("batch-size", in: 1...1_000_000) ?? 1000
        let metric = try context.arguments.choice("metric", DistanceMetric.self)
        let reader = try open(path, context)
        let job = ImportJob(reader: reader, path: path, batchSize: batchSize, interrupt: context.interrupt)
        let isCreating = context.arguments.has("create")
        let summary = try await context.withStore(isCreating: isCreating) { store in
            let database = try await database(store, context.positional(0), metric, reader.dimension, isCreating)
            return try await run(job, into: database, context)
        }
        try context.console.flush()
        if !context.isJSON {
            let rate = HumanText.rate(rows: summary.rowCount, in: summary.duration)
            context.console.note("\(summary.wasInterrupted ? "Stopped after" : "Imported") \(rate).")
        }
        if summary.wasInterrupted { throw CommandError.interrupted }
    }

    /// Runs the job, acknowledging each batch once it is durable.
    private static func run(
        _ job: ImportJob, into database: VectorDatabase, _ context: CommandContext
    ) async throws -> ImportJob.Summary {
        var meter = ProgressMeter(context.console)
        defer { meter.end() }
        let isDurable = database.options.durability == .durable
        let summary = try await job.run(into: database) { total in
            meter.update(rows: total)
            guard context.isJSON else { return }
            if !isDurable { try await database.flush() }
            try context.printJSON { json in json.object { $0.field("acknowledged", total) } }
            try context.console.flush()
        }
        if !isDurable { try await database.flush() }
        return summary
    }

    /// The rows with their ids and metadata.
    private static func open(_ path: String, _ context: CommandContext) throws -> any RowReader {
        let arguments = context.arguments
        let format = try arguments.choice("format", DatasetFormat.self) ?? DatasetFormat(path: path)
        var fields = FieldNames()
        if let name = arguments["id-field"] { fields.id = name }
        if let name = arguments["vector-field"] { fields.vector = name }
        let labels: RowLabels =
            if let ids = arguments["ids"] {
                .ids(try InputFile(path: ids, interrupt: context.interrupt))
            } else if let records = arguments["records"] {
                .records(NDJSONLines(try InputFile(path: records, interrupt: context.interrupt)), fields)
            } else {
                .rowNumbers
            }
        guard format != .ndjson || labels.path == nil else {
            throw CommandError.usage(
                "NDJSON rows have their ids in them.", remedy: "Leave out --ids and --records, or name --id-field.")
        }
        return LabelledReader(
            try format.open(path, fields: fields, interrupt: context.interrupt), labels: labels)
    }

    /// The database to import into, made if it is missing and may be made.
    private static func database(
        _ store: VectorStore, _ name: String, _ metric: DistanceMetric?, _ dimension: Int?, _ isCreating: Bool
    ) async throws -> VectorDatabase {
        do {
            let database = try await store.database(name)
            guard let metric, metric != database.options.metric else { return database }
            throw CommandError.usage(
                "Database “\(name)” compares by \(database.options.metric.rawValue), not by \(metric.rawValue).",
                remedy: "Leave out --metric, or import into another database.")
        } catch let error as StoreError where error.code == .databaseNotFound {
            let metric = metric ?? .cosine
            if isCreating, let dimension {
                let options = DatabaseOptions(dimension: dimension, metric: metric)
                return try await store.createDatabase(name, options: options)
            }
            var missing = CommandError(error)
            missing.remedy =
                (isCreating ? "There is no row that tells its dimension: " : "Add --create, or ")
                + "create it first: nephrite create --store DIR \(name) "
                + "--dimension \(dimension.map(String.init) ?? "D") --metric \(metric.rawValue)."
            throw missing
        }
    }
}
