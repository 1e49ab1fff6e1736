/// Everything that a seed of the campaign decides: tasks, sizes, faults, and at which calls the machine stops. The
/// campaign runs plans; the minimiser takes parts of a failing one away.
import StorageIO

/// One run of ``CrashCampaign``.
package struct CampaignPlan: Sendable {
    /// What kind of disk the run is on.
    package enum Disk: String, Sendable, CaseIterable {
        /// Nothing goes wrong but the crash.
        case sound
        /// Interruptions, short transfers and delays, of which nobody may notice anything.
        case nervous
        /// Calls fail: typed errors, and nothing acknowledged is lost.
        case failing
        /// It gets full.
        case small
        /// It loses or misplaces a write that it acknowledged, or flips bits afterwards: what is damaged is reported,
        /// and nothing is invented.
        case lying
    }

    /// How much of everything a seed is.
    package enum Scale: String, Sendable, CaseIterable {
        /// Several tasks, a few crashes, and crashes of their recoveries.
        case whole
        /// A few operations and a crash or two, so that there can be very many seeds.
        case small
        /// A whole workload that is stopped at every other call, in several ways: very many crash states.
        case dense
    }

    package let seed: UInt64
    package let scale: Scale
    package var disk: Disk
    package var writers: Int
    package var readers: Int
    package var steps: Int
    package var faults: [Fault]
    /// Bytes that all files together may have; nil for no limit.
    package var capacityByteCount: UInt64?
    /// How many bits of the files flip after the crash.
    package var rottenBitCount = 0
    /// Whether calls fail while what the crash left is recovered, before it is recovered once more without.
    package var faultsInRecovery = false
    /// One of so many calls that change the disk is a moment at which the machine stops.
    package var crashPeriod: Int
    /// The store is used and closed again after one of so many recoveries.
    package var goingOnPeriod: UInt64
    /// The steps to make; all of them if nil.
    package var kept: Set<RandomWorkload.Place>?

    /// The plan of a seed.
    package init(seed: UInt64, scale: Scale = .whole) {
        self.seed = seed
        self.scale = scale
        var generator = SeededGenerator(seed: SplitMix64.mix(seed) ^ 0x5EED)
        let isSmall = scale == .small
        writers = (isSmall ? 1 : 2) + generator.next(below: isSmall ? 3 : 4)
        readers = generator.next(below: 3)
        steps = (isSmall ? 1 : 2) + generator.next(below: isSmall ? 3 : 5)
        if isSmall { readers /= 2 }
        faults = []
        crashPeriod = scale == .dense ? 2 : isSmall ? 60 : 40 + writers * steps
        goingOnPeriod = scale == .dense ? 16 : isSmall ? 8 : 4
        switch generator.next(below: 20) {
        case 0..<7: disk = .sound
        case 7..<10: disk = .nervous
        case 10..<15: disk = .failing
        case 15..<17: disk = .small
        default: disk = .lying
        }
        switch disk {
        case .sound: break
        case .nervous: faults = Self.nervousFaults(&generator)
        case .failing:
            faults = FaultPlan.swarm(seed: generator.next(), rate: 0.03).faults
            faultsInRecovery = generator.next(below: 2) == 0
        case .small: capacityByteCount = UInt64(1_900 + generator.next(below: 1_600)) << 10
        case .lying: (faults, rottenBitCount) = Self.lies(&generator)
        }
    }

    private static func nervousFaults(_ generator: inout SeededGenerator) -> [Fault] {
        var faults = [
            Fault(.fail(ErrorNumber.interrupted), .probability(0.05), calls: [.read, .write]),
            Fault(
                .short(bytes: 1 + generator.next(below: 3_000)), .probability(0.1), calls: [.read, .write]),
        ]
        if generator.next(below: 2) == 0 {
            faults.append(Fault(.delay(nanoseconds: 1 + generator.next() % 30_000_000), .probability(0.02)))
        }
        return faults
    }

    private static func lies(_ generator: inout SeededGenerator) -> ([Fault], Int) {
        let call = 1 + generator.next(below: 120)
        switch generator.next(below: 3) {
        case 0: return ([Fault(.loseWrite, .at(call), calls: [.write])], 0)
        case 1:
            let distance = 1 + generator.next(below: 20)
            let sectors = generator.next(below: 2) == 0 ? distance : -distance
            return ([Fault(.misdirectWrite(sectors: sectors), .at(call), calls: [.write])], 0)
        default: return ([], 1 + generator.next(below: 4))
        }
    }

    /// All steps of all writers.
    var places: [RandomWorkload.Place] {
        (0..<writers).flatMap { writer in (0..<steps).map { .init(writer: writer, step: $0) } }
    }

    /// How the store is set up.
    var settings: SimulationSettings {
        var settings = SimulationSettings()
        settings.seed = SplitMix64.mix(seed)
        settings.maximumOpenFiles = seed % 3 == 0 ? 2 : 100
        settings.logByteLimit = seed % 2 == 0 ? 40 << 10 : 1 << 20
        // Around the log, or all of it through the log, which then has many segments.
        settings.bulkByteThreshold = [4 << 10, 1 << 20, 16 << 10, 16 << 10, 16 << 10][Int(seed % 5)]
        // The data file's sync before the log's, or both at once.
        settings.jointSyncByteLimit = seed % 4 == 3 ? 0 : 1 << 20
        settings.checkpointInterval = seed % 7 == 0 ? .milliseconds(30) : .seconds(60)
        return settings
    }

    var faultPlan: FaultPlan { FaultPlan(faults, seed: seed) }
}

extension CampaignPlan: CustomStringConvertible {
    /// What it does, on a few lines.
    package var description: String {
        var lines = ["\(disk.rawValue) disk, \(writers) writers, \(readers) readers, \(steps) steps each"]
        for fault in faults { lines.append("fault: \(fault.effect), \(fault.trigger)\(fault.place)") }
        if let capacityByteCount { lines.append("capacity: \(capacityByteCount) bytes") }
        if rottenBitCount > 0 { lines.append("\(rottenBitCount) bits rot after the crash") }
        if faultsInRecovery { lines.append("faults also in recovery") }
        if let kept {
            let places = kept.sorted { ($0.writer, $0.step) < ($1.writer, $1.step) }
            lines.append("only steps " + places.map { "\($0.writer).\($0.step)" }.joined(separator: " "))
        }
        return lines.joined(separator: "\n")
    }
}

extension Fault {
    fileprivate var place: String {
        let names = calls.map { " of " + $0.map(\.rawValue).sorted().joined(separator: "/") } ?? ""
        return names + (pathPrefix.isEmpty ? "" : " on \(pathPrefix)")
    }
}
