// Small edges: cancelled iterations, several who wait for a store, searches of very long vectors, and sets of rows of a page.
import Foundation
import StorageIO
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct EdgeTests {
    @Test("Going through ids or records ends when the task is cancelled")
    func cancelledIteration() async throws {
        try await TestStore().database { database async throws in
            try await database.insert((0..<5).map { testRecord("r\($0)", $0) })
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask {
                    await #expect(throws: CancellationError.self) {
                        var ids = try await database.snapshot().ids().makeIterator()
                        #expect(ids.next() != nil)
                        for try await _ in try await database.ids() {}
                    }
                    await #expect(throws: CancellationError.self) { for try await _ in try await database.records() {} }
                }
            }
            #expect(try await database.allIDs().count == 5)
        }
    }

    @Test(
        "All who wait for a store go on when it is open, and all are told when it does not open",
        arguments: [true, false])
    func waiters(opens: Bool) async throws {
        let memory = MemoryFileSystem(name: "waited for")
        let hooked = HookedFileSystem(memory)
        if !opens { hooked.fail([.openRoot], with: EACCES) }
        var configuration = StoreConfiguration()
        configuration.environment.fileSystem = { _ in hooked }
        configuration.addressSpaceReservation = 1 << 20
        let store = VectorStore(at: "memory", configuration: configuration)
        let count = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask { (try? await store.waitUntilReady()) != nil }
            }
            for _ in 0..<200 { await Task.yield() }
            group.addTask {
                (try? await withVectorStore(store) { store in try await store.databases().isEmpty }) ?? false
            }
            return await group.reduce(into: 0) { if $1 { $0 += 1 } }
        }
        #expect(count == (opens ? 5 : 0))
    }

    @Test("Many queries over very long vectors, which are compared a few rows at a time, find what each finds alone")
    func longVectors() async throws {
        let dimension = 20_000
        try await TestStore().database(DatabaseOptions(dimension: dimension)) { database async throws in
            try await database.insert((0..<100).map { testRecord("r\($0)", $0, dimension) })
            let queries = (0..<24).map { testVector(500 + $0, dimension) }
            let together = try await database.search(queries, k: 7)
            for (query, hits) in zip(queries, together) {
                #expect(hits.count == 7)
                #expect(try await database.search(query, k: 7) == hits)
            }
        }
    }

    @Test("A set of a page's rows knows its first and its last")
    func pageBits() {
        #expect(PageBits.none.first == nil && PageBits.none.last == nil)
        for (low, high, first, last) in [
            (0b1100, 0, 2, 3), (0, 0b1100, 66, 67), (1, 1, 0, 64), (.max, .max, 0, 127),
        ] as [(UInt64, UInt64, Int, Int)] {
            let bits = PageBits(low: low, high: high)
            #expect(bits.first == first && bits.last == last)
        }
        #expect(RecordTable(epoch: 1).liveBits(ofPage: 3).first == nil)
    }
}
