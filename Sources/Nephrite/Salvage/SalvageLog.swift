/// The log of a damaged store as far as it can be believed: whole commits up to the damage, and behind it the records that
/// are valid by themselves. Salvage takes databases and records from it.
import StorageFormat
import StorageIO

struct SalvageLog {
    /// One log record.
    struct Operation: Sendable {
        let header: LogRecordHeader
        let segment: LoadedSegment
        let body: Range<Int>

        var lsn: UInt64 { header.lsn }

        /// Valid while the operation is.
        var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(rebasing: segment.bytes[body]) }
    }

    /// Records of each database, oldest first.
    private(set) var operations: [UInt32: [Operation]] = [:]
    /// Records that create and delete databases, oldest first.
    private(set) var administration: [Operation] = []
    /// What the last commit that says anything about a database says.
    private(set) var lastStates: [UInt32: (lsn: UInt64, state: CommittedState)] = [:]
    private(set) var damages: [Damage] = []

    /// A log that has nothing to say.
    init() {}

    init(_ outcome: LogScan.Outcome) {
        damages = outcome.damages
        var all: [Operation] = []
        for commit in outcome.commits {
            Self.records(outcome.segments[commit.segment], in: commit.range) { all.append($0) }
        }
        let stray = Self.stray(outcome)
        if let first = stray.first?.lsn, first > outcome.lastLSN + 1 {
            damages.append(
                Damage(
                    kind: "corruption",
                    message: "Commits \(outcome.lastLSN + 1) to \(first - 1) cannot be read from the log.",
                    path: SegmentWriter.directory.description, offset: nil, ids: []))
        }
        for operation in all + stray { add(operation) }
    }

    private mutating func add(_ operation: Operation) {
        switch operation.header.type {
        case .createDatabase, .deleteDatabase: administration.append(operation)
        case .store, .update, .delete, .bulkStore, .resize:
            operations[operation.header.database, default: []].append(operation)
        case .commit:
            guard let body = try? unsafe CommitBody.decode(operation.bytes) else { return }
            for state in body.databases { lastStates[state.database] = (operation.lsn, state) }
        case .checkpoint, .syncMarker: return
        }
    }

    private static func records(_ segment: LoadedSegment, in range: Range<Int>, _ body: (Operation) -> Void) {
        var position = range.lowerBound
        while position < range.upperBound,
            case .record(let header, let content, let next) = unsafe LogCodec.read(
                segment.bytes, at: position, saltSeed: segment.header.saltSeed)
        {
            body(Operation(header: header, segment: segment, body: content))
            position = next
        }
    }

    /// Records behind the damage that were on disk by what later ones, or a later segment, say. What was last under way is
    /// left out, as recovery would cut it.
    private static func stray(_ outcome: LogScan.Outcome) -> [Operation] {
        var found: [Operation] = []
        var proven: UInt64 = 0
        for stretch in outcome.beyond {
            let segment = stretch.segment
            proven = max(proven, segment.header.previousLastLSN)
            // A hostile file could make every position look like the front of a long record: what that may cost is limited.
            var budget = 8 * segment.byteCount + (1 << 20)
            var position = stretch.start
            while position + LogRecordHeader.byteCount <= segment.byteCount, budget > 0 {
                guard
                    unsafe segment.bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self)
                        == LogRecordHeader.magic
                else {
                    position += LogRecordHeader.alignment
                    continue
                }
                budget -= min(
                    segment.byteCount,
                    Int(unsafe segment.bytes.loadUnaligned(fromByteOffset: position + 12, as: UInt32.self)))
                guard
                    case .record(let header, let body, let next) = unsafe LogCodec.read(
                        segment.bytes, at: position, saltSeed: segment.header.saltSeed)
                else {
                    position += LogRecordHeader.alignment
                    continue
                }
                proven = max(proven, header.syncedUpTo, header.type == .commit ? header.lsn : 0)
                found.append(Operation(header: header, segment: segment, body: body))
                position = next
            }
        }
        return found.filter { $0.lsn > outcome.lastLSN && $0.lsn <= proven }.sorted { $0.lsn < $1.lsn }
    }
}
