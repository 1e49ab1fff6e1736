/// What writers of random workloads do: writes of shared and of own records, transactions, maintenance, and databases
/// that come and go.
import Nephrite

extension RandomWorkload {
    /// Records that only one writer writes, so that it knows at any time what they are.
    struct OwnRecords: Sendable {
        let writer: Int
        /// The number and version of each record; nil for an id that is not there.
        var records: [String: (number: Int, version: UInt64)] = [:]
        /// Whether an operation ended without saying whether it happened.
        var isUnknown = false
        /// The database that the writer has created and not dropped yet.
        var database: String?
        var databaseCount = 0
    }

    func step(_ generator: inout SeededGenerator, _ own: inout OwnRecords) async throws {
        let name = RandomWorkload.databases[generator.next(below: 3)]
        let durable = name != "r"
        let kind = generator.next(below: 18)
        if kind == 17, let clock {
            try? await clock.sleep(nanoseconds: 1_000_000 * UInt64(1 + generator.next(below: 400)))
            return
        }
        let database = try await store.database(name)
        switch kind {
        case 0...1:
            let id = id(&generator)
            let number = number()
            await perform(
                .upsert(database: name, id: id, Values.model(number: number)), durable: durable, numbers: [number]
            ) { try await database.upsert(Values.record(id: id, number: number)) }
        case 2, 3:
            let id = id(&generator)
            let number = number()
            await perform(
                .upsert(database: name, id: id, Values.model(number: number)), durable: durable, numbers: [number]
            ) { try await database.update([Values.record(id: id, number: number)]) }
        case 4:
            let rows = ids(&generator, 2).map { (id: $0, number: number()) }
            await perform(batch(rows, name), durable: durable, numbers: rows.map(\.number)) {
                try await database.insert(rows.map { Values.record(id: $0.id, number: $0.number) })
            }
        case 5, 6:
            // Up to 32 rows: through the log or around it, and beyond a unit of the file.
            let count = 2 + generator.next(below: kind == 5 ? 9 : 31)
            let rows = ids(&generator, count).map { (id: $0, number: number()) }
            await perform(batch(rows, name), durable: durable, numbers: rows.map(\.number)) {
                try await database.upsert(rows.map { Values.record(id: $0.id, number: $0.number) })
            }
        case 7:
            let rows = ids(&generator, 3).map { (id: $0, number: number()) }
            await perform(batch(rows, name), durable: durable, numbers: rows.map(\.number)) {
                try await database.update(rows.map { Values.record(id: $0.id, number: $0.number) })
            }
        case 8, 9:
            let id = id(&generator)
            await perform(.delete(database: name, id: id), durable: durable) {
                try await database.delete(id) ? 0 : nil
            }
        case 10: await pairTransaction(&generator)
        case 11: await countingTransaction()
        case 12, 13: for _ in 0..<4 { try await ownRecord(&generator, &own) }
        case 14: await createOrDrop(&own)
        default: await maintain(&generator, database)
        }
    }

    private func id(_ generator: inout SeededGenerator) -> String { "x\(generator.next(below: 9))" }

    private func ids(_ generator: inout SeededGenerator, _ count: Int) -> [String] {
        let first = generator.next(below: 16)
        return (0..<count).map { "x\((first + $0) % 48)" }
    }

    private func batch(_ rows: [(id: String, number: Int)], _ name: String) -> ModelOperation {
        .batch(rows.map { .upsert(database: name, id: $0.id, Values.model(number: $0.number)) })
    }

    // MARK: Transactions

    /// Looks at the records that transactions always write together.
    func checkPairs() async throws {
        try await store.transaction { transaction in
            for other in ["b", "r"] {
                let one = try await transaction.record(for: "pair-\(other)", in: "a")
                let two = try await transaction.record(for: "pair-\(other)", in: other)
                if one.map({ Values.model(of: $0).0 }) != two.map({ Values.model(of: $0).0 }) {
                    note("a reader sees half of a transaction: \(one?.version ?? 0), \(two?.version ?? 0)")
                }
            }
        }
    }

    /// Two records of two databases that only transactions write, always together.
    private func pairTransaction(_ generator: inout SeededGenerator) async {
        let first = number()
        let other = generator.next(below: 2) == 0 ? "b" : "r"
        let extra = id(&generator)
        await perform(
            .batch([
                .upsert(database: "a", id: "pair-\(other)", Values.model(number: first)),
                .upsert(database: other, id: "pair-\(other)", Values.model(number: first)),
                .upsert(database: "a", id: extra, Values.model(number: first)),
            ]), durable: true, numbers: [first]
        ) {
            try await store.transaction { transaction in
                let one = try await transaction.record(for: "pair-\(other)", in: "a")
                let two = try await transaction.record(for: "pair-\(other)", in: other)
                if one.map({ Values.model(of: $0).0 }) != two.map({ Values.model(of: $0).0 }) {
                    note("a transaction sees half of another: \(one?.version ?? 0), \(two?.version ?? 0)")
                }
                try await transaction.upsert(Values.record(id: "pair-\(other)", number: first), into: "a")
                try await transaction.upsert(Values.record(id: "pair-\(other)", number: first), into: other)
                try await transaction.upsert(Values.record(id: extra, number: first), into: "a")
            }
            return 0
        }
    }

