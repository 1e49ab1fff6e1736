// The conveniences around records: moving and deleting many, flushing, waiting for a store, and small values that users print,
// hash and compare.
import Foundation
import StorageFormat
import StorageIO
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct ConvenienceTests {
    @Test("Records are moved to another database in one commit; those that are not there are passed over")
    func moves() async throws {
        let directory = TestStore()
        try await directory.open { store async throws in
            let options = DatabaseOptions(dimension: 3)
            let source = try await store.createDatabase("source", options: options)
            let target = try await store.createDatabase("target", options: options)
            let records = (0..<6).map { testRecord("r\($0)", $0) }
            try await source.insert(records)
            try await target.insert(testRecord("r1", 77))
            #expect(try await store.moveRecords(["r0", "none", "r1", "r5"], from: "source", to: "target") == 3)
            #expect(try await Set(source.allIDs()) == ["r2", "r3", "r4"])
            #expect(
                try await target.allContents() == ["r0": records[0], "r1": records[1], "r5": records[5]])
            #expect(try await store.moveRecords(["r0"], from: "source", to: "target") == 0)
            await expectError(.databaseNotFound) {
                try await store.moveRecords(["r2"], from: "source", to: "nowhere")
            }
            #expect(try await Set(source.allIDs()) == ["r2", "r3", "r4"])
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("Records that a condition holds for are deleted in one commit")
    func deletesByCondition() async throws {
        struct Stop: Error {}
        try await TestStore().database { database async throws in
            try await database.insert((0..<300).map { testRecord("r\($0)", $0) })
            let before = try await database.snapshot()
            #expect(try await database.delete { id, _ in id == "none" } == 0)
            #expect(try await database.snapshot().version == before.version)
            await #expect(throws: Stop.self) { try await database.delete { _, _ in throw Stop() } }
            let count = try await database.delete { id, metadata in
                id == "r0" || (metadata["seed"]?.integerValue).map { $0 % 3 == 1 } == true
            }
            #expect(count == 101)
            #expect(try await database.count() == 199)
            #expect(try await database.snapshot().version == before.version + 1)
            #expect(try await Set(database.allIDs()) == Set((1..<300).filter { $0 % 3 != 1 }.map { "r\($0)" }))
            #expect(before.count == 300)
        }
    }

    @Test("A flush makes relaxed writes durable: the log is synced up to them")
    func flushes() async throws {
        let directory = TestStore()
        let counter = CallCounter(suffix: "")
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        var options = DatabaseOptions(dimension: 3)
        options.durability = .relaxed(every: .seconds(3_600))
        await expectError(.fenced) {
            try await directory.database(options) { database async throws in
                try await database.upsert(testRecord("a", 1))
                hooked.set(counter.hook)
                try await database.flush()
                #expect(counter.count(.synchronizeData) == 1)
                hooked.fail([.synchronizeData], with: EIO)
                try await database.upsert(testRecord("b", 2))
                await #expect(throws: StoreError.self) { try await database.flush() }
                hooked.set(nil)
                await expectError(.fenced) { try await database.flush() }
                await expectError(.fenced) { try await database.upsert(testRecord("c", 3)) }
            }
        }
        try await directory.database { opened async throws in #expect(try await opened.contains("a")) }
    }

    @Test("Whoever waits for a store that is never run, is cancelled; one that failed says why, again and again")
    func waits() async throws {
        let idle = VectorStore(at: "nowhere")
        await withTaskGroup(of: Void.self) { group in
            // One is cancelled before it waits, and others while they may.
            for _ in 0..<20 {
                group.addTask { await #expect(throws: CancellationError.self) { try await idle.waitUntilReady() } }
            }
            group.addTask { await Task.yield() }
            await group.next()
            group.cancelAll()
        }
        let failing = MemoryFileSystem(name: "failing")
        var configuration = StoreConfiguration()
        configuration.access = .readOnly
        configuration.environment.fileSystem = { _ in failing }
        let store = VectorStore(at: "memory", configuration: configuration)
        let error = await #expect(throws: StoreError.self) { try await store.run() }
        await #expect(throws: StoreError.self) { try await store.waitUntilReady() }
        for _ in 0..<2 { await expectError(error?.code ?? .closed) { _ = try await store.databases() } }
    }

    @Test("Hits and filters that are equal have equal hashes")
    func hashes() {
        let hits = [
            SearchHit(id: "\u{e9}", score: 1), SearchHit(id: "e\u{301}", score: 1), SearchHit(id: "a", score: 2),
        ]
        #expect(Set(hits).count == 3 && Set(hits + hits).count == 3)
        #expect(Set(hits).contains(SearchHit(id: "a", score: 2)) && !Set(hits).contains(SearchHit(id: "a", score: 1)))
        let filters = [Filter.field("a") == 1, Filter.field("a") == "1", Filter.field("b") == 1, .all, .none]
        #expect(Set(filters + filters).count == 5)
        #expect(Set(filters).contains(Filter.field("a") == 1))
    }

    @Test("An error prints where it happened, and not more than three ids")
    func printsErrors() {
        let short = StoreError(
            .conflict, "M.", database: "d", path: "p", offset: 7, ids: ["a", "b", "c"], remedy: "R.")
        #expect(short.description == "conflict: M. [database d, p, offset 7, id a, b, c] R.")
        let long = StoreError(.conflict, "M.", ids: (0..<200).map { "\($0)" }, remedy: "R.")
        #expect(long.description == "conflict: M. [id 0, 1, 2, …] R.")
        #expect(long.ids.count == 100)
        #expect(StoreError(.conflict, "M.", remedy: "R.").description == "conflict: M. R.")
    }

    @Test("Errors of other kinds keep their text")
    func wrapsErrors() {
        struct Odd: Error, CustomStringConvertible { let description = "something odd" }
        let wrapped = StoreError.wrapping(Odd(), database: "d")
        #expect(wrapped.code == .inputOutput && wrapped.message == "something odd" && wrapped.database == "d")
        let known = StoreError(.conflict, "M.", remedy: "R.")
        #expect(StoreError.wrapping(known, database: "d").database == nil)
        let call = FileSystemError(code: ENOSPC, call: .write, path: "x")
        #expect(StoreError.wrapping(call, database: "d").code == .diskFull)
        let limit = StoreError.limit("Too much.", database: "d")
        #expect(limit.code == .limitReached && limit.database == "d" && !limit.remedy.isEmpty)
        let report = IntegrityReport(refusing: limit)
        #expect(!report.isSound && report.damages.map(\.message) == ["Too much."] && report.databases.isEmpty)
    }

    @Test("Metadata say how long they are; of a key that is given twice in a literal the last value counts")
    func metadata() {
        let metadata: Metadata = ["a": .object(["k": 1])]
        #expect(metadata.encodedByteCount == metadata.encoded.count && metadata.encodedByteCount > 8)
        #expect(Metadata().encodedByteCount == 0)
        let value: MetadataValue = ["k": 1, "l": 2, "k": 3]
        #expect(value == .object(["k": 3, "l": 2]))
        #expect(Double(MetadataValue.string("1")) == nil && Float(MetadataValue.null) == nil)
    }

    @Test("A field is at most as deep as metadata can be")
    func deepFields() async throws {
        let depth = FormatLimits.metadataDepth
        let deepest = Array(repeating: "a", count: depth).joined(separator: ".")
        try await TestStore().database { database async throws in
            #expect(try await database.count(where: Filter.field(deepest) == 1) == 0)
            await expectError(.invalidFilter) {
                _ = try await database.count(where: Filter.field(deepest + ".a") == 1)
            }
            var value = MetadataValue.integer(1)
            for _ in 0..<depth { value = .object(["a": value]) }
            await expectError(.invalidFilter) { _ = try await database.count(where: Filter.field("a") == value) }
        }
    }

    @Test("A transaction that only reads commits nothing; one that reads here and writes there leaves here alone")
    func readingTransactions() async throws {
        try await TestStore().open { store async throws in
            let read = try await store.createDatabase("read", options: DatabaseOptions(dimension: 3))
            let written = try await store.createDatabase("written", options: DatabaseOptions(dimension: 3))
            try await read.insert(testRecord("x", 1))
            let versions = (try await read.snapshot().version, try await written.snapshot().version)
            let found = try await store.transaction { transaction in
                let first = try await transaction.record(for: "x", in: "read")
                let second = try await transaction.search([1, 2, 3], k: 1, in: "read")
                return (first?.content, second.map(\.id))
            }
            #expect(found.0 == testRecord("x", 1) && found.1 == ["x"])
            #expect(try await read.snapshot().version == versions.0)
            try await store.transaction { transaction in
                let record = try await transaction.record(for: "x", in: "read")
                try await transaction.upsert(testRecord("copy", record == nil ? 0 : 1), into: "written")
            }
            #expect(try await read.snapshot().version == versions.0)
            #expect(try await written.snapshot().version > versions.1)
            #expect(try await written.vector(for: "copy") == testVector(1, 3))
        }
    }

    @Test("Metadata of very many fields, and of large ones, are what was given")
    func manyFields() throws {
        let fields = (0..<300).map { ("field \($0)", MetadataValue.integer(Int64($0))) }
        let metadata = try Metadata(fields)
        #expect(metadata.fields.count == 300 && metadata["field 299"] == 299)
        let large = try Metadata([("text", .string(String(repeating: "ü", count: 50_000))), ("a", [1, ["k": 2]])])
        #expect(large["text"]?.stringValue?.utf8.count == 100_000 && large["a"] == [1, ["k": 2]])
    }

    @Test("Keys that are made up for arrays keep text and number")
    func codingKeys() {
        #expect(MetadataKey(stringValue: "7")?.stringValue == "7" && MetadataKey(stringValue: "7")?.intValue == nil)
        #expect(MetadataKey(intValue: 7)?.stringValue == "7" && MetadataKey(intValue: 7)?.intValue == 7)
    }

    @Test("A salvaged database is complete if nothing but mended damage was met")
    func completeness() {
        func salvaged(_ kind: String?, lost: Int = 0) -> SalvagedDatabase {
            SalvagedDatabase(
                name: "a", recoveredCount: 1, lostCount: lost, lost: [], unidentifiedLossCount: 0, outdated: [],
                mayIncludeDeleted: false,
                damages: kind.map { [Damage(kind: $0, message: "M.", path: nil, offset: nil, ids: [])] } ?? [])
        }
        #expect(salvaged(nil).isComplete && salvaged("mended").isComplete)
        #expect(!salvaged("corruption").isComplete && !salvaged(nil, lost: 1).isComplete)
    }

    @Test("A catalogue that is removed while the store runs is found missing, and is there again after the next change")
    func missingCatalogue() async throws {
        let directory = TestStore()
        try await directory.open { store async throws in
            try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            try directory.memory?.unlink(StoragePath("CATALOG"))
            let report = try await store.check()
            #expect(!report.isSound && report.damages.contains { $0.path == "CATALOG" })
            try await store.createDatabase("b", options: DatabaseOptions(dimension: 3))
            #expect(try await store.check().isSound)
        }
        try await directory.open { store async throws in
            #expect(try await store.databases().map(\.name) == ["a", "b"])
        }
    }

    @Test("Segments that are not there any more are passed over when they are removed")
    func removedSegments() throws {
        let memory = MemoryFileSystem(name: "segments")
        try memory.openRoot(createIfMissing: true)
        try memory.createDirectory(SegmentWriter.directory)
        _ = try memory.open(SegmentWriter.path(2), .createNew)
        let hooked = HookedFileSystem(memory)
        let counter = CallCounter(suffix: "")
        hooked.set(counter.hook)
        try SegmentWriter.remove([], on: hooked)
        #expect(counter.count(.unlink) == 0 && counter.count(.synchronizeDirectory) == 0)
        try SegmentWriter.remove([1, 2, 3], on: hooked)
        #expect(try memory.list(SegmentWriter.directory) == [] && counter.count(.synchronizeDirectory) == 1)
    }

    @Test("Lengths of time are nanoseconds: none below zero, and none beyond 292 years")
    func durations() {
        #expect(Duration.milliseconds(2).nanoseconds == 2_000_000)
        #expect(Duration.nanoseconds(-5).nanoseconds == 0 && Duration.seconds(-1).nanoseconds == 0)
        #expect(Duration.seconds(Int64.max).nanoseconds == UInt64(Int64.max))
    }
}
