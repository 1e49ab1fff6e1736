// A bulk batch's vectors and its log record are on their way to the disk at once: what a crash makes of one without the other,
// and what becomes of a sync that fails.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(5)))
struct BulkSyncTests {
    private static let dimension = 8
    private static let rows = (0..<64).map { testRecord("bulk-\($0)", $0, dimension) }
    private static let data = StoragePath("rows", DatabaseIdentity.dataFileName)

    private func configuration(_ disk: any FileSystem) -> StoreConfiguration {
        var configuration = simulatedConfiguration(disk)
        configuration.bulkByteThreshold = 1
        return configuration
    }

    /// Runs `body` with a disk whose log has a group of commits durably, a bulk batch and what is written behind it, while the
    /// batch's vectors are not: their sync waits. Then all writers are acknowledged.
    ///
    /// - Parameters:
    ///   - database: where the record `behind` goes.
    ///   - isDropping: whether the database `victim`, which has a record, is dropped before that.
    private func withGroupUnderWay(
        behindIn database: String = "rows", isDropping: Bool = false, _ body: (SimulatedFileSystem) async throws -> Void
    ) async throws {
        let name = database
        let disk = SimulatedFileSystem()
        let hooked = HookedFileSystem(disk)
        let (logGate, dataGate) = (Gate(), Gate(under: "rows/"))
        hooked.set { (call, path) throws(FileSystemError) in
            try logGate.hook(call, path)
            try dataGate.hook(call, path)
        }
        try await withVectorStore(at: "simulated", configuration: configuration(hooked)) { store async throws in
            defer {
                logGate.open()
                dataGate.open()
            }
            let database = try await store.createDatabase("rows", options: .init(dimension: Self.dimension))
            for name in ["other", "victim"] {
                try await store.createDatabase(name, options: .init(dimension: Self.dimension))
                    .upsert(testRecord("before", 1, Self.dimension))
            }
            try await database.upsert(testRecord("before", 1, Self.dimension))
            let acknowledged = Box<Set<String>>([])
            let rows = Self.rows
            try await withThrowingTaskGroup { group in
                // While the log is busy with one commit, two others gather behind it.
                logGate.shut()
                dataGate.shut()
                var version = try await store.statistics().lastVersion
                func staged() async throws {
                    version += 1
                    while try await store.statistics().lastVersion < version { await Task.yield() }
                }
                group.addTask {
                    try await database.upsert(testRecord("first", 2, Self.dimension))
                    acknowledged.update { _ = $0.insert("first") }
                }
                try await staged()
                await logGate.reached()
                group.addTask {
                    try await database.insert(rows)
                    acknowledged.update { _ = $0.insert("bulk") }
                }
                try await staged()
                await dataGate.reached()
                if isDropping {
                    group.addTask { try await store.dropDatabase("victim") }
                    try await staged()
                }
                group.addTask {
                    try await store.database(name).upsert(testRecord("behind", 3, Self.dimension))
                    acknowledged.update { _ = $0.insert("behind") }
                }
                try await staged()
                logGate.open()
                while !isInLog("behind", of: disk.crashImage(.loseAll)) { await Task.yield() }
                // It is durable; its writer may yet have to run.
                while acknowledged.value.isEmpty { await Task.yield() }
                #expect(acknowledged.value == ["first"])
                try await body(disk)
                #expect(acknowledged.value == ["first"])
                dataGate.open()
                try await group.waitForAll()
            }
            #expect(acknowledged.value == ["first", "bulk", "behind"])
        }
    }

    private func isInLog(_ id: String, of disk: SimulatedFileSystem) -> Bool {
        disk.files().filter { $0.path.components.first == "wal" }.contains { file in
            let bytes = disk.contents(of: file.path) ?? []
            let pattern = Array(id.utf8)
            return bytes.indices.dropLast(pattern.count).contains { start in
                bytes[start] == pattern[0] && bytes[start..<start + pattern.count].elementsEqual(pattern)
            }
        }
    }

