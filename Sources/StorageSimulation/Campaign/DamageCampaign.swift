/// Damage of every kind to every place of a store of about a megabyte: each bit flipped, each sector zeroed, stale or
/// swapped, each file cut or lengthened. Either the store says so, or it holds exactly what it held. Tests run a sample,
/// `nephrite-torture damage` as many as it has time for.
import Nephrite
package import StorageIO

/// The golden stores and what is done to them.
package struct DamageCampaign: Sendable {
    /// How the golden store was left.
    package enum Golden: String, Sendable, CaseIterable {
        /// Shut down: catalogue and data files.
        case closed
        /// Killed amid its work: the log is needed, and it has several segments.
        case killed
    }

    /// One kind of damage to one place.
    package enum Damage: Sendable, CustomStringConvertible {
        case flippedBit(StoragePath, Int)
        case zeroedSector(StoragePath, Int)
        /// The sector as it was at an earlier time.
        case staleSector(StoragePath, Int)
        case swappedSectors(StoragePath, Int, Int)
        case truncated(StoragePath, Int)
        case garbageAppended(StoragePath, Int)

        package var description: String {
            switch self {
            case .flippedBit(let path, let bit): "bit \(bit % 8) of byte \(bit / 8) of \(path) flipped"
            case .zeroedSector(let path, let sector): "sector \(sector) of \(path) zeroed"
            case .staleSector(let path, let sector): "sector \(sector) of \(path) stale"
            case .swappedSectors(let path, let one, let other): "sectors \(one) and \(other) of \(path) swapped"
            case .truncated(let path, let count): "\(path) cut to \(count) bytes"
            case .garbageAppended(let path, let count): "\(count) bytes of garbage behind \(path)"
            }
        }
    }

    /// How the golden store was left.
    package let golden: Golden
    private let disk: SimulatedFileSystem
    private let earlier: SimulatedFileSystem
    private let expected: ModelState
    /// What may be left when the last commit and all that bears witness of it lie in one damaged sector.
    private let withoutLastCommit: ModelState
    /// The files with their lengths.
    package let files: [(path: StoragePath, byteCount: Int)]

    /// Makes a golden store.
    package init(_ golden: Golden) throws {
        self.golden = golden
        (disk, earlier, expected, withoutLastCommit) = try Self.make(golden)
        files = disk.files().filter { $0.path != StoragePath("LOCK") && $0.path != StoragePath("wal", "reserve") }
    }

    /// How many bits there are to flip.
    package var bitCount: Int { files.reduce(0) { $0 + $1.byteCount * 8 } }

    /// The damage of one bit, counted over all files.
    package func bit(_ index: Int) -> Damage {
        var rest = index
        for file in files {
            if rest < file.byteCount * 8 { return .flippedBit(file.path, rest) }
            rest -= file.byteCount * 8
        }
        preconditionFailure("there are only \(bitCount) bits")
    }

    /// Damage to whole sectors, of sizes, and behind the end: everything but bits.
    package var coarse: [Damage] {
        var all: [Damage] = []
        for (path, byteCount) in files {
            let sectors = byteCount / 512
            for sector in 0..<sectors {
                all.append(.zeroedSector(path, sector))
                all.append(.staleSector(path, sector))
                all.append(.swappedSectors(path, sector, (sector + 1) % sectors))
                all.append(.swappedSectors(path, sector, (sector * 7 + 13) % sectors))
            }
            for size in stride(from: 0, to: byteCount, by: 512) {
                all.append(.truncated(path, size))
                all.append(.truncated(path, size + 1 + size / 512 % 511))
            }
            for count in [1, 31, 512, 65_536] { all.append(.garbageAppended(path, count)) }
        }
        return all
    }

    // MARK: Judging

    /// What is wrong with how the store takes a damage, or nil.
    package func verdict(_ damage: Damage) -> String? {
        let damaged = disk.crashImage(.keepAll)
        damaged.setTraceCapacity(0)
        apply(damage, to: damaged)
        let expected = expected
        do {
            let (state, lookedUp) = try Simulation.runAndAbandon(damaged) { store in
                (try await Simulation.readDamaged(store), try await Self.lookUp(expected, in: store))
            }
            if let verdict = judge(state, damage) ?? lookedUp.first { return "\(golden) store, \(damage): \(verdict)" }
        } catch is StoreError {
            return nil
        } catch {
            return "\(golden) store, \(damage): \(error)"
        }
        return nil
    }

    private func judge(_ state: ReadState, _ damage: Damage) -> String? {
        if let problem = state.problems.first { return problem }
        for (name, records) in state.model.databases {
            for (id, record) in records where record != expected[name, id] {
                if withoutLastCommit[name, id] == record, mayHideLastCommit(damage) { continue }
                return "\(name)/\(id) is \(record), and nothing says that it is damaged"
            }
        }
        guard state.reports.isEmpty, state.model != expected else { return nil }
        if state.model == withoutLastCommit, mayHideLastCommit(damage) { return nil }
        return state.model.differences(from: expected).first ?? "differs"
    }

    /// Whether a damage may take the last commit together with the marker behind it (see *What the log remembers*).
    private func mayHideLastCommit(_ damage: Damage) -> Bool {
        switch damage {
        case .zeroedSector, .staleSector, .swappedSectors: golden == .killed
        default: false
        }
    }

    /// Point reads of everything that should be there: the right record, or an error.
    private static func lookUp(_ expected: ModelState, in store: VectorStore) async throws -> [String] {
        var wrong: [String] = []
        for (name, records) in expected.databases {
            guard let snapshot = try? await store.database(name).snapshot() else { continue }
            for (id, wanted) in records {
                do {
                    guard let found = try snapshot.record(for: id) else { continue }
                    if Values.model(of: found).1 != wanted { wrong.append("\(name)/\(id) reads as another record") }
                } catch {
                    continue
                }
            }
        }
        return wrong
    }

    private func apply(_ damage: Damage, to disk: SimulatedFileSystem) {
        switch damage {
        case .flippedBit(let path, let bit): disk.flipBit(path, bit: bit)
        case .zeroedSector(let path, let sector): disk.zeroSector(path, sector: sector)
        case .staleSector(let path, let sector):
            guard let old = earlier.volatileBytes(of: path, from: sector * 512, upTo: sector * 512 + 512),
                old.count == 512
            else { return disk.zeroSector(path, sector: sector) }
            disk.damage(path, at: sector * 512, with: old)
        case .swappedSectors(let path, let one, let other): disk.swapSectors(path, one, other)
        case .truncated(let path, let count): disk.truncate(path, to: count)
        case .garbageAppended(let path, let count): disk.appendGarbage(path, count: count, seed: UInt64(count))
        }
    }

    // MARK: Making

    private static func make(
        _ golden: Golden
    ) throws -> (SimulatedFileSystem, SimulatedFileSystem, ModelState, ModelState) {
        let disk = SimulatedFileSystem()
        let model = Box(ReferenceModel())
        let images = Box<[SimulatedFileSystem]>([])
        try Simulation.run(disk) { store in
            for name in ["a", "b"] {
                try await store.createDatabase(name, options: RandomWorkload.options(name))
                try model.update { _ = try $0.submit(.create(database: name)) }
            }
            var number = 0
            func write(_ ids: [String], to name: String) async throws {
                let rows = ids.enumerated().map { (id: $1, number: number + $0) }
                number += ids.count
                try model.update { model in
                    _ = try model.submit(
                        .batch(rows.map { .upsert(database: name, id: $0.id, Values.model(number: $0.number)) }))
                }
                try await store.database(name).upsert(
                    rows.map { Values.record(id: $0.id, number: $0.number) })
            }
            for round in 0..<3 {
                try await write((0..<20).map { "bulk\(round)-\($0)" }, to: "a")
                for index in 0..<6 { try await write(["x\(index)"], to: index % 2 == 0 ? "a" : "b") }
                if round == 1 {
                    try await store.checkpoint()
                    let now = disk.crashImage(.keepAll)
                    images.update { $0.append(now) }
                }
            }
            for index in 0..<30 { try await write(["tail\(index % 9)"], to: index % 3 == 0 ? "b" : "a") }
            let left = disk.processKillImage()
            images.update { $0.append(left) }
        }
        let history = model.value.history
        let left = golden == .killed ? images.value[1] : disk.crashImage(.keepAll)
        return (left, images.value[0], history[history.count - 1], history[history.count - 2])
    }
}
