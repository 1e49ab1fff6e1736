/// Reads whole stores back: what campaigns and tests compare with their models after a crash or damage.
package import Nephrite

/// What reading everything back gave.
package struct ReadState: Sendable {
    /// What was read.
    package var model = ModelState()
    /// Versions by value number.
    package var versions: [Int: UInt64] = [:]
    /// What is not as it must be, whatever the workload was.
    package var problems: [String] = []
    /// What the store itself reported as damaged: errors of single reads, and what its check found.
    package var reports: [String] = []

    /// Nothing read yet.
    package init() {}

    /// The newest version of any record.
    package var highestVersion: UInt64 { versions.values.max() ?? 0 }
}

extension Simulation {
    /// Reads everything: by walking, by id, by counting, and by the store's own check.
    package static func read(_ store: VectorStore) async throws -> ReadState {
        var state = ReadState()
        for description in try await store.databases() {
            let snapshot = try await store.database(description.name).snapshot()
            var records: [String: ModelRecord] = [:]
            for result in snapshot.records() {
                let record = try result.get()
                let (number, model) = Values.model(of: record)
                if records.updateValue(model, forKey: record.id) != nil {
                    state.problems.append("\(description.name)/\(record.id) is there twice")
                }
                if let number { state.versions[number] = record.version }
                if try snapshot.record(for: record.id) != record {
                    state.problems.append("\(description.name)/\(record.id) is not found by its id")
                }
            }
            if snapshot.count != records.count {
                state.problems.append("\(description.name) counts \(snapshot.count), holds \(records.count)")
            }
            state.model.databases[description.name] = records
        }
        let report = try await store.check()
        for database in report.databases {
            for damage in database.damages { state.problems.append("\(database.name): \(damage.message)") }
        }
        for orphan in report.orphans { state.problems.append("orphan \(orphan)") }
        return state
    }

    /// Reads everything of a store that may be damaged: what the store reports is kept apart from what it says is there.
    package static func readDamaged(_ store: VectorStore) async throws -> ReadState {
        var state = ReadState()
        for description in try await store.databases() {
            do {
                let snapshot = try await store.database(description.name).snapshot()
                var records: [String: ModelRecord] = [:]
                var ids = Set(snapshot.ids())
                for result in snapshot.records() {
                    do {
                        let record = try result.get()
                        let (number, model) = Values.model(of: record)
                        records[record.id] = model
                        ids.remove(record.id)
                        if let number { state.versions[number] = record.version }
                        if try snapshot.record(for: record.id) != record {
                            state.problems.append("\(description.name)/\(record.id) is not found by its id")
                        }
                    } catch {
                        state.reports.append("\(error)")
                    }
                }
                for id in ids.sorted() {
                    do {
                        if let record = try snapshot.record(for: id) { records[id] = Values.model(of: record).1 }
                    } catch {
                        state.reports.append("\(error)")
                    }
                }
                state.model.databases[description.name] = records
            } catch let error as StoreError {
                state.reports.append("\(error)")
            }
        }
        let report = try await store.check()
        for database in report.databases {
            for damage in database.damages { state.reports.append("\(database.name): \(damage.message)") }
        }
        for orphan in report.orphans { state.reports.append("orphan \(orphan)") }
        if let recovery = store.recoveryReport {
            for damage in recovery.damages { state.reports.append(damage.message) }
        }
        return state
    }

    /// Reads everything through a store that may not write; what it did write, if anything, is a problem.
    package static func readOnly(_ disk: SimulatedFileSystem, seed: UInt64 = 1) throws -> ReadState {
        var settings = SimulationSettings()
        settings.seed = seed
        settings.access = .readOnly
        let untouched = disk.pendingOperationCount
        var state = try run(disk, settings) { store in try await read(store) }
        if disk.pendingOperationCount != untouched { state.problems.append("reading wrote something") }
        return state
    }

    /// Opens what a crash left, reads everything, and goes away without a trace.
    package static func recover(_ disk: SimulatedFileSystem, seed: UInt64 = 1) throws -> ReadState {
        var settings = SimulationSettings()
        settings.seed = seed
        return try runAndAbandon(disk, settings) { store in try await read(store) }
    }

    /// Opens what a crash left, reads everything, writes, closes, reopens and reads again.
    package static func recoverAndGoOn(_ disk: SimulatedFileSystem, seed: UInt64) throws -> ReadState {
        var settings = SimulationSettings()
        settings.seed = seed
        let first = try run(disk, settings) { store in
            let state = try await read(store)
            for name in state.model.databases.keys.sorted() {
                try await store.database(name).upsert(Values.record(id: "later", number: 999_999))
            }
            return state
        }
        settings.seed &+= 1
        var wanted = first.model
        for name in wanted.databases.keys {
            wanted.databases[name]!["later"] = Values.model(number: 999_999)
        }
        let again = try run(disk, settings) { store in try await read(store) }
        var outcome = first
        outcome.problems += again.problems.map { "after going on: \($0)" }
        outcome.problems += again.model.differences(from: wanted).map { "after going on: \($0)" }
        return outcome
    }
}
