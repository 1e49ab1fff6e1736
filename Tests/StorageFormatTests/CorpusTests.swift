/// The fuzzers' corpus (`Tests/Fuzz/Corpus`) through the parsers, on every test run.
import Foundation
import StorageFormat
import Testing

@Suite struct CorpusTests {
    @Test(arguments: ["header", "segment", "catalogue", "metadata", "logbodies", "codes"])
    func `no input that a fuzzer kept traps`(_ target: String) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fuzz/Corpus/\(target)")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect((1...100).contains(files.count))
        for file in files {
            let bytes = Array(try Data(contentsOf: file))
            switch Parser(rawValue: target) {
            case .some(let parser): parser.run(bytes)
            case nil: Parser.bodies.run(Array(bytes.dropFirst(2)))
            }
            if target == "segment" { Parser.logRecord.run(bytes) }
        }
    }
}
