/// The WordNet sample of the tests as a data set of the harness: the suites that search small sets make it once.

import Foundation

enum WordNetSample {
    static let name = "wordnet"
    /// Where the sample lies, seen from the package's directory.
    private static let source = "Tests/Data/wordnet-minilm"

    /// Writes the data set below `$BENCH_DATA`, if it is not there and we run in the package's directory.
    static func prepare() throws {
        let folder = "\(Dataset.root)/\(name)"
        let files = FileManager.default
        guard files.fileExists(atPath: source), !files.fileExists(atPath: "\(folder)/meta.json") else { return }
        try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for file in ["base", "query"] {
            let vectors = try Data(contentsOf: URL(fileURLWithPath: "\(source)/\(file).fvecs"))
            try converted(vectors).write(to: URL(fileURLWithPath: "\(folder)/\(file).fbin"))
        }
        // Unit vectors: the inner product is the cosine.
        try Data(#"{"metric": "ip"}"#.utf8).write(to: URL(fileURLWithPath: "\(folder)/meta.json"))
    }

    /// From rows with their dimension in front of each to `u32 count, u32 dimension, rows`.
    private static func converted(_ rows: Data) throws -> Data {
        let dimension = rows.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        let stride = 4 + 4 * dimension
        guard dimension > 0, rows.count % stride == 0 else { throw BenchError("\(source) holds no vectors") }
        var result = Data()
        for value in [rows.count / stride, dimension] {
            for shift in [0, 8, 16, 24] { result.append(UInt8(value >> shift & 255)) }
        }
        for start in Swift.stride(from: rows.startIndex, to: rows.endIndex, by: stride) {
            result.append(rows[(start + 4)..<(start + stride)])
        }
        return result
    }
}
