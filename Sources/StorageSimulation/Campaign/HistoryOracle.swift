/// The exact oracle for random workloads: their tasks note events, and for any moment of the run it says whether a state
/// that was recovered may be what a crash at that moment left.

/// What happened, in order.
package enum HistoryEvent: Sendable {
    /// An operation was submitted that writes the values of these numbers.
    case begin(Int, ModelOperation, isDurable: Bool, numbers: [Int])
    /// The operation was acknowledged at a time of the virtual clock; 0 for a version that is not known.
    case acknowledged(Int, version: UInt64, at: UInt64)
    /// The operation was refused and did nothing.
    case refused(Int)
    /// A reader saw the value of a number, in a database whose readers never see what a crash can still take back.
    case observed(number: Int, version: UInt64)
}

/// What a random workload did so far.
package struct RandomRun: Sendable {
    /// What happened, in order.
    package var events: [HistoryEvent] = []
    /// How many operations were submitted.
    package var operationCount = 0
    /// How many reads were made.
    package var readCount = 0
    /// The number of the last value that was written.
    package var nextNumber = 1_000
    /// What the tasks themselves saw that must not be.
    package var problems: [String] = []
    /// Which value each acknowledged counting transaction had read.
    var countedFrom: Set<Int> = []

    /// Nothing done yet.
    package init() {}
}

/// Judges recovered states of random workloads.
package struct HistoryOracle {
    /// What a disk may have done that no store can undo.
    package enum Promise: Sendable {
        /// The disk kept what it said it had: everything acknowledged is there.
        case exact
        /// The disk lost or changed something: acknowledged commits may be missing from the end, and nothing else.
        case suffixMayBeLost
    }

    private let initial: ModelState
    private let events: [HistoryEvent]
    private let promise: Promise
    /// The virtual time after which an acknowledged relaxed commit must be on disk, and the time of the crash.
    private let relaxedLimit: (nanoseconds: UInt64, now: UInt64)?

    /// An oracle for a crash after `events`.
    ///
    /// - Parameter relaxedLimit: when given, relaxed commits that were acknowledged so long before `now` must be there.
    package init(
        initial: ModelState, events: [HistoryEvent], promise: Promise = .exact,
        relaxedLimit: (nanoseconds: UInt64, now: UInt64)? = nil
    ) {
        self.initial = initial
        self.events = events
        self.promise = promise
        self.relaxedLimit = relaxedLimit
    }

    /// What is wrong with a recovered state, or nil.
    ///
    /// An acknowledged commit of a relaxed database must be there if any later commit is: losses are a suffix.
    package func verdict(_ state: ReadState) -> String? {
        if !state.problems.isEmpty { return state.problems.joined(separator: "; ") }
        var replay = Replay(history: ConcurrentHistory(initial: initial), reached: state.highestVersion)
        for event in events {
            switch event {
            case .begin(let index, let operation, let isDurable, let numbers):
                replay.begin(index, operation, isDurable: isDurable && promise == .exact, numbers)
            case .acknowledged(let index, let version, let time):
                for number in replay.numbers[index] ?? [] where version > 0 {
                    if let found = state.versions[number], found != version {
                        return "value \(number) has version \(found), acknowledged was \(version)"
                    }
                }
                let isOld = relaxedLimit.map { time + $0.nanoseconds < $0.now } ?? false
                replay.acknowledge(index, version: version, mustBeThere: isOld && promise == .exact)
            case .refused(let index):
                replay.refuse(index)
            case .observed(let number, let version):
                guard let index = replay.writers[number] else { return "a reader saw value \(number), never written" }
                replay.acknowledge(index, version: version, mustBeThere: promise == .exact)
            }
        }
        return replay.history.mismatch(of: state.model)
    }

    /// Whether every value of a damaged state is one that somebody submitted for that very id.
    package func inventions(in state: ReadState) -> [String] {
        var submitted: [String: [String: Set<ModelRecord>]] = [:]
        func add(_ operation: ModelOperation) {
            switch operation {
            case .upsert(let database, let id, let record), .insert(let database, let id, let record),
                .update(let database, let id, let record):
                submitted[database, default: [:]][id, default: []].insert(record)
            case .batch(let parts): parts.forEach(add)
            case .delete, .create, .drop: break
            }
        }
        for (database, records) in initial.databases {
            for (id, record) in records { submitted[database, default: [:]][id, default: []].insert(record) }
        }
        for case .begin(_, let operation, _, _) in events { add(operation) }
        var lines: [String] = []
        for (database, records) in state.model.databases {
            for (id, record) in records where submitted[database]?[id]?.contains(record) != true {
                lines.append("\(database)/\(id) is \(record), which nobody wrote")
            }
        }
        return lines.sorted()
    }
}

/// The history as the events tell it.
private struct Replay {
    var history: ConcurrentHistory
    /// The newest version that was recovered.
    let reached: UInt64
    var indices: [Int: Int] = [:]
    var numbers: [Int: [Int]] = [:]
    var writers: [Int: Int] = [:]
    var durable: Set<Int> = []
    var ended: Set<Int> = []

    mutating func begin(_ index: Int, _ operation: ModelOperation, isDurable: Bool, _ values: [Int]) {
        indices[index] = history.begin(operation)
        numbers[index] = values
        for number in values { writers[number] = index }
        if isDurable { durable.insert(index) }
    }

    mutating func acknowledge(_ index: Int, version: UInt64, mustBeThere: Bool) {
        guard !ended.contains(index),
            mustBeThere || durable.contains(index) || (version > 0 && version <= reached)
        else { return }
        ended.insert(index)
        history.acknowledge(indices[index]!)
    }

    mutating func refuse(_ index: Int) {
        guard ended.insert(index).inserted else { return }
        history.refuse(indices[index]!)
    }
}
