// What the tests of salvage begin with: stores to be damaged, what was written to them, and what must hold whatever is
// damaged.
import Nephrite
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

enum SalvageFixture {
    static let dimension = 5
    static let count = 300

    /// A disk for the damaged store, and one for the new.
    struct Disks {
        let source: SimulatedFileSystem
        let target = SimulatedFileSystem(rootExists: false)

        var configuration: StoreConfiguration {
            var configuration = StoreConfiguration()
            let (source, target) = (source, target)
            configuration.environment.fileSystem = { $0 == "source" ? source : target }
            configuration.addressSpaceReservation = 1 << 20
            configuration.logSegmentByteCount = 64 << 10
            configuration.bulkByteThreshold = 4 << 10
            return configuration
        }

        /// Salvages, and checks what has to be so whatever is damaged.
        func salvage() async throws -> (SalvageReport, [String: [String: VectorRecord]]) {
            let before = SalvageFixture.contents(source)
            let report = try await VectorStore(at: "source", configuration: configuration).salvage(to: "target")
            #expect(SalvageFixture.contents(source) == before, "the evidence was changed")
            var contents: [String: [String: VectorRecord]] = [:]
            try await withVectorStore(at: "target", configuration: configuration) { store async throws in
                for database in try await store.databases() {
                    contents[database.name] = try await store.database(database.name).allContents()
                }
                try await store.expectSound()
            }
            for database in report.databases {
                #expect(contents[database.name]?.count == database.recoveredCount)
            }
            return (report, contents)
        }
    }

    static func contents(_ disk: SimulatedFileSystem) -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for entry in (try? disk.list(.root)) ?? [] {
            if entry.kind == .file { files[entry.name] = disk.contents(of: StoragePath(entry.name)) }
            guard entry.kind == .directory else { continue }
            for inner in (try? disk.list(StoragePath(entry.name))) ?? [] {
                let path = StoragePath(entry.name, inner.name)
                files[path.description] = disk.contents(of: path)
            }
        }
        return files
    }

    static func record(_ index: Int, _ seed: Int) -> VectorRecord { testRecord("r\(index)", seed, dimension) }

    /// A store of two databases with checkpoints, updates, deletes, small and bulk writes; killed or closed.
    static func make(killed: Bool) async throws -> Disks {
        let disks = Disks(source: SimulatedFileSystem())
        let image = try await withVectorStore(at: "source", configuration: disks.configuration) { store async throws in
            for name in ["a", "b"] {
                let database = try await store.createDatabase(name, options: .init(dimension: dimension))
                try await database.insert((0..<count).map { record($0, 1) })
                for index in 0..<10 { try await database.upsert(record(index, 2)) }
                try await store.checkpoint()
                for index in 10..<20 { try await database.upsert(record(index, 3)) }
                for index in 20..<30 { try await database.delete("r\(index)") }
                try await database.insert((count..<count + 50).map { record($0, 4) })
            }
            return disks.source.processKillImage()
        }
        return killed ? Disks(source: image) : disks
    }

    static var expected: [String: VectorRecord] {
        var records: [String: VectorRecord] = [:]
        for index in 0..<count + 50 where !(20..<30).contains(index) {
            let seed = index < 10 ? 2 : index < 20 ? 3 : index < count ? 1 : 4
            records["r\(index)"] = record(index, seed)
        }
        return records
    }

    /// Every version that a record ever had: salvage may bring back no other.
    static func wasWritten(_ record: VectorRecord) -> Bool {
        (1...4).contains { record.content == testRecord(record.id, $0, dimension) }
    }

    static func expectOnlyWritten(_ contents: [String: [String: VectorRecord]]) {
        for records in contents.values { #expect(records.values.allSatisfy(wasWritten)) }
    }

    static let dataFile = StoragePath("a", "vectors.jvdb")

    static func segment(_ disk: SimulatedFileSystem) throws -> StoragePath {
        let names = try disk.list(StoragePath("wal")).map(\.name).filter { $0.hasSuffix(".wal") }
        return StoragePath("wal", try #require(names.last))
    }

    static func header(_ bytes: [UInt8]) -> FileHeader? {
        unsafe bytes.withUnsafeBytes { all in
            let pages = unsafe UnsafeRawBufferPointer(rebasing: all[..<16_384])
            return unsafe try? FileHeader.newest(pages: pages, fileSize: UInt64(bytes.count)).header
        }
    }
}
