// Callers that wait for room: more databases are wanted than files may be open (C4).
import StorageSimulation
import Synchronization
import Testing

@testable import Nephrite

extension ConcurrencyTests {
    @Suite(.timeLimit(.minutes(20)))
    struct RoomConcurrencyTests {
        /// What keeps a file from being closed.
        enum Hold: CaseIterable, Sendable { case pin, snapshot }

        /// Databases of which one may be open; `a` is, and is held until `body` lets go of it.
        private func withRoomTaken(
            by hold: Hold = .pin, databases: [String] = ["a", "b", "c"],
            _ body: (VectorStore, StoreRegistry, _ letGo: @escaping @Sendable () -> Void) async throws -> Void
        ) async throws {
            let directory = TestStore()
            directory.configuration.maximumOpenFiles = 1
            try await directory.open { store in
                for name in databases { try await store.createDatabase(name, options: Stamp.options) }
                let registry = try store.running().registry
                let database = try await store.database(databases[0])
                switch hold {
                case .pin:
                    _ = try await registry.pinned(database.cell)
                    try await body(store, registry) { database.cell.unpin() }
                case .snapshot:
                    let held = Box<DatabaseSnapshot?>(try await database.snapshot())
                    // Only beside a newer one does a snapshot hold the file.
                    try await database.upsert(Stamp(writer: 0, number: 0, count: 1).record)
                    try await body(store, registry) { held.update { $0 = nil } }
                }
            }
        }

        @Test(
            "Those who wait for room get it in the order in which they came, whatever makes it",
            arguments: Hold.allCases)
        func roomIsFirstComeFirstServed(_ hold: Hold) async throws {
            let names = (0..<8).map { "n\($0)" }
            try await withRoomTaken(by: hold, databases: names) { store, registry, letGo in
                let order = Box<[String]>([])
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (index, name) in names.dropFirst().enumerated() {
                        group.addTask {
                            let cell = try await store.database(name).cell
                            // While it is pinned nobody else gets a file.
                            _ = try await registry.pinned(cell)
                            order.update { $0.append(name) }
                            cell.unpin()
                        }
                        while await registry.waitingForRoomCount <= index { await Task.yield() }
                    }
                    #expect(order.value.isEmpty)
                    letGo()
                    try await group.waitForAll()
                }
                #expect(order.value == Array(names.dropFirst()))
                #expect(await registry.waitingForRoomCount == 0)
            }
        }

        @Test("A caller that is cancelled while it waits for room leaves the line at once")
        func cancelledWhileWaiting() async throws {
            try await withRoomTaken { store, registry, letGo in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for name in ["b", "c"] {
                        group.addTask {
                            await #expect(throws: CancellationError.self) { try await store.database(name).snapshot() }
                        }
                    }
                    while await registry.waitingForRoomCount < 2 { await Task.yield() }
                    group.cancelAll()
                    try await group.waitForAll()
                }
                #expect(await registry.waitingForRoomCount == 0)
                letGo()
                #expect(try await store.database("c").count() == 0)
            }
        }

        @Test("When the first in line is cancelled, the next one is served", arguments: Hold.allCases)
        func nextAfterCancelled(_ hold: Hold) async throws {
            try await withRoomTaken(by: hold) { store, registry, letGo in
                try await withThrowingTaskGroup(of: Void.self) { others in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            await #expect(throws: CancellationError.self) { try await store.database("b").snapshot() }
                        }
                        while await registry.waitingForRoomCount < 1 { await Task.yield() }
                        others.addTask { _ = try await store.database("c").snapshot() }
                        while await registry.waitingForRoomCount < 2 { await Task.yield() }
                        group.cancelAll()
                        try await group.waitForAll()
                    }
                    #expect(await registry.waitingForRoomCount == 1)
                    letGo()
                    try await others.waitForAll()
                }
            }
        }

        @Test("Closing the store sends everyone home who waits for room")
        func closedWhileWaiting() async throws {
            let results = Box<[String]>([])
            // Held until all is over, so that nothing else can end the wait.
            let keeper = Box<(@Sendable () -> Void)?>(nil)
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await withRoomTaken(by: .snapshot) { store, registry, letGo in
                    keeper.update { $0 = letGo }
                    for name in ["b", "c"] {
                        group.addTask {
                            await expectError(.closed) { _ = try await store.database(name).snapshot() }
                            results.update { $0.append(name) }
                        }
                    }
                    while await registry.waitingForRoomCount < 2 { await Task.yield() }
                }
                try await group.waitForAll()
            }
            #expect(results.value.sorted() == ["b", "c"])
            keeper.value?()
        }

        @Test("Nobody who waits for room is forgotten, whoever lets go of files, and however")
        func noLostWakeUp() async throws {
            let directory = TestStore()
            directory.configuration.maximumOpenFiles = 2
            let names = (0..<12).map { "n\($0)" }
            try await directory.open { store in
                for name in names { try await store.createDatabase(name, options: Stamp.options) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<16 {
                        group.addTask {
                            var dice = Dice(task)
                            for round in 0..<40 * stressFactor / sanitizerDivisor {
                                let database = try await store.database(names[dice.below(names.count)])
                                // A caller that is forgotten is told after ten seconds that there are too many files.
                                switch dice.below(3) {
                                case 0: _ = try await database.snapshot()
                                case 1:
                                    try await database.upsert(Stamp(writer: task, number: 0, count: round).record)
                                default: _ = try await database.count()
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await store.statistics().openFiles <= 2)
                try await store.expectSound()
            }
        }
    }
}
