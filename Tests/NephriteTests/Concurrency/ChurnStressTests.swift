// Writers, readers and a registry that opens and closes files all the time. NEPHRITE_LONG=1 does twenty times as much.
import Nephrite
import Testing

extension ConcurrencyTests {
    @Suite(.timeLimit(.minutes(20)))
    struct ChurnStressTests {
        private static let databaseCount = 300
        private static let writerCount = 24
        private static let readerCount = 24

        /// What one writer knows to be stored: its own ids, and nobody else writes them.
        private struct WriterState: Sendable {
            var stored: [String: [Int: Stamp]] = [:]
            var counts: [String: Int] = [:]
        }

        @Test(
            "24 writers and 24 readers over 300 databases of which 20 are open: each acknowledged write is read, none is torn",
            arguments: Setting.Backing.allCases)
        func churn(_ backing: Setting.Backing) async throws {
            let directory = TestStore(backing)
            directory.configuration.maximumOpenFiles = 20
            directory.configuration.addressSpaceReservation = 1 << 20
            directory.configuration.logSegmentByteCount = 256 << 10
            directory.configuration.logByteLimit = 128 << 10
            let names = (0..<Self.databaseCount).map { "d\($0)" }
            let rounds = (backing == .memory ? 60 : 25) * stressFactor / sanitizerDivisor
            var expected: [String: [String: VectorRecord]] = [:]
            try await directory.open { store in
                try await create(names, in: store)
                let remaining = Tally()
                remaining.add(Self.writerCount)
                let states = try await withThrowingTaskGroup(of: WriterState?.self) { group in
                    for writer in 0..<Self.writerCount {
                        group.addTask {
                            defer { remaining.add(-1) }
                            return try await write(writer, rounds, names, store)
                        }
                    }
                    for reader in 0..<Self.readerCount {
                        group.addTask {
                            try await read(reader, names, store, while: { remaining.value > 0 })
                            return nil
                        }
                    }
                    return try await group.reduce(into: [WriterState]()) { states, state in
                        if let state { states.append(state) }
                    }
                }
                for state in states {
                    for (name, records) in state.stored {
                        for stamp in records.values { expected[name, default: [:]][stamp.id] = stamp.record }
                    }
                }
                let statistics = try await store.statistics()
                #expect(statistics.openFiles <= 20)
                #expect(statistics.evictions > UInt64(100 / sanitizerDivisor), "the registry was not put to the test")
                try await compare(store, names, expected)
            }
            try await directory.open { store in
                try await compare(store, names, expected)
                try await store.expectSound()
            }
            #expect(try directory.directories() == Set(names + ["wal"]))
        }

        private func create(_ names: [String], in store: VectorStore) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for name in names { group.addTask { try await store.createDatabase(name, options: Stamp.options) } }
                try await group.waitForAll()
            }
        }

        private func write(
            _ writer: Int, _ rounds: Int, _ names: [String], _ store: VectorStore
        ) async throws -> WriterState {
            var dice = Dice(writer)
            var state = WriterState()
            var handles: [String: VectorDatabase] = [:]
            for _ in 0..<rounds {
                // A few favourites, so that files stay open now and then, and anything else.
                let name = names[dice.below(dice.below(3) == 0 ? 10 : names.count)]
                if handles[name] == nil { handles[name] = try await store.database(name) }
                let database = handles[name]!
                let count = state.counts[name, default: 0] + 1
                state.counts[name] = count
                let number = dice.below(4)
                switch dice.below(6) {
                case 0:
                    let stored = state.stored[name]?[number]
                    let wasThere = try await database.delete(Stamp(writer: writer, number: number, count: 0).id)
                    #expect(wasThere == (stored != nil))
                    state.stored[name]?[number] = nil
                case 1, 2:
                    let stamps = (0..<4).map { Stamp(writer: writer, number: $0, count: count) }
                    try await database.upsert(stamps.map(\.record))
                    for stamp in stamps { state.stored[name, default: [:]][stamp.number] = stamp }
                default:
                    let stamp = Stamp(writer: writer, number: number, count: count)
                    try await database.upsert(stamp.record)
                    state.stored[name, default: [:]][number] = stamp
                }
                // One's own acknowledged write is seen at once.
                let id = Stamp(writer: writer, number: number, count: 0).id
                let record = try await database.record(for: id)
                #expect(record?.content == state.stored[name]?[number]?.record)
            }
            return state
        }

        private func read(
            _ reader: Int, _ names: [String], _ store: VectorStore, while isGoingOn: () -> Bool
        ) async throws {
            var dice = Dice(1_000 + reader)
            var witness = Witness()
            while isGoingOn() {
                let name = names[dice.below(dice.below(2) == 0 ? 10 : names.count)]
                let database = try await store.database(name)
                if dice.below(2) == 0 {
                    witness.note(try await database.snapshot(), in: name)
                } else if let record = try await database.record(
                    for: Stamp(writer: dice.below(Self.writerCount), number: dice.below(4), count: 0).id)
                {
                    witness.note(record, in: name)
                }
                await Task.yield()
            }
            witness.check()
        }

        private func compare(
            _ store: VectorStore, _ names: [String], _ expected: [String: [String: VectorRecord]]
        ) async throws {
            for name in names {
                let contents = try await store.database(name).allContents()
                #expect(contents == expected[name] ?? [:], "\(name)")
            }
        }
    }
}
