// Searches, writers, checkpoints and evictions while codes are made, on real threads.
import StorageIO
import Testing

@testable import Nephrite

extension ConcurrencyTests {
    @Suite(.timeLimit(.minutes(20)))
    struct CodeConcurrencyTests {
        private static let options = DatabaseOptions(dimension: Coding.dimension)

        /// Changes records and frees slots, with a checkpoint now and then so that they are used again.
        private static func churn(_ writer: Int, _ names: [String], _ rounds: Int, _ store: VectorStore) async throws {
            var dice = Dice(writer)
            for round in 0..<rounds {
                let database = try await store.database(names[dice.below(names.count)])
                let first = dice.below(Coding.rowCount - 40)
                switch dice.below(8) {
                case 0: try await database.delete((first..<first + 10).map(Coding.id))
                case 1: try await store.checkpoint()
                default: try await Coding.write(first..<first + 40, round: writer * 1_000 + round, to: database)
                }
            }
        }

        @Test(
            "Whoever holds a snapshot finds only right codes in it, while rows are written, freed and encoded",
            arguments: [100, 2])
        func readers(maximumOpenFiles: Int) async throws {
            let directory = Coding.store()
            directory.configuration.maximumOpenFiles = maximumOpenFiles
            let names = ["a", "b", "c"]
            let rounds = 120 * stressFactor / sanitizerDivisor
            try await directory.open { store async throws in
                for name in names {
                    let database = try await store.createDatabase(name, options: Self.options)
                    try await Coding.write(0..<Coding.rowCount + 500, round: 0, to: database)
                }
                let remaining = Tally()
                remaining.add(3)
                let codedCount = Tally()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<3 {
                        group.addTask {
                            defer { remaining.add(-1) }
                            try await Self.churn(writer + 1, names, rounds, store)
                        }
                    }
                    for reader in 0..<3 {
                        group.addTask {
                            var dice = Dice(reader + 10)
                            while remaining.value > 0 {
                                let database = try await store.database(names[dice.below(names.count)])
                                _ = try await database.search(testVector(reader, Coding.dimension), k: 5)
                                let snapshot = try await database.snapshot()
                                codedCount.add(snapshot.codedCount())
                                #expect(CodeCheck(snapshot: snapshot).wrongSlots() == [])
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(codedCount.value > 0)
                for name in names { try await Coding.finish(try await store.database(name)) }
                try await store.expectSound()
            }
            try await directory.open { store async throws in
                for name in names { try await Coding.finish(try await store.database(name)) }
                try await store.expectSound()
            }
        }

        @Test("A store that is closed while it encodes closes, and goes on when it is opened again", arguments: 0..<8)
        func closing(round: Int) async throws {
            let directory = Coding.store()
            for life in 0..<3 {
                try await directory.database(Self.options) { database async throws in
                    try await Coding.write(life * 3_000..<(life + 1) * 3_000, round: 0, to: database)
                    for _ in 0..<round * 3 {
                        _ = try await database.search(testVector(1, Coding.dimension), k: 1)
                        await Task.yield()
                    }
                }
            }
            try await directory.database { database async throws in
                try await Coding.finish(database)
                #expect(try await Coding.wrongSlots(database) == [])
            }
        }
    }
}
