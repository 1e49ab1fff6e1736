/// What goes wrong and when: tests hand a plan to ``SimulatedFileSystem``, which asks it at every call.
public import StorageIO

/// What happens to a call that a fault hits. An effect that does not fit the call has no consequence.
public enum FaultEffect: Sendable, Hashable {
    /// The call fails and changes nothing; a failed sync behaves as `.failSync(code, losing: .everything)`.
    case fail(Int32)
    /// A sync fails; what was waiting for it may be lost although it stays readable, and later syncs succeed
    /// (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
    case failSync(Int32, losing: SyncLoss)
    /// A write takes this many bytes and then fails.
    case failAfter(bytes: Int, code: Int32)
    /// A read or write transfers at most this many bytes.
    case short(bytes: Int)
    /// A write is acknowledged and readable until the crash, but never reaches the disk.
    case loseWrite
    /// A write reaches the disk this many sectors away from where it should.
    case misdirectWrite(sectors: Int)
    /// The virtual clock moves on before the call.
    case delay(nanoseconds: UInt64)
    /// The machine stops: this call and all later ones fail with `EIO`.
    case crash
}

/// What a failed sync takes with it.
public enum SyncLoss: Sendable, Hashable {
    /// Nothing that was waiting will become durable.
    case everything
    /// Everything is still waiting, as if the kernel tried again.
    case nothing
    /// Of what was waiting, a subset that the seed decides became durable; the rest never will.
    case some(seed: UInt64)
}

/// One fault: which calls it looks at, when it strikes, and what it does.
public struct Fault: Sendable, Hashable {
    /// When a fault strikes, counting the calls it looks at from 1.
    public enum Trigger: Sendable, Hashable {
        /// At one call.
        case at(Int)
        /// At a call and all later ones.
        case from(Int)
        /// At each call with this probability.
        case probability(Double)
    }

    /// When.
    public var trigger: Trigger
    /// What.
    public var effect: FaultEffect
    /// Only these calls; `nil` for all.
    public var calls: Set<SystemCall>?
    /// Only paths that begin so; empty for all.
    public var pathPrefix: String
    /// Only calls that concern some of these bytes of a file; `nil` for all.
    public var bytes: Range<UInt64>?

    /// Creates a fault.
    public init(
        _ effect: FaultEffect, _ trigger: Trigger, calls: Set<SystemCall>? = nil, pathPrefix: String = "",
        bytes: Range<UInt64>? = nil
    ) {
        self.effect = effect
        self.trigger = trigger
        self.calls = calls
        self.pathPrefix = pathPrefix
        self.bytes = bytes
    }

    /// Sectors that the device cannot read, which it shows in blocks of 4 KiB.
    public static func badBlock(_ block: UInt64, of path: StoragePath) -> Fault {
        Fault(
            .fail(ErrorNumber.inputOutput), .from(1), calls: [.read], pathPrefix: path.description,
            bytes: block * 4_096..<(block + 1) * 4_096)
    }
}

/// Faults, with the randomness and the counts that decide when they strike. A value: a copy starts from the
/// same counts and repeats the same decisions.
public struct FaultPlan: Sendable {
    /// No faults.
    public static let none = FaultPlan([])

    /// The faults; where several strike at one call, the first one counts.
    public let faults: [Fault]
    private var matches: [Int]
    private var generator: SeededGenerator

    /// Creates a plan; the seed decides faults with a probability.
    public init(_ faults: [Fault], seed: UInt64 = 0) {
        self.faults = faults
        matches = Array(repeating: 0, count: faults.count)
        generator = SeededGenerator(seed: seed)
    }

    /// The n-th call (from 1) of those named fails; with `forever` the later ones fail too.
    public static func fail(
        call number: Int, code: Int32, forever: Bool = false, calls: Set<SystemCall>? = nil, pathPrefix: String = ""
    ) -> FaultPlan {
        FaultPlan([
            Fault(.fail(code), forever ? .from(number) : .at(number), calls: calls, pathPrefix: pathPrefix)
        ])
    }

    /// From the n-th call on (from 1) the machine stands still.
    public static func crash(atCall number: Int) -> FaultPlan { FaultPlan([Fault(.crash, .at(number))]) }

    /// A random selection of faults at random rates up to `rate` (Groce et al., "Swarm Testing", 2012).
    ///
    /// Only faults an engine has to come through without losing anything it acknowledged: none that damage
    /// what was synced, and no crash.
    public static func swarm(seed: UInt64, rate: Double = 0.02) -> FaultPlan {
        var generator = SeededGenerator(seed: seed)
        let candidates: [(FaultEffect, Set<SystemCall>?)] = [
            (.fail(ErrorNumber.interrupted), [.read, .write]),
            (.short(bytes: 1 + generator.next(below: 4_096)), [.read, .write]),
            (.fail(ErrorNumber.inputOutput), [.write]),
            (.failAfter(bytes: generator.next(below: 8_192), code: ErrorNumber.noSpace), [.write]),
            (.fail(ErrorNumber.noSpace), [.allocate, .write, .createDirectory]),
            (.failSync(ErrorNumber.inputOutput, losing: .everything), [.synchronizeData, .synchronize]),
            (.failSync(ErrorNumber.noSpace, losing: .some(seed: seed)), [.synchronizeData, .synchronize]),
            (.fail(ErrorNumber.inputOutput), [.synchronizeDirectory]),
            (.fail(ErrorNumber.tooManyOpenFiles), [.open]),
            (.fail(ErrorNumber.inputOutput), nil),
            (.delay(nanoseconds: 1 + generator.next() % 50_000_000), nil),
        ]
        var faults: [Fault] = []
        for (effect, calls) in candidates where generator.chance(0.3) {
            let probability = rate * Double(1 + generator.next(below: 100)) / 100
            faults.append(Fault(effect, .probability(probability), calls: calls))
        }
        return FaultPlan(faults, seed: generator.next())
    }

    /// Counts a call and says what happens to it.
    mutating func decide(
        _ call: SystemCall, _ path: StoragePath, offset: UInt64 = 0, length: UInt64 = 0
    ) -> FaultEffect? {
        guard !faults.isEmpty else { return nil }
        let name = path.description
        var decision: FaultEffect?
        for (index, fault) in faults.enumerated() {
            if let calls = fault.calls, !calls.contains(call) { continue }
            guard name.hasPrefix(fault.pathPrefix) else { continue }
            if let bytes = fault.bytes, !bytes.overlaps(offset..<offset + length) { continue }
            matches[index] += 1
            let strikes =
                switch fault.trigger {
                case .at(let number): matches[index] == number
                case .from(let number): matches[index] >= number
                case .probability(let probability): generator.chance(probability)
                }
            if strikes && decision == nil { decision = fault.effect }
        }
        return decision
    }
}
