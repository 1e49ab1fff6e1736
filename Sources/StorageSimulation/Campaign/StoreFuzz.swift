/// A whole store under a fuzzer: bytes say what is changed in the files of a small store (bytes, sectors, lengths, with and
/// without checksums put right afterwards) and what is then done with it. The libFuzzer target `store` hands it inputs,
/// `swift test` those that were kept.
import Nephrite
import StorageFormat
import StorageIO

/// Whatever happens is an answer that is right or a `StoreError`; with checksums left alone, no record is anything but what
/// somebody wrote. Anything else traps.
package enum StoreFuzz {
    /// Runs one input.
    ///
    /// - Returns: whether it was one: it is too short or too long otherwise.
    @discardableResult
    package static func run(_ bytes: [UInt8]) -> Bool {
        guard (4...4096).contains(bytes.count) else { return false }
        var input = FuzzInput(bytes: bytes)
        let disk = FuzzBase.disks[input.number(below: FuzzBase.disks.count)].crashImage(.keepAll)
        var isForged = false
        for _ in 0..<input.number(below: 6) { isForged = change(disk, &input) || isForged }
        let rest = input
        let trust = !isForged
        for attempt in 0..<2 {
            do {
                try FuzzBase.run(disk) { store in
                    var input = rest
                    try await use(store, &input, trust: trust, isFirst: attempt == 0)
                }
            } catch is StoreError {
                break
            } catch {
                fatalError("\(error)")
            }
        }
        return true
    }
}

/// What the input says, number after number; zeros when it is used up.
struct FuzzInput {
    let bytes: [UInt8]
    private var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isEmpty: Bool { position >= bytes.count }

    mutating func byte() -> UInt8 {
        defer { position += 1 }
        return position < bytes.count ? bytes[position] : 0
    }

    mutating func number(below bound: Int) -> Int {
        let number = Int(byte()) | (bound > 256 ? Int(byte()) << 8 : 0) | (bound > 65_536 ? Int(byte()) << 16 : 0)
        return number % max(bound, 1)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }
}

/// The stores that are changed: one that was shut down, one that was killed and has a log to replay.
enum FuzzBase {
    static let dimension = 4
    static let names = ["a", "b"]
    static let ids = (0..<12).map { "id-\($0)" }

    static let disks: [SimulatedFileSystem] = [true, false].map { isClean in
        let disk = SimulatedFileSystem()
        let killed = Box(disk)
        do {
            try run(disk) { store in
                for name in names {
                    let database = try await store.createDatabase(name, options: .init(dimension: dimension))
                    try await database.upsert(ids.indices.map { record($0, version: 0) })
                    try await store.checkpoint()
                    try await database.delete(ids[3])
                    try await database.upsert(record(4, version: 1))
                }
                try await store.transaction { transaction in
                    for name in names { try await transaction.upsert(record(5, version: 2), into: name) }
                }
                let image = disk.crashImage(.keepAll)
                killed.update { $0 = image }
            }
        } catch {
            fatalError("\(error)")
        }
        return isClean ? disk.crashImage(.keepAll) : killed.value
    }

    /// The files of a disk, in order, but for the lock.
    static func files(_ disk: SimulatedFileSystem) -> [StoragePath] {
        disk.files().map(\.path).filter { $0.components != ["LOCK"] }.sorted { "\($0)" < "\($1)" }
    }

    /// A record: its vector and metadata follow from its id and a number.
    static func record(_ index: Int, version: Int) -> VectorRecord {
        let vector = (0..<dimension).map { Float(index * 100 + version * 10 + $0) }
        let metadata: Metadata = ["v": .integer(Int64(version)), "pad": .string(String(repeating: "p", count: index))]
        return VectorRecord(id: ids[index], vector: vector, metadata: metadata)
    }

    /// Runs a store on a simulated disk and nothing else.
    static func run(_ disk: SimulatedFileSystem, _ body: @escaping @Sendable (VectorStore) async throws -> Void) throws
    {
        let executor = SeededExecutor(seed: 1, clock: VirtualClock(), stepLimit: 300_000)
        var configuration = StoreConfiguration()
        configuration.logSegmentByteCount = 64 << 10
        configuration.logByteLimit = 1 << 20
        configuration.bulkByteThreshold = 96
        configuration.maximumOpenFiles = 2
        configuration.addressSpaceReservation = 1 << 20
        configuration.environment.fileSystem = { _ in disk }
        configuration.environment.clock = executor.clock
        configuration.environment.random = SeededRandom(seed: 17)
        configuration.environment.executor = executor
        let settings = configuration
        try executor.run {
            try await withVectorStore(VectorStore(at: "fuzz", configuration: settings), body)
        }
    }

    /// Whether a record is one that somebody wrote.
    static func isKnown(_ record: VectorRecord) -> Bool {
        guard let index = ids.firstIndex(of: record.id), case .integer(let version)? = record.metadata["v"] else {
            return false
        }
        let expected = Self.record(index, version: Int(version))
        return expected.vector == record.vector && expected.metadata == record.metadata
    }
}

