/// How a search is made: callers fill it in, ``DatabaseSnapshot`` hands it to the searcher.

/// How much of the truth a search has to find.
public enum SearchMode: Sendable, Hashable {
    /// The nearest records, proven: the same ids, order and scores as comparing every record in 32-bit floating point.
    case exact
    /// The nearest records, each with at least this probability (0.5 … 0.9999), by what is usual for the errors of codes.
    /// Scores are exact. Records without codes are all compared.
    case approximate(recall: Double)
    /// The best of this many candidates, which are chosen by the high halves of their codes alone. Scores are exact.
    case approximateCandidates(Int)
}

/// Which records a search looks at, and how.
public struct SearchOptions: Sendable {
    /// How much of the truth it has to find.
    public var mode: SearchMode
    /// Only records that the filter holds for are found; nil: all.
    public var filter: Filter?
    /// At most so many of the store's search threads (less than 1 counts as 1); nil: as many as there are.
    public var maximumThreads: Int?

    /// Creates options.
    ///
    /// - Parameters:
    ///   - mode: how much of the truth the search has to find.
    ///   - filter: only records that it holds for are found; nil: all.
    ///   - maximumThreads: at most so many of the store's search threads; nil: as many as there are.
    public init(mode: SearchMode = .exact, filter: Filter? = nil, maximumThreads: Int? = nil) {
        self.mode = mode
        self.filter = filter
        self.maximumThreads = maximumThreads
    }
}
