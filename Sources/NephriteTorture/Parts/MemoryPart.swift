/// Little memory: a child in a control group of 64 MiB imports, reopens, checks and searches a store larger than that.
/// Pages of files the kernel can take back, memory of the process it cannot: a child that hoards is killed.
import CTorture
import Foundation
import Nephrite
import NephriteExercise

/// Imports and searches under a limit.
struct MemoryPart: TorturePart {
    static let name = "memory"
    static let summary = "a 64 MiB control group: import, check and search of a store larger than that"

    private static let limitByteCount = 64 << 20

    func obstacle(_ mounts: Mounts) -> String? { MemoryGroup.obstacle() }

    func run(_ session: Session, _ report: inout PartReport) async throws {
        while session.goesOn(report) {
            let seed = session.seed(report)
            let group = try MemoryGroup(limitByteCount: Self.limitByteCount)
            var child = try ChildProcess(
                MemoryChild.words(
                    store: session.workspace.directory("memory"), seed: seed, group: group.path),
                errorPath: session.workspace.path + "/memory.err")
            let end = try child.finish()
            report.rounds += 1
            report.states += 1
            report.count("rows", MemoryChild.rowCount)
            report.count("MiB of vectors", (MemoryChild.rowCount * MemoryChild.dimension * 4) >> 20)
            report.count("MiB charged at most", (group.peakByteCount() ?? 0) >> 20)
            report.count("processes killed by the kernel", group.killCount())
            if end != .exit(0) { report.fail("The child ended with \(end): \(child.errors)", seed: seed) }
        }
    }
}

/// `nephrite-torture memory-child STORE SEED GROUP`: the one that has little memory.
enum MemoryChild {
    static let dimension = 512
    static let rowCount = 48_000
    private static let batchRowCount = 1000
    private static let queryCount = 8

    static func words(store: String, seed: UInt64, group: String) -> [String] {
        ["memory-child", store, String(seed), group]
    }

    /// Joins the group, then imports, reopens, checks and searches.
    static func run(_ words: [String]) async -> Int32 {
        _ = torture_die_with_parent()
        guard words.count == 4, let seed = UInt64(words[2]) else { return 64 }
        do {
            try MemoryGroup.join(words[3])
            try await withVectorStore(at: words[1]) { try await importRows($0, seed) }
            try await withVectorStore(at: words[1]) { try await searchAndCheck($0, seed) }
            return 0
        } catch {
            try? FileHandle.standardError.write(contentsOf: Data("\(error)\n".utf8))
            return 1
        }
    }

    private static func importRows(_ store: VectorStore, _ seed: UInt64) async throws {
        let database = try await store.createDatabase("rows", options: DatabaseOptions(dimension: dimension))
        for first in stride(from: 0, to: rowCount, by: batchRowCount) {
            let rows = first..<(first + batchRowCount)
            try await database.insert(ids: rows.map { "row-\($0)" }, vectors: rows.flatMap { vector($0, seed) })
        }
    }

    private static func searchAndCheck(_ store: VectorStore, _ seed: UInt64) async throws {
        let database = try await store.database("rows")
        let integrity = try await store.check()
        guard integrity.isSound, try await database.count() == rowCount else {
            throw ExerciseFailure("The import is not whole: \(integrity)")
        }
        for query in 0..<queryCount {
            let row = query * (rowCount / queryCount)
            let hits = try await database.search(vector(row, seed), k: 10)
            guard hits.count == 10, hits[0].id == "row-\(row)" else {
                throw ExerciseFailure("The row nearest to row \(row) is \(hits.first?.id ?? "missing").")
            }
        }
    }

    private static func vector(_ row: Int, _ seed: UInt64) -> [Float] {
        var random = SplitMix(state: seed ^ UInt64(row) << 20)
        return (0..<dimension).map { _ in Float(Int32(truncatingIfNeeded: random.next())) }
    }
}
