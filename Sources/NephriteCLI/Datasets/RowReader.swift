/// What the dataset readers have in common: `import` and `search` open a file by its format and take rows
/// from it in batches, however it is written.
import Foundation
import Nephrite

/// Rows of a dataset, vectors row after row.
struct RowBatch {
    /// The number of the first row in the file, counted from 0.
    let firstRow: Int
    /// The ids of the rows; empty when the source has none.
    var ids: [String] = []
    /// The components of all rows.
    var vectors: [Float] = []
    /// The metadata of the rows; empty when the source has none.
    var metadata: [Metadata] = []
    /// How many rows there are.
    var rowCount = 0
}

/// A source of rows.
protocol RowReader: AnyObject {
    /// The components of a row; nil when the source is empty.
    var dimension: Int? { get }

    /// Whether rows come from files, so that reading on never waits for whoever writes them.
    var isFile: Bool { get }

    /// The next rows, `limit` at most; an empty batch at the end.
    func next(limit: Int) throws -> RowBatch
}

/// The formats a dataset can have; the raw value is what the file's name ends with.
enum DatasetFormat: String, CaseIterable, Sendable {
    case fvecs, bvecs, fbin, npy, ndjson

    /// The format that the end of the name tells.
    init(path: String) throws(CommandError) {
        let ending = URL(fileURLWithPath: path).pathExtension.lowercased()
        if path == "-" || ending == "jsonl" {
            self = .ndjson
        } else if let format = DatasetFormat(rawValue: ending) {
            self = format
        } else {
            throw .usage(
                "The name “\(path)” does not tell the format of the file.",
                remedy: "Give --format " + Self.allCases.map(\.rawValue).joined(separator: ", ") + ".")
        }
    }
}

/// The names of the fields in NDJSON rows.
struct FieldNames: Sendable {
    /// The field with the id.
    var id = "id"
    /// The field with the vector.
    var vector = "vector"
}

extension DatasetFormat {
    /// Opens a file of this format.
    func open(
        _ path: String, fields: FieldNames = FieldNames(), interrupt: Interrupt? = nil
    ) throws -> any RowReader {
        let file = try InputFile(path: path, interrupt: interrupt)
        return switch self {
        case .fvecs: BinaryVectorReader(file, try .vecs(file, element: .float32))
        case .bvecs: BinaryVectorReader(file, try .vecs(file, element: .uint8))
        case .fbin: BinaryVectorReader(file, try .fbin(file))
        case .npy: BinaryVectorReader(file, try NumPyHeader.layout(file))
        case .ndjson: try NDJSONReader(file, fields: fields)
        }
    }
}
