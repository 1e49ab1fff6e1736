/// Exit codes, JSON and text for people.
import Foundation
import Nephrite
import Testing

@testable import NephriteCLI

@Suite struct OutputTests {
    @Test(
        "every store error has its exit code",
        arguments: [
            (.dimensionMismatch, 65), (.notFinite, 65), (.invalidID, 65), (.invalidName, 64), (.invalidArgument, 64),
            (.invalidMetadata, 65), (.duplicateID, 65), (.recordExists, 1), (.recordNotFound, 1), (.versionMismatch, 1),
            (.conflict, 75), (.databaseExists, 73), (.databaseNotFound, 66), (.locked, 75), (.notAStore, 65),
            (.newerFormat, 65), (.corruption, 65), (.diskFull, 74), (.limitReached, 1), (.notWritable, 73),
            (.tooManyOpenFiles, 75), (.tooManyThreads, 75), (.inputOutput, 74), (.outcomeUnknown, 74), (.fenced, 74),
            (.notRunning, 1),
            (.closed, 1),
        ] as [(StoreError.Code, Int32)])
    func exitCodes(_ code: StoreError.Code, _ exit: Int32) {
        #expect(ExitCode(code).rawValue == exit)
    }

    @Test("failed calls on input files have their exit codes")
    func inputErrors() {
        #expect(ExitCode(inputErrorNumber: ENOENT) == .noInput)
        #expect(ExitCode(inputErrorNumber: EISDIR) == .noInput)
        #expect(ExitCode(inputErrorNumber: EMFILE) == .temporaryFailure)
        #expect(ExitCode(inputErrorNumber: EIO) == .inputOutput)
    }

    @Test("a cancelled command was interrupted")
    func cancelled() {
        #expect(CommandError(CancellationError()).exitCode == .interrupted)
    }

    @Test("errors are a line for people and an object for machines")
    func errorForms() {
        let error = CommandError.malformed("It is \"cut\".", path: "a.fvecs", offset: 16, row: 2, remedy: "Copy it.")
        #expect(error.line == "nephrite: a.fvecs, row 2, offset 16: It is \"cut\". Copy it.")
        #expect(
            error.jsonLine
                == #"{"error":{"code":"malformedInput","exitCode":65,"message":"a.fvecs, row 2, offset 16: It is \"cut\".","#
                + #""remedy":"Copy it.","path":"a.fvecs","offset":16,"row":2}}"#)
    }

    @Test("an answer has the fields scripts rely on")
    func answer() {
        var json = JSONText()
        // `SearchHit` has no public initialiser: an answer without hits shows the form.
        json.answer(3, [], .nanoseconds(1_500_000_042))
        #expect(json.text == #"{"query":3,"ids":[],"scores":[],"nanoseconds":1500000042}"#)
    }

    @Test("a record has the fields scripts rely on")
    func record() throws {
        var json = JSONText()
        let metadata = try Metadata([("b", .integer(1)), ("a", .object(["z": .null, "y": .array([.bool(true)])]))])
        json.value(VectorRecord(id: "a\"\u{1}é", vector: [1, 0.1, -1e-7], metadata: metadata))
        var parser = JSONParser(Array(json.text.utf8)[...])
        let read = try parser.record(idField: "id", vectorField: "vector")
        #expect(json.text.hasPrefix(#"{"id":"a\"\u0001é","vector":[1.0,0.1,-1e-07],"metadata":{"#))
        #expect(read.id == "a\"\u{1}é")
        #expect(read.vector == [1, 0.1, -1e-7])
        #expect(read.fields.count == 1)
        #expect(
            read.fields.first?.1
                == .object(["b": .integer(1), "a": .object(["z": .null, "y": .array([.bool(true)])])]))
    }

    @Test("JSON is what Foundation reads too, and numbers that are not finite are null")
    func foundationAgrees() throws {
        var json = JSONText()
        json.object { json in
            json.field("text", (0..<128).map { String(UnicodeScalar($0)) }.joined())
            json.field("floats", [.infinity, .nan, 1] as [Float])
            json.field("flag", true)
        }
        let read = try JSONSerialization.jsonObject(with: Data(json.text.utf8)) as? [String: Any]
        #expect((read?["text"] as? String)?.unicodeScalars.count == 128)
        #expect((read?["floats"] as? [Any])?.count == 3)
        #expect(json.text.contains("[null,null,1.0]"))
    }

    @Test("numbers for people")
    func numbers() {
        #expect(HumanText.grouped(1_234_567) == "1,234,567")
        #expect(HumanText.grouped(-999) == "-999")
        #expect(HumanText.grouped(1000) == "1,000")
        #expect(HumanText.fixed(0.99999, decimals: 4) == "1.0000")
        #expect(HumanText.fixed(-0.00001, decimals: 4) == "0.0000")
        #expect(HumanText.fixed(-12.5, decimals: 2) == "-12.50")
        #expect(HumanText.fixed(.infinity, decimals: 2) == "inf")
        #expect(HumanText.rate(rows: 5000, in: .milliseconds(500)) == "5,000 rows in 0.50 s (10,000 rows/s)")
        #expect(HumanText.rate(rows: 0, in: .zero) == "0 rows in 0.00 s")
    }

    @Test("control characters of metadata do not reach the terminal")
    func controlCharacters() throws {
        let metadata = try Metadata([("title", .string("a\u{1B}[2Jb\u{9B}c"))])
        #expect(HumanText.summary(metadata) == "a [2Jb c")
    }

    @Test("an error is one line without control characters, whatever ids and paths have in them")
    func controlCharactersOfErrors() {
        let error = CommandError.notFound(["a\n\u{1B}[31mb"], in: "points")
        #expect(error.line.contains("“a  [31mb”"))
        #expect(error.line.allSatisfy { !$0.isNewline })
        #expect(error.jsonLine.contains(#"“a\n\u001b[31mb”"#))
    }

    @Test("a pipe that does not wait gets all of the output, as fast as it is read")
    func fullPipe() async throws {
        let pipe = Pipe()
        let number = pipe.fileHandleForWriting.fileDescriptor
        #expect(fcntl(number, F_SETFL, O_NONBLOCK) == 0)
        let console = Console(outputDescriptor: number, errorDescriptor: 2)
        let line = String(repeating: "x", count: 999)
        async let read = pipe.fileHandleForReading.readToEnd()
        // Else a failure below would leave the reader waiting.
        defer { try? pipe.fileHandleForWriting.close() }
        for _ in 0..<1_000 { try console.print(line) }
        try console.flush()
        try pipe.fileHandleForWriting.close()
        #expect(try await read?.count == 1_000_000)
    }

    @Test("acknowledgements count once their line is whole")
    func acknowledgements() {
        var acknowledgements = Acknowledgements()
        acknowledgements.take("{\"acknowledged\":10}\n{\"ackn".utf8)
        #expect(acknowledgements.total == 10)
        acknowledgements.take("owledged\":20".utf8)
        #expect(acknowledgements.total == 10)
        acknowledgements.take("}\n".utf8)
        #expect(acknowledgements.total == 20)
    }

    @Test("lines go out at flush, in order, and not before")
    func console() throws {
        let pipe = Pipe()
        let console = Console(outputDescriptor: pipe.fileHandleForWriting.fileDescriptor, errorDescriptor: 2)
        try console.print("a")
        try console.print("b")
        try console.flush()
        try console.print("c")
        #expect(pipe.fileHandleForReading.availableData == Data("a\nb\n".utf8))
    }
}