    /// Replaces the value it reads: two that read the same one must not both commit.
    private func countingTransaction() async {
        let next = number()
        let from = Box(-1)
        let outcome = await perform(
            .upsert(database: "b", id: "count", Values.model(number: next)), durable: true, numbers: [next]
        ) {
            try await store.transaction { transaction in
                let before = try await transaction.record(for: "count", in: "b")
                from.update { $0 = before.flatMap { Values.model(of: $0).0 } ?? 0 }
                try await transaction.upsert(Values.record(id: "count", number: next), into: "b")
            }
            return 0
        }
        guard case .acknowledged = outcome else { return }
        let isFirst = run.update { $0.countedFrom.insert(from.value).inserted }
        if !isFirst { note("lost update: two transactions replaced value \(from.value) of b/count") }
    }

    // MARK: Own records

    /// Writes or reads a record of its own, and checks the answer exactly.
    private func ownRecord(_ generator: inout SeededGenerator, _ own: inout OwnRecords) async throws {
        guard !own.isUnknown else { return }
        let id = "w\(own.writer)-\(generator.next(below: 2))"
        let database = try await store.database("a")
        let known = own.records[id]
        let next = number()
        let record = Values.record(id: id, number: next)
        let write = ModelOperation.upsert(database: "a", id: id, Values.model(number: next))
        let outcome: Outcome
        var isDelete = false
        var expected: StoreError.Code?
        switch generator.next(below: 5) {
        case 0:
            expected = known == nil ? nil : .recordExists
            outcome = await perform(write, durable: true, numbers: [next]) { try await database.insert(record) }
        case 1:
            expected = known == nil ? .recordNotFound : nil
            outcome = await perform(write, durable: true, numbers: [next]) { try await database.update(record) }
        case 2:
            let stale = generator.next(below: 2) == 0
            guard let known, known.version > 0 else { return }
            expected = stale ? .versionMismatch : nil
            outcome = await perform(write, durable: true, numbers: [next]) {
                try await database.upsert(record, expectedVersion: stale ? known.version &- 1 : known.version)
            }
        case 3:
            isDelete = true
            expected = known == nil ? .recordNotFound : nil
            outcome = await perform(.delete(database: "a", id: id), durable: true) {
                try await database.delete(id) ? 0 : nil
            }
        default:
            let found = try await database.record(for: id).flatMap { Values.model(of: $0).0 }
            if found != known?.number { note("own \(id) reads \(found ?? -1), wrote \(known?.number ?? -1)") }
            return
        }
        switch outcome {
        case .acknowledged(let version):
            if let expected { note("own \(id): \(expected) was to be refused") }
            own.records[id] = isDelete ? nil : (next, version)
            let found = try await database.record(for: id).flatMap { Values.model(of: $0).0 }
            if found != own.records[id]?.number { note("own \(id) reads \(found ?? -1) after its acknowledgement") }
        case .refused(let code):
            if expected != code, ![.diskFull, .tooManyOpenFiles, .fenced].contains(code) {
                note("own \(id) was refused with \(code), expected \(expected.map { "\($0)" } ?? "success")")
            }
        case .unknown: own.isUnknown = true
        }
    }

    // MARK: Databases and maintenance

    /// Creates a database and fills it, or drops the one it has created; its name is used again.
    private func createOrDrop(_ own: inout OwnRecords) async {
        if let name = own.database {
            let outcome = await perform(.drop(database: name), durable: true) {
                try await store.dropDatabase(name)
                checker?.noteDropped(name)
                return 0
            }
            if case .refused = outcome {} else { own.database = nil }
            return
        }
        let name = "c\(own.writer)-\(own.databaseCount % 2)"
        own.databaseCount += 1
        let outcome = await perform(.create(database: name), durable: true) {
            try await store.createDatabase(name, options: .init(dimension: Values.dimension))
            checker?.noteCreated(name)
            return 0
        }
        guard case .acknowledged = outcome else { return }
        own.database = name
        for index in 0..<2 {
            let next = number()
            await perform(
                .upsert(database: name, id: "k\(index)", Values.model(number: next)), durable: true, numbers: [next]
            ) { try await store.database(name).upsert(Values.record(id: "k\(index)", number: next)) }
        }
    }

    private func maintain(_ generator: inout SeededGenerator, _ database: VectorDatabase) async {
        do {
            switch generator.next(below: 3) {
            case 0: try await store.checkpoint()
            case 1: try await store.flush()
            default:
                let snapshot = try await database.snapshot()
                let before = snapshot.records().map { try? $0.get() }
                try await store.checkpoint()
                let after = snapshot.records().map { try? $0.get() }
                if before != after { note("a snapshot of \(database.name) changed") }
            }
        } catch let error as StoreError {
            noteFailure(error, of: "maintenance")
        } catch {
            note("maintenance: untyped: \(error)")
        }
    }
}
