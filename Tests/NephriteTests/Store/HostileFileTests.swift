// Directories and files that are not what they should be: a typed error, the file left as it was, and everything there
// again once the file is (A15, A21, A22).
import Foundation
import Nephrite
import StorageFormat
import Testing

@Suite(.timeLimit(.minutes(20)))
struct HostileFileTests {
    private static let names = (0..<40).map { "r\($0)" }

    /// A closed store with databases `a` and `b` of 40 records each.
    private func filled() async throws -> TestStore {
        let directory = TestStore(.disk)
        directory.configuration.logSegmentByteCount = 64 << 10
        try await directory.open { store async throws in
            for name in ["a", "b"] {
                let database = try await store.createDatabase(name, options: DatabaseOptions(dimension: 3))
                try await database.insert(Self.names.map { testRecord($0, 1) })
            }
        }
        return directory
    }

    @Test(
        "A directory that is not ours is refused and not touched, not even by a lock file",
        arguments: ["notes.txt", "wal/x", "a/b", ".hidden"])
    func foreignDirectory(_ name: String) async throws {
        // The lock was taken, and its file made, before anyone had looked whose directory it is.
        let directory = TestStore(.disk)
        let file = directory.url(name)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data("mine".utf8).write(to: file)
        let before = try FileManager.default.subpathsOfDirectory(atPath: directory.path).sorted()
        let error = await expectError(.notAStore) { try await directory.open { _ in } }
        #expect(error?.path == directory.path)
        #expect(try FileManager.default.subpathsOfDirectory(atPath: directory.path).sorted() == before)
        #expect(try Data(contentsOf: file) == Data("mine".utf8))
    }

