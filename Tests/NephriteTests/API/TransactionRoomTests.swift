// A transaction over more databases than files may be open failed after ten seconds of waiting for room that only its own
// end could have made.
import Nephrite
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(5)))
struct TransactionRoomTests {
    /// A store with the databases `a`, `b` and `c`, of which two may be open; whatever is done takes no time.
    private static func withThree(_ body: @escaping @Sendable (VectorStore) async throws -> Void) throws {
        var settings = SimulationSettings()
        settings.maximumOpenFiles = 2
        let clock = VirtualClock()
        settings.clock = clock
        try Simulation.run(SimulatedFileSystem(), settings) { store in
            for name in ["c", "b", "a"] {
                let database = try await store.createDatabase(name, options: .init(dimension: 3))
                try await database.upsert(testRecord("x", 1))
            }
            let begun = clock.monotonicNanoseconds()
            try await body(store)
            #expect(clock.monotonicNanoseconds() - begun < 1_000_000_000)
            try await store.expectSound()
        }
    }

    private static func expectRefusal(of transaction: () async throws -> Void) async {
        let error = await expectError(.tooManyOpenFiles) { try await transaction() }
        #expect(error?.message.contains("2 files may be open at once") == true, "\(error as Any)")
    }

    @Test("A transaction that changes more databases than may be open is refused at once, and changes none")
    func tooManyWritten() throws {
        try Self.withThree { store async throws in
            await Self.expectRefusal {
                try await store.transaction { tx async throws in
                    for name in ["a", "b", "c"] { try await tx.upsert(testRecord("y", 2), into: name) }
                }
            }
            for name in ["a", "b", "c"] { #expect(try await store.database(name).allIDs() == ["x"]) }
            // Reading more of them is no obstacle, nor is a change that is taken back.
            try await store.transaction { tx async throws in
                for name in ["a", "b", "c"] { #expect(try await tx.contains("x", in: name)) }
                for name in ["a", "b", "c"] { try await tx.insert(testRecord("y", 2), into: name) }
                try await tx.delete("y", from: "b")
            }
            for name in ["a", "c"] { #expect(try await store.database(name).allIDs().sorted() == ["x", "y"]) }
        }
    }

    @Test("A transaction that itself keeps all files open is refused another database at once")
    func tooManyHeld() throws {
        try Self.withThree { store async throws in
            await Self.expectRefusal {
                try await store.transaction { tx async throws in
                    for name in ["a", "b"] {
                        #expect(try await tx.contains("x", in: name))
                        // A snapshot keeps the file open once there is a newer state.
                        try await store.database(name).upsert(testRecord("x", 2))
                    }
                    _ = try await tx.contains("x", in: "c")
                }
            }
            #expect(try await store.database("c").count() == 1)
        }
    }
}
