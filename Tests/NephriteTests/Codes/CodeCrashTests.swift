// Machines that stop while codes are made, stamped, or left behind by slots that are used again: whatever of the code file
// survives, a code that is believed is the code of its vector. NEPHRITE_LONG=1 takes an image before every call.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

/// Two databases that were created, and crashed before their files' first checkpoint.
enum SimulatedFileSystemWithOption {
    static func make() -> Result<[Quantization], any Error> {
        Result {
            let disk = SimulatedFileSystem()
            let image = Box<SimulatedFileSystem?>(nil)
            try Simulation.run(disk) { store in
                try await store.createDatabase("a", options: DatabaseOptions(dimension: 2, quantization: .none))
                try await store.createDatabase("b", options: DatabaseOptions(dimension: 2))
                image.update { $0 = disk.crashImage(.loseAll) }
            }
            return try Simulation.run(image.value!) { store in try await store.databases().map(\.options.quantization) }
        }
    }
}

@Suite(.timeLimit(.minutes(20)))
struct CodeCrashTests {
    static func settings(_ seed: UInt64) -> SimulationSettings {
        var settings = SimulationSettings()
        settings.seed = seed
        settings.segmentByteCount = 1 << 20
        settings.bulkByteThreshold = 1 << 20
        settings.quantizationByteThreshold = 1
        settings.codeChunkByteCount = 1
        return settings
    }

    static func options(_ name: String) -> DatabaseOptions {
        DatabaseOptions(
            dimension: Coding.dimension, durability: name == "r" ? .relaxed(every: .seconds(3_600)) : .durable)
    }

    /// A durable and a relaxed database without codes, closed.
    static let baseDisk = Result {
        let disk = SimulatedFileSystem()
        try Simulation.run(disk, settings(9_000)) { store in
            for name in ["a", "r"] {
                let database = try await store.createDatabase(name, options: options(name))
                // So many that deletes never leave fewer than codes are made for.
                try await Coding.write(0..<1_500, round: 0, to: database)
            }
        }
        return disk.crashImage(.keepAll)
    }

    struct Image: Sendable {
        let disk: SimulatedFileSystem
        let label: String
    }

    /// Writes, encodes and checkpoints in an order that the seed decides.
    static func work(_ store: VectorStore, seed: UInt64) async throws {
        var generator = SeededGenerator(seed: seed)
        for step in 0..<14 {
            let name = generator.next(below: 3) == 0 ? "a" : "r"
            let database = try await store.database(name)
            let first = generator.next(below: 900)
            let count = 1 + generator.next(below: 100)
            switch generator.next(below: 6) {
            case 0, 1: try await Coding.write(first..<first + count, round: step + 1, to: database)
            case 2: try await database.delete((first..<first + count).map(Coding.id))
            case 3: try await Coding.finish(database)
            default: try await store.checkpoint()
            }
            if step == 2 { try await Coding.finish(try await store.database("r")) }
            #expect(try await Coding.wrongSlots(database) == [])
        }
    }

    /// Collects an image before about every `period`-th call that can change something; calls on code files count more.
    static func collect(_ images: Box<[Image]>, seed: UInt64, period: Int, on disk: SimulatedFileSystem) {
        let generator = Box(SeededGenerator(seed: seed ^ 0xC0DE))
        let isAboutCodes = Box(false)
        disk.callHook = { call in
            isAboutCodes.update { $0 = call.path.description.hasSuffix("vectors.codes") }
        }
        disk.snapshotHook = { number, disk in
            let period = isAboutCodes.value ? max(1, period / 4) : period
            let (chance, kind, choice) = generator.update {
                ($0.next(below: period), $0.next(below: 6), $0.next())
            }
            guard chance == 0 else { return }
            let image =
                switch kind {
                case 0: disk.processKillImage()
                case 1: disk.crashImage(.loseAll, staleSeed: choice)
                case 2: disk.crashImage(.keepAll, staleSeed: choice)
                default: disk.crashImage(.random(seed: choice), staleSeed: choice)
                }
            images.update { $0.append(Image(disk: image, label: "seed \(seed), call \(number), kind \(kind)")) }
        }
    }

    /// Opens an image and looks at the codes as they are loaded and when everything is encoded.
    ///
    /// - Parameter writesFirst: whether commits follow before anybody looks at the codes: they take up the numbers of
    ///   commits that were lost, and their slots.
    static func verdict(_ image: Image, seed: UInt64, writesFirst: Bool) -> String? {
        do {
            if let verdict = try readerVerdict(image, seed: seed) { return verdict }
            return try Simulation.runAndAbandon(image.disk, settings(seed &+ 5_000)) { store -> String? in
                for name in ["a", "r"] {
                    let database = try await store.database(name)
                    if writesFirst {
                        for round in 100..<104 {
                            try await Coding.write(round..<round + 60, round: round, to: database)
                        }
                        if seed % 2 == 0 { try await store.checkpoint() }
                    }
                    _ = try await database.search(testVector(1, Coding.dimension), k: 1)
                    for _ in 0..<8 { await Task.yield() }
                    var wrong = try await Coding.wrongSlots(database)
                    if !wrong.isEmpty { return "\(image.label), \(name): wrong when loaded: \(wrong.prefix(8))" }
                    try await Coding.finish(database)
                    wrong = try await Coding.wrongSlots(database)
                    if !wrong.isEmpty { return "\(image.label), \(name): wrong when finished: \(wrong.prefix(8))" }
                }
                let report = try await store.check()
                return report.isSound ? nil : "\(image.label): \(report)"
            }
        } catch {
            return "\(image.label): does not open: \(error)"
        }
    }

