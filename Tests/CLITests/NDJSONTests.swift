/// The readers of NDJSON rows and of the ids and records that belong to a binary file.
import Foundation
import Nephrite
import Testing

@testable import NephriteCLI

@Suite struct NDJSONTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func reader(_ text: String, fields: FieldNames = FieldNames()) throws -> any RowReader {
        try DatasetFormat.ndjson.open(directory.write(text.utf8, to: "rows.ndjson"), fields: fields)
    }

    private func labels(_ text: String, records: Bool) throws -> LabelledReader {
        let vectors = try directory.write(SampleBytes.fvecs([[1], [2], [3]]), to: "v.fvecs")
        let file = try InputFile(path: directory.write(text.utf8, to: "labels"))
        let labels: RowLabels = records ? .records(NDJSONLines(file), FieldNames()) : .ids(file)
        return LabelledReader(try DatasetFormat.fvecs.open(vectors), labels: labels)
    }

    @Test("reads ids, vectors and metadata; other fields are metadata too")
    func rows() throws {
        let batch = try reader(
            """
            {"id":"a","vector":[1,2],"metadata":{"n":1}}

            {"vector":[3,4],"word":"b"}\r
            {"id":7,"vector":[5,6]}
            """
        ).next(limit: 10)
        #expect(batch.ids == ["a", "1", "7"])
        #expect(batch.vectors == [1, 2, 3, 4, 5, 6])
        #expect(batch.metadata[0]["n"] == .integer(1))
        #expect(batch.metadata[1]["word"] == .string("b"))
        #expect(batch.metadata[2].isEmpty)
    }

    @Test("a byte order mark at the beginning is no part of the first row, of its id, or of a line behind it")
    func byteOrderMark() throws {
        let mark = "\u{FEFF}"
        #expect(try reader(mark + #"{"id":"a","vector":[1]}"#).next(limit: 9).ids == ["a"])
        let ids = try labels(mark + "a\nb\n" + mark + "c\n", records: false).next(limit: 9).ids
        #expect(ids == ["a", "b", mark + "c"])
        let text = (0..<3).map { "{\"id\":\"r\($0)\"}\n" }.joined()
        #expect(try labels(mark + text, records: true).next(limit: 9).ids == ["r0", "r1", "r2"])
        #expect(throws: CommandError.self) { try reader(mark + mark + #"{"id":"a","vector":[1]}"#) }
    }

    @Test("a signal ends the waiting for a pipe; a file is read to its end")
    func interrupted() throws {
        let interrupt = Interrupt()
        interrupt.request()
        let pipe = Pipe()
        try pipe.fileHandleForWriting.write(contentsOf: Data("line".utf8))
        try pipe.fileHandleForWriting.close()
        let number = pipe.fileHandleForReading.fileDescriptor
        let file = try InputFile(path: "/dev/fd/\(number)", interrupt: interrupt)
        #expect(throws: CommandError.interrupted) { try file.nextLine(limit: 9) }
        let path = try directory.write("line".utf8, to: "file")
        #expect(try InputFile(path: path, interrupt: interrupt).nextLine(limit: 9)?.count == 4)
    }

    @Test("fields can have other names")
    func fieldNames() throws {
        let batch = try reader(#"{"key":"a","embedding":[1]}"#, fields: FieldNames(id: "key", vector: "embedding"))
            .next(limit: 1)
        #expect(batch.ids == ["a"])
        #expect(batch.vectors == [1])
    }

    @Test(
        "malformed rows name their row",
        arguments: [
            (#"{"vector":[1]} x"#, 0), ("{\"vector\":[1]}\n{\"vector\":[1,2]}", 1),
            ("{\"vector\":[1]}\n{\"id\":\"a\"}", 1),
            (#"{"vector":[]}"#, 0), (#"{"vector":"a"}"#, 0), (#"{"vector":[NaN]}"#, 0),
            (#"{"id":1.5,"vector":[1]}"#, 0),
            (#"{"vector":[1],"a":1,"metadata":{"a":2}}"#, 0), ("[1]", 0), ("{\"vector\":[1]}\n{", 1),
        ])
    func malformed(_ text: String, _ row: Int) throws {
        let error = #expect(throws: CommandError.self) { _ = try allRows(reader(text)) }
        #expect(error?.exitCode == .dataError)
        #expect(error?.row == row)
    }

    @Test("the offset of a malformed row is the byte in the file")
    func offset() throws {
        let first = "{\"vector\":[1]}\n"
        let error = #expect(throws: CommandError.self) { _ = try allRows(reader(first + "{\"vector\":[x]}")) }
        #expect(error?.offset == UInt64(first.utf8.count + 11))
    }

    @Test("a line longer than any row can be is refused, without being held")
    func longLine() throws {
        let file = try InputFile(path: directory.write([UInt8](repeating: 0x20, count: 1 << 20), to: "long"))
        #expect(throws: CommandError.self) { try file.nextLine(limit: 1000) }
    }

    @Test("lines come whole across chunks, with and without an end at the end")
    func lines() throws {
        let lines = (0..<3000).map { String(repeating: "x", count: $0 % 700) + String($0) }
        for end in ["", "\n"] {
            let text = lines.joined(separator: "\n") + end
            let file = try InputFile(path: directory.write(text.utf8, to: "lines"))
            var read: [String] = []
            while let line = try file.nextLine(limit: 1000) { read.append(String(decoding: line, as: UTF8.self)) }
            #expect(read == lines)
            #expect(file.offset == UInt64(text.utf8.count))
        }
    }

    @Test("ids and records label the rows of a binary file")
    func labelled() throws {
        let ids = try labels("a\nb\r\nc\n", records: false).next(limit: 10)
        #expect(ids.ids == ["a", "b", "c"])
        #expect(ids.metadata.isEmpty)
        let text = (0..<3).map { "{\"id\":\"r\($0)\",\"n\":\($0)}\n" }.joined()
        let records = try labels(text, records: true).next(limit: 10)
        #expect(records.ids == ["r0", "r1", "r2"])
        #expect(records.metadata[2]["n"] == .integer(2))
        #expect(records.vectors == [1, 2, 3])
    }

    @Test(
        "labels that do not fit the rows are malformed",
        arguments: [
            ("a\nb", false, 2), ("a\nb\nc\nd", false, 3), ("a\n\nc", false, 1),
            ("{\"id\":\"a\"}\n{\"x\":1}\n{\"id\":\"c\"}", true, 1), ("{\"id\":\"a\"}", true, 1),
            ("{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}", true, 3),
        ])
    func misfit(_ text: String, _ isRecords: Bool, _ row: Int) throws {
        let error = #expect(throws: CommandError.self) { _ = try allRows(labels(text, records: isRecords)) }
        #expect(error?.exitCode == .dataError)
        #expect(error?.row == row)
    }
}
