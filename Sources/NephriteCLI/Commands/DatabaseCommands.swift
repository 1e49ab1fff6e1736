/// The commands about whole databases: create, list, count and drop.
import Nephrite

/// `nephrite create`.
enum CreateCommand: Command {
    static let specification = CommandSpecification(
        name: "create",
        summary: "Create a database, and the store if there is none.",
        positionals: [PositionalSpecification("NAME", "The database: a-z, 0-9, _ and -, 64 characters at most.")],
        options: [
            .store,
            .value("dimension", "D", "The number of components of every vector, 1 to 65536.", isRequired: true),
            .value("metric", "METRIC", "cosine (the default), dot or euclidean."),
            .value(
                "quantization", "MODE",
                "automatic (the default): keep codes of the vectors for faster searches; none: never."),
            .value(
                "relaxed", "SECONDS",
                "Acknowledge before the disk has it; a loss of power then loses up to so many seconds."),
            .value(
                "index", "FIELDS",
                "Metadata fields to index for filters, separated by commas, written as in --where."),
            .json,
        ],
        examples: [
            (
                "nephrite create --store ./store glosses --dimension 384 --metric cosine",
                "A database for 384-component embeddings, compared by cosine"
            )
        ])

    static func run(_ context: CommandContext) async throws {
        let arguments = context.arguments
        let range = VectorFileLayout.dimensions
        guard let dimension = try arguments.integer("dimension", in: range) else { return }
        var options = DatabaseOptions(dimension: dimension)
        if let metric = try arguments.choice("metric", DistanceMetric.self) { options.metric = metric }
        if let mode = try arguments.choice("quantization", Quantization.self) { options.quantization = mode }
        if let seconds = try arguments.number("relaxed", in: 0.001...3600) {
            options.durability = .relaxed(every: .milliseconds(Int((seconds * 1000).rounded())))
        }
        if let fields = arguments["index"] {
            options.indexedFields = fields.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        let name = context.positional(0)
        let database = try await context.withStore(isCreating: true) { [options] store in
            try await store.createDatabase(name, options: options).options
        }
        if context.isJSON {
            try context.printJSON { json in
                json.object { $0.describe(name, database) }
            }
        } else {
            context.console.note("Created “\(name)”: \(database.dimension) components, \(database.metric.rawValue).")
        }
    }
}

/// `nephrite list`.
enum ListCommand: Command {
    static let specification = CommandSpecification(
        name: "list",
        summary: "List the databases of a store with their dimension, metric and durability.",
        options: [.store, .readOnly, .json],
        examples: [
            ("nephrite list --store ./store", "One database a line"),
            ("nephrite list --store ./store --json", "The same as JSON, one object a line"),
        ])

    static func run(_ context: CommandContext) async throws {
        let databases = try await context.withStore { try await $0.databases() }
        if context.isJSON {
            for database in databases {
                try context.printJSON { json in
                    json.object { json in
                        json.describe(database.name, database.options)
                        json.field("uuid", database.uuid)
                        json.field("createdAt", database.createdAt)
                    }
                }
            }
        } else {
            let rows = databases.map { database in
                [
                    database.name, String(database.options.dimension), database.options.metric.rawValue,
                    database.options.durability.name,
                ]
            }
            for line in HumanText.table(rows) { try context.console.print(line) }
        }
    }
}

/// `nephrite count`.
enum CountCommand: Command {
    static let specification = CommandSpecification(
        name: "count",
        summary: "Print how many records a database has.",
        positionals: [PositionalSpecification("NAME", "The database.")],
        options: [.store, .where, .readOnly, .json],
        examples: [
            ("nephrite count --store ./store glosses", "The number alone"),
            ("nephrite count --store ./store notes --where 'tags contains \"new\"'", "How many have such metadata"),
        ])

    static func run(_ context: CommandContext) async throws {
        let filter = try context.filter()
        let count = try await context.withDatabase { database in
            if let filter { try await database.count(where: filter) } else { try await database.count() }
        }
        if context.isJSON {
            try context.printJSON { json in json.object { $0.field("count", count) } }
        } else {
            try context.console.print(String(count))
        }
    }
}

/// `nephrite drop`.
enum DropCommand: Command {
    static let specification = CommandSpecification(
        name: "drop",
        summary: "Remove a database with all its records. There is no way back.",
        positionals: [PositionalSpecification("NAME", "The database.")],
        options: [.store, .json],
        examples: [("nephrite drop --store ./store glosses", "Remove the database “glosses”")])

    static func run(_ context: CommandContext) async throws {
        let name = context.positional(0)
        try await context.withStore { try await $0.dropDatabase(name) }
        if context.isJSON {
            try context.printJSON { json in json.object { $0.field("dropped", name) } }
        } else {
            context.console.note("Dropped “\(name)”.")
        }
    }
}

extension Durability {
    /// What output calls it.
    var name: String {
        switch self {
        case .durable: "durable"
        case .relaxed(let interval): "relaxed \(HumanText.fixed(HumanText.seconds(interval), decimals: 3)) s"
        }
    }
}

extension JSONText {
    /// The fields of a database's name and options.
    mutating func describe(_ name: String, _ options: DatabaseOptions) {
        field("name", name)
        field("dimension", options.dimension)
        field("metric", options.metric.rawValue)
        field("quantization", options.quantization.rawValue)
        switch options.durability {
        case .durable: field("durability", "durable")
        case .relaxed(let interval):
            field("durability", "relaxed")
            field("relaxedSeconds", HumanText.seconds(interval))
        }
        if !options.indexedFields.isEmpty { field("indexedFields", options.indexedFields) }
    }
}