    /// Opens an image for reading and looks at the codes that are used there; nothing changes in it.
    private static func readerVerdict(_ image: Image, seed: UInt64) throws -> String? {
        var settings = settings(seed &+ 7_000)
        settings.access = .readOnly
        return try Simulation.run(image.disk, settings) { store -> String? in
            for name in ["a", "r"] {
                let database = try await store.database(name)
                repeat {
                    _ = try await database.search(testVector(1, Coding.dimension), k: 1)
                    let clock = database.store.context.configuration.environment.clock
                    try await clock.sleep(nanoseconds: 1_000_000)
                } while try await database.statistics().codingState == .encoding
                let wrong = try await Coding.wrongSlots(database)
                if !wrong.isEmpty { return "\(image.label), \(name): wrong for readers: \(wrong.prefix(8))" }
            }
            return nil
        }
    }

    @Test("A machine that stops at any call leaves no code that is believed and wrong", arguments: 0..<4)
    func crashes(lane: Int) throws {
        var stateCount = 0
        var failures: [String] = []
        for index in 0..<(Campaign.isLong ? 60 : 3) where failures.count < 3 {
            let seed = UInt64(index * 4 + lane)
            let disk = try Self.baseDisk.get().crashImage(.keepAll)
            let images = Box<[Image]>([])
            Self.collect(images, seed: seed, period: Campaign.isLong ? 4 : 24, on: disk)
            try Simulation.run(disk, Self.settings(seed)) { store in try await Self.work(store, seed: seed) }
            disk.snapshotHook = nil
            for image in images.value {
                stateCount += 1
                let verdict = Self.verdict(image, seed: seed, writesFirst: stateCount % 2 == 0)
                if let verdict { failures.append(verdict) }
            }
        }
        #expect(failures.isEmpty, "\(failures.prefix(5).joined(separator: "\n"))")
        #expect(stateCount > 8)
        print("crash states of codes in lane \(lane): \(stateCount)")
    }

    // A code file that replaced another one of the same database was allocated where that one had been. Of its two header
    // pages only one was written; in the other ext4 may show, after a loss of power, the header of the file before it,
    // of a later generation, and codes would be believed that nobody wrote.
    @Test("A code file that is made anew is never taken for the one before it")
    func recreated() throws {
        let disk = SimulatedFileSystem()
        let identity = DatabaseIdentity(
            number: 1, name: "a", options: Self.options("a"), uuid: StorageUUID(high: 1, low: 2), incarnation: 3,
            hashKey: IDHashKey(k0: 4, k1: 5), salt: ChecksumSalt(uuid: StorageUUID(high: 1, low: 2), incarnation: 3),
            createdAt: 0, stride: 64)
        try disk.createDirectory(StoragePath("a"))
        try disk.synchronizeDirectory(.root)
        func make(seed: UInt64) throws -> CodeFile {
            var file = try CodeFile.create(identity, seed: seed, centre: [], chunkByteCount: 1, on: disk)
            try file.grow(toHold: 100, on: disk, reservation: 1 << 20)
            return file
        }
        var first = try make(seed: 1)
        let path = CodeFile.path(identity)
        try first.file.writeBytes(
            [UInt8](repeating: 0xC0, count: first.byteCount - first.header.chunksOffset),
            at: UInt64(first.header.chunksOffset))
        for round in 1..<5 { try first.stamp(through: UInt64(round), slotCount: 100) }
        try first.file.close()
        let oldBytes = try #require(disk.contents(of: path))
        let images = Box<[SimulatedFileSystem]>([])
        disk.snapshotHook = { number, disk in
            for choice in [CrashChoice.loseAll, .keepAll, .random(seed: UInt64(number))] {
                for seed: UInt64 in 0..<12 {
                    images.update { $0.append(disk.crashImage(choice, staleSeed: seed &+ UInt64(number) << 8)) }
                }
            }
        }
        var second = try make(seed: 2)
        try second.stamp(through: 7, slotCount: 50)
        disk.snapshotHook = nil
        var generations: Set<UInt64> = []
        for image in images.value {
            let opening = try CodeFile.open(identity, checkpointLSN: 9, on: image, reservation: 1 << 20)
            guard case .ready(let file) = opening else { continue }
            generations.insert(file.header.generation)
            let isNew = file.header.seed == 2 && [0, 7].contains(file.header.codedThroughLSN)
            #expect(isNew || image.contents(of: path) == oldBytes, "a mixture of both files is believed")
        }
        #expect(generations.isSuperset(of: [1, 5]))
    }
}
