/// Full disks: a store on a file system in memory of every size in a range, one 4 KiB block after the other, so that the
/// disk is full at each point of the engine's work in turn. What was refused must have changed nothing; reads, deletes,
/// checkpoints, closing and opening must work on the full disk; with more room everything goes on.
import Foundation
import Nephrite
import NephriteExercise

/// Fills disks.
struct FullPart: TorturePart {
    static let name = "full"
    static let summary = "disk full: a tmpfs of every size in a range, one block after the other"

    private static let blockByteCount = 4096
    /// The sizes in blocks: from too small for a store to more than the steps need.
    private static let blockCounts = 64..<2112
    private static let roomyByteCount = 64 << 20
    private static let stepCount = 60

    func obstacle(_ mounts: Mounts) -> String? { Machine.mountObstacle(mounts) }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        // Every size once, spread so that a short run sees large and small ones too; then with other seeds.
        let sizes = Self.blockCounts.count
        while session.goesOn(report) {
            let seed = session.seed(report)
            let blocks = Self.blockCounts.lowerBound + Int(seed % UInt64(sizes)) * 1237 % sizes
            let path = try session.workspace.directory("full")
            do {
                let disk = try MemoryDisk(at: path, byteCount: blocks * Self.blockByteCount)
                try await round(FullDisk(path: path + "/store", seed: seed), disk, &report)
                report.rounds += 1
            } catch let error where error is ExerciseFailure || error is StoreError {
                report.fail("\(blocks) blocks: \(error)", seed: seed)
                report.rounds += 1
            }
        }
    }

    private func round(_ store: FullDisk, _ disk: borrowing MemoryDisk, _ report: inout PartReport) async throws {
        var store = store
        if try await store.fill(stepCount: Self.stepCount, &report) {
            try await store.reopenAndDelete(&report)
        } else {
            report.count("too small to open")
        }
        try disk.resize(byteCount: Self.roomyByteCount)
        try await store.goOn(&report)
    }
}

/// One store on a disk that becomes full, and what must be in it.
private struct FullDisk {
    let path: String
    let seed: UInt64
    private var state = ExerciseState()
    private var steps: ExerciseSteps

    init(path: String, seed: UInt64) {
        self.path = path
        self.seed = seed
        steps = ExerciseSteps(seed: seed, writer: 0)
    }

    private var configuration: StoreConfiguration {
        var configuration = ExerciseRun.configuration(seed)
        configuration.logSegmentByteCount = 64 << 10
        configuration.logByteLimit = 256 << 10
        configuration.searchThreadCount = 1
        return configuration
    }

    /// Writes until the disk is full and beyond; false if the store cannot even be made.
    mutating func fill(stepCount: Int, _ report: inout PartReport) async throws -> Bool {
        var isOpen = false
        var (state, steps) = (state, steps)
        var counts = (refused: 0, made: 0)
        do {
            try await withVectorStore(at: path, configuration: configuration) { store in
                let run = ExerciseRun(store)
                try await run.prepare()
                isOpen = true
                for _ in 0..<stepCount {
                    let step = steps.next(state)
                    do {
                        try await run.perform(step, state)
                        state.apply(step)
                        counts.made += 1
                    } catch let error as StoreError where error.code == .diskFull {
                        counts.refused += 1
                    }
                }
                try await finish(run, &state, hasReserve: hasReserve)
            }
        } catch let error as StoreError where !isOpen && error.code == .diskFull {
            return false
        }
        (self.state, self.steps) = (state, steps)
        report.states += 1
        report.count("steps made", counts.made)
        report.count("refused for want of space", counts.refused)
        report.count(counts.refused > 0 ? "disks filled" : "disks large enough")
        return true
    }

    /// What must work on a full disk: reading and checkpoints, and deleting as long as there is a reserve.
    private func finish(_ run: ExerciseRun, _ state: inout ExerciseState, hasReserve: Bool) async throws {
        try await run.expect(state, of: 0)
        try await run.store.checkpoint()
        for name in ExerciseState.shared.keys.sorted() {
            let ids = (state.databases[name] ?? [:]).keys.sorted().prefix(5)
            do {
                let deleted = try await run.store.database(name).delete(Array(ids))
                guard deleted == ids.count else {
                    throw ExerciseFailure("\(deleted) of \(ids.count) ids were deleted.")
                }
            } catch let error as StoreError where error.code == .diskFull && !hasReserve {
                continue
            }
            for id in ids { state.databases[name]?[id] = nil }
        }
        try await run.expect(state, of: 0)
    }

    /// Whether there is space that the store keeps for a full disk; a disk can be too small for that, too.
    private var hasReserve: Bool { FileManager.default.fileExists(atPath: path + "/wal/reserve") }

    /// Opens the store again on the full disk.
    mutating func reopenAndDelete(_ report: inout PartReport) async throws {
        var state = state
        let hasReserve = hasReserve
        do {
            try await withVectorStore(at: path, configuration: configuration) { store in
                let run = ExerciseRun(store)
                try Self.compare(try await run.states(writerCount: 1)[0], state)
                try await finish(run, &state, hasReserve: hasReserve)
            }
        } catch let error as StoreError where error.code == .diskFull && !hasReserve {
            report.count("not opened again, without a reserve")
        }
        self.state = state
        report.states += 1
    }

    /// Opens the store with room, and writes on.
    mutating func goOn(_ report: inout PartReport) async throws {
        var (state, steps) = (state, steps)
        try await withVectorStore(at: path, configuration: configuration) { store in
            let run = ExerciseRun(store)
            try Self.compare(try await run.states(writerCount: 1)[0], state)
            try await run.prepare()
            for _ in 0..<10 {
                let step = steps.next(state)
                try await run.perform(step, state)
                state.apply(step)
            }
            try Self.compare(try await run.states(writerCount: 1)[0], state)
            let integrity = try await store.check()
            guard integrity.isSound, integrity.orphans.isEmpty else { throw ExerciseFailure("\(integrity)") }
        }
        (self.state, self.steps) = (state, steps)
        report.states += 2
    }

    private static func compare(_ found: ExerciseState, _ expected: ExerciseState) throws(ExerciseFailure) {
        guard found != expected else { return }
        throw ExerciseFailure("What was refused or acknowledged shows: \(found.differences(from: expected))")
    }
}
