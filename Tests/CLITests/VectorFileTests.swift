/// The readers of binary vector files: what they read, and that no file can make them trap.
import Foundation
import Testing

@testable import NephriteCLI

@Suite struct VectorFileTests {
    private let directory: TemporaryDirectory
    private static let rows: [[Float]] = [[1, -2.5, 3e-7], [0, 4, 5], [6.25, -7, 8]]

    init() throws { directory = try TemporaryDirectory() }

    private static func sample(_ format: DatasetFormat) -> [UInt8] {
        switch format {
        case .fvecs: SampleBytes.fvecs(rows)
        case .bvecs: SampleBytes.bvecs([[1, 2, 255], [0, 4, 5], [6, 7, 8]])
        case .fbin: SampleBytes.fbin(rows, dimension: 3)
        case .npy: SampleBytes.npy(SampleBytes.npyDescription("<f4", 3, 3), data: rows.flatMap(SampleBytes.floats))
        case .ndjson: rows.map { "{\"vector\":\($0)}\n" }.joined().utf8.map { $0 }
        }
    }

    @Test("reads every row of a good file", arguments: DatasetFormat.allCases)
    func reads(_ format: DatasetFormat) throws {
        let path = try directory.write(Self.sample(format), to: "rows.\(format.rawValue)")
        let reader = try DatasetFormat(path: path).open(path)
        #expect(reader.dimension == 3)
        let all = try allRows(reader)
        #expect(all.rowCount == 3)
        let expected: [Float] = format == .bvecs ? [1, 2, 255, 0, 4, 5, 6, 7, 8] : Self.rows.flatMap { $0 }
        #expect(all.vectors == expected)
    }

    @Test(
        "a file cut off at any byte is malformed and names the row",
        arguments: [DatasetFormat.fvecs, .bvecs, .fbin, .npy])
    func truncated(_ format: DatasetFormat) throws {
        let bytes = Self.sample(format)
        let rowByteCount = format == .bvecs ? 7 : format == .fvecs ? 16 : 12
        let header = bytes.count - 3 * rowByteCount
        for count in 0..<bytes.count {
            let path = try directory.write(bytes.prefix(count), to: "cut.\(format.rawValue)")
            if header == 0, count % rowByteCount == 0 {
                #expect(try allRows(format.open(path)).rowCount == count / rowByteCount)
                continue
            }
            let error = #expect(throws: CommandError.self, "\(count) bytes") { _ = try allRows(format.open(path)) }
            #expect(error?.exitCode == .dataError)
            if count >= header + 4 {
                let row = (count - header) / rowByteCount
                #expect(error?.row == row, "\(count) bytes")
                #expect(error?.offset == UInt64(header + row * rowByteCount))
            }
        }
    }

    @Test("a pipe that ends within a row is malformed too")
    func truncatedPipe() throws {
        let bytes = SampleBytes.fvecs(Self.rows).dropLast(3)
        let fifo = directory.path("pipe.fvecs")
        #expect(unsafe mkfifo(fifo, 0o600) == 0)
        let writer = Process()
        writer.executableURL = URL(fileURLWithPath: "/bin/sh")
        let source = try directory.write(bytes, to: "source")
        writer.arguments = ["-c", "cat \"$0\" > \"$1\"", source, fifo]
        try writer.run()
        let reader = try DatasetFormat.fvecs.open(fifo)
        #expect(try reader.next(limit: 2).rowCount == 2)
        let error = #expect(throws: CommandError.self) { try reader.next(limit: 2) }
        writer.waitUntilExit()
        #expect(error?.row == 2)
        #expect(error?.offset == 32)
    }

    @Test("bytes behind the last row are malformed", arguments: [DatasetFormat.fbin, .npy])
    func trailing(_ format: DatasetFormat) throws {
        let path = try directory.write(Self.sample(format) + [0], to: "more.\(format.rawValue)")
        #expect(throws: CommandError.self) { try format.open(path) }
    }

    @Test(
        "a dimension out of range is refused before anything is allocated", arguments: [0, 65_537, 0x7FFF_FFFF, .max])
    func hostileDimension(_ dimension: UInt32) throws {
        let zeros = [UInt8](repeating: 0, count: 64)
        let fvecs = try directory.write(SampleBytes.little(dimension) + zeros, to: "a.fvecs")
        let fbin = try directory.write(SampleBytes.little(1) + SampleBytes.little(dimension) + zeros, to: "a.fbin")
        #expect(throws: CommandError.self) { try DatasetFormat.fvecs.open(fvecs) }
        #expect(throws: CommandError.self) { try DatasetFormat.bvecs.open(fvecs) }
        #expect(throws: CommandError.self) { try DatasetFormat.fbin.open(fbin) }
    }

    @Test("a row count the file cannot hold is refused before anything is allocated")
    func hostileRowCount() throws {
        let bytes = SampleBytes.little(.max) + SampleBytes.little(65_536) + [UInt8](repeating: 0, count: 64)
        let path = try directory.write(bytes, to: "a.fbin")
        let error = #expect(throws: CommandError.self) { try DatasetFormat.fbin.open(path) }
        #expect(error?.row == 0)
    }

    @Test("a row with another dimension than the first is named")
    func mixedDimensions() throws {
        let rows = SampleBytes.fvecs([[1, 2, 3], [4, 5, 6]]) + SampleBytes.little(2) + SampleBytes.floats([7, 8, 9])
        let path = try directory.write(rows, to: "mixed.fvecs")
        let reader = try DatasetFormat.fvecs.open(path)
        #expect(try reader.next(limit: 2).rowCount == 2)
        let error = #expect(throws: CommandError.self) { try reader.next(limit: 2) }
        #expect(error?.row == 2)
    }

    @Test("an empty .fvecs file has no rows and no dimension")
    func empty() throws {
        let reader = try DatasetFormat.fvecs.open(directory.write([], to: "empty.fvecs"))
        #expect(reader.dimension == nil)
        #expect(try reader.next(limit: 10).rowCount == 0)
    }

    @Test("NaN and infinity are passed on, for the engine to refuse")
    func notFinite() throws {
        let path = try directory.write(SampleBytes.fvecs([[.nan, .infinity]]), to: "nan.fvecs")
        let vectors = try allRows(DatasetFormat.fvecs.open(path)).vectors
        #expect(vectors[0].isNaN)
        #expect(vectors[1] == .infinity)
    }

    @Test("a missing file, a directory and an unknown ending say what they are")
    func openErrors() throws {
        let missing = #expect(throws: CommandError.self) { try DatasetFormat.fvecs.open(directory.path("no.fvecs")) }
        #expect(missing?.exitCode == .noInput)
        let folder = #expect(throws: CommandError.self) { try DatasetFormat.fvecs.open(directory.path) }
        #expect(folder?.exitCode == .noInput)
        let unknown = #expect(throws: CommandError.self) { try DatasetFormat(path: "rows.csv") }
        #expect(unknown?.exitCode == .usage)
    }
}
