/// The examples of the README and of the articles, compiled and run; a test compares the documents with this file, so that
/// neither can drift from the other.
import Foundation
import Nephrite
import Testing

// example: README
func nearestNotes(in directory: String) async throws -> [SearchHit] {
    try await withVectorStore(at: directory) { store in
        let notes = try await store.createDatabase("notes", options: .init(dimension: 4, metric: .cosine))

        // On disk when it returns: it survives kill -9, a kernel crash and a loss of power.
        try await notes.upsert(VectorRecord(id: "tea", vector: [0.9, 0.1, 0, 0.2], metadata: ["topic": "drinks"]))

        // A batch is one commit: all of it or, if this throws, none.
        try await notes.insert([
            VectorRecord(id: "coffee", vector: [0.8, 0.2, 0.1, 0.1], metadata: ["topic": "drinks"]),
            VectorRecord(id: "granite", vector: [0, 0.1, 0.9, 0.4], metadata: ["topic": "stones"]),
        ])

        let hits = try await notes.search([0.85, 0.15, 0, 0.2], k: 2)  // exact, nearest first
        for hit in hits { print(hit.id, hit.score) }
        return hits
    }
}
// example end

// example: service
/// What an application does: the store runs beside the application's other services.
func serve(at directory: String, until shutdown: @escaping @Sendable () async throws -> Void) async throws {
    let store = VectorStore(at: directory)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await store.run() }  // opens, recovers, serves
        group.addTask {
            try await store.waitUntilReady()
            try await shutdown()
        }
        try await group.next()  // an error of either, or the end of the shutdown task
        group.cancelAll()  // run() drains, checkpoints and closes
        try await group.waitForAll()
    }
}
// example end

func writing(_ store: VectorStore, _ embedding: [Float], _ embeddings: [Float]) async throws {
    // example: writing
    let options = DatabaseOptions(dimension: 384, metric: .cosine)
    let glosses = try await store.openDatabase("glosses", options: options)  // created if it is not there

    let tea = VectorRecord(id: "tea.n.1", vector: embedding, metadata: ["word": "tea", "pos": "n"])
    let version = try await glosses.insert(tea)  // throws recordExists if the id is there
    try await glosses.update(tea, expectedVersion: version)  // throws versionMismatch if someone was faster
    try await glosses.upsert(tea)  // either way

    // Many rows at once: ids.count × dimension floats, row after row. One commit, all or nothing.
    try await glosses.upsert(ids: ["a", "b"], vectors: embeddings, metadata: [["n": 1], ["n": 2]])

    let wasThere = try await glosses.delete("b")
    // example end
    #expect(wasThere)
}

func reading(_ store: VectorStore, _ query: [Float]) async throws {
    // example: reading
    let glosses = try await store.database("glosses")
    let vector = try await glosses.vector(for: "tea.n.1")  // nil if there is none
    let records = try await glosses.records(for: ["tea.n.1", "missing"])  // in the order of the ids
    let norm = try await glosses.withVector(for: "tea.n.1") { components in  // no copy
        var sum: Float = 0
        for index in components.indices { sum += components[index] * components[index] }
        return sum.squareRoot()
    }
    // example end
    #expect(vector?.count == 384 && records[0] != nil && records[1] == nil && (norm ?? 0) > 0)

    // example: snapshot
    let snapshot = try await glosses.snapshot()  // one commit, whatever is written from now on
    for hit in try await snapshot.search(query, k: 10) {
        let record = try snapshot.record(for: hit.id)  // synchronous, from memory
        print(hit.score, hit.id, record?.metadata["word"] ?? .null)
    }
    for result in snapshot.records() {
        print(try result.get().id)  // a damaged record is an error of its own, not of the whole walk
    }
    // example end
}

func describing(_ glosses: VectorDatabase, _ embedding: [Float]) async throws {
    // example: metadata
    struct Gloss: Codable {
        var word: String
        var senses: [String]
        var year: Int?
    }

    let gloss = Gloss(word: "tea", senses: ["a drink", "a meal"])
    try await glosses.upsert(
        VectorRecord(id: "tea.n.1", vector: embedding, metadata: try Metadata(encoding: gloss)))

    if var record = try await glosses.record(for: "tea.n.1") {
        print(try record.metadata.decode(Gloss.self).senses, record.metadata["word"]?.stringValue ?? "?")
        record.metadata["year"] = 1650
        try await glosses.update(record, expectedVersion: record.version)
    }
    // example end
}

