/// Which fields may be declared: the registry asks before it creates a database.
import StorageFormat

extension DatabaseOptions {
    /// The declared fields in the one way that filters are written.
    ///
    /// - Throws: `invalidArgument` if one of them is no field, or is there twice, or there are too many.
    func canonicalFields(database: String) throws(StoreError) -> [String] {
        var paths: [FieldPath] = []
        for field in indexedFields {
            let path: FieldPath
            do throws(StoreError) {
                path = try FieldPath(parsing: field)
            } catch {
                throw .argument(
                    "\"\(field.prefix(80))\" is no field to index: \(error.message)",
                    remedy: "Write it as in a filter: lang, author.name, or `two words`.", database: database)
            }
            guard !paths.contains(path), path.keys.count <= FormatLimits.metadataDepth,
                path.text.utf8.count <= FormatLimits.indexedFieldByteCount
            else {
                throw .argument(
                    "The field \"\(field.prefix(80))\" is declared twice, or its name is too long.",
                    remedy: "Declare each field once, by at most \(FormatLimits.indexedFieldByteCount) bytes.",
                    database: database)
            }
            paths.append(path)
        }
        guard paths.count <= FormatLimits.indexedFieldCount else {
            throw .argument(
                "\(paths.count) fields are to be indexed.",
                remedy: "Declare \(FormatLimits.indexedFieldCount) at most.", database: database)
        }
        return paths.map(\.text)
    }
}
