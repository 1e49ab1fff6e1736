/// A store directory that tests open again and again, in memory or on disk, and what the suites share around it.
import Foundation
import Nephrite
import StorageIO
import Testing

/// Where a test's store lives, what it promises and how long its vectors are: the axes of the shared suites.
struct Setting: Sendable, CustomTestStringConvertible {
    enum Backing: String, CaseIterable, Sendable { case memory, disk }

    static let dimensions = [1, 3, 64, 100, 128, 384, 768, 1_536, 4_096]

    /// Every combination.
    static let all: [Setting] = each(dimensions)

    /// Every combination of a few dimensions.
    static let some: [Setting] = each([3, 100])

    var backing = Backing.memory
    var durability = Durability.durable
    var dimension = 3

    var testDescription: String {
        "\(backing.rawValue), \(durability == .durable ? "durable" : "relaxed"), \(dimension)-d"
    }

    var options: DatabaseOptions { DatabaseOptions(dimension: dimension, metric: .cosine, durability: durability) }

    private static func each(_ dimensions: [Int]) -> [Setting] {
        Backing.allCases.flatMap { backing in
            [Durability.durable, .relaxed].flatMap { durability in
                dimensions.map { Setting(backing: backing, durability: durability, dimension: $0) }
            }
        }
    }
}

/// A directory and a configuration; each ``open(_:)`` is one life of the store in it.
final class TestStore {
    let path: String
    let memory: MemoryFileSystem?
    var configuration = StoreConfiguration()
    private let isTemporary: Bool

    init(_ backing: Setting.Backing = .memory, capacity: Int? = nil) {
        switch backing {
        case .memory:
            let memory = MemoryFileSystem(name: "test", capacity: capacity)
            self.memory = memory
            path = "memory"
            isTemporary = false
            configuration.environment.fileSystem = { _ in memory }
        case .disk:
            memory = nil
            path = FileManager.default.temporaryDirectory.appendingPathComponent("nephrite-\(UUID().uuidString)").path
            isTemporary = true
        }
        configuration.logSegmentByteCount = 1 << 20
        configuration.addressSpaceReservation = 64 << 20
    }

    deinit {
        if isTemporary { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Opens the store, runs `body`, and shuts it down.
    @discardableResult
    func open<R>(_ body: (VectorStore) async throws -> R) async throws -> R {
        try await withVectorStore(at: path, configuration: configuration, body)
    }

    /// Opens the store and its database `a`, created if it is not there.
    @discardableResult
    func database<R>(
        _ options: DatabaseOptions = DatabaseOptions(dimension: 3),
        _ body: (VectorDatabase) async throws -> R
    ) async throws -> R {
        try await open { store in
            let isThere = try await store.databases().contains { $0.name == "a" }
            return try await body(
                isThere ? try await store.database("a") : try await store.createDatabase("a", options: options))
        }
    }

    // MARK: The files

    func url(_ name: String) -> URL { URL(fileURLWithPath: path).appendingPathComponent(name) }

    /// The contents of all files by name, to see that nothing was changed. `LOCK` has none and is left out.
    func contents() throws -> [String: Data] {
        var files: [String: Data] = [:]
        let manager = FileManager.default
        for name in try manager.subpathsOfDirectory(atPath: path) where name != "LOCK" {
            var isDirectory: ObjCBool = false
            _ = unsafe manager.fileExists(atPath: url(name).path, isDirectory: &isDirectory)
            files[name] = isDirectory.boolValue ? Data() : try Data(contentsOf: url(name))
        }
        return files
    }

    /// Changes a file's bytes in place.
    func edit(_ name: String, _ change: (inout Data) throws -> Void) throws {
        var data = try Data(contentsOf: url(name))
        try change(&data)
        try data.write(to: url(name))
    }

    /// Inverts one byte of a file.
    func flip(_ name: String, at offset: Int) throws { try edit(name) { $0[offset] ^= 0xFF } }
}

/// A vector that depends on a seed, with components between -1 and 1.
func testVector(_ seed: Int, _ dimension: Int) -> [Float] {
    var state = UInt64(bitPattern: Int64(seed)) &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678_9ABC_DEF1
    return (0..<dimension).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
    }
}

/// A record that depends on a seed, with a little metadata.
func testRecord(_ id: String, _ seed: Int, _ dimension: Int = 3) -> VectorRecord {
    VectorRecord(id: id, vector: testVector(seed, dimension), metadata: ["seed": .integer(Int64(seed))])
}

extension VectorRecord {
    /// The record without its version, for comparing with what was written.
    var content: VectorRecord { VectorRecord(id: id, vector: vector, metadata: metadata) }
}

/// Expects a store error of one code, that says what happened and what to do.
@discardableResult
func expectError(
    _ code: StoreError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async -> StoreError? {
    do {
        try await body()
        Issue.record("nothing was thrown, \(code) was expected", sourceLocation: sourceLocation)
    } catch let error as StoreError {
        #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
        #expect(!error.message.isEmpty && !error.remedy.isEmpty, "\(error)", sourceLocation: sourceLocation)
        return error
    } catch {
        Issue.record("\(error) was thrown, \(code) was expected", sourceLocation: sourceLocation)
    }
    return nil
}

extension VectorStore {
    /// Expects that a complete check finds nothing.
    func expectSound(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let report = try await check()
        #expect(report.isSound, "\(report)", sourceLocation: sourceLocation)
    }
}

extension VectorDatabase {
    /// All ids, as iterating gives them.
    func allIDs() async throws -> [String] {
        var ids: [String] = []
        for try await id in try await self.ids() { ids.append(id) }
        return ids
    }

    /// All records by id, without versions; fails if an id comes twice.
    func allContents(sourceLocation: SourceLocation = #_sourceLocation) async throws -> [String: VectorRecord] {
        var contents: [String: VectorRecord] = [:]
        for try await record in try await records() {
            #expect(contents.updateValue(record.content, forKey: record.id) == nil, sourceLocation: sourceLocation)
        }
        return contents
    }
}
