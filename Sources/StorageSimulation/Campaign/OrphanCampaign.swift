/// Writers that build upon one another's commits while a full disk keeps one of those out of the log. What was staged on
/// top of it must be undone with it, and nothing else. Tests and the hunt for mutants go through writes and seeds.
import Nephrite
import StorageIO

/// One run of it.
package struct OrphanCampaign: Sendable {
    private static let writers = 6
    private static let steps = 5

    /// What one failing write led to.
    package struct Outcome: Sendable {
        /// What is wrong; empty when nothing is.
        package var failures: [String] = []
        /// Commits that were refused because they were staged on one that did not fit.
        package var orphanCount = 0
        /// Commits that were acknowledged.
        package var acknowledgedCount = 0
        /// The last number that each writer was told is stored.
        var stored: [Int: Int] = [:]
    }

    /// Decides the order of tasks.
    package let seed: UInt64
    /// Which write to the log does not fit, counted from 1.
    package let failingWrite: Int

    /// A run.
    package init(seed: UInt64, failingWrite: Int) {
        self.seed = seed
        self.failingWrite = failingWrite
    }

    /// Makes the run, then opens the store again.
    package func run() -> Outcome {
        let disk = SimulatedFileSystem()
        let outcome = Box(Outcome())
        var settings = SimulationSettings()
        settings.seed = seed
        // Three records take the bulk path, two do not.
        settings.bulkByteThreshold = 3 * 4 * Values.dimension
        do {
            try Simulation.run(disk, settings) { store in
                let options = DatabaseOptions(dimension: Values.dimension)
                let database = try await store.createDatabase("a", options: options)
                try await database.upsert((0..<Self.writers).map { Values.record(id: "w\($0)", number: $0) })
                for writer in 0..<Self.writers { outcome.update { $0.stored[writer] = writer } }
                disk.inject(
                    .fail(call: failingWrite, code: ErrorNumber.noSpace, calls: [.write], pathPrefix: "wal/"))
                await withTaskGroup(of: Void.self) { group in
                    for writer in 0..<Self.writers {
                        group.addTask { await Self.write(writer, to: database, outcome) }
                    }
                }
                disk.inject(.none)
                try await Self.judge(store, "running", outcome)
            }
            try Simulation.run(disk, settings) { store in try await Self.judge(store, "opened again", outcome) }
        } catch {
            outcome.update { $0.failures.append("\(error)") }
        }
        return outcome.value
    }

    /// Writes a record of its own and one that is everybody's, again and again, and each second time one more.
    private static func write(_ writer: Int, to database: VectorDatabase, _ outcome: Box<Outcome>) async {
        for step in 1...steps {
            let number = writer + step * writers
            do {
                let ids = ["w\(writer)", "shared"] + ((writer + step) % 2 == 0 ? ["more\(writer)"] : [])
                try await database.upsert(ids.map { Values.record(id: $0, number: number) })
                outcome.update { outcome in
                    outcome.acknowledgedCount += 1
                    outcome.stored[writer] = number
                }
            } catch let error as StoreError where error.code == .diskFull {
                if error.message.contains("was to follow") { outcome.update { $0.orphanCount += 1 } }
            } catch {
                outcome.update { $0.failures.append("writer \(writer), step \(step): \(error)") }
            }
        }
    }

    /// Compares a store with what was acknowledged.
    private static func judge(_ store: VectorStore, _ label: String, _ outcome: Box<Outcome>) async throws {
        let database = try await store.database("a")
        let expected = outcome.value
        var problems: [String] = []
        for (writer, number) in expected.stored.sorted(by: { $0.key < $1.key }) {
            let found = try await database.record(for: "w\(writer)").flatMap { Values.model(of: $0).0 }
            if found != number { problems.append("w\(writer) is \(found.map(String.init) ?? "lost"), not \(number)") }
        }
        let shared = try await database.record(for: "shared").flatMap { Values.model(of: $0).0 }
        if shared.map({ !expected.stored.values.contains($0) }) ?? (expected.acknowledgedCount > 0) {
            problems.append("the shared record is \(shared.map(String.init) ?? "lost")")
        }
        let report = try await store.check()
        if !report.isSound { problems.append("\(report)") }
        let found = problems.map { "\(label): \($0)" }
        outcome.update { $0.failures += found }
    }
}
