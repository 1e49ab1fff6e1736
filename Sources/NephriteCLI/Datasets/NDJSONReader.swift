/// Reads NDJSON, one object a line: rows with their vectors, or the ids and metadata that belong to the
/// rows of a binary file.
import Nephrite

/// The objects of an NDJSON file, each on its line; empty lines are passed over.
final class NDJSONLines {
    /// The longest line: the largest vector and metadata the store takes, written at length.
    static let lineByteCountLimit = 16 << 20

    /// The file being read.
    let file: InputFile
    private var row = 0

    init(_ file: InputFile) { self.file = file }

    /// The next object, or nil at the end.
    func next(_ fields: FieldNames, hasVector: Bool) throws -> JSONParser.Record? {
        try file.skipByteOrderMark()
        while true {
            let offset = file.offset
            guard let line = try file.nextLine(limit: Self.lineByteCountLimit) else { return nil }
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            var parser = JSONParser(line)
            do {
                let record = try parser.record(idField: fields.id, vectorField: hasVector ? fields.vector : nil)
                row += 1
                return record
            } catch {
                throw CommandError.malformed(
                    error.message, path: file.path, offset: offset + UInt64(error.position), row: row,
                    remedy: "Write one JSON object a line.")
            }
        }
    }

    /// An error about the object handed out last.
    func malformed(_ message: String, remedy: String) -> CommandError {
        .malformed(message, path: file.path, row: row - 1, remedy: remedy)
    }

    /// The metadata of an object: the fields of its “metadata” object, if it has one, and all its others.
    func metadata(_ fields: [(String, MetadataValue)]) throws -> Metadata {
        var merged: [(String, MetadataValue)] = []
        for (key, value) in fields {
            if key == "metadata", case .object(let inner) = value {
                merged += inner.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
            } else if key != "metadata" || value != .null {
                merged.append((key, value))
            }
        }
        guard Set(merged.map(\.0)).count == merged.count else {
            throw malformed("A key is both in “metadata” and beside it.", remedy: "Write each key once.")
        }
        do throws(StoreError) {
            return try Metadata(merged)
        } catch {
            throw CommandError(error).inRow(row - 1, of: file.path)
        }
    }
}

/// The rows of an NDJSON file with vectors.
final class NDJSONReader: RowReader {
    private let lines: NDJSONLines
    private let fields: FieldNames
    private var first: JSONParser.Record?
    private var row = 0
    let dimension: Int?
    var isFile: Bool { lines.file.byteCount != nil }

    /// Reads the first row, which tells the dimension.
    init(_ file: InputFile, fields: FieldNames) throws {
        lines = NDJSONLines(file)
        self.fields = fields
        first = try lines.next(fields, hasVector: true)
        dimension = first?.vector?.count
        if let first { _ = try Self.vector(of: first, fields, lines) }
    }

    func next(limit: Int) throws -> RowBatch {
        var batch = RowBatch(firstRow: row)
        while batch.rowCount < limit {
            guard let record = try first ?? lines.next(fields, hasVector: true) else { break }
            first = nil
            let vector = try Self.vector(of: record, fields, lines)
            guard vector.count == dimension else {
                throw lines.malformed(
                    "The vector has \(vector.count) components, that of the first row \(dimension ?? 0).",
                    remedy: "All rows must have one dimension.")
            }
            batch.ids.append(record.id ?? String(row))
            batch.vectors += vector
            batch.metadata.append(try lines.metadata(record.fields))
            batch.rowCount += 1
            row += 1
        }
        return batch
    }

    private static func vector(
        of record: JSONParser.Record, _ fields: FieldNames, _ lines: NDJSONLines
    ) throws(CommandError) -> [Float] {
        guard let vector = record.vector, VectorFileLayout.dimensions.contains(vector.count) else {
            throw lines.malformed(
                record.vector == nil ? "The object has no “\(fields.vector)”." : "The vector is empty or too long.",
                remedy: "A row is {\"\(fields.id)\": …, \"\(fields.vector)\": […], \"metadata\": {…}}; "
                    + "--vector-field names another field.")
        }
        return vector
    }
}
