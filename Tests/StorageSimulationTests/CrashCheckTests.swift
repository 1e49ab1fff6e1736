// The parts together: a toy store, every crash at every call, and the oracle; right stores pass, wrong ones do not.
import StorageIO
import StorageSimulation
import Testing

/// What a store can do wrong.
enum ToyBug: CaseIterable { case none, skipsDataSync, skipsDirectorySync, skipsChecksum, acknowledgesFailedSync }

/// A store of at most 255 records in one log. A record is a sector and a half, so that it can tear.
struct ToyStore {
    static let recordByteCount = 768
    let file: any StorageFile
    let bug: ToyBug

    static func create(on disk: some FileSystem, _ bug: ToyBug) throws -> ToyStore {
        let store = ToyStore(file: try disk.open(a, .createNew), bug: bug)
        if bug != .skipsDirectorySync { try disk.synchronizeDirectory(.root) }
        return store
    }

    func append(_ number: Int) throws {
        let body = filled(UInt8(number), Self.recordByteCount)
        try file.put(body, at: UInt64((number - 1) * Self.recordByteCount))
        guard bug != .skipsDataSync else { return }
        do {
            try file.synchronizeData()
        } catch  where bug == .acknowledgesFailedSync {
            return
        }
    }

    /// The state of what a crash left; a record that is not whole ends the log.
    static func recover(from disk: SimulatedFileSystem, _ bug: ToyBug) throws -> ModelState {
        var records: [String: ModelRecord] = [:]
        let bytes = disk.contents(of: a) ?? []
        for number in 1...255 {
            let start = (number - 1) * recordByteCount
            guard start + recordByteCount <= bytes.count, bytes[start] == UInt8(number) else { break }
            let body = bytes[start..<(start + recordByteCount)]
            guard bug == .skipsChecksum || body.allSatisfy({ $0 == UInt8(number) }) else { break }
            records["\(number)"] = ModelRecord(vector: [], metadata: Array(body))
        }
        return ModelState(databases: ["d": records])
    }
}

@Suite struct CrashCheckTests {
    struct Progress {
        var model = ReferenceModel(initial: ModelState(databases: ["d": [:]]))
        var acknowledged = 0
        var failures: [String] = []
        var imageCount = 0
    }

    /// Appends five records, crashing in every way before every call, with a failing sync at call `failingSync`.
    private func check(_ bug: ToyBug, failingSync: Int? = nil) throws -> Progress {
        let disk = SimulatedFileSystem()
        if let failingSync {
            disk.inject(
                .fail(call: failingSync, code: ErrorNumber.inputOutput, calls: [.synchronizeData]))
        }
        let progress = Shared(Progress())
        let inspect: SimulatedFileSystem.SnapshotHook = { number, disk in
            for choice in CrashChoice.enumerate(disk.pendingOperations) + (0..<5).map({ .random(seed: $0) }) {
                progress.update { progress in
                    progress.imageCount += 1
                    guard let state = try? ToyStore.recover(from: disk.crashImage(choice), bug) else { return }
                    let mismatch = progress.model.mismatch(
                        of: state, acknowledged: progress.acknowledged, submitted: progress.model.commitCount)
                    if let mismatch { progress.failures.append("call \(number), \(choice): \(mismatch)") }
                }
            }
        }
        disk.snapshotHook = inspect
        let store = try ToyStore.create(on: disk, bug)
        for number in 1...5 {
            let record = ModelRecord(vector: [], metadata: filled(UInt8(number), ToyStore.recordByteCount))
            let commit = try progress.update { progress in
                Result { try progress.model.submit(.insert(database: "d", id: "\(number)", record)) }
            }.get()
            do { try store.append(number) } catch { break }
            progress.update { $0.acknowledged = commit }
        }
        inspect(disk.callCount + 1, disk)
        return progress.value
    }

    @Test func `a right store survives every crash`() throws {
        let progress = try check(.none)
        #expect(progress.failures == [])
        #expect(progress.imageCount > 100)
    }

    @Test(arguments: 1...5)
    func `a right store survives every crash around a failed sync`(failingSync: Int) throws {
        #expect(try check(.none, failingSync: failingSync).failures == [])
    }

    @Test(arguments: [ToyBug.skipsDataSync, .skipsDirectorySync, .skipsChecksum])
    func `a wrong store is caught`(bug: ToyBug) throws {
        #expect(try !check(bug).failures.isEmpty)
    }

    @Test func `a store that takes a failed sync for success is caught only when a sync fails`() throws {
        #expect(try check(.acknowledgesFailedSync).failures == [])
        #expect(try !check(.acknowledgesFailedSync, failingSync: 2).failures.isEmpty)
    }
}
