/// What salvaging a damaged store brought back and what it could not, as values to print or to act on.

/// What became of a damaged store.
public struct SalvageReport: Sendable, Hashable, Codable {
    /// Each database that was found.
    public var databases: [SalvagedDatabase]
    /// What is damaged outside the databases: the catalogue and the log.
    public var damages: [Damage]

    /// Whether every record that the store knew of was copied in its newest version.
    public var isComplete: Bool {
        !damages.contains { $0.kind != "mended" } && databases.allSatisfy(\.isComplete)
    }
}

/// A record that could not be copied.
public struct LostRecord: Sendable, Hashable, Codable {
    /// Its id, if that can still be read.
    public var id: String?
    /// Its slot in the data file.
    public var slot: Int?
    /// Why, in a sentence.
    public var reason: String
}

/// What became of one database.
public struct SalvagedDatabase: Sendable, Hashable, Codable {
    /// Its name, in the old store and the new.
    public var name: String
    /// Records that were copied.
    public var recoveredCount: Int
    /// Records that are known to be lost.
    public var lostCount: Int
    /// The records behind ``lostCount``, the first ten thousand at most.
    public var lost: [LostRecord]
    /// Records that must have been there besides, by the last count that was logged, and left no trace.
    public var unidentifiedLossCount: Int
    /// Ids that were copied in a version before their last one, the first ten thousand at most.
    public var outdated: [String]
    /// Whether records may be among the copied that had been deleted: what says that they were is damaged.
    public var mayIncludeDeleted: Bool
    /// What is damaged in the file besides records.
    public var damages: [Damage]

    /// Whether every record was copied in its newest version and nothing else.
    public var isComplete: Bool {
        lostCount == 0 && unidentifiedLossCount == 0 && outdated.isEmpty && !mayIncludeDeleted
            && !damages.contains { $0.kind != "mended" }
    }

    static let listLimit = 10_000
}
