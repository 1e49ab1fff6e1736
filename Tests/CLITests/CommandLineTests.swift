/// The built program from end to end: what it prints, and what it ends with.
import Foundation
import Testing

@testable import NephriteCLI

@Suite(.timeLimit(.minutes(20))) struct CommandLineTests {
    private let directory: TemporaryDirectory
    private let store: String

    init() throws {
        directory = try TemporaryDirectory()
        store = directory.path("store")
    }

    private func nephrite(_ arguments: String...) throws -> NephriteProcess.Result {
        try NephriteProcess.run(arguments, in: directory)
    }

    private func nephrite(_ arguments: [String]) throws -> NephriteProcess.Result {
        try NephriteProcess.run(arguments, in: directory)
    }

    private func create(_ name: String = "points", dimension: Int = 2, metric: String = "euclidean") throws {
        let result = try nephrite(
            "create", "--store", store, name, "--dimension", String(dimension), "--metric", metric)
        #expect(result.exitCode == 0, "\(result.errors)")
    }

    /// Three rows with ids a, b, c.
    private func importThree() throws {
        try create()
        let text = """
            {"id":"a","vector":[0,0],"metadata":{"n":1}}
            {"id":"b","vector":[3,4]}
            {"id":"c","vector":[0.1,-1e-7]}
            """
        let rows = try directory.write(text.utf8, to: "rows.ndjson")
        let result = try nephrite("import", "--store", store, "points", rows, "--batch-size", "2", "--json")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.lines == [#"{"acknowledged":2}"#, #"{"acknowledged":3}"#])
        #expect(result.errors.isEmpty)
    }

    @Test("create, import, get, count, list, delete and drop keep to their forms")
    func walkThrough() throws {
        try importThree()
        let record = try nephrite("get", "--store", store, "points", "a", "--json")
        #expect(record.lines == [#"{"id":"a","vector":[0.0,0.0],"metadata":{"n":1}}"#])
        let exact = try nephrite("get", "--store", store, "points", "c", "--json")
        #expect(exact.lines == [#"{"id":"c","vector":[0.1,-1e-07],"metadata":{}}"#])
        #expect(try nephrite("count", "--store", store, "points").output == "3\n")
        #expect(try nephrite("list", "--store", store).output == "points  2  euclidean  durable\n")
        #expect(try nephrite("delete", "--store", store, "points", "b").exitCode == 0)
        #expect(try nephrite("count", "--store", store, "points", "--json").output == "{\"count\":2}\n")
        #expect(try nephrite("check", "--store", store).exitCode == 0)
        #expect(try nephrite("check", "--store", store, "--json").output.hasPrefix(#"{"sound":true,"#))
        #expect(try nephrite("stats", "--store", store, "points", "--json").output.contains("\"recordCount\":2"))
        #expect(try nephrite("drop", "--store", store, "points").exitCode == 0)
        #expect(try nephrite("list", "--store", store).output.isEmpty)
    }

    @Test("With --read-only every reading command answers and no byte of the store changes")
    func readOnly() throws {
        try importThree()
        let files = try FileManager.default.subpathsOfDirectory(atPath: store).sorted()
        let catalogue = try Data(contentsOf: URL(fileURLWithPath: store + "/CATALOG"))
        let common = ["--store", store, "--read-only"]
        #expect(try nephrite(["count", "points"] + common).output == "3\n")
        #expect(try nephrite(["get", "points", "a", "--json"] + common).lines.count == 1)
        #expect(try nephrite(["search", "points", "--like", "a", "-k", "2", "--json"] + common).lines.count == 1)
        #expect(try nephrite(["list"] + common).output == "points  2  euclidean  durable\n")
        #expect(try nephrite(["stats", "points"] + common).exitCode == 0)
        #expect(try nephrite(["check"] + common).exitCode == 0)
        #expect(try nephrite(["drop", "points"] + common).exitCode == 64)
        #expect(try FileManager.default.subpathsOfDirectory(atPath: store).sorted() == files)
        #expect(try Data(contentsOf: URL(fileURLWithPath: store + "/CATALOG")) == catalogue)
    }

    @Test("create says whether codes are wanted, and list and stats say it after that")
    func quantization() throws {
        for (mode, name) in [("none", "plain"), ("automatic", "coded")] {
            let result = try nephrite(
                "create", "--store", store, name, "--dimension", "2", "--quantization", mode, "--json")
            #expect(result.exitCode == 0 && result.output.contains("\"quantization\":\"\(mode)\""))
            let stats = try nephrite("stats", "--store", store, name, "--json")
            #expect(stats.output.contains("\"quantization\":\"\(mode)\""))
            #expect(stats.output.contains("\"codedCount\":0") && stats.output.contains("\"codeByteCount\":0"))
        }
        let list = try nephrite("list", "--store", store, "--json")
        #expect(list.lines.map { $0.contains("\"quantization\":\"none\"") } == [false, true])
        let wrong = try nephrite("create", "--store", store, "x", "--dimension", "2", "--quantization", "some")
        #expect(wrong.exitCode == 64)
    }

    @Test("--where narrows search and count down, declared or not, and says where its text is wrong")
    func filters() throws {
        for fields in ["n", "m"] {
            let name = "by-\(fields)"
            let created = try nephrite(
                "create", "--store", store, name, "--dimension", "2", "--metric", "euclidean", "--index",
                "\(fields),x.y",
                "--json")
            #expect(created.output.contains(#""indexedFields":["\#(fields)","x.y"]"#))
            let text = """
                {"id":"a","vector":[0,0],"metadata":{"n":1}}
                {"id":"b","vector":[3,4],"metadata":{"n":2.0}}
                {"id":"c","vector":[0.1,0]}
                """
            let rows = try directory.write(text.utf8, to: "\(fields).ndjson")
            #expect(try nephrite("import", "--store", store, name, rows).exitCode == 0)
            #expect(try nephrite("count", "--store", store, name, "--where", "n >= 1").output == "2\n")
            #expect(
                try nephrite("count", "--store", store, name, "--where", "!(n == 1) && !(x.y exists)").output == "2\n")
            let found = try nephrite(
                "search", "--store", store, name, "--vector", "[0, 0]", "-k", "3", "--where", "n in [2, 3]", "--json")
            #expect(found.output.contains(#""ids":["b"]"#))
        }
        let wrong = try nephrite("count", "--store", store, "by-n", "--where", "n = 1", "--json")
        #expect(wrong.exitCode == 64 && wrong.errors.contains(#""code":"invalidFilter""#))
        #expect(wrong.errors.contains(#""offset":2"#))
    }

    @Test("search takes a mode and explains itself; all modes find what is there")
    func modes() throws {
        try importThree()
        for mode in ["exact", "approximate", "approximate:0.9", "candidates:10"] {
            let found = try nephrite(
                "search", "--store", store, "points", "--like", "a", "-k", "2", "--mode", mode, "--threads", "1",
                "--explain", "--json")
            #expect(found.exitCode == 0 && found.output.contains(#""ids":["a","#), "\(mode): \(found)")
            #expect(
                found.output.contains(
                    #""explanation":{"plan":"scan","threads":1,"stages":[{"name":"compared","records":3"#))
        }
        for mode in ["", "approximate:", "approximate:2", "candidates", "candidates:0", "fast", "exact:1"] {
            let refused = try nephrite("search", "--store", store, "points", "--like", "a", "--mode", mode)
            #expect(refused.exitCode == 64, "\(mode)")
        }
    }

    @Test("search answers one line a query, from each kind of query")
    func search() throws {
        try importThree()
        let queries = try directory.write(SampleBytes.fvecs([[3, 4], [0, 0]]), to: "q.fvecs")
        let answers = [
            try nephrite("search", "--store", store, "points", "--vector", "[3, 4]", "-k", "2", "--json"),
            try nephrite("search", "--store", store, "points", "--like", "b", "-k", "2", "--json"),
            try nephrite("search", "--store", store, "points", "--queries", queries, "-k", "2", "--json"),
        ]
        for answer in answers {
            #expect(answer.exitCode == 0, "\(answer.errors)")
            #expect(answer.lines.first?.hasPrefix(#"{"query":0,"ids":["b","#) == true, "\(answer.output)")
        }
        #expect(answers[2].lines.count == 2)
        #expect(
            answers[2].lines.last?.hasPrefix(#"{"query":1,"ids":["a","c"],"scores":[0.0,"#) == true)
        let table = try nephrite("search", "--store", store, "points", "--like", "b")
        #expect(table.lines.count == 3)
        #expect(table.lines.first?.hasPrefix("   1  0.0000  b") == true)
    }

    @Test(
        "what is wrong has its exit code and says what to do",
        arguments: [
            ("", 64), ("serch", 64), ("count --store STORE", 64), ("get --store STORE points nope", 1),
            ("get --store STORE points nope --json", 1), ("delete --store STORE points nope", 1),
            ("count --store GOOD points", 66), ("create --store /dev/null/x x --dimension 2", 66),
            ("count --store STORE missing", 66), ("count --store /nonexistent points", 66),
            ("import --store STORE points /nonexistent.fvecs", 66), ("import --store STORE missing GOOD", 66),
            ("import --store STORE points CUT", 65), ("import --store STORE points NAN", 65),
            ("import --store STORE points WIDE", 65), ("import --store STORE points rows.csv", 64),
            ("create --store STORE points --dimension 2", 73), ("create --store STORE x --dimension 0", 64),
            ("create --store STORE ../x --dimension 2", 64), ("create --store STORE X --dimension 2", 64),
            ("search --store STORE points --like nope", 1), ("search --store STORE points --vector [1,2,3]", 65),
            ("search --store STORE points --vector [1,", 64), ("search --store STORE points", 64),
        ])
    func errors(_ line: String, _ exitCode: Int32) throws {
        try importThree()
        let files = [
            "STORE": store,
            "GOOD": try directory.write(SampleBytes.fvecs([[1, 2]]), to: "good.fvecs"),
            "CUT": try directory.write(SampleBytes.fvecs([[1, 2], [3, 4]]).dropLast(), to: "cut.fvecs"),
            "NAN": try directory.write(SampleBytes.fvecs([[1, 2], [.nan, 4]]), to: "nan.fvecs"),
            "WIDE": try directory.write(SampleBytes.fvecs([[1, 2, 3]]), to: "wide.fvecs"),
        ]
        let words = line.split(separator: " ").map { files[String($0)] ?? String($0) }
        let result = try NephriteProcess.run(words, in: directory)
        #expect(result.exitCode == exitCode, "\(result.errors)")
        #expect(result.output.isEmpty)
        #expect(result.errors.hasPrefix(words.contains("--json") ? "{\"error\":{" : "nephrite: "))
        if line.hasSuffix("CUT") || line.hasSuffix("NAN") { #expect(result.errors.contains("row 1")) }
        #expect(try nephrite("count", "--store", store, "points").output == "3\n")
    }

    @Test("an import that fails half-way says which row, and how many are imported")
    func failsHalfWay() throws {
        try create()
        let path = try directory.write(SampleBytes.fvecs([[1, 2], [3, 4], [5, .infinity]]), to: "nan.fvecs")
        let result = try nephrite("import", "--store", store, "points", path, "--batch-size", "2", "--json")
        #expect(result.exitCode == 65)
        #expect(result.lines == [#"{"acknowledged":2}"#])
        #expect(result.errors.contains("\"row\":2"))
        #expect(result.errors.contains("The first 2 rows are imported."))
        #expect(try nephrite("count", "--store", store, "points").output == "2\n")
    }

    @Test("--version and the help of every command end with 0")
    func help() throws {
        #expect(try nephrite("--version").output == "nephrite \(CommandRunner.version)\n")
        #expect(try nephrite("--help").output.contains("USAGE"))
        for command in CommandRunner.commands.map({ $0.specification }) {
            let result = try nephrite(command.name, "--help")
            #expect(result.exitCode == 0)
            #expect(result.output == HelpText.page(command) + "\n")
        }
    }

    @Test("a store another process holds is a reason to try again later")
    func locked() throws {
        try importThree()
        let holder = try Feeder(store: store)
        #expect(try holder.feed() == 1)
        let second = try nephrite("count", "--store", store, "points")
        #expect(second.exitCode == 75, "\(second.errors)")
        #expect(try holder.finish() == 0)
        #expect(try nephrite("count", "--store", store, "points").output == "4\n")
    }

    /// The signal arrives at any time; rows are fed until the import ends, and then exactly what was
    /// acknowledged is there.
    @Test("the first signal drains: what is acknowledged is there, exit code 130", arguments: [SIGINT, SIGTERM])
    func drains(_ signal: Int32) throws {
        try create()
        let feeder = try Feeder(store: store)
        for _ in 0..<5 { _ = try feeder.feed() }
        feeder.send(signal)
        for _ in 0..<10_000 where try feeder.feed() == nil { break }
        #expect(try feeder.finish() == 130)
        let count = try nephrite("count", "--store", store, "points").output
        #expect(count == "\(feeder.acknowledged)\n")
    }

    @Test("the second signal ends it at once, though it waits for input")
    func aborts() throws {
        try create()
        let feeder = try Feeder(store: store)
        #expect(try feeder.feed() == 1)
        while feeder.isRunning { feeder.send(SIGINT) }
        #expect(try feeder.finish() == 130)
        #expect(try nephrite("count", "--store", store, "points").output == "1\n")
    }

    @Test("a closed output ends it with 74 and no message")
    func closedPipe() throws {
        try importThree()
        let pipe = Pipe()
        try pipe.fileHandleForReading.close()
        let process = NephriteProcess.make(["count", "--store", store, "points"])
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 74)
    }

    @Test("a closed standard output, input or error fails what needs it, and nothing is printed into the store")
    func closedDescriptors() throws {
        try importThree()
        for (closed, exitCode) in [(">&-", 74), ("<&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 74)] as [(String, Int32)] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = [
                "-c", "exec \"$0\" \"$@\" \(closed)", NephriteProcess.executable.path, "get", "--store", store,
                "points", "a",
            ]
            let errors = try directory.write([], to: "errors")
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle(forWritingAtPath: errors)
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationReason == .exit && process.terminationStatus == exitCode, "\(closed)")
            let message = try String(contentsOfFile: errors, encoding: .utf8)
            #expect(message.contains("(error \(EBADF))") == (closed == ">&-"), "\(closed): \(message)")
        }
        #expect(try nephrite("check", "--store", store).exitCode == 0)
    }

    @Test("an empty file makes no database, and --create says why")
    func emptyFile() throws {
        let empty = try directory.write([], to: "empty.fvecs")
        let result = try nephrite("import", "--store", store, "new", empty, "--create")
        #expect(result.exitCode == 66)
        #expect(result.errors.contains("There is no row that tells its dimension: create it first"))
        #expect(!result.errors.contains("Add --create"))
    }

    @Test("ids that Unicode calls equivalent are two records, deleted as two")
    func equivalentIDs() throws {
        try create()
        let text = "{\"id\":\"\u{E9}\",\"vector\":[0,0]}\n{\"id\":\"e\u{301}\",\"vector\":[0,0]}"
        let rows = try directory.write(text.utf8, to: "rows.ndjson")
        #expect(try nephrite("import", "--store", store, "points", rows).exitCode == 0)
        let result = try nephrite("delete", "--store", store, "points", "\u{E9}", "e\u{301}", "\u{E9}", "--json")
        #expect(result.output == "{\"deleted\":2,\"missing\":[]}\n")
        #expect(try nephrite("count", "--store", store, "points").output == "0\n")
    }

    @Test("a record's id does not reach the terminal with control characters; k may be as large as numbers are")
    func oddIDs() throws {
        try create()
        let rows = try directory.write(#"{"id":"a\n\u001b[31m","vector":[0,0]}"#.utf8, to: "rows.ndjson")
        #expect(try nephrite("import", "--store", store, "points", rows).exitCode == 0)
        #expect(try nephrite("get", "--store", store, "points", "a\n\u{1B}[31m").lines.first == "id      a  [31m")
        let all = try nephrite("search", "--store", store, "points", "--vector", "[0,0]", "-k", "\(Int.max)")
        #expect(all.exitCode == 0 && all.lines.count == 1, "\(all.errors)")
        let none = try nephrite("search", "--store", store, "points", "--vector", "[0,0]", "-k", "0")
        #expect(none.exitCode == 64 && none.errors.contains("1 or more"))
    }

    @Test("the demo proves that a killed import loses nothing that was acknowledged")
    func demo() throws {
        let sample = try SampleData(directory: nil).directory
        let result = try nephrite("demo", "--store", store, "--data", sample)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output.contains("every acknowledged row is there"))
        #expect(try nephrite("count", "--store", store, "glosses").output == "5000\n")
    }
}
