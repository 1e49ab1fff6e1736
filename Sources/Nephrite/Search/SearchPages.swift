/// The pages of a search that goes on where it ended: iterators over the nearest records hand it a way to search, it hands
/// them one row after the other.

struct SearchPages<Row> {
    private static var longestPage: Int { 4_096 }

    private var page: ArraySlice<Row> = []
    private var pageLength = 32
    private var isAtEnd = false

    /// The next row; nil at the end.
    ///
    /// - Parameter search: finds as many rows behind the one that was returned last.
    mutating func next(_ search: (_ limit: Int) async throws -> [Row]) async throws -> Row? {
        if page.isEmpty, !isAtEnd {
            page = try await search(pageLength)[...]
            isAtEnd = page.count < pageLength
            // Who goes on is likely to go on for long.
            if pageLength < Self.longestPage { pageLength *= 2 }
        }
        return page.popFirst()
    }
}

extension SearchPages: Sendable where Row: Sendable {}