extension StoreFuzz {
    /// Changes one file; whether a checksum was put right, so that what the store then says need not be true.
    fileprivate static func change(_ disk: SimulatedFileSystem, _ input: inout FuzzInput) -> Bool {
        let files = FuzzBase.files(disk)
        guard !files.isEmpty else { return false }
        let path = files[input.number(below: files.count)]
        let size = disk.contents(of: path)?.count ?? 0
        guard size > 0 else { return false }
        switch input.number(below: 8) {
        case 0: disk.flipBit(path, bit: input.number(below: size) * 8 + input.number(below: 8))
        case 1: disk.zeroSector(path, sector: input.number(below: (size + 511) / 512))
        case 2 where size >= 1024:
            disk.swapSectors(path, input.number(below: size / 512), input.number(below: size / 512))
        case 3: disk.truncate(path, to: input.number(below: size))
        case 4: disk.appendGarbage(path, count: input.number(below: 5000), seed: UInt64(input.byte()))
        case 5:
            let length = input.number(below: 24)
            disk.damage(path, at: input.number(below: size), with: input.bytes(length))
        default:
            return forge(disk, path, &input)
        }
        return false
    }

    /// Overwrites a field of a header, catalogue or log record and makes its checksum right.
    fileprivate static func forge(_ disk: SimulatedFileSystem, _ path: StoragePath, _ input: inout FuzzInput) -> Bool {
        guard var bytes = disk.contents(of: path) else { return false }
        let name = path.components.last ?? ""
        if name == "CATALOG" {
            let copyByteCount = bytes.count / 2
            let offset = input.number(below: max(copyByteCount - 4, 1))
            let value = input.bytes(1 + input.number(below: 8))
            for copy in 0..<2 {
                let start = copy * copyByteCount
                for (index, byte) in value.enumerated() where offset + index < copyByteCount - 4 {
                    bytes[start + offset + index] = byte
                }
                seal(&bytes, start..<start + copyByteCount, seed: Catalogue.seed)
            }
        } else if name.hasSuffix(".wal") {
            guard bytes.count >= 2 * SegmentHeader.copyByteCount else { return false }
            let offset = input.number(below: 160)
            let value = input.bytes(1 + input.number(below: 8))
            for copy in 0..<2 {
                let start = copy * SegmentHeader.copyByteCount
                for (index, byte) in value.enumerated() { bytes[start + offset + index] = byte }
                seal(
                    &bytes, start..<start + SegmentHeader.copyByteCount,
                    seed: CRC32C.seed("NWSG header", index: UInt8(copy)))
            }
        } else if name == "vectors.jvdb" {
            guard bytes.count >= 4 * FileHeader.byteCount else { return false }
            let offset = input.number(below: 600)
            let value = input.bytes(1 + input.number(below: 8))
            for page in 0..<4 {
                let start = page * FileHeader.byteCount
                for (index, byte) in value.enumerated() { bytes[start + offset + index] = byte }
                seal(&bytes, start..<start + FileHeader.byteCount, seed: FileHeader.seed(pageIndex: page))
            }
        } else {
            return false
        }
        disk.damage(path, at: 0, with: Array(bytes.prefix(16 << 10)))
        return true
    }

    fileprivate static func seal(_ bytes: inout [UInt8], _ range: Range<Int>, seed: UInt32) {
        guard range.count > 4, range.upperBound <= bytes.count else { return }
        let end = range.upperBound - 4
        let checksum = unsafe bytes[range.lowerBound..<end].withUnsafeBytes {
            unsafe CRC32C.checksum($0, continuing: seed)
        }
        unsafe withUnsafeBytes(of: checksum) { unsafe bytes.replaceSubrange(end..<range.upperBound, with: $0) }
    }

    /// Does what the rest of the input says, and reads everything.
    fileprivate static func use(_ store: VectorStore, _ input: inout FuzzInput, trust: Bool, isFirst: Bool) async throws
    {
        var steps = 0
        while !input.isEmpty, steps < 24, isFirst {
            steps += 1
            do {
                try await step(store, &input)
            } catch let error as StoreError {
                guard error.code != .notRunning else { throw error }
            }
        }
        for description in try await store.databases() {
            do {
                let snapshot = try await store.database(description.name).snapshot()
                for result in snapshot.records() {
                    guard let record = try? result.get() else { continue }
                    precondition(!trust || FuzzBase.isKnown(record), "\(record)")
                    let found = try? snapshot.record(for: record.id)
                    precondition(!trust || found == nil || found == record)
                }
                _ = try await snapshot.search(Array(repeating: 1, count: description.options.dimension), k: 3)
            } catch is StoreError {}
        }
        _ = try await store.check()
    }

    fileprivate static func step(_ store: VectorStore, _ input: inout FuzzInput) async throws {
        let name = input.number(below: 8) == 7 ? "c" : FuzzBase.names[input.number(below: 2)]
        let index = input.number(below: FuzzBase.ids.count)
        let version = input.number(below: 100)
        switch input.number(below: 9) {
        case 0: try await store.database(name).upsert(FuzzBase.record(index, version: version))
        case 1: try await store.database(name).delete(FuzzBase.ids[index])
        case 2:
            let records = (0..<FuzzBase.ids.count).map { FuzzBase.record($0, version: version) }
            try await store.database(name).upsert(Array(records.prefix(index + 1)))
        case 3:
            try await store.transaction { transaction in
                for name in FuzzBase.names {
                    try await transaction.upsert(FuzzBase.record(index, version: version), into: name)
                }
            }
        case 4: try await store.checkpoint()
        case 5: try await store.createDatabase("c", options: .init(dimension: FuzzBase.dimension))
        case 6: try await store.dropDatabase(name)
        case 7: _ = try await store.database(name).record(for: FuzzBase.ids[index])
        default: _ = try await store.check()
        }
    }
}
