// Salvage of logs whose records are all valid by themselves and say what no engine wrote, or of which a stretch is gone.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct DoctoredSalvageTests {
    private static let dimension = SalvageFixture.dimension

    /// A killed store whose database `a` has ten records, each of a commit of its own, in the log alone.
    private static func killed() async throws -> SimulatedFileSystem {
        let disks = SalvageFixture.Disks(source: SimulatedFileSystem())
        return try await withVectorStore(at: "source", configuration: disks.configuration) { store in
            let database = try await store.createDatabase("a", options: .init(dimension: dimension))
            for index in 0..<10 { try await database.upsert(SalvageFixture.record(index, 1)) }
            return disks.source.processKillImage()
        }
    }

    /// What a store holds that has these of the ten records.
    private static func contents(_ records: [Int]) -> [String: [String: VectorRecord]] {
        ["a": Dictionary(uniqueKeysWithValues: records.map { ("r\($0)", SalvageFixture.record($0, 1)) })]
    }

    @Test("Records that the log has, and that no engine would have taken, are told with what is wrong and not copied")
    func impossibleRecords() async throws {
        let image = try await Self.killed()
        var doctor = try LogDoctor(image)
        let stores = doctor.records.indices.filter { doctor.records[$0].type == .store }
        try #require(stores.count == 10)
        /// Changes a record's body behind its reference: vector, id, metadata.
        func edit(_ number: Int, at offset: Int, _ bytes: [UInt8]) {
            let start = StoreReference.byteCount + offset
            doctor.records[stores[number]].body.replaceSubrange(start..<start + bytes.count, with: bytes)
        }
        // A component that is not a number, an id that is no text, metadata of no known type.
        edit(2, at: 4, [0, 0, 0xC0, 0x7F])
        edit(4, at: Self.dimension * 4, [0xFF])
        edit(7, at: Self.dimension * 4 + 2, [0xFF, 0xFF, 0xFF, 0xFF])
        doctor.write()
        let (report, contents) = try await SalvageFixture.Disks(source: image).salvage()
        let database = try #require(report.databases.first)
        #expect(database.lostCount == 3 && database.recoveredCount == 7 && !report.isComplete)
        let reasons = Dictionary(uniqueKeysWithValues: database.lost.map { ($0.reason, $0.id) })
        #expect(
            reasons == [
                "Its vector is not finite.": "r2", "Its record in the log cannot be read.": nil,
                "Its metadata cannot be read.": "r7",
            ])
        #expect(database.lost.allSatisfy { $0.slot == nil })
        #expect(contents == Self.contents([0, 1, 3, 5, 6, 8, 9]))
    }

    @Test("Commits of which the log has nothing any more are named, and those behind them copied")
    func missingCommits() async throws {
        let image = try await Self.killed()
        let doctor = try LogDoctor(image)
        let writes = doctor.records.filter { $0.type == .store }.map(\.lsn)
        try #require(writes.count == 10)
        doctor.write(tearing: writes[4]..<writes[7])
        let (report, contents) = try await SalvageFixture.Disks(source: image).salvage()
        #expect(
            report.damages.contains {
                $0.kind == "corruption" && $0.path == "wal"
                    && $0.message == "Commits \(writes[4]) to \(writes[6]) cannot be read from the log."
            }, "\(report.damages)")
        #expect(!report.isComplete)
        let database = try #require(report.databases.first)
        #expect(database.recoveredCount == 7 && database.unidentifiedLossCount == 3)
        #expect(contents == Self.contents([0, 1, 2, 3, 7, 8, 9]))
    }

    @Test("A second creation of a database, one that cannot be read, and a drop of none do no harm")
    func administration() async throws {
        let image = try await Self.killed()
        var doctor = try LogDoctor(image)
        let creation = try doctor.records[doctor.last(.createDatabase)].body
        doctor.append([(.createDatabase, creation)])
        doctor.append([(.createDatabase, [1, 2, 3, 4])])
        doctor.append([(.deleteDatabase, DeleteDatabaseBody(number: 99).encode())])
        doctor.write()
        for hasCatalogue in [true, false] {
            if !hasCatalogue { try image.unlink(StoragePath("CATALOG")) }
            let (report, contents) = try await SalvageFixture.Disks(source: image).salvage()
            #expect(report.databases.map(\.name) == ["a"] && report.databases.first?.lostCount == 0)
            #expect(contents == Self.contents(Array(0..<10)))
        }
    }
}
