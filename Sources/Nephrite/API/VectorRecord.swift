/// A record and what searching finds: the values that go in and come out of a database.

/// The log sequence number of the commit that wrote a record; grows with every commit to the store, over all databases.
/// All records of one commit have the same version. 0 is never the version of a stored record.
public typealias RecordVersion = UInt64

/// A vector with its id and metadata.
public struct VectorRecord: Sendable, Hashable {
    /// The id, 1…512 bytes of UTF-8, compared byte by byte.
    public var id: String
    /// The components; as many as the database's dimension, all finite.
    public var vector: [Float]
    /// Typed JSON-like values; at most 1 MiB encoded.
    public var metadata: Metadata
    /// The commit that wrote it, for `expectedVersion`; 0 for a record that has not been stored.
    public var version: RecordVersion

    /// Creates a record to be stored. Nothing is checked before it is.
    public init(id: String, vector: [Float], metadata: Metadata = [:]) {
        self.init(id: id, vector: vector, metadata: metadata, version: 0)
    }

    init(id: String, vector: [Float], metadata: Metadata, version: RecordVersion) {
        self.id = id
        self.vector = vector
        self.metadata = metadata
        self.version = version
    }
}

/// One result of a search.
public struct SearchHit: Sendable, Hashable {
    /// The record's id.
    public let id: String
    /// Cosine similarity, inner product or Euclidean distance, as the database's metric says.
    public let score: Float
}

/// An id as the engine compares it: byte by byte. Swift's own `==` takes texts for equal that differ in how their
/// accents are composed, which are different ids.
struct RecordID: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: RecordID, right: RecordID) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    func precedes(_ other: RecordID) -> Bool { text.utf8.lexicographicallyPrecedes(other.text.utf8) }
}

extension VectorRecord {
    /// Whether two records have the same content; ids are compared byte by byte.
    public static func == (left: VectorRecord, right: VectorRecord) -> Bool {
        RecordID(left.id) == RecordID(right.id) && left.version == right.version && left.vector == right.vector
            && left.metadata == right.metadata
    }

    /// Hashes what `==` compares.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(RecordID(id))
        hasher.combine(version)
        hasher.combine(vector)
        hasher.combine(metadata)
    }
}

extension SearchHit {
    /// Whether two hits are the same; ids are compared byte by byte.
    public static func == (left: SearchHit, right: SearchHit) -> Bool {
        RecordID(left.id) == RecordID(right.id) && left.score == right.score
    }

    /// Hashes what `==` compares.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(RecordID(id))
        hasher.combine(score)
    }
}
