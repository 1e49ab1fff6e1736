/// What a database keeps in memory to resolve filters: its cell owns it, snapshots share it, closing the file empties it.
import Synchronization

final class DatabaseFilters: Sendable {
    let cache = FilterCache()
    private let paths: [FieldPath]
    private let made: Mutex<FieldIndexes?>

    /// - Parameter fields: the declared fields, as text; what cannot be read is no field.
    init(indexing fields: [String]) {
        paths = fields.compactMap { try? FieldPath(parsing: $0) }
        made = Mutex(nil)
    }

    /// The indexes of the declared fields, empty until they are first asked; nil if no field is declared.
    var indexes: FieldIndexes? {
        guard !paths.isEmpty else { return nil }
        return made.withLock { made in
            if let made { return made }
            let new = FieldIndexes(paths: paths)
            made = new
            return new
        }
    }

    /// Lets go of everything; it is made again when it is needed.
    func clear() {
        cache.clear()
        let old = made.withLock { made in
            defer { made = nil }
            return made
        }
        withExtendedLifetime(old) {}
    }
}
