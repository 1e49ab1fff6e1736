/// Cut powers: a child writes to ext4 on a loop device, and the file system stops where it stands, with everything that
/// was not synced lost. After the next mount has replayed the file system's journal, the next child must find exactly
/// what was acknowledged, plus at most the step each writer had under way.
import CTorture
import Foundation
import NephriteExercise

/// Cuts the power by the ioctl with which file systems are tested themselves.
struct PowerPart: TorturePart {
    static let name = "power"
    static let summary = "power cuts: ext4 on a loop device, stopped by EXT4_IOC_SHUTDOWN without a flush"

    private static let roundsPerDisk = 100
    private static let roundsPerCheck = 20
    private static let diskByteCount = 256 << 20
    /// How the file system orders data and journal; each mount chooses.
    private static let mountOptions = ["", "data=writeback", "nodelalloc", "data=journal", "barrier=1,commit=1"]

    func obstacle(_ mounts: Mounts) -> String? { Machine.loopObstacle(mounts) }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        while session.goesOn(report) {
            let memory = try MemoryDisk(
                at: session.workspace.directory("power-image"), byteCount: Self.diskByteCount + (16 << 20))
            var disk = try LoopDisk(
                image: memory.path + "/image", at: session.workspace.directory("power"),
                byteCount: UInt64(Self.diskByteCount))
            var assault = Assault(store: disk.path + "/store")
            let end = report.rounds + Self.roundsPerDisk
            while session.goesOn(report), report.rounds < end {
                let seed = session.seed(report)
                do {
                    try await round(seed, &disk, &assault, session, &report)
                } catch let failure as ExerciseFailure {
                    report.fail("\(failure) The store is kept in \(kept(&disk, seed, session)).", seed: seed)
                    break
                }
            }
        }
    }

    private func round(
        _ seed: UInt64, _ disk: inout LoopDisk, _ assault: inout Assault, _ session: Session,
        _ report: inout PartReport
    ) async throws {
        var random = SplitMix(state: seed ^ 0xC07)
        try disk.mount(Self.mountOptions[random.below(Self.mountOptions.count)])
        let path = disk.path
        let afterlife = random.below(3000)
        try assault.round(
            seed: seed, isRoomy: false, errorPath: session.workspace.path + "/power.err", &report
        ) { child in
            // What was acknowledged before the cut counts. A sync that is under way when the file system stops may
            // say that all is well (see HowWeTestIt), so what is acknowledged from here on may be there or not.
            let certainCount = try child.readSaid()
            unsafe try Machine.check(torture_cut_power(path), "cutting the power")
            _ = try child.read(wait: .microseconds(afterlife))
            child.kill()
            return certainCount
        }
        try disk.unmount()
        report.rounds += 1
        guard report.rounds.isMultiple(of: Self.roundsPerCheck) || !session.goesOn(report) else { return }
        try disk.mount("")
        try await assault.verify(seed: seed, &report)
        try disk.unmount()
    }

    private func kept(_ disk: inout LoopDisk, _ seed: UInt64, _ session: Session) -> String {
        try? disk.unmount()
        try? disk.mount("")
        defer { try? disk.unmount() }
        return session.workspace.keep(disk.path + "/store", seed: seed)
    }
}
