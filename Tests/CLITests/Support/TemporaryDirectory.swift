/// A directory for the files of one test, removed when the test lets go of it.
import Foundation

@testable import NephriteCLI

/// A temporary directory.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("nephrite-cli-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of a file in it.
    func path(_ name: String) -> String { path + "/" + name }

    /// Writes a file and answers its path.
    @discardableResult func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }
}

/// Bytes of dataset files.
enum SampleBytes {
    static func little(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } }

    static func floats(_ numbers: [Float]) -> [UInt8] { numbers.flatMap { little($0.bitPattern) } }

    static func fvecs(_ rows: [[Float]]) -> [UInt8] {
        rows.flatMap { little(UInt32($0.count)) + floats($0) }
    }

    static func bvecs(_ rows: [[UInt8]]) -> [UInt8] {
        rows.flatMap { little(UInt32($0.count)) + $0 }
    }

    static func fbin(_ rows: [[Float]], dimension: Int) -> [UInt8] {
        little(UInt32(rows.count)) + little(UInt32(dimension)) + rows.flatMap(floats)
    }

    /// An `.npy` file with any description, padded as numpy pads it.
    static func npy(_ description: String, version: UInt8 = 1, data: [UInt8]) -> [UInt8] {
        let lengthByteCount = version == 1 ? 2 : 4
        let unpadded = 8 + lengthByteCount + description.utf8.count + 1
        let padding = (64 - unpadded % 64) % 64
        let header = Array(description.utf8) + Array(repeating: 0x20, count: padding) + [0x0A]
        let length = Array(little(UInt32(header.count)).prefix(lengthByteCount))
        return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + header + data
    }

    /// `{'descr': …, 'fortran_order': False, 'shape': (rows, columns), }`
    static func npyDescription(_ element: String, _ rows: Int, _ columns: Int, order: String = "False") -> String {
        "{'descr': '\(element)', 'fortran_order': \(order), 'shape': (\(rows), \(columns)), }"
    }
}

/// All rows of a reader.
func allRows(_ reader: any RowReader, limit: Int = 2) throws -> (ids: [String], vectors: [Float], rowCount: Int) {
    var all: (ids: [String], vectors: [Float], rowCount: Int) = ([], [], 0)
    while case let batch = try reader.next(limit: limit), batch.rowCount > 0 {
        all.ids += batch.ids
        all.vectors += batch.vectors
        all.rowCount += batch.rowCount
    }
    return all
}
