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

/// Takes an image before about every `period`-th call that changes the disk.
struct ImageCollector: Sendable {
    private let generator: Box<SeededGenerator>
    private let period: Int
    private let images: Box<[CrashImage]>
    private let moment: @Sendable () -> (eventCount: Int, time: UInt64)

    init(
        seed: UInt64, period: Int, images: Box<[CrashImage]>,
        moment: @escaping @Sendable () -> (eventCount: Int, time: UInt64)
    ) {
        generator = Box(SeededGenerator(seed: seed ^ 0xC0FFEE))
        self.period = period
        self.images = images
        self.moment = moment
    }

    var hook: SimulatedFileSystem.SnapshotHook {
        { number, disk in
            let (isChosen, kind, choice) = generator.update {
                ($0.next(below: period) == 0, $0.next(below: 8), $0.next())
            }
            guard isChosen else { return }
            let image =
                switch kind {
                case 0: disk.processKillImage()
                case 1: disk.crashImage(.loseAll)
                case 2: disk.crashImage(.keepAll)
                default: disk.crashImage(.random(seed: choice))
                }
            let kinds = ["killed", "nothing kept", "everything kept"]
            add("call \(number), \(kind < 3 ? kinds[kind] : "random \(choice)")", image)
        }
    }

    func add(_ label: String, _ disk: SimulatedFileSystem) {
        let (eventCount, time) = moment()
        disk.setTraceCapacity(0)
        images.update { $0.append(CrashImage(disk: disk, label: label, eventCount: eventCount, time: time)) }
    }
}
