/// Moments at which the machine stops: a collector hangs in a simulated disk's hook and takes images, which the campaign
/// recovers.
import StorageIO

/// A disk as a crash left it, and how much of the run had happened.
struct CrashImage: Sendable {
    let disk: SimulatedFileSystem
    let label: String
    let eventCount: Int
    let time: UInt64
}

/// Takes images before about every `period`-th call that changes the disk.
struct ImageCollector: Sendable {
    /// What was taken already: images that would be the same are not taken again.
    private struct Progress {
        var generator: SeededGenerator
        var durableVersion = -1
        var pendingCount = -1
    }

    private let progress: Box<Progress>
    private let period: Int
    private let takesMany: Bool
    private let images: Box<[CrashImage]>
    private let moment: @Sendable () -> (eventCount: Int, time: UInt64)

    /// - Parameter takesMany: whether a moment gives every image that differs from those before, not just one.
    init(
        seed: UInt64, period: Int, takesMany: Bool = false, images: Box<[CrashImage]>,
        moment: @escaping @Sendable () -> (eventCount: Int, time: UInt64)
    ) {
        progress = Box(Progress(generator: SeededGenerator(seed: seed ^ 0xC0FFEE)))
        self.period = period
        self.takesMany = takesMany
        self.images = images
        self.moment = moment
    }

    var hook: SimulatedFileSystem.SnapshotHook {
        { number, disk in
            let (isChosen, kind, choice) = progress.update {
                ($0.generator.next(below: period) == 0, $0.generator.next(below: 8), $0.generator.next())
            }
            guard isChosen else { return }
            if takesMany {
                takeAll(number, disk, kind, choice)
            } else {
                take(number, disk, kind, choice)
            }
        }
    }

    private func take(_ number: Int, _ disk: SimulatedFileSystem, _ kind: Int, _ choice: UInt64) {
        let image =
            switch kind {
            case 0: disk.processKillImage()
            case 1: disk.crashImage(.loseAll, staleSeed: choice)
            case 2: disk.crashImage(.keepAll, staleSeed: choice)
            default: disk.crashImage(.random(seed: choice), staleSeed: choice)
            }
        let kinds = ["killed", "nothing kept", "everything kept"]
        add("call \(number), \(kind < 3 ? kinds[kind] : "random \(choice)")", image)
    }

    /// What a crash certainly leaves, if that has changed; of what it may leave, two random subsets, and all of it as
    /// after a kill or a crash.
    private func takeAll(_ number: Int, _ disk: SimulatedFileSystem, _ kind: Int, _ choice: UInt64) {
        let version = disk.durableVersion
        let pendingCount = disk.pendingOperationCount
        let (isNewVersion, isNew) = progress.update { (progress) -> (Bool, Bool) in
            let isNewVersion = progress.durableVersion != version
            let isNew = isNewVersion || progress.pendingCount != pendingCount
            (progress.durableVersion, progress.pendingCount) = (version, pendingCount)
            return (isNewVersion, isNew)
        }
        if isNewVersion { take(number, disk, 1, choice) }
        guard isNew, pendingCount > 0 else { return }
        take(number, disk, kind == 0 ? 0 : 2, choice)
        for part in 0..<min(2, pendingCount) { take(number, disk, 3, choice &+ UInt64(part)) }
    }

    func add(_ label: String, _ disk: SimulatedFileSystem) {
        let (eventCount, time) = moment()
        disk.setTraceCapacity(0)
        images.update { $0.append(CrashImage(disk: disk, label: label, eventCount: eventCount, time: time)) }
    }
}
