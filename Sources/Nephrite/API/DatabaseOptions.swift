/// What a database is created with; kept in the catalogue and never changed afterwards.

/// How the similarity of two vectors is measured.
public enum DistanceMetric: String, Sendable, Hashable, Codable, CaseIterable {
    /// Cosine similarity, −1…1, larger is nearer; a vector of norm zero has similarity 0 to everything. Vectors are stored
    /// as they are given; they need not be normalised.
    case cosine
    /// Inner product, larger is nearer.
    case dotProduct = "dot"
    /// Euclidean (L2) distance, smaller is nearer.
    case euclidean
}

/// What an acknowledged write is promised to survive.
public enum Durability: Sendable, Hashable {
    /// The write survives a killed process, a kernel crash and a loss of power.
    case durable
    /// The write survives a killed process; a kernel crash or a loss of power loses at most the writes
    /// acknowledged within the last interval, always a suffix of the history, never one from its middle.
    ///
    /// The interval is 1 millisecond to 1 hour. ``VectorDatabase/flush()`` waits for what was acknowledged to be on disk.
    case relaxed(every: Duration)

    /// Relaxed durability with the default interval of five seconds.
    public static let relaxed = Durability.relaxed(every: .seconds(5))
}

/// Whether codes of a database's vectors are kept beside them.
///
/// A code takes about a quarter of its vector's bytes and says enough about it to rule it out, so that a search reads
/// little of the vectors themselves. Codes never change what a search returns. They are in a file of their own,
/// `vectors.codes`, which can be made again from the vectors at any time.
public enum Quantization: String, Sendable, Hashable, Codable, CaseIterable {
    /// A database that is searched has its vectors encoded in the background, once it has 1,000 records and
    /// ``StoreConfiguration/quantizationByteThreshold`` of vectors; what is written afterwards follows.
    case automatic
    /// Never.
    case none
}

/// The shape and promises of a database.
public struct DatabaseOptions: Sendable, Hashable {
    /// The number of components (32-bit floats) of every vector, 1…65,536.
    public var dimension: Int
    /// How similarity is measured.
    public var metric: DistanceMetric
    /// What an acknowledged write survives.
    public var durability: Durability
    /// Whether codes of the vectors are kept for faster searches.
    public var quantization: Quantization
    /// The metadata fields that are indexed, as they are written in filters (`lang`, `author.name`), each once, 16 at
    /// most.
    ///
    /// An index finds the records with a value, or in a range of values, without looking at the others. It is kept in
    /// memory, made by a scan when a filter first asks for the field, and brought up to date by the queries that follow
    /// writes, so writes do not pay for it. Filters on other fields give the same results by looking at every record.
    public var indexedFields: [String]

    /// Creates options.
    ///
    /// - Parameters:
    ///   - dimension: components per vector, 1…65,536.
    ///   - metric: the similarity measure searches use.
    ///   - durability: what acknowledged writes survive; `.durable` unless said otherwise.
    ///   - quantization: whether codes of the vectors are kept for faster searches; `.automatic` unless said otherwise.
    ///   - indexedFields: metadata fields to index for filters, as they are written in filters; none unless said otherwise.
    public init(
        dimension: Int, metric: DistanceMetric = .cosine, durability: Durability = .durable,
        quantization: Quantization = .automatic, indexedFields: [String] = []
    ) {
        self.dimension = dimension
        self.metric = metric
        self.durability = durability
        self.quantization = quantization
        self.indexedFields = indexedFields
    }
}

/// A database as the catalogue describes it.
public struct DatabaseDescription: Sendable, Hashable {
    /// The name, `[a-z0-9][a-z0-9_-]{0,63}`.
    public let name: String
    /// What it was created with.
    public let options: DatabaseOptions
    /// Its identity, which a database dropped and created again under the same name does not share.
    public let uuid: String
    /// When it was created, in seconds since 1970.
    public let createdAt: Double
}
