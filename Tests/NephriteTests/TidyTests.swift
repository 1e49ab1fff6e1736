// What the conventions say about every source file, checked in one walk over the repository: opening sentences, sizes,
// structured concurrency, who may call the system, and that nothing is left to be done.
import Foundation
import Testing

/// A rule that a walk over lines can decide.
struct TidyRule: Sendable, CustomTestStringConvertible {
    let name: String
    /// The first line that breaks it, counted from 0, nil if none does.
    let violation: @Sendable (_ path: String, _ lines: [String]) -> Int?

    var testDescription: String { name }

    /// Swift code without comments; what is quoted in documentation is no code.
    private static func code(_ line: String) -> String {
        let trimmed = line.trimmingCharacters(in: .whitespaces)
        guard !trimmed.hasPrefix("//") else { return "" }
        return line.components(separatedBy: " // ").first ?? line
    }

    private static func isSwift(_ path: String) -> Bool { path.hasSuffix(".swift") }

    static let all = [
        TidyRule(name: "No file has more than 500 lines") { _, lines in lines.count > 500 ? 500 : nil },
        TidyRule(name: "Structured concurrency only, outside the simulation and the command line") { path, lines in
            guard isSwift(path), !path.hasPrefix("StorageSimulation/"), !path.hasPrefix("NephriteCLI/") else {
                return nil
            }
            let forbidden = ["Task {", "Task{", "Task(", "Task.detached", "Task.sleep", "DispatchQueue"]
            return lines.firstIndex { line in
                let code = code(line)
                return forbidden.contains { word in
                    guard let range = code.range(of: word) else { return false }
                    // `addTask {` and `struct LogTask {` are other words.
                    guard range.lowerBound > code.startIndex else { return true }
                    let before = code[code.index(before: range.lowerBound)]
                    return !before.isLetter && !before.isNumber && before != "_"
                }
            }
        },
        TidyRule(name: "@unchecked Sendable says why directly above") { path, lines in
            guard isSwift(path) else { return nil }
            return lines.indices.first { index in
                guard code(lines[index]).contains("@unchecked Sendable") else { return false }
                let comment = lines[..<index].reversed().prefix { line in
                    line.drop { $0 == " " }.hasPrefix("// ")
                }
                return !comment.contains { $0.contains("// SAFETY: ") }
            }
        },
        TidyRule(name: "Only StorageIO imports the C library") { path, lines in
            // Seeded bugs read their switch before anything else is there.
            guard isSwift(path), !path.hasPrefix("StorageIO/"), path != "StorageFormat/Mutant.swift" else { return nil }
            return lines.firstIndex { line in
                let words = code(line).split(separator: " ")
                guard words.contains("import"), let module = words.last else { return false }
                return ["Glibc", "Darwin", "Musl"].contains(String(module))
            }
        },
        TidyRule(name: "Nothing is left to be done") { _, lines in
            lines.firstIndex { line in ["TO" + "DO", "FIX" + "ME"].contains { line.contains($0) } }
        },
        opening,
    ]

    /// For every file, those of tests and benchmarks included.
    static let opening = TidyRule(name: "A file opens with a sentence that says what it is") { _, lines in
        let first = lines.first { !$0.isEmpty && $0 != "#pragma once" } ?? ""
        let words = first.drop { $0 == "/" }
        return first.hasPrefix("//") && words.hasPrefix(" ") && words.count > 20 ? nil : 0
    }
}

@Suite struct TidyTests {
    /// Every source file below `Sources`, by its path there.
    static let sources = files(in: "Sources")

    /// Every source file below a directory of the repository, by its path there.
    private static func files(in directory: String) -> [String: [String]] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent(directory)
        var sources: [String: [String]] = [:]
        for path in (try? FileManager.default.subpathsOfDirectory(atPath: root.path)) ?? []
        where [".swift", ".c", ".h"].contains(where: { path.hasSuffix($0) }) {
            guard let text = try? String(contentsOf: root.appendingPathComponent(path), encoding: .utf8) else {
                continue
            }
            var lines = text.components(separatedBy: "\n")
            if lines.last == "" { lines.removeLast() }
            sources[path] = lines
        }
        return sources
    }

    @Test("The walk finds the sources")
    func walk() {
        #expect(Self.sources.count > 100)
        for module in ["CNephrite", "StorageFormat", "StorageIO", "Nephrite", "StorageSimulation", "NephriteCLI"] {
            #expect(Self.sources.keys.contains { $0.hasPrefix(module + "/") }, "\(module)")
        }
    }

    @Test("Every source file keeps the rule", arguments: TidyRule.all)
    func rule(_ rule: TidyRule) {
        for (path, lines) in Self.sources.sorted(by: { $0.key < $1.key }) {
            guard let line = rule.violation(path, lines) else { continue }
            Issue.record("\(path):\(line + 1) breaks the rule: \(rule.name)")
        }
    }

    @Test("Tests and benchmarks open with a sentence, too", arguments: ["Tests", "Benchmarks"])
    func openings(_ directory: String) {
        let files = Self.files(in: directory)
        #expect(files.count > 20)
        for (path, lines) in files.sorted(by: { $0.key < $1.key }) {
            #expect(TidyRule.opening.violation(path, lines) == nil, "\(directory)/\(path)")
        }
    }

    @Test(
        "Each rule tells what breaks it from what looks like it",
        arguments: [
            (1, "    Task { work() }", true), (1, "    group.addTask { work() }", false),
            (1, "struct LogTask {", false), (1, "/// group.addTask { } or Task { }", false),
            (1, "    try await Task.sleep(for: .seconds(1))", true), (1, "Task.checkCancellation()", false),
            (1, "    let task = Task(priority: .high) {", true), (1, "DispatchQueue.main", true),
            (2, "final class A: @unchecked Sendable {", true), (2, "final class A: Sendable {", false),
            (3, "    import Glibc", true), (3, "package import Darwin", true), (3, "import Foundation", false),
            (4, "// TO" + "DO: later", true), (4, "// to do", false),
        ])
    func rulesCanFail(_ rule: Int, _ line: String, _ isBroken: Bool) {
        #expect((TidyRule.all[rule].violation("Nephrite/A.swift", ["", line]) != nil) == isBroken)
    }

    @Test("The rules know how long a file is, where SAFETY stands, and which modules are exempt")
    func edges() {
        let lines = [String](repeating: "", count: 500)
        #expect(TidyRule.all[0].violation("Nephrite/A.swift", lines) == nil)
        #expect(TidyRule.all[0].violation("Nephrite/A.swift", lines + [""]) != nil)
        let safe = ["    // SAFETY: immutable, and", "    // so on.", "    final class A: @unchecked Sendable {}"]
        #expect(TidyRule.all[2].violation("Nephrite/A.swift", safe) == nil)
        #expect(TidyRule.all[2].violation("Nephrite/A.swift", [safe[0], safe[1], "", safe[2]]) != nil)
        #expect(TidyRule.opening.violation("a.h", ["#pragma once", "", "// What a file is, in a sentence."]) == nil)
        #expect(TidyRule.opening.violation("a.swift", ["import Foundation", "// What it is, but too late."]) != nil)
        #expect(TidyRule.opening.violation("a.swift", ["// A.swift"]) != nil)
        #expect(TidyRule.all[1].violation("NephriteCLI/A.swift", ["Task { }"]) == nil)
        #expect(TidyRule.all[3].violation("StorageIO/A.swift", ["import Glibc"]) == nil)
    }
}
