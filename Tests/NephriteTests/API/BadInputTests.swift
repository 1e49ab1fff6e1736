// What a caller may get wrong and no other suite asks for: settings, cursors from outside, extreme arguments, paths. Each is
// a typed error or does nothing; none is a trap, a hang or a wrong answer.
import Foundation
import Nephrite
import Testing

@Suite(.timeLimit(.minutes(10)))
struct BadInputTests {
    struct Setting: Sendable, CustomTestStringConvertible {
        let name: String
        let change: @Sendable (inout StoreConfiguration) -> Void

        var testDescription: String { name }

        init(_ name: String, _ change: @escaping @Sendable (inout StoreConfiguration) -> Void) {
            self.name = name
            self.change = change
        }

        static let wrong = [
            Setting("maximumOpenFiles") { $0.maximumOpenFiles = 0 },
            Setting("logSegmentByteCount") { $0.logSegmentByteCount = 4_096 },
            Setting("logSegmentByteCount") { $0.logSegmentByteCount = .max },
            Setting("logByteLimit") { $0.logByteLimit = -1 },
            Setting("checkpointInterval") { $0.checkpointInterval = .zero },
            Setting("searchThreadCount") { $0.searchThreadCount = -1 },
            Setting("searchThreadCount") { $0.searchThreadCount = 1_000_000 },
            Setting("commitQueueByteLimit") { $0.commitQueueByteLimit = -1 },
            Setting("bulkByteThreshold") { $0.bulkByteThreshold = -1 },
            Setting("searchThreadSpin") { $0.searchThreadSpin = .nanoseconds(-1) },
            Setting("searchThreadSpin") { $0.searchThreadSpin = .milliseconds(11) },
            Setting("writeByteRateBesideSearches") { $0.writeByteRateBesideSearches = 0 },
            Setting("quantizationByteThreshold") { $0.quantizationByteThreshold = -1 },
            Setting("addressSpaceReservation") { $0.addressSpaceReservation = 0 },
            Setting("addressSpaceReservation") { $0.addressSpaceReservation = .max },
        ]

        static let extreme = [
            Setting("the least") {
                $0.maximumOpenFiles = 1
                $0.logSegmentByteCount = 64 << 10
                $0.logByteLimit = 1
                $0.checkpointInterval = .milliseconds(1)
                $0.searchThreadSpin = .zero
                $0.commitQueueByteLimit = 1
                $0.bulkByteThreshold = 0
                $0.writeByteRateBesideSearches = 1
                $0.quantizationByteThreshold = 0
                $0.addressSpaceReservation = 64 << 10
            },
            Setting("the most") {
                $0.maximumOpenFiles = .max
                $0.logByteLimit = .max
                $0.checkpointInterval = .seconds(Int64.max)
                $0.searchThreadSpin = .milliseconds(10)
                $0.commitQueueByteLimit = .max
                $0.bulkByteThreshold = .max
                $0.writeByteRateBesideSearches = .max
                $0.quantizationByteThreshold = .max
            },
        ]
    }

    @Test("A setting outside its range is named before anything is touched", arguments: Setting.wrong)
    func wrongSetting(_ setting: Setting) async throws {
        // A negative limit of the queue made every writer wait for ever; others were taken for something else in silence.
        let directory = TestStore(.disk)
        setting.change(&directory.configuration)
        let store = VectorStore(at: directory.path, configuration: directory.configuration)
        let error = await expectError(.invalidArgument) { try await store.run() }
        #expect(error?.message.hasPrefix(setting.name) == true)
        await expectError(.invalidArgument) { try await store.waitUntilReady() }
        await expectError(.invalidArgument) { _ = try await store.salvage(to: directory.path + "-copy") }
        #expect(!FileManager.default.fileExists(atPath: directory.path))
    }

    @Test("Settings at the ends of their ranges work", arguments: Setting.extreme)
    func extremeSetting(_ setting: Setting) async throws {
        let directory = TestStore()
        setting.change(&directory.configuration)
        for round in 0..<2 {
            try await directory.database { database async throws in
                try await database.upsert(testRecord("a", round))
                try await database.upsert((0..<300).map { testRecord("r\($0)", round) })
                #expect(try await database.delete("a"))
                #expect(try await database.search([1, 2, 3], k: 1_000).count == 300)
            }
        }
        try await directory.open { try await $0.expectSound() }
    }

