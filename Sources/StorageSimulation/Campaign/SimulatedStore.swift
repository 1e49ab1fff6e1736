/// The whole engine on a simulated disk in a seeded executor: campaigns and durability tests hand it disks and get back
/// states. Every file system call goes through a ``WriteOrderChecker``.
package import Nephrite
package import StorageIO

/// How a simulated store is set up; everything that decides a run.
package struct SimulationSettings: Sendable {
    /// Decides the order of tasks, and identities and salts.
    package var seed: UInt64 = 1
    /// See ``StoreConfiguration``.
    package var segmentByteCount = 64 << 10
    /// See ``StoreConfiguration``.
    package var logByteLimit = 1 << 20
    /// See ``StoreConfiguration``.
    package var bulkByteThreshold = 16 << 10
    /// See ``StoreConfiguration``.
    package var jointSyncByteLimit = 1 << 20
    /// See ``StoreConfiguration``.
    package var maximumOpenFiles = 100
    /// See ``StoreConfiguration``.
    package var checkpointInterval: Duration = .seconds(60)
    /// See ``StoreConfiguration``.
    package var access = StoreConfiguration.Access.readWrite
    /// See ``StoreConfiguration``.
    package var quantizationByteThreshold = 4 << 20
    /// The size of a code file's chunks.
    package var codeChunkByteCount = 4 << 20
    /// How many jobs a run may take.
    package var stepLimit = 300_000
    /// Time; a new clock for each run unless set.
    package var clock: VirtualClock?
    /// The checker that the driver reports acknowledgements to; a new one for each run unless set.
    package var checker: WriteOrderChecker?
    /// Whether a checker watches the run at all.
    package var isChecked = true

    /// The defaults.
    package init() {}
}

/// The order rules were broken.
package struct WriteOrderViolation: Error, CustomStringConvertible {
    /// What was done too early, first things first.
    package let violations: [String]

    /// One line each.
    package var description: String { "write order: " + violations.joined(separator: "; ") }
}

/// Runs stores in simulations.
package enum Simulation {
    /// The configuration of a store that runs on a simulated disk and nothing else.
    package static func configuration(
        _ settings: SimulationSettings, _ executor: SeededExecutor, _ fileSystem: any FileSystem
    ) -> StoreConfiguration {
        var configuration = StoreConfiguration()
        configuration.access = settings.access
        configuration.quantizationByteThreshold = settings.quantizationByteThreshold
        configuration.codeChunkByteCount = settings.codeChunkByteCount
        configuration.logSegmentByteCount = settings.segmentByteCount
        configuration.logByteLimit = settings.logByteLimit
        configuration.bulkByteThreshold = settings.bulkByteThreshold
        configuration.jointSyncByteLimit = settings.jointSyncByteLimit
        configuration.maximumOpenFiles = settings.maximumOpenFiles
        configuration.checkpointInterval = settings.checkpointInterval
        configuration.addressSpaceReservation = 1 << 20
        configuration.environment.fileSystem = { _ in fileSystem }
        configuration.environment.clock = executor.clock
        configuration.environment.random = SeededRandom(seed: settings.seed &* 0x9E37_79B9 &+ 17)
        configuration.environment.executor = executor
        return configuration
    }

    /// Opens a store, runs `body`, and shuts the store down gracefully.
    ///
    /// - Throws: ``WriteOrderViolation`` when the run broke an ordering rule, whatever else it threw.
    @discardableResult
    package static func run<R: Sendable>(
        _ disk: SimulatedFileSystem, _ settings: SimulationSettings = SimulationSettings(),
        _ body: @escaping @Sendable (VectorStore) async throws -> R
    ) throws -> R {
        let executor = SeededExecutor(
            seed: settings.seed, clock: settings.clock ?? VirtualClock(), stepLimit: settings.stepLimit)
        let checker = settings.isChecked ? settings.checker ?? WriteOrderChecker(disk) : nil
        let configuration = configuration(settings, executor, checker ?? disk)
        let result = Result {
            try executor.run {
                try await withVectorStore(VectorStore(at: "simulation", configuration: configuration), body)
            }
        }
        if let violations = checker?.violations, !violations.isEmpty {
            throw WriteOrderViolation(violations: violations)
        }
        return try result.get()
    }

    /// Opens a store, runs `body`, and stops the machine: what the store does on its way out reaches no disk.
    ///
    /// The disk is left as the crash found it only in its images taken before; it refuses every call afterwards.
    package static func runAndAbandon<R: Sendable>(
        _ disk: SimulatedFileSystem, _ settings: SimulationSettings = SimulationSettings(),
        _ body: @escaping @Sendable (VectorStore) async throws -> R
    ) throws -> R {
        let outcome = Box<R?>(nil)
        do {
            try run(disk, settings) { store in
                let result = try await body(store)
                outcome.update { $0 = result }
                disk.inject(.crash(atCall: 1))
            }
        } catch let error as WriteOrderViolation {
            throw error
        } catch let error where outcome.value == nil {
            throw error
        } catch let error as SimulationError {
            throw error
        } catch {}
        return outcome.value!
    }
}