    @Test(
        "The log's directory may be missing after a clean shutdown, when it holds no log; else it is damage"
    )
    func missingLogDirectory() async throws {
        let directory = try await filled()
        let left = try FileManager.default.contentsOfDirectory(atPath: directory.url("wal").path)
        #expect(left.allSatisfy { $0 == "reserve" })
        for isReadOnly in [true, false] {
            try? FileManager.default.removeItem(at: directory.url("wal"))
            directory.configuration.access = isReadOnly ? .readOnly : .readWrite
            try await directory.open { store async throws in
                for name in ["a", "b"] { #expect(try await store.database(name).count() == 40) }
                try await store.expectSound()
                if !isReadOnly { try await store.database("a").upsert(testRecord("late", 2)) }
            }
            #expect(FileManager.default.fileExists(atPath: directory.url("wal").path) == !isReadOnly)
        }
        let killed = TestStore(.disk)
        try await directory.open { store async throws in
            try await store.database("a").upsert(testRecord("later", 2))
            try FileManager.default.copyItem(atPath: directory.path, toPath: killed.path)
        }
        try FileManager.default.removeItem(at: killed.url("wal"))
        await expectError(.corruption) { try await killed.open { _ in } }
        #expect(!FileManager.default.fileExists(atPath: killed.url("wal").path))
    }

    @Test("A path that is a file, or below one, is refused")
    func notADirectory() async throws {
        let directory = TestStore(.disk)
        try Data("mine".utf8).write(to: URL(fileURLWithPath: directory.path))
        for path in [directory.path, directory.path + "/below"] {
            await #expect(throws: StoreError.self) { try await withVectorStore(at: path) { _ in } }
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: directory.path)) == Data("mine".utf8))
    }

    /// What is done to a file, and what opening it may answer.
    enum Damage: String, CaseIterable, Sendable {
        case emptied, halved, cutShort, foreign, zeroed, newer

        func apply(_ data: inout Data, newer: (inout Data) -> Void) {
            switch self {
            case .emptied: data = Data()
            case .halved: data = data.prefix(data.count / 80)
            case .cutShort: data = data.prefix(5)
            case .foreign: data = Data((0..<data.count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) })
            case .zeroed: data = Data(count: data.count)
            case .newer: newer(&data)
            }
        }

        var codes: [StoreError.Code] {
            switch self {
            case .newer: [.newerFormat]
            case .foreign, .zeroed: [.notAStore, .corruption]
            default: [.corruption, .notAStore]
            }
        }
    }

    private static func checksum(_ data: Data, seed: String, index: UInt8? = nil) -> UInt32 {
        let start = Array(seed.utf8) + (index.map { [$0] } ?? [])
        let first = unsafe start.withUnsafeBytes { unsafe CRC32C.checksum($0) }
        return unsafe Array(data).withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: first) }
    }

    private static func put(_ value: UInt32, at offset: Int, of data: inout Data) {
        for byte in 0..<4 { data[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
    }

    /// Makes both copies of a catalogue those of a later version, with valid checksums.
    private static func newerCatalogue(_ data: inout Data) {
        for start in [0, data.count / 2] {
            data[start + 4] = 9
            data[start + 6] = 9
            let length = (0..<4).reduce(0) { $0 | Int(data[start + 68 + $1]) << (8 * $1) }
            put(checksum(data[start..<start + length - 4], seed: "NCAT"), at: start + length - 4, of: &data)
        }
    }

    /// Makes all header pages of a data file those of a later version, with valid checksums.
    private static func newerHeader(_ data: inout Data) {
        for page in 0..<4 where data[page * 4_096] != 0 {
            let start = page * 4_096
            data[start + 4] = 9
            data[start + 6] = 9
            put(
                checksum(data[start..<start + 4_092], seed: "JVDB header", index: UInt8(page)), at: start + 4_092,
                of: &data)
        }
    }

    @Test(
        "A damaged, foreign or newer catalogue keeps the store closed and is left as it is", arguments: Damage.allCases)
    func catalogue(_ damage: Damage) async throws {
        let directory = try await filled()
        let original = try Data(contentsOf: directory.url("CATALOG"))
        try directory.edit("CATALOG") { damage.apply(&$0, newer: Self.newerCatalogue) }
        let before = try directory.contents()
        for _ in 0..<2 {
            do {
                try await directory.open { _ in }
                Issue.record("opened")
            } catch let error as StoreError {
                #expect(
                    damage.codes.contains(error.code) && error.path == "CATALOG" && !error.remedy.isEmpty, "\(error)")
            }
        }
        #expect(try directory.contents() == before)
        try original.write(to: directory.url("CATALOG"))
        try await expectWhole(directory)
    }

    @Test(
        "A damaged, foreign or newer data file closes its database, not the others, and is left as it is",
        arguments: Damage.allCases)
    func dataFile(_ damage: Damage) async throws {
        let directory = try await filled()
        let name = "a/vectors.jvdb"
        let original = try Data(contentsOf: directory.url(name))
        try directory.edit(name) { damage.apply(&$0, newer: Self.newerHeader) }
        let damaged = try Data(contentsOf: directory.url(name))
        try await directory.open { store async throws in
            let database = try await store.database("a")
            for _ in 0..<2 {
                do {
                    _ = try await database.count()
                    Issue.record("opened")
                } catch let error as StoreError {
                    #expect(
                        damage.codes.contains(error.code) && error.database == "a" && error.path == name, "\(error)")
                }
            }
            await #expect(throws: StoreError.self) { try await database.upsert(testRecord("x", 1)) }
            let other = try await store.database("b")
            #expect(try await other.count() == 40)
            try await other.upsert(testRecord("r0", 1))
            let report = try await store.check()
            #expect(report.isSound == false)
            #expect(report.databases.first { $0.name == "b" }?.damages == [])
            #expect(report.databases.first { $0.name == "a" }?.damages.first?.path == name)
        }
        #expect(try Data(contentsOf: directory.url(name)) == damaged)
        try original.write(to: directory.url(name))
        try await expectWhole(directory)
    }

    private func expectWhole(_ directory: TestStore) async throws {
        try await directory.open { store async throws in
            for name in ["a", "b"] {
                let contents = try await store.database(name).allContents()
                #expect(contents == Dictionary(uniqueKeysWithValues: Self.names.map { ($0, testRecord($0, 1)) }))
            }
            try await store.expectSound()
        }
    }

    @Test("A missing data file is corruption, and no empty one is put in its place")
    func missingDataFile() async throws {
        let directory = try await filled()
        try FileManager.default.removeItem(at: directory.url("a/vectors.jvdb"))
        try await directory.open { store async throws in
            await expectError(.corruption) { _ = try await store.database("a").count() }
            #expect(try await store.database("b").count() == 40)
        }
        #expect(FileManager.default.fileExists(atPath: directory.url("a/vectors.jvdb").path) == false)
    }

    @Test("A data file that belongs to another database is refused")
    func exchangedFiles() async throws {
        let directory = try await filled()
        try FileManager.default.removeItem(at: directory.url("a/vectors.jvdb"))
        try FileManager.default.copyItem(at: directory.url("b/vectors.jvdb"), to: directory.url("a/vectors.jvdb"))
        try await directory.open { store async throws in
            await expectError(.corruption) { _ = try await store.database("a").count() }
        }
    }

    @Test("Any one byte of the catalogue flipped: the other copy serves")
    func flippedCatalogue() async throws {
        let directory = try await filled()
        let original = try Data(contentsOf: directory.url("CATALOG"))
        for offset in stride(from: 0, to: original.count, by: 211) {
            var data = original
            data[offset] ^= 0x10
            try data.write(to: directory.url("CATALOG"))
            try await directory.open { store async throws in
                let names = try await store.databases().map(\.name)
                #expect(names == ["a", "b"], "byte \(offset)")
            }
        }
    }

    @Test("A catalogue of more than a gigabyte is not read")
    func endlessCatalogue() async throws {
        let directory = try await filled()
        let whole = try Data(contentsOf: directory.url("CATALOG"))
        let handle = try FileHandle(forWritingTo: directory.url("CATALOG"))
        try handle.truncate(atOffset: (1 << 30) + 1)
        try handle.close()
        let error = await expectError(.corruption) { try await directory.open { _ in } }
        #expect(error?.path == "CATALOG")
        let attributes = try FileManager.default.attributesOfItem(atPath: directory.url("CATALOG").path)
        #expect(attributes[.size] as? Int == (1 << 30) + 1)
        try whole.write(to: directory.url("CATALOG"))
        try await directory.open { store async throws in
            #expect(try await store.database("a").count() == Self.names.count)
        }
    }

    @Test("An unknown durability, metric or dimension in both copies of the catalogue is refused")
    func unknownDurability() async throws {
        let directory = try await filled()
        try directory.edit("CATALOG") { data in
            // Whatever byte of the first entry is changed under a valid checksum, reading it must not trap.
            for start in [0, data.count / 2] {
                let length = (0..<4).reduce(0) { $0 | Int(data[start + 68 + $1]) << (8 * $1) }
                for offset in start + 80..<start + 96 { data[offset] = 0xEE }
                Self.put(
                    Self.checksum(data[start..<start + length - 4], seed: "NCAT"), at: start + length - 4, of: &data)
            }
        }
        await expectError(.corruption) { try await directory.open { _ in } }
    }

    @Test(
        "A byte of the log flipped anywhere: corruption is reported, or at most the very last commit is gone",
        arguments: 0..<4)
    func flippedLog(_ part: Int) async throws {
        let directory = TestStore(.disk)
        directory.configuration.logSegmentByteCount = 64 << 10
        let image = TestStore(.disk)
        image.configuration = directory.configuration
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: DatabaseOptions(dimension: 3))
            for index in 0..<20 { try await database.upsert(testRecord("r\(index)", index)) }
            // As a killed process leaves it.
            try FileManager.default.copyItem(atPath: directory.path, toPath: image.path)
        }
        let original = try image.contents()
        let log = try #require(original.keys.first { $0.hasSuffix(".wal") })
        let bytes = try #require(original[log])
        let end = 8_192 + (bytes[8_192...].lastIndex { $0 != 0 } ?? 8_192) - 8_192
        for offset in stride(from: part * 37, to: end, by: 4 * 131) {
            try? FileManager.default.removeItem(atPath: image.path)
            try FileManager.default.createDirectory(atPath: image.path, withIntermediateDirectories: true)
            for (name, data) in original.sorted(by: { $0.key < $1.key }) {
                let isDirectory = original.keys.contains { $0.hasPrefix(name + "/") }
                if isDirectory {
                    try FileManager.default.createDirectory(at: image.url(name), withIntermediateDirectories: true)
                } else {
                    try data.write(to: image.url(name))
                }
            }
            try image.flip(log, at: offset)
            do {
                try await image.open { store async throws in
                    let database = try await store.database("a")
                    let count = try await database.count()
                    #expect(count >= 19, "byte \(offset)")
                    for index in 0..<count {
                        #expect(try await database.vector(for: "r\(index)") == testVector(index, 3))
                    }
                    let report = try await store.check()
                    #expect(report.databases.flatMap(\.damages) == [], "byte \(offset): \(report)")
                }
            } catch let error as StoreError {
                #expect([.corruption, .notAStore, .newerFormat].contains(error.code), "byte \(offset): \(error)")
            }
        }
    }
}
