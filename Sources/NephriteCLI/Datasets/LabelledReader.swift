/// Gives the rows of a binary file their ids and metadata: from a file of ids, from a file of records, or
/// from the row's number; `import` puts it around the reader of the vectors.
import Nephrite

/// Where ids and metadata come from.
enum RowLabels {
    /// The id is the row's number.
    case rowNumbers
    /// One id a line.
    case ids(InputFile)
    /// One object a line: its “id” is the id, its other fields are the metadata.
    case records(NDJSONLines, FieldNames)

    /// The path of the file, if there is one.
    var path: String? {
        switch self {
        case .rowNumbers: nil
        case .ids(let file): file.path
        case .records(let lines, _): lines.file.path
        }
    }
}

/// The rows of a reader with ids and metadata from elsewhere.
final class LabelledReader: RowReader {
    private static let idByteCountLimit = 64 << 10
    private let vectors: any RowReader
    private let labels: RowLabels
    private var hasEnded = false

    init(_ vectors: any RowReader, labels: RowLabels) {
        self.vectors = vectors
        self.labels = labels
    }

    var dimension: Int? { vectors.dimension }

    var isFile: Bool {
        switch labels {
        case .rowNumbers: vectors.isFile
        case .ids(let file): vectors.isFile && file.byteCount != nil
        case .records(let lines, _): vectors.isFile && lines.file.byteCount != nil
        }
    }

    func next(limit: Int) throws -> RowBatch {
        var batch = try vectors.next(limit: limit)
        if case .rowNumbers = labels {
            if batch.ids.isEmpty { batch.ids = (0..<batch.rowCount).map { String(batch.firstRow + $0) } }
            return batch
        }
        batch.ids.removeAll()
        batch.metadata.removeAll()
        for index in 0..<batch.rowCount { try label(batch.firstRow + index, &batch) }
        if batch.rowCount < limit { try checkEnd(batch.firstRow + batch.rowCount) }
        return batch
    }

    /// Appends the id and metadata of one row.
    private func label(_ row: Int, _ batch: inout RowBatch) throws {
        switch labels {
        case .rowNumbers: break
        case .ids(let file):
            try file.skipByteOrderMark()
            let offset = file.offset
            guard let line = try file.nextLine(limit: Self.idByteCountLimit) else { throw tooFew(row, file.path) }
            guard let id = String(validating: line, as: UTF8.self), !id.isEmpty else {
                throw CommandError.malformed(
                    line.isEmpty ? "The id is empty." : "The id is not valid UTF-8.", path: file.path, offset: offset,
                    row: row, remedy: "Write one id a line, as many as the vectors have rows.")
            }
            batch.ids.append(id)
        case .records(let lines, let fields):
            guard let record = try lines.next(fields, hasVector: false) else { throw tooFew(row, lines.file.path) }
            guard let id = record.id else {
                throw lines.malformed(
                    "The object has no “\(fields.id)”.", remedy: "Give each row an id; --id-field names another field.")
            }
            batch.ids.append(id)
            batch.metadata.append(try lines.metadata(record.fields))
        }
    }

    /// After the last row of the vectors: the labels must have ended too.
    private func checkEnd(_ rowCount: Int) throws {
        let isMore =
            switch labels {
            case .rowNumbers: false
            case .ids(let file): try file.nextLine(limit: Self.idByteCountLimit).map { !$0.isEmpty } ?? false
            case .records(let lines, let fields): try lines.next(fields, hasVector: false) != nil
            }
        if isMore, !hasEnded {
            throw CommandError.malformed(
                "It has more rows than the vectors, which end after \(rowCount).", path: labels.path ?? "",
                row: rowCount, remedy: "Check that the two files belong together.")
        }
        hasEnded = true
    }

    private func tooFew(_ row: Int, _ path: String) -> CommandError {
        .malformed(
            "It ends before the vectors do.", path: path, row: row,
            remedy: "Check that the two files belong together: one line for each row.")
    }
}
