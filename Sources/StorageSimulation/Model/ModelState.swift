/// What a store holds, in the plainest form: ``ReferenceModel`` makes it, tests make one from a recovered store.

/// One vector with its metadata. Components compare by their bits, so that NaN and -0 count.
public struct ModelRecord: Sendable, Hashable, CustomStringConvertible {
    /// The vector.
    public let vector: [Float]
    /// The metadata, as any bytes that are equal when the metadata is.
    public let metadata: [UInt8]

    /// Creates a record.
    public init(vector: [Float], metadata: [UInt8] = []) {
        self.vector = vector
        self.metadata = metadata
    }

    /// Whether vector bits and metadata are equal.
    public static func == (one: ModelRecord, other: ModelRecord) -> Bool {
        one.metadata == other.metadata && one.vector.count == other.vector.count
            && zip(one.vector, other.vector).allSatisfy { $0.bitPattern == $1.bitPattern }
    }

    /// Hashes the bits.
    public func hash(into hasher: inout Hasher) {
        for component in vector { hasher.combine(component.bitPattern) }
        hasher.combine(metadata)
    }

    /// The first components and the size of the metadata.
    public var description: String {
        let start = vector.prefix(4).map { "\($0)" }.joined(separator: ", ")
        return "[\(start)\(vector.count > 4 ? ", … \(vector.count)" : "")] + \(metadata.count) bytes"
    }
}

/// All databases of a store and what is in them.
public struct ModelState: Sendable, Hashable {
    /// By database name, then by id.
    public var databases: [String: [String: ModelRecord]]

    /// Creates a state.
    public init(databases: [String: [String: ModelRecord]] = [:]) { self.databases = databases }

    /// The record of an id.
    public subscript(database: String, id: String) -> ModelRecord? { databases[database]?[id] }

    /// What differs, one line each, sorted, at most `limit` lines; empty when the states are equal.
    public func differences(from expected: ModelState, limit: Int = 10) -> [String] {
        var lines: [String] = []
        for name in Set(databases.keys).union(expected.databases.keys).sorted() {
            guard let found = databases[name] else {
                lines.append("database \(name) is missing")
                continue
            }
            guard let wanted = expected.databases[name] else {
                lines.append("database \(name) should not exist")
                continue
            }
            guard found != wanted else { continue }
            for id in Set(found.keys).union(wanted.keys).sorted() where found[id] != wanted[id] {
                lines.append(
                    "\(name)/\(id) is \(found[id].map(\.description) ?? "missing"), expected "
                        + (wanted[id].map(\.description) ?? "none"))
            }
        }
        guard lines.count > limit else { return lines }
        return lines.prefix(limit) + ["… and \(lines.count - limit) more"]
    }
}

/// One operation on a store, as the model understands it.
public indirect enum ModelOperation: Sendable, Hashable {
    /// Stores a record, new or not.
    case upsert(database: String, id: String, ModelRecord)
    /// Stores a record whose id is new.
    case insert(database: String, id: String, ModelRecord)
    /// Stores a record whose id exists.
    case update(database: String, id: String, ModelRecord)
    /// Removes a record that exists.
    case delete(database: String, id: String)
    /// All of these, in order, or none.
    case batch([ModelOperation])
    /// Creates a database.
    case create(database: String)
    /// Drops a database.
    case drop(database: String)
}

/// Why the model refuses an operation.
public enum ModelError: Error, Sendable, Hashable {
    /// No such database.
    case noDatabase(String)
    /// The database exists already.
    case databaseExists(String)
    /// No such record.
    case noRecord(database: String, id: String)
    /// The record exists already.
    case recordExists(database: String, id: String)
}

extension ModelState {
    /// Applies an operation, whole or not at all.
    public mutating func apply(_ operation: ModelOperation) throws(ModelError) {
        switch operation {
        case .create(let database):
            guard databases[database] == nil else { throw .databaseExists(database) }
            databases[database] = [:]
        case .drop(let database):
            guard databases.removeValue(forKey: database) != nil else { throw .noDatabase(database) }
        case .upsert(let database, let id, let record):
            guard databases[database] != nil else { throw .noDatabase(database) }
            databases[database]?[id] = record
        case .insert(let database, let id, let record):
            guard let records = databases[database] else { throw .noDatabase(database) }
            guard records[id] == nil else { throw .recordExists(database: database, id: id) }
            databases[database]?[id] = record
        case .update(let database, let id, let record):
            guard let records = databases[database] else { throw .noDatabase(database) }
            guard records[id] != nil else { throw .noRecord(database: database, id: id) }
            databases[database]?[id] = record
        case .delete(let database, let id):
            guard databases[database] != nil else { throw .noDatabase(database) }
            guard databases[database]?.removeValue(forKey: id) != nil else {
                throw .noRecord(database: database, id: id)
            }
        case .batch(let operations):
            var copy = self
            for part in operations { try copy.apply(part) }
            self = copy
        }
    }
}
