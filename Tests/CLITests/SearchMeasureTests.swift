/// The built program where searches are concerned with codes: `quantize`, `bench search`, and queries from a file.
import Foundation
import Testing

@testable import NephriteCLI

@Suite(.timeLimit(.minutes(20))) struct SearchMeasureTests {
    private let directory: TemporaryDirectory
    private let store: String
    private let rowCount = 1_500

    init() throws {
        directory = try TemporaryDirectory()
        store = directory.path("store")
    }

    private func nephrite(_ arguments: String...) throws -> NephriteProcess.Result {
        try NephriteProcess.run(arguments, in: directory)
    }

    private func row(_ number: Int) -> [Float] {
        (0..<16).map { Float((number &* 2_654_435_761 &+ $0 &* 40_503) % 1_009) / 1_009 - 0.5 }
    }

    private func fill() throws {
        let rows = try directory.write(SampleBytes.fvecs((0..<rowCount).map(row)), to: "base.fvecs")
        #expect(
            try nephrite("create", "--store", store, "a", "--dimension", "16", "--quantization", "none").exitCode == 0)
        #expect(try nephrite("import", "--store", store, "a", rows).exitCode == 0)
    }

    @Test("quantize encodes a database that is there, keeps the mode, and removes the codes again")
    func quantize() throws {
        try fill()
        let path = directory.path("store/a/vectors.codes")
        let done = try nephrite("quantize", "--store", store, "a", "--json")
        #expect(
            done.lines == [
                #"{"name":"a","quantization":"automatic","state":"complete","codedCount":1500,"recordCount":1500}"#
            ], "\(done)")
        #expect(FileManager.default.fileExists(atPath: path))
        let stats = try nephrite("stats", "--store", store, "a", "--json")
        #expect(stats.output.contains(#""codedCount":1500"#) && stats.output.contains(#""codingState":"idle""#))
        #expect(try nephrite("check", "--store", store).exitCode == 0)
        let off = try nephrite("quantize", "--store", store, "a", "--mode", "none")
        #expect(off.exitCode == 0 && off.errors.contains("no codes any more"))
        #expect(!FileManager.default.fileExists(atPath: path))
        let later = try nephrite("quantize", "--store", store, "a", "--no-wait", "--json")
        #expect(later.lines == [#"{"name":"a","quantization":"automatic"}"#])
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(try nephrite("quantize", "--store", store, "a", "--mode", "some").exitCode == 64)
        #expect(try nephrite("quantize", "--store", store, "b").exitCode == 66)
    }

    @Test("A bit of the codes that changed on disk is found by check, and mended by who uses them")
    func damagedCodes() throws {
        try fill()
        #expect(try nephrite("quantize", "--store", store, "a").exitCode == 0)
        let file = try #require(FileHandle(forUpdatingAtPath: directory.path("store/a/vectors.codes")))
        try file.seek(toOffset: 65_536 + 100)
        let byte = try #require(try file.read(upToCount: 1)?.first)
        try file.seek(toOffset: 65_536 + 100)
        try file.write(contentsOf: [byte ^ 4])
        try file.close()
        let check = try nephrite("check", "--store", store)
        #expect(check.exitCode == 65 && check.output.contains("codes: The codes of 1 records"), "\(check)")
        #expect(try nephrite("quantize", "--store", store, "a").exitCode == 0)
        #expect(try nephrite("check", "--store", store).exitCode == 0)
    }

    @Test("bench search prints a line a mode; an exact search finds everything")
    func bench() throws {
        try fill()
        let queries = try directory.write(SampleBytes.fvecs((0..<40).map { row($0 * 7 + 3) }), to: "q.fvecs")
        let lines = try nephrite(
            "bench", "search", "--store", store, "a", "--queries", queries, "--modes", "exact,candidates:1500",
            "--threads", "1", "--json"
        ).lines
        #expect(lines.count == 2)
        for (line, mode) in zip(lines, ["exact", "candidates:1500"]) {
            #expect(
                line.hasPrefix(#"{"mode":"\#(mode)","recall":1.0,"queries":40,"k":10,"milliseconds":{"p50":"#),
                "\(line)")
            #expect(line.contains(#""queriesPerSecond":"#) && line.contains(#""batchQueriesPerSecond":"#))
        }
        let own = try nephrite("bench", "search", "--store", store, "a", "--count", "25", "--where", "n exists")
        #expect(
            own.exitCode == 0
                && own.lines.map { $0.split(separator: " ").first } == ["mode", "exact", "approximate:0.99"])
        #expect(own.errors.contains("25 queries, 1,500 records, k = 10."))
        #expect(try nephrite("bench", "insert", "--store", store, "a").exitCode == 64)
        #expect(try nephrite("bench", "search", "--store", store, "a", "--modes", "fast").exitCode == 64)
        let few = try nephrite("bench", "search", "--store", store, "a", "--modes", "candidates:1", "-k", "1", "--json")
        #expect(few.lines.count == 1 && !few.output.contains(#""recall":0.0"#))
    }

    @Test("Queries of a file are answered as if each were asked alone, more than a pass of them too")
    func queries() throws {
        try fill()
        let vectors = (0..<130).map { row($0 * 11 + 1) }
        let path = try directory.write(SampleBytes.fvecs(vectors), to: "q.fvecs")
        let all = try nephrite("search", "--store", store, "a", "--queries", path, "-k", "3", "--json")
        let explained = try nephrite(
            "search", "--store", store, "a", "--queries", path, "-k", "3", "--json", "--explain")
        func answers(_ result: NephriteProcess.Result) -> [Substring] {
            result.lines.map { $0.prefix { $0 != "n" } }
        }
        #expect(all.lines.count == 130 && answers(all) == answers(explained))
        #expect(explained.lines.allSatisfy { $0.contains("explanation") })
        var wrong = vectors
        wrong[77][3] = .nan
        let bad = try directory.write(SampleBytes.fvecs(wrong), to: "bad.fvecs")
        let refused = try nephrite("search", "--store", store, "a", "--queries", bad, "--json")
        #expect(refused.exitCode == 65 && refused.errors.contains("row 77"), "\(refused.errors)")
    }
}
