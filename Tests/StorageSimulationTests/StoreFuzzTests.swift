// The corpus of the libFuzzer target `store` (Tests/Fuzz/Corpus/store), on every test run.
import Foundation
import StorageSimulation
import Testing

@Suite struct StoreFuzzTests {
    @Test("No input that a fuzzer kept makes a store trap, or answer with a record that nobody wrote")
    func corpus() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fuzz/Corpus/store")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect((1...100).contains(files.count))
        for file in files { #expect(StoreFuzz.run(Array(try Data(contentsOf: file)))) }
    }
}
