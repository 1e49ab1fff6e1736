/// Syncs that fail for real: ext4 on a sparse image in a memory disk that runs out of space, so that blocks the file
/// system believes in cannot be written back and `fdatasync` fails. The store must fence, tell nobody that a write failed
/// that may have succeeded, and have everything acknowledged when it is reopened on a mended disk.
import CTorture
import Foundation
import NephriteExercise

/// Makes syncs fail.
struct SyncPart: TorturePart {
    static let name = "fsync"
    static let summary = "fdatasync that fails: ext4 on a loop device whose backing store is full"

    private static let roundsPerDisk = 40
    private static let diskByteCount = 1 << 30
    private static let roomyByteCount = 512 << 20

    func obstacle(_ mounts: Mounts) -> String? { Machine.loopObstacle(mounts) }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        while session.goesOn(report) {
            let memory = try MemoryDisk(
                at: session.workspace.directory("fsync-image"), byteCount: Self.roomyByteCount)
            var disk = try LoopDisk(
                image: memory.path + "/image", at: session.workspace.directory("fsync"),
                byteCount: UInt64(Self.diskByteCount), writesByPage: true)
            var oracle = ExerciseOracle(writerCount: Assault.writerCount)
            let end = report.rounds + Self.roundsPerDisk
            while session.goesOn(report), report.rounds < end {
                let seed = session.seed(report)
                do {
                    try disk.mount("noinit_itable")
                    try round(seed, memory, disk.path, &oracle, session, &report)
                    // Mended before the file system writes back what is left: what it does when that fails is not
                    // what is put to the test.
                    try memory.resize(byteCount: Self.roomyByteCount)
                    try disk.unmount()
                } catch let failure as ExerciseFailure {
                    try? memory.resize(byteCount: Self.roomyByteCount)
                    let kept = session.workspace.keep(disk.path + "/store", seed: seed)
                    report.fail("\(failure) The store is kept in \(kept).", seed: seed)
                    try? disk.unmount()
                    break
                }
            }
        }
    }

    /// A child opens what the one before left, on a disk with room; then the room is taken away, until every writer has
    /// been refused.
    private func round(
        _ seed: UInt64, _ memory: borrowing MemoryDisk, _ mountPoint: String, _ oracle: inout ExerciseOracle,
        _ session: Session, _ report: inout PartReport
    ) throws {
        var random = SplitMix(state: seed ^ 0xF5)
        var child = try ChildProcess(
            ExerciseChild.words(
                store: mountPoint + "/store", seed: seed, writerCount: Assault.writerCount, isRoomy: false),
            errorPath: session.workspace.path + "/fsync.err")
        while !child.hasRecovered(writerCount: Assault.writerCount), try child.read() != .end {}
        // Blocks that were used before would be there to write to: they are given back first.
        try unsafe Machine.check(torture_trim(mountPoint), "trimming")
        try squeeze(memory, leaving: random.below(96) << 12)
        let end = try child.finish()
        guard end == .exit(ExerciseChild.Code.stopped), child.strangeLines.isEmpty else {
            throw ExerciseFailure("The child ended with \(end): \(child.lines.suffix(4)) \(child.errors)")
        }
        let before = oracle
        try oracle.take(child.lines, seed: seed)
        report.rounds += 1
        report.states += 1
        report.count("steps acknowledged", oracle.acknowledgedCount - before.acknowledgedCount)
        report.count("steps in doubt kept", oracle.keptCount - before.keptCount)
        noteRefusals(child.lines, &report)
    }

    /// Makes the disk so small that little is free, while the child fills it.
    private func squeeze(_ memory: borrowing MemoryDisk, leaving byteCount: Int) throws {
        for attempt in 1... {
            do {
                return try memory.resize(byteCount: memory.usedByteCount() + byteCount)
            } catch {
                // More was in use by then.
                if attempt == 1000 { throw error }
            }
        }
    }

    /// Counts what the writers were told, and whether a sync was the first thing to fail.
    private func noteRefusals(_ lines: [ExerciseLine], _ report: inout PartReport) {
        var isFailedSync = false
        for line in lines {
            switch line {
            case .failed(_, let code, let message):
                report.count(code)
                isFailedSync = isFailedSync || message.contains("synchronize")
            case .reread: report.count("writers read everything after it")
            default: break
            }
        }
        report.count(isFailedSync ? "failed syncs" : "other failures")
    }
}
