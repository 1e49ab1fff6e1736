/// How a search is made: callers fill it in, ``DatabaseSnapshot`` hands it to the searcher.

/// Which records a search looks at.
public struct SearchOptions: Sendable {
    /// Only records that the filter holds for are found; nil: all.
    public var filter: Filter?

    /// Creates options.
    ///
    /// - Parameter filter: only records that it holds for are found; nil: all.
    public init(filter: Filter? = nil) { self.filter = filter }
}
