// Growth, commits and checkpoints at once, killed at many moments: a checkpoint must not claim commits that are not applied.
import Nephrite
import StorageIO
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct GrowthCheckpointTests {
    private struct Image: Sendable {
        let disk: SimulatedFileSystem
        let acknowledged: Set<String>
    }

    @Test(
        "A checkpoint between a growth and commits before it loses none of them",
        arguments: 1...8 as ClosedRange<UInt64>)
    func growth(seed: UInt64) throws {
        // New extents were taken into use as soon as they were logged. A checkpoint that came then reached as far as the
        // resize, past commits before it that were durable and not applied yet; replay passed them over.
        let disk = SimulatedFileSystem()
        let acknowledged = Box<Set<String>>([])
        let images = Box<[Image]>([])
        let calls = Box(0)
        var settings = SimulationSettings()
        settings.seed = seed
        settings.bulkByteThreshold = 1 << 20
        try Simulation.run(disk, settings) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: Values.dimension))
            try await database.upsert(Values.record(id: "first", number: 0))
            disk.snapshotHook = { _, disk in
                guard
                    calls.update({ calls in
                        calls += 1; return calls % 11 == 0
                    })
                else { return }
                let image = Image(disk: disk.processKillImage(), acknowledged: acknowledged.value)
                images.update { $0.append(image) }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<5 {
                    group.addTask {
                        for step in 0..<6 {
                            let id = "w\(writer)-\(step)"
                            try await database.upsert(Values.record(id: id, number: writer * 100 + step))
                            acknowledged.update { _ = $0.insert(id) }
                        }
                    }
                }
                group.addTask {
                    // Each batch is larger than what the file has room for.
                    for batch in 0..<3 {
                        let records = (0..<40 << batch).map {
                            Values.record(id: "b\(batch)-\($0)", number: 1_000 + batch * 1_000 + $0)
                        }
                        try await database.upsert(records)
                        acknowledged.update { $0.formUnion(records.map(\.id)) }
                    }
                }
                group.addTask { for _ in 0..<10 { try await store.checkpoint() } }
                try await group.waitForAll()
            }
            disk.snapshotHook = nil
        }
        #expect(images.value.count > 10)
        for (index, image) in images.value.enumerated() {
            let state = try Simulation.recover(image.disk)
            #expect(state.problems.isEmpty, "image \(index): \(state.problems)")
            let found = Set((state.model.databases["a"] ?? [:]).keys)
            #expect(image.acknowledged.isSubset(of: found), "image \(index): \(image.acknowledged.subtracting(found))")
        }
    }
}
