/// The WordNet sample that ships with the project: `demo` finds it here, and takes its rows and queries.
import Foundation
import Nephrite

/// The directory with `base.fvecs`, `base.ndjson`, `query.fvecs` and `query.ndjson`.
struct SampleData: Sendable {
    /// The directory.
    let directory: String

    /// The vectors to import.
    var vectors: String { directory + "/base.fvecs" }
    /// Their ids, words and glosses.
    var records: String { directory + "/base.ndjson" }

    /// The sample in `directory`, or the one of the package this was built from, or of the current directory.
    ///
    /// - Throws: `CommandError` with exit code 66 that names the places looked at.
    init(directory: String?, sourceFile: String = #filePath) throws(CommandError) {
        let relative = "Tests/Data/wordnet-minilm"
        // …/Sources/NephriteCLI/Demo/SampleData.swift
        let package = (0..<4).reduce(URL(fileURLWithPath: sourceFile)) { url, _ in url.deletingLastPathComponent() }
        let places = directory.map { [$0] } ?? [package.appendingPathComponent(relative).path, relative]
        let found = places.first { FileManager.default.fileExists(atPath: $0 + "/base.fvecs") }
        guard let found else {
            throw CommandError(
                exitCode: .noInput, code: "sampleNotFound",
                message: "The sample is not in \(places.joined(separator: " nor in ")).",
                remedy: "Run the demo in the project's directory, or give --data DIR.", path: places[0])
        }
        self.directory = found
    }

    /// A reader of the rows to import.
    func reader() throws -> any RowReader { try reader("base") }

    /// All rows to import.
    func rows() throws -> RowBatch { try reader().next(limit: 1_000_000) }

    /// All queries.
    func queries() throws -> RowBatch { try reader("query").next(limit: 1_000_000) }

    private func reader(_ name: String) throws -> any RowReader {
        let lines = NDJSONLines(try InputFile(path: "\(directory)/\(name).ndjson"))
        let vectors = try DatasetFormat.fvecs.open("\(directory)/\(name).fvecs")
        return LabelledReader(vectors, labels: .records(lines, FieldNames()))
    }
}