func filtering(_ notes: VectorDatabase, _ query: [Float]) async throws -> ([SearchHit], Filter) {
    // example: filter
    let filter = Filter.field("lang") == "en" && Filter.field("year") >= 2020
    let hits = try await notes.search(query, k: 10, options: SearchOptions(filter: filter))
    let same = try Filter(parsing: #"lang == "en" && year >= 2020"#)
    // example end
    return (hits, same)
}

func transferring(_ store: VectorStore) async throws {
    // example: transaction
    try await store.transaction { transaction in
        guard let record = try await transaction.record(for: "tea.n.1", in: "glosses") else { return }
        try await transaction.upsert(record, into: "archive")
        try await transaction.delete(record.id, from: "glosses")
    }
    // example end
}

func failing(_ store: VectorStore, _ record: VectorRecord) async throws {
    let glosses = try await store.database("glosses")
    // example: errors
    do {
        try await glosses.insert(record)
    } catch let error as StoreError where error.code == .recordExists {
        print(error.ids, error.message, error.remedy)
    } catch let error as StoreError where error.code == .outcomeUnknown {
        // The disk failed after the write was staged. Reopen the store, then look whether the record is there.
        throw error
    }
    // example end
}

@Suite(.timeLimit(.minutes(20))) struct ReadmeExampleTests {
    private let directory = FileManager.default.temporaryDirectory
        .appendingPathComponent("nephrite-example-\(UUID().uuidString)").path
    private static let root = (0..<3).reduce(URL(fileURLWithPath: #filePath)) { url, _ in
        url.deletingLastPathComponent()
    }

    @Test("The README's example finds the two drinks")
    func readmeExample() async throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        #expect(try await nearestNotes(in: directory).map(\.id) == ["tea", "coffee"])
        let count = try await withVectorStore(at: directory) { try await $0.database("notes").count() }
        #expect(count == 3)
    }

    @Test("The article's examples run one after the other")
    func articleExamples() async throws {
        let query = (0..<384).map { Float($0 % 7) - 3 }
        try await withVectorStore(.inMemory()) { store in
            try await writing(store, query, query + query)
            try await store.createDatabase("archive", options: .init(dimension: 384))
            try await reading(store, query)
            try await describing(try await store.database("glosses"), query)
            let described = try await store.database("glosses").record(for: "tea.n.1")
            #expect(described?.metadata == ["senses": ["a drink", "a meal"], "word": "tea", "year": 1650])
            #expect(try await filtering(try await store.database("glosses"), query).0.isEmpty)
            try await transferring(store)
            let glosses = try await store.database("glosses")
            #expect(try await glosses.contains("tea.n.1") == false)
            #expect(try await store.database("archive").contains("tea.n.1"))
            try await failing(store, VectorRecord(id: "a", vector: query))
        }
    }

    @Test("A service that is told to stop closes its store cleanly")
    func serviceExample() async throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await serve(at: directory) {}
        let report = try await withVectorStore(at: directory) { $0.recoveryReport }
        #expect(report?.wasClean == true)
    }

    @Test(
        "Every Swift block of a document is in this file",
        arguments: ["README.md", "DocC/Nephrite.docc/GettingStarted.md", "DocC/Nephrite.docc/Filtering.md"])
    func documentsMatch(_ path: String) throws {
        let text = try String(contentsOf: Self.root.appendingPathComponent(path), encoding: .utf8)
        let examples = Self.examples(in: try String(contentsOfFile: #filePath, encoding: .utf8))
        let blocks = Self.swiftBlocks(in: text)
        #expect(!blocks.isEmpty)
        for block in blocks { #expect(examples.contains(block), "not compiled anywhere:\n\(block)") }
    }

    /// The marked regions of this file without their common indentation.
    private static func examples(in source: String) -> Set<String> {
        var examples: Set<String> = []
        var lines: [Substring]?
        for line in source.split(separator: "\n", omittingEmptySubsequences: false) {
            let mark = line.drop { $0 == " " }
            if mark == "// example end", let region = lines {
                let indentation = region.first?.prefix { $0 == " " }.count ?? 0
                examples.insert(region.map { $0.dropFirst(indentation) }.joined(separator: "\n"))
                lines = nil
            } else if mark.hasPrefix("// example: ") {
                lines = []
            } else {
                lines?.append(line)
            }
        }
        return examples
    }

    /// The blocks marked as Swift, without the import that this file has at its top and without package manifests.
    private static func swiftBlocks(in text: String) -> [String] {
        var blocks: [String] = []
        var lines: [Substring]?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "```swift" {
                lines = []
            } else if line == "```", let block = lines {
                lines = nil
                let code = block.first == "import Nephrite" ? block.dropFirst(2) : block[...]
                if !code.contains(where: { $0.contains(".package(") }) { blocks.append(code.joined(separator: "\n")) }
            } else {
                lines?.append(line)
            }
        }
        return blocks
    }
}