    @Test("A bulk batch whose vectors are lost is none, nor is anything behind it, although the log has all of it")
    func lostVectors() async throws {
        try await withGroupUnderWay { disk in
            let image = disk.crashImage(.loseAll)
            let unopened = image.crashImage(.keepAll)
            var readOnly = configuration(unopened)
            readOnly.access = .readOnly
            try await withVectorStore(at: "simulated", configuration: readOnly) { store async throws in
                #expect(try await store.database("rows").allIDs().sorted() == ["before", "first"])
            }
            for life in 0..<3 {
                try await withVectorStore(at: "simulated", configuration: configuration(image)) { store async throws in
                    #expect((store.recoveryReport?.tornByteCount ?? 0 > 0) == (life == 0))
                    let database = try await store.database("rows")
                    let expected = ["before", "first"] + (0..<life).map { "life-\($0)" }
                    #expect(try await database.allIDs().sorted() == expected)
                    try await store.expectSound()
                    // It takes the version, and the slots, that the lost batch had.
                    try await database.upsert(testRecord("life-\(life)", life, Self.dimension))
                }
            }
        }
    }

    @Test("A bulk batch whose vectors got to the disk is there, and so is what follows it")
    func keptVectors() async throws {
        try await withGroupUnderWay { disk in
            for image in [disk.crashImage(.keepAll), disk.processKillImage()] {
                try await withVectorStore(at: "simulated", configuration: configuration(image)) { store async throws in
                    let database = try await store.database("rows")
                    #expect(try await database.count() == 3 + Self.rows.count)
                    for row in Self.rows { #expect(try await database.record(for: row.id)?.content == row) }
                    #expect(try await database.contains("behind"))
                    try await store.expectSound()
                }
                // What recovery found in the page cache it has put on the disk.
                let later = configuration(image.crashImage(.loseAll))
                try await withVectorStore(at: "simulated", configuration: later) { store async throws in
                    #expect(try await store.database("rows").count() == 3 + Self.rows.count)
                }
            }
        }
    }

    @Test("Whatever part of a bulk batch's vectors gets to the disk, it is there whole or not at all")
    func torn() async throws {
        try await withGroupUnderWay { disk in
            var counts: Set<Int> = []
            for seed in 0..<60 as Range<UInt64> {
                let image = disk.crashImage(.random(seed: seed))
                try await withVectorStore(at: "simulated", configuration: configuration(image)) { store async throws in
                    let database = try await store.database("rows")
                    let count = try await database.count()
                    #expect([2, 3 + Self.rows.count].contains(count), "seed \(seed)")
                    #expect(try await database.contains("behind") == (count > 2), "seed \(seed)")
                    counts.insert(count)
                    try await store.expectSound()
                }
            }
            #expect(counts.contains(2))
        }
    }

    /// Images that a loss of power may leave before each change that opening `disk` makes.
    private func imagesWhileOpening(
        _ disk: SimulatedFileSystem, _ choices: [CrashChoice] = [.loseAll, .random(seed: 1)]
    ) async throws -> [(call: String, SimulatedFileSystem)] {
        let hooked = HookedFileSystem(disk)
        let images = Box<[(call: String, SimulatedFileSystem)]>([])
        let changes: Set<SystemCall> = [
            .write, .synchronize, .synchronizeData, .rename, .unlink, .synchronizeDirectory,
        ]
        hooked.set { (call, path) throws(FileSystemError) in
            guard changes.contains(call) else { return }
            for choice in choices { images.update { $0.append(("\(call) \(path)", disk.crashImage(choice))) } }
        }
        try await withVectorStore(at: "simulated", configuration: configuration(hooked)) { _ in hooked.set(nil) }
        return images.value
    }

    // Recovery believed the batch, which the page cache had, and did what cannot be undone because of commits behind it; then
    // the batch was lost, and those commits with it.
    @Test(
        "What recovery finds in the page cache is on disk before anything is done because of what follows it",
        arguments: [true, false])
    func powerCutInRecovery(_ isDropping: Bool) async throws {
        try await withGroupUnderWay(behindIn: "other", isDropping: isDropping) { disk in
            let images = try await imagesWhileOpening(disk.processKillImage())
            #expect(images.count > 20)
            for (call, image) in images {
                do {
                    try await withVectorStore(at: "simulated", configuration: configuration(image)) {
                        store async throws in
                        let isThere = try await store.database("rows").count() > 2
                        #expect(try await store.database("other").contains("behind") == isThere, "\(call)")
                        let names = try await store.databases().map(\.name)
                        #expect(names.contains("victim") == !(isDropping && isThere), "\(call)")
                        try await store.expectSound()
                    }
                } catch {
                    Issue.record("a loss of power before \(call): \(error)")
                }
            }
        }
    }

    // Where recovery ends the log, because it knows of no damage, salvage cannot: it may be what the store is salvaged for.
    @Test("Salvage tells each row that a bulk batch has lost, whether or not anybody was told of the batch")
    func salvage() async throws {
        try await withGroupUnderWay(behindIn: "other") { disk in
            let choices = [CrashChoice.loseAll] + (0..<4).map { CrashChoice.random(seed: $0) }
            for choice in choices {
                let image = disk.crashImage(choice)
                let target = SimulatedFileSystem()
                var configuration = configuration(image)
                configuration.environment.fileSystem = { $0 == "target" ? target : image }
                let report = try await VectorStore(at: "simulated", configuration: configuration).salvage(to: "target")
                let rows = try #require(report.databases.first { $0.name == "rows" })
                let other = try #require(report.databases.first { $0.name == "other" })
                #expect((2...2 + Self.rows.count).contains(rows.recoveredCount), "\(choice)")
                #expect(rows.recoveredCount + rows.lostCount == 2 + Self.rows.count, "\(choice)")
                #expect(other.recoveredCount == 2 && other.lostCount == 0, "\(choice)")
            }
        }
    }

    @Test("A header that a crash tears while a bulk batch is on its way does not keep the batch from being judged")
    func tornHeader() async throws {
        let disk = SimulatedFileSystem()
        let hooked = HookedFileSystem(disk)
        let gate = Gate(under: "rows/")
        let (dataSyncs, logSyncs) = (Box(-1), Box(0))
        hooked.set { (call, path) throws(FileSystemError) in
            guard call == .synchronizeData else { return }
            if path.components.first == "wal" { logSyncs.update { $0 += 1 } }
            guard path.components.first == "rows", dataSyncs.value >= 0 else { return }
            // The checkpoint's third sync is of its header.
            let number = dataSyncs.update { count -> Int in
                count += 1
                return count
            }
            if number > 2 { gate.pass() }
        }
        try await withVectorStore(at: "simulated", configuration: configuration(hooked)) { store async throws in
            defer { gate.open() }
            let database = try await store.createDatabase("rows", options: .init(dimension: Self.dimension))
            for _ in 0..<2 {
                try await database.upsert(Self.rows)
                try await store.checkpoint()
            }
            let other = try await store.createDatabase("other", options: .init(dimension: Self.dimension))
            for database in [database, other] { try await database.upsert(testRecord("before", 1, Self.dimension)) }
            try await withThrowingTaskGroup { group in
                gate.shut()
                dataSyncs.update { $0 = 0 }
                group.addTask { try await store.checkpoint() }
                await gate.reached()
                let seen = logSyncs.value
                group.addTask {
                    try await database.insert((0..<64).map { testRecord("more-\($0)", $0, Self.dimension) })
                }
                for _ in 0..<2_000 where logSyncs.value == seen { await Task.yield() }
                // The log does not wait for the checkpoint's sync of the file: nor does anyone else.
                try await other.upsert(testRecord("second", 1, Self.dimension))
                var counts: Set<Int> = []
                for seed in 0..<60 as Range<UInt64> {
                    let image = configuration(disk.crashImage(.random(seed: seed)))
                    try await withVectorStore(at: "simulated", configuration: image) { store async throws in
                        counts.insert(try await store.database("rows").count())
                        try await store.expectSound()
                    }
                }
                #expect(counts.isSubset(of: [65, 129]), "\(counts)")
                gate.open()
                try await group.waitForAll()
            }
        }
    }

    @Test(
        "A bulk batch that a later record, or a marker, vouches for is not cut off: its damage is told",
        arguments: [true, false])
    func provenDamage(byRecord: Bool) async throws {
        let disk = SimulatedFileSystem()
        let killed = try await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            let database = try await store.createDatabase("rows", options: .init(dimension: Self.dimension))
            try await database.insert(Self.rows)
            // Its record says that the batch is on disk.
            if byRecord { try await database.upsert(testRecord("behind", 3, Self.dimension)) }
            while true {
                let killed = disk.processKillImage()
                if byRecord { return killed }
                if try LogDoctor(killed).records.last?.type == .syncMarker { return killed }
                await Task.yield()
            }
        }
        let bytes = try #require(killed.contents(of: Self.data))
        let pattern = Array("bulk-7".utf8)
        let id = try #require(
            (0..<bytes.count - 6).first { bytes[$0] == pattern[0] && bytes[$0..<$0 + 6].elementsEqual(pattern) })
        killed.flipBit(Self.data, bit: 8 * id)
        // Recovery makes the log anew, and must not lose the proof of it, wherever it is interrupted.
        // The marker, which nobody has synced, stays where only the process is killed.
        let images = try await imagesWhileOpening(
            killed.processKillImage(), byRecord ? [.loseAll, .random(seed: 1)] : [.keepAll])
        for (call, image) in [("nothing", killed)] + images.map({ ($0.call, $0.1) }) {
            for _ in 0..<2 {
                _ = try await withVectorStore(at: "simulated", configuration: configuration(image)) {
                    store async throws in
                    let error = await expectError(.corruption) { _ = try await store.database("rows").count() }
                    #expect(error?.database == "rows", "before \(call)")
                }
            }
        }
    }

    @Test(
        "A data file that cannot be synced fails its batch and all that follow, and the next life has it whole or not at all"
    )
    func failedSync() async throws {
        let disk = SimulatedFileSystem()
        let outcome: Void? = try? await withVectorStore(at: "simulated", configuration: configuration(disk)) {
            store async throws in
            let database = try await store.createDatabase("rows", options: .init(dimension: Self.dimension))
            try await database.upsert(testRecord("before", 1, Self.dimension))
            disk.inject(
                FaultPlan([
                    Fault(
                        .failSync(ErrorNumber.inputOutput, losing: .everything), .at(1), calls: [.synchronizeData],
                        pathPrefix: "rows/")
                ]))
            let error = await #expect(throws: StoreError.self) { try await database.insert(Self.rows) }
            #expect(error.map { [.outcomeUnknown, .fenced].contains($0.code) } == true, "\(error as Any)")
            await expectError(.fenced) { try await database.upsert(testRecord("after", 1, Self.dimension)) }
        }
        #expect(outcome == nil, "a fenced store does not close cleanly")
        for image in [disk.processKillImage(), disk.crashImage(.loseAll), disk.crashImage(.keepAll)] {
            try await withVectorStore(at: "simulated", configuration: configuration(image)) { store async throws in
                let database = try await store.database("rows")
                #expect([1, 1 + Self.rows.count].contains(try await database.count()))
                #expect(try await database.contains("before"))
                #expect(try await !database.contains("after"))
                try await store.expectSound()
            }
        }
    }

    @Test("Of a batch that need not be durable the log says nothing before its vectors are on disk")
    func relaxed() async throws {
        let disk = SimulatedFileSystem()
        let hooked = HookedFileSystem(disk)
        let gate = Gate(under: "rows/")
        hooked.set(gate.hook)
        try await withVectorStore(at: "simulated", configuration: configuration(hooked)) { store async throws in
            defer { gate.open() }
            let database = try await store.createDatabase(
                "rows", options: .init(dimension: Self.dimension, durability: .relaxed(every: .seconds(60))))
            // The file grows by a commit, which is not to come later.
            try await database.upsert(Self.rows)
            let version = try await store.statistics().lastVersion
            gate.shut()
            async let inserted = database.upsert(Self.rows)
            await gate.reached()
            for _ in 0..<1_000 { await Task.yield() }
            #expect(try await store.statistics().lastVersion == version)
            gate.open()
            #expect(try await inserted > version)
        }
    }
}
