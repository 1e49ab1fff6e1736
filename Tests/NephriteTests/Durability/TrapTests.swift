// The classic traps of write-ahead logs, one named test each; every test opens with its story.
import Nephrite
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

/// A disk as a crash left it, and how much of the run had happened.
private struct CrashMoment: Sendable {
    let disk: SimulatedFileSystem
    let label: String
    let eventCount: Int
}

@Suite(.timeLimit(.minutes(20)))
struct TrapTests {
    /// A disk with one database `a` and durable records `r1`…`rN`, as a crash right after the last acknowledgement left
    /// it: the log holds them all.
    static func crashed(_ count: Int, checkpointAfter: Int? = nil) throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        let image = Box<SimulatedFileSystem?>(nil)
        try Simulation.run(disk) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            for index in 1...count {
                try await database.upsert(Values.record(id: "r\(index)", number: index))
                if index == checkpointAfter { try await store.checkpoint() }
            }
            image.update { $0 = disk.crashImage(.loseAll) }
        }
        return image.value!
    }

    static func segment(_ disk: SimulatedFileSystem) throws -> StoragePath {
        let names = try disk.list(StoragePath("wal")).map(\.name).filter { $0.hasSuffix(".wal") }
        return StoragePath("wal", try #require(names.last))
    }

    /// Where each record of a segment begins.
    static func records(_ bytes: [UInt8]) -> [Int] {
        stride(from: SegmentHeader.recordsOffset, to: bytes.count - 4, by: 32).filter {
            bytes[$0] == 0x4E && bytes[$0 + 1] == 0x57 && bytes[$0 + 2] == 0x52 && bytes[$0 + 3] == 0x43
                || bytes[$0] == 0x43 && bytes[$0 + 1] == 0x52 && bytes[$0 + 2] == 0x57 && bytes[$0 + 3] == 0x4E
        }
    }

    static func ids(_ state: ReadState) -> Set<String> { Set(state.model.databases["a"]?.keys.map { $0 } ?? []) }

    @Test("A write is on disk before it is acknowledged")
    func acknowledgeBeforeSync() throws {
        // A store that acknowledges after write() and before fdatasync() looks perfect until the power goes.
        for count in 1...4 {
            let state = try Simulation.recover(try Self.crashed(count))
            #expect(Self.ids(state) == Set((1...count).map { "r\($0)" }))
        }
    }

    @Test("What is written after a torn tail survives the next crash")
    func appendAfterTornTail() throws {
        // cqlite #1379: recovery stopped at the torn record and appended behind it; the next recovery stopped there
        // again, and everything acknowledged in between was gone.
        let disk = try Self.crashed(3)
        let path = try Self.segment(disk)
        let bytes = try #require(disk.contents(of: path))
        let last = try #require(Self.records(bytes).last)
        disk.zeroSector(path, sector: last / 512)
        let image = Box<SimulatedFileSystem?>(nil)
        _ = try Simulation.runAndAbandon(disk) { store in
            try await store.database("a").upsert(Values.record(id: "after", number: 9))
            image.update { $0 = disk.crashImage(.loseAll) }
        }
        let state = try Simulation.recover(image.value!)
        #expect(Self.ids(state).isSuperset(of: ["r1", "r2", "after"]))
        #expect(state.problems.isEmpty)
    }

    @Test("A checkpoint does not claim a write that was logged while it was made", arguments: 0..<12 as Range<UInt64>)
    func checkpointForgets(seed: UInt64) throws {
        // The checkpoint takes the log's end as its position, but the newest commits are in the log and not yet in the
        // index it writes; replay starts behind them. Growth made it worse here: its commit was adopted before the
        // commits in front of it were applied.
        let disk = SimulatedFileSystem()
        try Simulation.run(disk) { store in
            for name in ["a", "b"] { try await store.createDatabase(name, options: RandomWorkload.options(name)) }
        }
        let initial = ModelState(databases: ["a": [:], "b": [:]])
        let run = Box(RandomRun())
        let images = Box<[CrashMoment]>([])
        disk.snapshotHook = { number, disk in
            let image = CrashMoment(
                disk: disk.crashImage(.loseAll), label: "call \(number)", eventCount: run.value.events.count)
            images.update { $0.append(image) }
        }
        var settings = SimulationSettings()
        settings.seed = seed
        try Simulation.run(disk, settings) { store in
            await withDiscardingTaskGroup { group in
                for writer in 0..<3 {
                    group.addTask {
                        guard let database = try? await store.database("a") else { return }
                        for round in 0..<3 {
                            let rows = (0..<(writer == 0 ? 13 : 1)).map { row in
                                (id: "w\(writer)-\(round)-\(row)", number: writer * 1_000 + round * 100 + row)
                            }
                            let operation = ModelOperation.batch(
                                rows.map { .upsert(database: "a", id: $0.id, Values.model(number: $0.number)) })
                            let index = writer * 10 + round
                            run.update {
                                $0.events.append(.begin(index, operation, isDurable: true, numbers: []))
                            }
                            _ = try? await database.upsert(rows.map { Values.record(id: $0.id, number: $0.number) })
                            run.update { $0.events.append(.acknowledged(index, version: 0, at: 0)) }
                        }
                    }
                }
                group.addTask { for _ in 0..<6 { try? await store.checkpoint() } }
            }
        }
        disk.snapshotHook = nil
        for (index, image) in images.value.enumerated() where index % 8 == Int(seed % 8) {
            let oracle = HistoryOracle(initial: initial, events: Array(run.value.events.prefix(image.eventCount)))
            let verdict = oracle.verdict(try Simulation.recover(image.disk))
            #expect(verdict == nil, "seed \(seed), \(image.label)")
        }
    }

    @Test("The last writer in the log is the last writer in the index", arguments: 0..<20 as Range<UInt64>)
    func logOrderIsApplyOrder(seed: UInt64) throws {
        // Two commits are logged as 1, 2 and applied as 2, 1: readers see 1 until the next replay makes it 2.
        let disk = SimulatedFileSystem()
        let newest = Box<(version: UInt64, number: Int)>((0, 0))
        var settings = SimulationSettings()
        settings.seed = seed
        let image = Box<SimulatedFileSystem?>(nil)
        try Simulation.run(disk, settings) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            await withDiscardingTaskGroup { group in
                for number in 1...8 {
                    group.addTask {
                        let version = (try? await database.upsert(Values.record(id: "x", number: number))) ?? 0
                        newest.update { if version > $0.version { $0 = (version, number) } }
                    }
                }
            }
            let record = try #require(try await database.record(for: "x"))
            #expect(Values.model(of: record).0 == newest.value.number)
            #expect(record.version == newest.value.version)
            image.update { $0 = disk.crashImage(.loseAll) }
        }
        let state = try Simulation.recover(image.value!)
        #expect(state.model["a", "x"] == Values.model(number: newest.value.number))
    }

    @Test("A refused batch does not hide the writes it was judged by", arguments: 0..<30 as Range<UInt64>)
    func refusedBatchUncovers(seed: UInt64) throws {
        // While an upsert of x is on its way to the log, update([x, missing]) is refused. Taking it back forgot that x
        // was pending, the next write of x was judged by the index of before, and the store fenced itself.
        let disk = SimulatedFileSystem()
        var settings = SimulationSettings()
        settings.seed = seed
        try Simulation.run(disk, settings) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            try await database.upsert(Values.record(id: "x", number: 1))
            try await withThrowingDiscardingTaskGroup { group in
                for number in 2..<8 {
                    group.addTask { try await database.upsert(Values.record(id: "x", number: number)) }
                    group.addTask {
                        await #expect(throws: StoreError.self) {
                            try await database.update([
                                Values.record(id: "x", number: 50), Values.record(id: "missing", number: 51),
                            ])
                        }
                    }
                }
            }
            #expect(try await database.delete("x"))
            #expect(try await database.count() == 0)
        }
    }

    @Test("Space is not used again before nothing reaches it")
    func slotReuse() throws {
        // A slot freed by an update is written again while the checkpoint on disk, or a reader's snapshot, still points
        // to it: the reader sees another record's vector, and a crash brings back garbage.
        let disk = SimulatedFileSystem()
        let images = Box<[(image: SimulatedFileSystem, low: Int, high: Int)]>([])
        let range = Box<(Int, Int)>((0, 0))
        try Simulation.run(disk) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            try await database.upsert(Values.record(id: "x", number: 0))
            disk.snapshotHook = { _, disk in
                let image = disk.crashImage(.keepAll)
                let now = range.value
                images.update { $0.append((image, now.0, now.1)) }
            }
            let snapshot = try await database.snapshot()
            for number in 1...12 {
                range.update { $0.1 = number }
                try await database.upsert(Values.record(id: "x", number: number))
                range.update { $0.0 = number }
                if number % 2 == 0 { try await store.checkpoint() }
                #expect(try snapshot.vector(for: "x") == Values.vector(0))
            }
            disk.snapshotHook = nil
        }
        for (index, entry) in images.value.enumerated() where index % 4 == 0 {
            let state = try Simulation.recover(entry.image)
            #expect(state.problems.isEmpty)
            let found = (entry.low...entry.high).map { Values.model(number: $0) }
            #expect(found.contains { $0 == state.model["a", "x"] })
        }
    }

    @Test("What recovery found in the page cache is on disk before it is believed")
    func pageCacheAfterFailedSync() throws {
        // After a failed fsync the kernel marks pages clean: they can be read and are not on disk. A recovery that
        // replays them and acknowledges on top loses them with the power (Rebello et al., USENIX ATC 2020).
        let disk = SimulatedFileSystem()
        let log = StoragePath("wal").description
        #expect(throws: (any Error).self) {
            try Simulation.run(disk) { store in
                let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
                try await database.upsert(Values.record(id: "x", number: 1))
                disk.inject(
                    FaultPlan([
                        Fault(
                            .failSync(ErrorNumber.inputOutput, losing: .everything), .at(1),
                            calls: [.synchronizeData], pathPrefix: log)
                    ]))
                do {
                    try await database.upsert(Values.record(id: "x", number: 2))
                    Issue.record("acknowledged without a sync")
                } catch let error as StoreError {
                    #expect(error.code == .outcomeUnknown)
                }
                do {
                    try await database.upsert(Values.record(id: "y", number: 3))
                    Issue.record("written after a failed sync")
                } catch let error as StoreError {
                    #expect(error.code == .fenced)
                }
                #expect(try await database.vector(for: "x") == Values.vector(1))
            }
        }
        let next = disk.processKillImage()
        let seen = Box<ReadState?>(nil)
        let image = Box<SimulatedFileSystem?>(nil)
        _ = try Simulation.runAndAbandon(next) { store in
            let state = try await Simulation.read(store)
            seen.update { $0 = state }
            image.update { $0 = next.crashImage(.loseAll) }
        }
        let state = try Simulation.recover(image.value!)
        #expect(state.model == seen.value?.model)
    }

    @Test("A hole in front of synced records is corruption, a torn tail is not")
    func holeInTheLog() throws {
        // RocksDB #10560: a zeroed sector in the middle of the log was taken for its end, and acknowledged writes
        // behind it were dropped without a word.
        let disk = try Self.crashed(5)
        let path = try Self.segment(disk)
        let bytes = try #require(disk.contents(of: path))
        let starts = Self.records(bytes)
        for start in starts.dropFirst().dropLast(6) {
            let damaged = disk.crashImage(.keepAll)
            damaged.zeroSector(path, sector: start / 512)
            let error = #expect(throws: StoreError.self) { try Simulation.recover(damaged) }
            #expect(error?.code == .corruption, "record at \(start)")
        }
        let torn = disk.crashImage(.keepAll)
        let last = try #require(starts.last)
        torn.zeroSector(path, sector: last / 512)
        #expect(Self.ids(try Simulation.recover(torn)).isSuperset(of: ["r1", "r2", "r3"]))
    }

    @Test("A garbage length at the end of the log is a torn tail")
    func garbageLength() throws {
        // etcd #14098: a torn record's length field was believed; the reader asked for gigabytes and gave up.
        let disk = try Self.crashed(3)
        let path = try Self.segment(disk)
        let bytes = try #require(disk.contents(of: path))
        let last = try #require(Self.records(bytes).last)
        for length: [UInt8] in [[255, 255, 255, 255], [255, 255, 255, 127], [0, 0, 1, 0], [1, 0, 0, 0]] {
            let damaged = disk.crashImage(.keepAll)
            damaged.damage(path, at: last + 12, with: length)
            #expect(Self.ids(try Simulation.recover(damaged)).isSuperset(of: ["r1", "r2"]))
        }
    }

    @Test("Leftovers of creations and drops neither come back nor stand in the way")
    func leftovers() throws {
        // The catalogue could not be written after a drop (a full disk, say), the name was used again, and the crash
        // came: replaying the drop took the new database's directory for the old one's.
        let disk = SimulatedFileSystem()
        let image = Box<SimulatedFileSystem?>(nil)
        _ = try? Simulation.run(disk) { store in
            let old = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            try await old.upsert(Values.record(id: "old", number: 1))
            disk.inject(
                FaultPlan([Fault(.fail(ErrorNumber.noSpace), .from(1), calls: [.open], pathPrefix: "CATALOG")]))
            try await store.dropDatabase("a")
            let new = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            try await new.upsert(Values.record(id: "new", number: 2))
            image.update { $0 = disk.crashImage(.loseAll) }
        }
        let crashed = image.value!
        try crashed.createDirectory(StoragePath(".creating-77"))
        try crashed.createDirectory(StoragePath(".trash-78"))
        let state = try Simulation.recover(crashed)
        #expect(state.problems.isEmpty)
        #expect(Self.ids(state) == ["new"])
    }

    @Test("Notes behind the last commit are synced before the next segment vouches for them")
    func rotationBehindANote() throws {
        // A checkpoint record went into the log without a sync, the log moved to a new segment whose header said how
        // long the old one was, and after the crash the old one was shorter: "corruption", although nothing was lost.
        let disk = SimulatedFileSystem()
        let images = Box<[(SimulatedFileSystem, Int)]>([])
        let acknowledged = Box(0)
        try Simulation.run(disk) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            disk.snapshotHook = { _, disk in
                let entry = (disk.crashImage(.loseAll), acknowledged.value)
                images.update { $0.append(entry) }
            }
            for number in 1...60 {
                try await database.upsert(Values.record(id: "r\(number % 7)", number: number))
                acknowledged.update { $0 = number }
                if number % 3 == 0 { try await store.checkpoint() }
            }
            disk.snapshotHook = nil
        }
        for (index, (image, count)) in images.value.enumerated() where index % 9 == 0 {
            let state = try Simulation.recover(image)
            #expect(state.problems.isEmpty)
            if count > 0 { #expect(state.versions.keys.max() ?? 0 >= count) }
        }
    }

    @Test("A checkpoint does not vouch for what another's failed sync has lost", arguments: 0..<40 as Range<UInt64>)
    func failedSyncOfABulkWrite(seed: UInt64) throws {
        // The sync of a bulk write fails and takes with it the vectors of earlier commits, whose pages are marked clean. A
        // checkpoint of the same file, under way at that moment, syncs next, hears of success, and writes a header.
        let disk = SimulatedFileSystem()
        let acknowledged = Box<[String: Int]>([:])
        var settings = SimulationSettings()
        settings.seed = seed
        do {
            try Simulation.run(disk, settings) { store in
                let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
                let write: @Sendable (String, Int) async -> Void = { id, number in
                    guard (try? await database.upsert(Values.record(id: id, number: number))) != nil else { return }
                    acknowledged.update { $0[id] = number }
                }
                await write("first", 1)
                try await store.checkpoint()
                disk.inject(
                    FaultPlan([
                        Fault(
                            .failSync(ErrorNumber.inputOutput, losing: .everything), .at(1), calls: [.synchronizeData],
                            pathPrefix: "a/")
                    ]))
                await withDiscardingTaskGroup { group in
                    for number in 2..<5 { group.addTask { await write("x\(number)", number) } }
                    group.addTask {
                        let rows = (0..<12).map { Values.record(id: "bulk\($0)", number: 100 + $0) }
                        _ = try? await database.upsert(rows)
                    }
                    group.addTask { try? await store.checkpoint() }
                    group.addTask { try? await store.checkpoint() }
                }
            }
        } catch is StoreError {}
        for image in [disk.crashImage(.loseAll), disk.processKillImage()] {
            let state = try Simulation.recover(image)
            #expect(state.problems.isEmpty)
            for (id, number) in acknowledged.value { #expect(state.model["a", id] == Values.model(number: number)) }
        }
    }
}
