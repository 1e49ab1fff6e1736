// What the concurrency suites share: vectors that say what they are, so that a reader can tell a torn, misplaced or
// invented one from one that was written.
import Foundation
import Nephrite
import StorageIO
import Testing

/// The suites that use real threads, one test after the other: each has the cores to itself, so that what waits for
/// its turn does not wait for other tests too.
@Suite(.serialized, .timeLimit(.minutes(20))) struct ConcurrencyTests {}

/// A value that a writer wrote: which id it is of, and the how-manieth it is.
struct Stamp: Hashable, Sendable {
    static let dimension = 40

    var writer: Int
    var number: Int
    var count: Int

    var id: String { "w\(writer)-\(number)" }

    /// The vector of the value: all components depend on all of the stamp.
    var vector: [Float] {
        [Float(writer), Float(number), Float(count)]
            + (3..<Self.dimension).map {
                Float((writer &* 7_919 &+ number &* 104_729 &+ count &* 31 &+ $0 &* 17) % 65_521)
            }
    }

    var record: VectorRecord { VectorRecord(id: id, vector: vector, metadata: ["count": .integer(Int64(count))]) }

    init(writer: Int, number: Int, count: Int) {
        self.writer = writer
        self.number = number
        self.count = count
    }

    /// The stamp of a record, nil if no writer can have written it so.
    init?(_ record: VectorRecord) {
        guard record.vector.count == Self.dimension else { return nil }
        self.init(writer: Int(record.vector[0]), number: Int(record.vector[1]), count: Int(record.vector[2]))
        guard record.vector == vector, record.id == id, record.metadata["count"] == .integer(Int64(count)) else {
            return nil
        }
    }

    static let options = DatabaseOptions(dimension: dimension)
}

/// What a reader has seen: versions and counts of an id only ever go up, for each id has one writer.
struct Witness {
    private var seen: [String: (version: RecordVersion, count: Int)] = [:]
    private(set) var problems: [String] = []

    mutating func note(_ record: VectorRecord, in database: String) {
        guard let stamp = Stamp(record) else {
            problems.append("\(database)/\(record.id) holds what nobody wrote: \(record.vector.prefix(5))")
            return
        }
        let key = database + "/" + record.id
        if let last = seen[key] {
            if record.version < last.version || stamp.count < last.count
                || (record.version == last.version) != (stamp.count == last.count)
            {
                problems.append(
                    "\(key) went from \(last.count) at \(last.version) to \(stamp.count) at \(record.version)")
            }
        }
        seen[key] = (record.version, stamp.count)
    }

    /// A whole snapshot: it agrees with itself.
    mutating func note(_ snapshot: DatabaseSnapshot, in database: String) {
        var ids = 0
        for id in snapshot.ids() {
            ids += 1
            do {
                guard let record = try snapshot.record(for: id) else {
                    problems.append("\(database)/\(id) is listed and not found")
                    continue
                }
                if record.version > snapshot.version {
                    problems.append("\(database)/\(id) is newer than its snapshot")
                }
                note(record, in: database)
            } catch {
                problems.append("\(database)/\(id): \(error)")
            }
        }
        if ids != snapshot.count { problems.append("\(database) counts \(snapshot.count) and lists \(ids)") }
    }

    func check(sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(problems.isEmpty, "\(problems.prefix(5))", sourceLocation: sourceLocation)
    }
}

/// A generator for tests on real threads: what it gives is decided by its seed, what happens is not.

struct Dice: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(_ seed: Int) { state = UInt64(seed + 1) &* 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}

extension TestStore {
    /// The directories of databases and what lies beside them, to see that nothing was left behind.
    func directories() throws -> Set<String> {
        if let memory { return Set(try memory.list(.root).filter { $0.kind == .directory }.map(\.name)) }
        let manager = FileManager.default
        return Set(
            try manager.contentsOfDirectory(atPath: path).filter { name in
                var isDirectory: ObjCBool = false
                _ = unsafe manager.fileExists(atPath: url(name).path, isDirectory: &isDirectory)
                return isDirectory.boolValue
            })
    }
}

extension Error {
    var storeCode: StoreError.Code? { (self as? StoreError)?.code }
}

/// Long campaigns are asked for by `NEPHRITE_LONG=1`; otherwise the suites take seconds.
let stressFactor = ProcessInfo.processInfo.environment["NEPHRITE_LONG"] == "1" ? 20 : 1

/// Under the thread sanitizer, where everything takes many times as long, `.ci/run` sets `NEPHRITE_SANITIZED=1`.
let sanitizerDivisor = ProcessInfo.processInfo.environment["NEPHRITE_SANITIZED"] == "1" ? 5 : 1
