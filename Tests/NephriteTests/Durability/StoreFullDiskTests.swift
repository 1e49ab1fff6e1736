// Full disks of every size: what does not fit is refused and nothing else is lost, deletes and checkpoints still work. Calls
// that fail one by one are in FaultMatrixTests.
import Nephrite
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct StoreFullDiskTests {
    /// One writer that notes what it did, so that the history is exact.
    static func standardWorkload(_ store: VectorStore, _ run: Box<RandomRun>) async {
        var workload = RandomWorkload(seed: 5, run: run, store: store)
        workload.acceptsFailures = true
        await workload.runAll(writers: 2, steps: 12)
    }

    @Test("A disk of any size is full at some point, and nothing is lost", arguments: 0..<2)
    func diskFull(lane: Int) throws {
        let used = try CrashCampaign.baseDisk.get()
        for step in 0..<(Campaign.isLong ? 60 : 6) {
            let budget = UInt64((step * 2 + lane) * (Campaign.isLong ? 64 : 600) << 10)
            let run = Box(RandomRun())
            let disk = used.crashImage(.keepAll)
            disk.setCapacity(byteCount: budget)
            var settings = SimulationSettings()
            settings.seed = budget
            settings.logByteLimit = 40 << 10
            do {
                try Simulation.run(disk, settings) { store in
                    await Self.standardWorkload(store, run)
                    // Space returns: the store goes on without being reopened.
                    disk.setCapacity(byteCount: nil)
                    try await store.database("a").upsert(Values.record(id: "after", number: 77))
                    try await store.checkpoint()
                }
                run.update {
                    $0.events.append(
                        .begin(
                            9_999, .upsert(database: "a", id: "after", Values.model(number: 77)), isDurable: true,
                            numbers: []))
                    $0.events.append(.acknowledged(9_999, version: 0, at: 0))
                }
            } catch let error as StoreError {
                #expect(error.code == .diskFull, "budget \(budget): \(error)")
            }
            #expect(run.value.problems.isEmpty, "budget \(budget): \(run.value.problems)")
            disk.setCapacity(byteCount: nil)
            let oracle = HistoryOracle(initial: RandomWorkload.initial, events: run.value.events)
            for choice in [CrashChoice.loseAll, .keepAll, .random(seed: budget)] {
                let verdict = oracle.verdict(try Simulation.recover(disk.crashImage(choice)))
                #expect(verdict == nil, "budget \(budget), \(choice)")
            }
        }
    }

    /// The bytes of all files.
    static func usedByteCount(_ disk: SimulatedFileSystem) throws -> UInt64 {
        var paths: [StoragePath] = []
        for entry in try disk.list(.root) {
            if entry.kind == .file {
                paths.append(StoragePath(entry.name))
            } else {
                paths += try disk.list(StoragePath(entry.name)).map { StoragePath(entry.name, $0.name) }
            }
        }
        return paths.reduce(0) { $0 + UInt64(disk.contents(of: $1)?.count ?? 0) }
    }

    // What the disk had got of the record was overwritten with zeros, which a crash or a sync that failed could then lose.
    @Test("A write that was refused because the disk is full does not come back")
    func refusedForGood() async throws {
        let disk = SimulatedFileSystem()
        var configuration = StoreConfiguration()
        configuration.environment.fileSystem = { _ in disk }
        configuration.addressSpaceReservation = 1 << 20
        let images = try await withVectorStore(at: "store", configuration: configuration) { store async throws in
            let database = try await store.createDatabase("rows", options: DatabaseOptions(dimension: 2))
            // All of it is written, and the disk says that it is full.
            let fault = Fault(
                .failAfter(bytes: 1 << 20, code: ErrorNumber.noSpace), .at(1), calls: [.write], pathPrefix: "wal/")
            // The marker behind the commit before may be what the fault meets; it does without.
            var refusal: StoreError?
            for _ in 0..<100 where refusal == nil {
                disk.inject(FaultPlan([fault]))
                do {
                    try await database.upsert(VectorRecord(id: "refused", vector: [1, 2]))
                    try await database.delete(["refused"])
                } catch let error as StoreError {
                    refusal = error
                }
            }
            #expect(refusal?.code == .diskFull)
            let images = (0..<16).map { disk.crashImage(.random(seed: $0)) } + [disk.crashImage(.loseAll)]
            try await database.upsert(VectorRecord(id: "kept", vector: [1, 2]))
            return images
        }
        for image in images {
            configuration.environment.fileSystem = { _ in image }
            try await withVectorStore(at: "store", configuration: configuration) { store async throws in
                #expect(try await store.database("rows").allIDs() == [])
            }
        }
        configuration.environment.fileSystem = { _ in disk }
        try await withVectorStore(at: "store", configuration: configuration) { store async throws in
            #expect(try await store.database("rows").allIDs() == ["kept"])
        }
    }

    @Test("On a full disk deletes and checkpoints still work")
    func deletesOnAFullDisk() throws {
        let disk = try CrashCampaign.baseDisk.get().crashImage(.keepAll)
        try Simulation.run(disk) { store in
            let database = try await store.database("a")
            for index in 0..<40 { try await database.upsert(Values.record(id: "y\(index)", number: index)) }
            disk.setCapacity(byteCount: try Self.usedByteCount(disk))
            var refused = 0
            for index in 0..<200 {
                do {
                    try await database.upsert(Values.record(id: "z\(index)", number: index))
                } catch let error as StoreError where error.code == .diskFull {
                    refused += 1
                    if refused > 3 { break }
                }
            }
            #expect(refused > 3)
            for index in 0..<40 { #expect(try await database.delete("y\(index)")) }
            try await store.checkpoint()
            disk.setCapacity(byteCount: nil)
            try await database.upsert(Values.record(id: "back", number: 5))
        }
        let state = try Simulation.recover(disk.crashImage(.loseAll))
        #expect(state.problems.isEmpty)
        #expect(state.model["a", "back"] == Values.model(number: 5))
        #expect(state.model["a", "y3"] == nil)
    }

    @Test("A disk with no room for a whole log segment: the store opens with a shorter one, and keeps its reserve")
    func shortSegment() async throws {
        let disk = SimulatedFileSystem()
        let full = 4 << 20
        let image = try await withVectorStore(simulatedStore(disk, segmentByteCount: full)) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: 3))
            for index in 0..<5 { try await database.upsert(testRecord("r\(index)", index)) }
            return disk.processKillImage()
        }
        image.setCapacity(byteCount: try Self.usedByteCount(image) + (512 << 10))
        func segments() throws -> [Int] {
            try image.list(StoragePath("wal")).filter { $0.name.hasSuffix(".wal") }
                .compactMap { image.contents(of: StoragePath("wal", $0.name))?.count }
        }
        #expect(try segments() == [full])
        try await withVectorStore(simulatedStore(image, segmentByteCount: full)) { store async throws in
            let lengths = try segments()
            #expect(lengths.count == 1 && lengths[0] < full / 8, "\(lengths)")
            #expect(try image.list(StoragePath("wal")).contains { $0.name == "reserve" })
            let database = try await store.database("a")
            #expect(try await database.count() == 5)
            try await database.upsert(testRecord("new", 7))
        }
        image.setCapacity(byteCount: nil)
        try await withVectorStore(simulatedStore(image, segmentByteCount: full)) { store async throws in
            #expect(try segments() == [full])
            #expect(try await store.database("a").vector(for: "new") == testVector(7, 3))
            try await store.expectSound()
        }
    }
}