    @Test("A cursor from outside is refused or finds nothing, and reads nothing that is not the store's")
    func foreignCursor() async throws {
        // A service hands cursors to its clients as JSON. A negative one was an index in front of the record table.
        func cursor(_ slot: String) throws -> RecordCursor {
            try JSONDecoder().decode(RecordCursor.self, from: Data(#"{"slot":\#(slot)}"#.utf8))
        }
        for slot in ["-1", "-64", "\(Int.min)"] { #expect(throws: DecodingError.self) { try cursor(slot) } }
        try await TestStore().database { database async throws in
            try await database.upsert((0..<300).map { testRecord("r\($0)", $0) })
            let snapshot = try await database.snapshot()
            let all = Array(snapshot.ids())
            #expect(Array(snapshot.ids(after: try cursor("0"))) == all)
            #expect(Array(snapshot.ids(after: try cursor("299"))) == [all[299]])
            for slot in ["300", "100000", "\(Int.max)"] {
                #expect(Array(snapshot.ids(after: try cursor(slot))).isEmpty)
                #expect(Array(snapshot.records(after: try cursor(slot))).isEmpty)
            }
            var iterator = snapshot.ids().makeIterator()
            for _ in 0..<100 { _ = iterator.next() }
            let kept = try JSONDecoder().decode(RecordCursor.self, from: JSONEncoder().encode(iterator.cursor))
            #expect(Array(snapshot.ids(after: kept)) == Array(all[100...]))
        }
    }

    @Test("Arguments of a search at the ends of their ranges", arguments: [-1, 0, 1, Int.max])
    func extremeArguments(_ number: Int) async throws {
        try await TestStore().database { database async throws in
            try await database.upsert((0..<300).map { testRecord("r\($0)", $0) })
            let query = testVector(5, 3)
            let expected = try await database.search(query, k: 300).map(\.id)
            let threads = SearchOptions(maximumThreads: number)
            #expect(try await database.search(query, k: 300, options: threads).map(\.id) == expected)
            for radius in [-Float.infinity, .infinity] {
                func within() async throws -> [SearchHit] {
                    try await database.search(query, within: radius, limit: number)
                }
                if number < 1 {
                    await expectError(.invalidArgument) { _ = try await within() }
                } else {
                    #expect(try await within().count == (radius < 0 ? min(300, number) : 0))
                }
            }
            let candidates = SearchOptions(mode: .approximateCandidates(number))
            if number < 1 {
                await expectError(.invalidArgument) { _ = try await database.search(query, k: 3, options: candidates) }
            } else {
                #expect(try await database.search(query, k: 3, options: candidates).map(\.id) == Array(expected[..<3]))
            }
        }
    }

    @Test("Metadata nested without end is refused at the limit, not followed until the stack ends")
    func endlessMetadata() async {
        await #expect(processExitsWith: .success) {
            var kept: [MetadataValue] = []
            for isObject in [false, true] {
                var value: MetadataValue = 1
                for _ in 0..<200_000 { value = isObject ? .object(["k": value]) : .array([value]) }
                let error = #expect(throws: StoreError.self) { try Metadata([("x", value)]) }
                guard error?.code == .invalidMetadata else { exit(1) }
                kept.append(value)
            }
            // Swift lets go of nested values level by level, too: a caller that made them is on its own.
            withExtendedLifetime(kept) { exit(0) }
        }
    }

    @Test("Cancelling a task with a store is reported as that, and not as a use of a closed store")
    func cancelled() async throws {
        let task = Task {
            try await TestStore().open { store async throws in
                let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
                unsafe withUnsafeCurrentTask { task in unsafe task?.cancel() }
                while true { _ = try await database.count() }
            }
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("A snapshot that outlives its store is searched as before, on several threads too")
    func searchAfterClosing() async throws {
        let directory = TestStore()
        directory.configuration.searchThreadCount = 2
        let (snapshot, before) = try await directory.database(DatabaseOptions(dimension: 768)) {
            database async throws in
            let ids = (0..<1_500).map { "r\($0)" }
            try await database.upsert(ids: ids, vectors: ids.indices.flatMap { testVector($0, 768) })
            let snapshot = try await database.snapshot()
            return (snapshot, try await snapshot.search(testVector(7, 768), k: 10))
        }
        for _ in 0..<3 { #expect(try await snapshot.search(testVector(7, 768), k: 10) == before) }
    }

    @Test("A transaction replaces and deletes records that are damaged, and says what it cannot read")
    func transactionOverDamage() async throws {
        // It read what it was about to write over, and could not be committed.
        let directory = TestStore(.disk)
        try await directory.database(DatabaseOptions(dimension: 16)) { database async throws in
            try await database.insert(ids: ["x", "y", "z"], vectors: (1...3).flatMap { testVector($0, 16) })
        }
        try directory.edit("a/vectors.jvdb") { data in
            for seed in 1...2 {
                let bytes = unsafe testVector(seed, 16).withUnsafeBytes { unsafe Data($0) }
                let place = try #require(data.range(of: bytes))
                data[place.lowerBound] ^= 1
            }
        }
        try await directory.open { store async throws in
            try await store.transaction { tx in
                await expectError(.corruption) { _ = try await tx.record(for: "x", in: "a") }
                #expect(try await tx.contains("x", in: "a"))
                try await tx.update(testRecord("x", 7, 16), into: "a")
                #expect(try await tx.delete("y", from: "a"))
            }
            let database = try await store.database("a")
            #expect(try await database.record(for: "x")?.content == testRecord("x", 7, 16))
            #expect(try await database.allIDs().sorted() == ["x", "z"])
            try await store.expectSound()
        }
    }
}
